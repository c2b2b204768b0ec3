package sessions

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// Prefix is the first part of the name of a "protocol bgp" block in Calico's bird.cfg
// (bird.cfg.template). Prefixes have the order of their texts: if two protocols have
// the same neighbor, BIRD gives a connection to the first by name.
type Prefix uint8

// The prefixes, in the order of their texts.
const (
	PrefixGlobal   Prefix = iota // of a BGPPeer for all nodes
	PrefixWorkload               // of a BGPPeer with pods as peers
	PrefixMesh                   // of the node-to-node mesh
	PrefixNode                   // of a BGPPeer for some nodes, and of reverse peering
)

// String returns the text of the prefix.
func (p Prefix) String() string {
	return [...]string{"Global_", "Local_Workload_", "Mesh_", "Node_"}[p]
}

// Protocol is the half-session of every node of one class towards every node of
// another, or towards a peer that is not a node.
type Protocol struct {
	Prefix Prefix
	port   uint16
	pass   pass // the pass in which Calico enters it
	// Ways are the alternative settings, at least one. If there are several, the
	// half-session is ambiguous: Calico uses one of them.
	Ways []Way
}

// Way is the settings of a half-session and the BGPPeers that configure it with
// them.
type Way struct {
	Settings Settings
	Sources  []Source // none for the mesh
}

// Ambiguous reports whether several BGPPeers configure the half-session with
// different settings. Calico then uses one of them, and which one is undefined.
func (h *Protocol) Ambiguous() bool { return len(h.Ways) > 1 }

// add adds a source that configures the half-session with settings s.
func (h *Protocol) add(s Settings, from Source) {
	for i := range h.Ways {
		if h.Ways[i].Settings == s {
			if !slices.Contains(h.Ways[i].Sources, from) {
				h.Ways[i].Sources = append(h.Ways[i].Sources, from)
			}
			return
		}
	}
	h.Ways = append(h.Ways, Way{s, []Source{from}})
}

// suffix returns the part of the protocol's name after the address.
func (h *Protocol) suffix() string { return suffix(h.Prefix, h.port) }

func suffix(p Prefix, port uint16) string {
	if port == 0 || p == PrefixMesh {
		return ""
	}
	return "_port_" + strconv.Itoa(int(port))
}

// compareProtocols orders the half-sessions with one neighbor by their names.
func compareProtocols(a, b Protocol) int {
	return cmp.Or(cmp.Compare(a.Prefix, b.Prefix), strings.Compare(a.suffix(), b.suffix()))
}

// protocol returns the name of the protocol for the neighbor at an address.
func (h *Protocol) protocol(address string) string {
	return h.Prefix.String() + strings.NewReplacer(".", "_", ":", "_").Replace(address) + h.suffix()
}

// defaultPort is the port on which BIRD listens, and to which it connects, if no
// port is set.
const defaultPort = 179

func portOr179(port uint16) uint16 { return cmp.Or(port, defaultPort) }

// Local returns the AS number that a node of class g sends in its OPEN message.
func (s *Settings) Local(g *nodes.Class) uint32 { return cmp.Or(s.localASN, g.ASN) }

// internal reports whether the session is iBGP: both AS numbers are equal.
func (s *Settings) internal(g *nodes.Class) bool { return s.PeerASN == s.Local(g) }

// normalise unsets the settings other than filters that have no effect on the bird.cfg of a
// node of class g.
func (s *Settings) normalise(g *nodes.Class) {
	if s.localASN == g.ASN {
		s.localASN = 0
	}
	if !s.internal(g) || s.clusterID != g.ClusterID {
		s.clusterID = ""
	}
	s.nextHopMode, s.keepOriginal = s.nextHop(g), false
	if s.keepalive == 0 { // BIRD reads 0 as unset.
		s.keepalive = Unset
	}
}

// client reports whether the peer is a route reflector client of a node of class g:
// the session is iBGP, the node is a route reflector, and the peer has no cluster ID or
// a different one (bgp_processor.go, buildPeerFromData). Mesh peers are not clients.
func (s *Settings) client(g *nodes.Class, p Prefix) bool {
	return p != PrefixMesh && g.Reflector() && s.internal(g) && s.clusterID != g.ClusterID
}

// passive reports whether the protocol waits for its peer to connect. own and peer
// are addresses as text: Calico compares the texts.
func (h *Protocol) passive(s *Settings, own, peer string) bool {
	switch h.Prefix {
	case PrefixMesh:
		return peer > own
	case PrefixGlobal:
		return s.passive
	case PrefixWorkload:
		return true
	default:
		return false
	}
}

// Rules are the cluster-wide settings of sessions. They depend on the BGPConfigurations
// and on the version of Calico.
type Rules struct {
	// BIRD reports whether calico-node runs BIRD. Without it there are no sessions.
	BIRD bool
	// Mesh reports whether the node-to-node mesh is on. It is false without BIRD.
	Mesh bool
	// ASN is the AS number of nodes without an AS number of their own.
	ASN uint32
	// peerInherits reports that a node expects its own AS number of a mesh peer without
	// an AS number of its own: calico.MeshPeersInheritASN (bgp_processor.go,
	// processMeshPeers). Before, the node expects the cluster's AS number.
	peerInherits bool
	// directMesh reports that mesh protocols have no "multihop": not calico.MultihopMesh. perhapsDirect reports that
	// they have none or that the version of Calico is not known.
	directMesh, perhapsDirect bool
	meshPassword              string
	meshRestart               int    // seconds, or Unset
	meshSource                bool   // there is a BGPConfiguration "default"
	ports                     string // all listen ports, for comparing Rules
	// BindMode is that of the BGPConfiguration "default": BIRD listens on the address of the
	// node if it is NodeIP, and else on all addresses.
	BindMode   string
	filters    string // filters.shape, for comparing Rules
	written    string // all values of objects that BIRD rejects, for comparing Rules
	advertised string // all prefixAdvertisements that decide which routes pass, for comparing Rules
}

// meshSettings returns the settings of a mesh half-session of class a to class b.
func (r *Rules) meshSettings(a, b *nodes.Class) Settings {
	s := Settings{PeerASN: b.ASN, port: b.Port, password: r.meshPassword, Restart: r.meshRestart, keepalive: Unset}
	if !b.OwnASN && r.peerInherits {
		s.PeerASN = a.ASN
	}
	return s
}

// inMesh reports whether the nodes of a class take part in the mesh.
func (r *Rules) inMesh(g *nodes.Class, f calico.Family) bool {
	return r.Mesh && g.Speaks(f) && !g.Reflector()
}

// optionalSeconds returns a timer in seconds, Unset for nil.
func optionalSeconds(d *time.Duration) int {
	if d == nil {
		return Unset
	}
	return calico.Seconds(*d)
}

func newRules(s *state.Snapshot) Rules {
	c := s.BGPConfiguration(calico.Default)
	r := Rules{BIRD: s.RunsBIRD(), ASN: c.ClusterASNumber(), meshRestart: Unset, peerInherits: calico.MeshPeersInheritASN.In(CalicoVersion(s))}
	r.Mesh = r.BIRD && c.MeshEnabled()
	r.directMesh = !calico.MultihopMesh.In(CalicoVersion(s))
	r.perhapsDirect = r.directMesh || CalicoVersion(s) == nil
	if c != nil {
		r.meshPassword, r.meshRestart = c.NodeMeshPassword, optionalSeconds(c.NodeMeshMaxRestartTime)
		r.meshSource, r.BindMode = true, c.BindMode
	}
	var ports strings.Builder
	for _, c := range s.BGPConfigurations() {
		if c.ListenPort != 0 {
			fmt.Fprintf(&ports, "%s %d\n", c.Name, c.ListenPort)
		}
	}
	r.ports = ports.String()
	return r
}

// CalicoVersion returns the version of Calico in the ClusterInformation, nil if it is
// unknown.
func CalicoVersion(s *state.Snapshot) *version.Version {
	if c := s.ClusterInformation(); c != nil {
		return c.Version
	}
	return nil
}
