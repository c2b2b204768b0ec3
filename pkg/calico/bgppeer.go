package calico

import (
	"math"
	"net/netip"
	"time"
)

// BGPPeer is a BGPPeer with the fields that decide its sessions.
type BGPPeer struct {
	Metadata

	// Node and NodeSelector choose the local nodes; NodeSelector wins, and
	// with both empty all nodes are meant.
	Node         string
	NodeSelector string
	// PeerSelector chooses the remote nodes.
	PeerSelector string
	// PeerIP is the remote address as it was written, with its port if any.
	PeerIP string
	// PeerAddress and PeerPort are read from PeerIP: the zero Addr where it
	// does not parse, and 0 where it names no port.
	PeerAddress netip.Addr
	PeerPort    uint16
	// ASNumber is the remote AS of PeerIP. 0 when it is missing, which Calico
	// does not default and BIRD refuses.
	ASNumber uint32
	// LocalWorkloadSelector makes the peers pods on the local node.
	LocalWorkloadSelector string
	// LocalASNumber is what the local nodes present themselves with instead of
	// their own AS number, 0 for none; NumAllowedLocalASNumbers how often their
	// own may be in the path of a route that they take. Calico honours both for
	// PeerIP only, and LocalASNumber for local workloads.
	LocalASNumber            uint32
	NumAllowedLocalASNumbers int
	// TTLSecurity is the number of hops, 0 for off.
	TTLSecurity int
	// ReachableBy is the gateway to PeerIP, empty for none.
	ReachableBy string
	// Filters names BGPFilters, Password a Secret and its key, "name/key".
	Filters  []string
	Password string
	// SourceAddressNone tells that the kernel chooses the source address.
	SourceAddressNone bool
	// NextHopMode is "Self", "Keep" or "" for BGP's own rule.
	// KeepOriginalNextHop is its older form, for eBGP only.
	NextHopMode         string
	KeepOriginalNextHop bool
	// MaxRestartTime and KeepaliveTime are nil where BIRD's default holds.
	MaxRestartTime *time.Duration
	KeepaliveTime  *time.Duration
	// ReverseManual tells that the reverse peering is not made by Calico.
	ReverseManual bool

	nodeSelector, peerSelector *Selector
}

// Local returns the parsed NodeSelector, nil when it is empty or does not
// parse; Calico matches no node with one that does not parse.
func (p *BGPPeer) Local() *Selector { return p.nodeSelector }

// Remote returns the parsed PeerSelector, nil when it is empty or does not
// parse.
func (p *BGPPeer) Remote() *Selector { return p.peerSelector }

// Canonical reports whether PeerIP's address is written as Calico writes the
// addresses of its nodes. Calico compares the text: a peer written otherwise
// is not recognised as a node, and no reverse peering is made for it
// (confd/pkg/backends/calico/client.go).
func (p *BGPPeer) Canonical() bool {
	text := p.PeerAddress.String()
	if p.PeerPort == 0 {
		return p.PeerIP == text
	}
	return hostOf(p.PeerIP) == text
}

// hostOf returns the address part of "v4:port" or "[v6]:port".
func hostOf(text string) string {
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] == ':' {
			text = text[:i]
			break
		}
	}
	if len(text) > 1 && text[0] == '[' && text[len(text)-1] == ']' {
		return text[1 : len(text)-1]
	}
	return text
}

func decodeBGPPeer(m Metadata, spec *fields) *BGPPeer {
	p := &BGPPeer{
		Metadata:              m,
		Node:                  spec.text("node"),
		NodeSelector:          spec.text("nodeSelector"),
		PeerSelector:          spec.text("peerSelector"),
		PeerIP:                spec.text("peerIP"),
		LocalWorkloadSelector: spec.text("localWorkloadSelector"),
		MaxRestartTime:        spec.duration("maxRestartTime"),
		KeepaliveTime:         spec.duration("keepaliveTime"),
		ReverseManual:         spec.text("reversePeering") == "Manual",

		NumAllowedLocalASNumbers: int(spec.number("numAllowedLocalASNumbers", math.MaxInt32)),
		TTLSecurity:              int(spec.number("ttlSecurity", math.MaxUint8)),
		ReachableBy:              spec.text("reachableBy"),
		Filters:                  spec.texts("filters"),
		Password:                 spec.secret("password"),
		SourceAddressNone:        spec.text("sourceAddress") == "None",
		KeepOriginalNextHop:      spec.flag("keepOriginalNextHop"),
	}
	if mode := spec.text("nextHopMode"); mode != "Auto" {
		p.NextHopMode = mode
	}
	if asn := spec.asNumber("localASNumber"); asn != nil {
		p.LocalASNumber = *asn
	}
	if asn := spec.asNumber("asNumber"); asn != nil {
		p.ASNumber = *asn
	}
	p.MaxRestartTime = p.timer("maxRestartTime", p.MaxRestartTime, maxRestartTime)
	p.KeepaliveTime = p.timer("keepaliveTime", p.KeepaliveTime, 0)
	p.nodeSelector = p.selector("nodeSelector", p.NodeSelector)
	p.peerSelector = p.selector("peerSelector", p.PeerSelector)
	if p.PeerIP != "" {
		p.readPeerIP()
	}
	switch {
	case p.Node != "" && p.NodeSelector != "":
		p.problem("spec.node", "is ignored because nodeSelector is set too")
	case p.PeerIP == "" && p.PeerSelector == "" && p.LocalWorkloadSelector == "":
		p.problem("spec", "has no peerIP, peerSelector or localWorkloadSelector: Calico takes every single-stack node for the peer, which makes a second full mesh")
	}
	if p.PeerSelector != "" {
		for _, field := range []string{"peerIP", "asNumber"} {
			if spec.has(field) {
				p.problem("spec."+field, "is ignored because peerSelector is set too")
			}
		}
	}
	if p.PeerAddress.IsValid() && p.PeerSelector == "" && p.ASNumber == 0 {
		p.problem("spec.asNumber", "is missing or 0, which BIRD refuses: the BGP configuration of every node that has this peer no longer changes")
	}
	return p
}

// maxRestartTime is the longest that RFC 4724 section 3 can carry, in 12 bits
// of seconds; BIRD lets more wrap.
const maxRestartTime = 4095 * time.Second

// timer names a timer that cannot be what its author meant. A negative one is
// taken for none.
func (m *Metadata) timer(field string, d *time.Duration, longest time.Duration) *time.Duration {
	switch {
	case d == nil:
	case *d < 0:
		m.problem("spec."+field, "%v is negative, which is no time", *d)
		return nil
	case longest > 0 && *d > longest:
		m.problem("spec."+field, "%v is longer than the %v that BGP can carry, and wraps", *d, longest)
	}
	return d
}

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

func (p *BGPPeer) readPeerIP() {
	if a, err := netip.ParseAddr(p.PeerIP); err == nil {
		p.PeerAddress = a.Unmap()
	} else if ap, err := netip.ParseAddrPort(p.PeerIP); err == nil {
		p.PeerAddress, p.PeerPort = ap.Addr().Unmap(), ap.Port()
	}
	if !p.PeerAddress.IsValid() || p.PeerAddress.Zone() != "" {
		p.PeerAddress = netip.Addr{}
		p.problem("spec.peerIP", "%q is not an address, \"IPv4:port\" or \"[IPv6]:port\", so Calico ignores the peer", p.PeerIP)
	}
}
