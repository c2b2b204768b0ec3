package calico

import (
	"math"
	"net"
	"net/netip"
	"strconv"
	"time"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
)

// BGPPeer is a BGPPeer with the fields that decide its sessions.
type BGPPeer struct {
	Metadata

	// Node and NodeSelector select the local nodes. NodeSelector has precedence; if both
	// are empty, all nodes are local nodes.
	Node         string
	NodeSelector string
	// PeerSelector selects the remote nodes.
	PeerSelector string
	// PeerIP is the remote address as it was written, with its port if it has one.
	PeerIP string
	// PeerHost is the text of the address in PeerIP, without a port. It can be empty although
	// PeerIP is set, for example in ":179".
	PeerHost string
	// PeerAddress and PeerPort are parsed from PeerIP. PeerAddress is the zero Addr if
	// PeerHost is not an address. PeerPort is 0 if PeerIP has no port, or port 0.
	PeerAddress netip.Addr
	PeerPort    uint16
	// ASNumber is the AS number of PeerIP, 0 if unset. Calico has no default, and BIRD
	// rejects 0.
	ASNumber uint32
	// LocalWorkloadSelector selects pods on the local node as peers.
	LocalWorkloadSelector string
	// LocalASNumber is the AS number that the local nodes use instead of their own, 0 if
	// unset. NumAllowedLocalASNumbers is how often their own AS number may occur in the AS
	// path of a route that they accept; Calico reads a negative number as 0. Calico reads both
	// only if PeerIP is set; it reads LocalASNumber for local workloads too.
	LocalASNumber            uint32
	NumAllowedLocalASNumbers int
	// TTLSecurity is the maximum number of hops to the peer, 0 if TTL security is off.
	TTLSecurity int
	// ReachableBy is the gateway to PeerIP, "" if unset.
	ReachableBy string
	// Filters lists the names of BGPFilters. Password is the name of a Secret and the key
	// in it, as "name/key".
	Filters  []string
	Password string
	// SourceAddressNone means that the kernel selects the source address. It is true for
	// each text other than "UseNodeIP" and "", as Calico reads them.
	SourceAddressNone bool
	// NextHopMode is "Self", "Keep", or "" for the default of BGP. KeepOriginalNextHop is
	// the older form of "Keep", and applies to eBGP only. It is false if nextHopMode is set,
	// because Calico then ignores it.
	NextHopMode         string
	KeepOriginalNextHop bool
	// MaxRestartTime and KeepaliveTime are nil if unset, which means BIRD's default. They can
	// be negative, which BIRD rejects.
	MaxRestartTime *time.Duration
	KeepaliveTime  *time.Duration
	// ReverseManual means that Calico does not configure the reverse peering.
	ReverseManual bool

	nodeSelector, peerSelector *Selector
}

// Local returns the parsed NodeSelector, nil if it is empty or does not parse. In Calico, a
// selector that does not parse matches no node.
func (p *BGPPeer) Local() *Selector { return p.nodeSelector }

// Remote returns the parsed PeerSelector, nil if it is empty or does not parse.
func (p *BGPPeer) Remote() *Selector { return p.peerSelector }

// Canonical reports whether the address in PeerIP has the form in which Calico writes the
// addresses of nodes. Calico compares addresses as text. It does not find the node of an
// address in another form, and does not configure the reverse peering
// (confd/pkg/backends/calico/client.go).
func (p *BGPPeer) Canonical() bool { return p.PeerHost == p.PeerAddress.String() }

func decodeBGPPeer(m Metadata, spec *fields) *BGPPeer {
	p := &BGPPeer{
		Metadata:              m,
		Node:                  spec.text("node"),
		NodeSelector:          spec.selector("nodeSelector"),
		PeerSelector:          spec.selector("peerSelector"),
		PeerIP:                spec.text("peerIP"),
		LocalWorkloadSelector: spec.selector("localWorkloadSelector"),
		MaxRestartTime:        spec.duration("maxRestartTime"),
		KeepaliveTime:         spec.duration("keepaliveTime"),
		ReverseManual:         spec.text("reversePeering") == "Manual",

		NumAllowedLocalASNumbers: int(max(0, spec.number("numAllowedLocalASNumbers", math.MinInt32, math.MaxInt32))),
		TTLSecurity:              int(spec.number("ttlSecurity", 0, math.MaxUint8)),
		ReachableBy:              spec.text("reachableBy"),
		Filters:                  spec.texts("filters"),
		Password:                 spec.secret("password"),
		KeepOriginalNextHop:      spec.flag("keepOriginalNextHop"),
	}
	p.readWords(spec)
	if asn := spec.asNumber("localASNumber"); asn != nil {
		p.LocalASNumber = *asn
	}
	if asn := spec.asNumber("asNumber"); asn != nil {
		p.ASNumber = *asn
	}
	p.timer("maxRestartTime", p.MaxRestartTime, maxRestartTime)
	p.timer("keepaliveTime", p.KeepaliveTime, 0)
	p.nodeSelector = p.selector("nodeSelector", p.NodeSelector)
	p.peerSelector = p.selector("peerSelector", p.PeerSelector)
	if p.PeerIP != "" {
		p.readPeerIP()
	}
	switch {
	case p.Node != "" && p.NodeSelector != "":
		p.problem("spec.node", "is ignored because nodeSelector is set too")
	case p.PeerIP == "" && p.PeerSelector == "" && p.LocalWorkloadSelector == "":
		p.problem("spec", "has no peerIP, peerSelector or localWorkloadSelector: Calico peers with every single-stack node, which makes a second full mesh")
	case p.PeerHost == "" && p.PeerSelector == "" && p.LocalWorkloadSelector == "":
		p.problem("spec.peerIP", "%q has no address: Calico peers with every single-stack node, which makes a second full mesh", p.PeerIP)
	}
	if p.PeerSelector != "" {
		for _, field := range []string{"peerIP", "asNumber"} {
			if spec.has(field) {
				p.problem("spec."+field, "is ignored because peerSelector is set too")
			}
		}
	}
	if p.PeerAddress.IsValid() && p.PeerSelector == "" && p.ASNumber == 0 {
		p.problem("spec.asNumber", "is missing or 0, which BIRD rejects: every node with this peer keeps its old BGP configuration")
	}
	return p
}

// maxRestartTime is the maximum restart time, 12 bits of seconds (RFC 4724, section 3). In
// BIRD a longer time wraps.
const maxRestartTime = 4095 * time.Second

// timer adds a problem if BIRD rejects a timer, or if it is longer than longest, where 0 means
// no limit.
func (m *Metadata) timer(field string, d *time.Duration, longest time.Duration) {
	switch {
	case d == nil:
	case RejectedSeconds(Seconds(*d)) != "":
		m.problem("spec."+field, "%v: %s, which BIRD rejects: nodes with this half-session keep their old BGP configuration", *d, RejectedSeconds(Seconds(*d)))
	case longest > 0 && *d > longest:
		m.problem("spec."+field, "%v is longer than the maximum of BGP, %v, and wraps", *d, longest)
	}
}

// readWords reads the fields with a few known values. Calico reads any other text as one of
// them (confd/pkg/backends/calico, client.go and bgp_processor.go).
func (p *BGPPeer) readWords(spec *fields) {
	switch text := spec.text("sourceAddress"); text {
	case "", string(v3.SourceAddressUseNodeIP):
	default:
		p.SourceAddressNone = true
		if text != string(v3.SourceAddressNone) {
			p.problem("spec.sourceAddress", "is %q, which Calico reads as None", text)
		}
	}
	switch text := spec.text("nextHopMode"); v3.BindMode(text) { // The type of the constants.
	case v3.NextHopModeSelf, v3.NextHopModeKeep:
		p.NextHopMode = text
	case v3.NextHopModeAuto, "":
	default:
		p.problem("spec.nextHopMode", "is %q, which Calico reads as Auto", text)
	}
	if p.KeepOriginalNextHop && spec.has("nextHopMode") {
		p.KeepOriginalNextHop = false
		p.problem("spec.keepOriginalNextHop", "is ignored because nextHopMode is set too")
	}
	switch text := spec.text("reversePeering"); v3.ReversePeering(text) {
	case v3.ReversePeeringManual, v3.ReversePeeringAuto, "":
	default:
		p.problem("spec.reversePeering", "is %q, which Calico reads as Auto", text)
	}
}

// Seconds returns a timer in seconds, rounded as Calico rounds it for bird.cfg
// (confd/pkg/backends/calico/bgp_processor.go).
func Seconds(d time.Duration) int { return int(math.Round(d.Seconds())) }

func (p *BGPPeer) selector(field, text string) *Selector {
	if text == "" {
		return nil
	}
	s, err := ParseSelector(text)
	if err != nil {
		p.problem("spec."+field, "%q does not parse, so it matches no node: %v", text, err)
	}
	return s
}

// readPeerIP splits PeerIP as Calico does: a port is a number in any base of Go, with brackets
// around an address of either family, and text with an invalid port is an address as a whole
// (confd/pkg/backends/calico/client.go, parseIPPort).
func (p *BGPPeer) readPeerIP() {
	p.PeerHost = p.PeerIP
	if host, port, err := net.SplitHostPort(p.PeerIP); err == nil {
		if n, err := strconv.ParseUint(port, 0, 16); err == nil {
			p.PeerHost, p.PeerPort = host, uint16(n)
		}
	}
	if p.PeerHost == "" {
		return
	}
	if a, err := netip.ParseAddr(p.PeerHost); err == nil && a.Zone() == "" {
		p.PeerAddress = a.Unmap()
		return
	}
	p.problem("spec.peerIP", "%q is not an address, \"IPv4:port\" or \"[IPv6]:port\", so Calico ignores the peer", p.PeerIP)
}
