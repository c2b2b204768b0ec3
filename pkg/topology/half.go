package topology

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// prefix begins the names of Calico's BGP protocols, in the order in which the
// names sort and BIRD therefore meets them.
type prefix uint8

const (
	prefixGlobal prefix = iota
	prefixWorkload
	prefixMesh
	prefixNode
)

// String gives the prefix as it stands in names.
func (p prefix) String() string {
	return [...]string{"Global_", "Local_Workload_", "Mesh_", "Node_"}[p]
}

// halfSession is the half-session of every node of one group towards every node of
// another, or towards a peer that is not a node.
type halfSession struct {
	prefix prefix
	port   uint16
	pass   pass // in which Calico enters it
	// ways are the settings that it may have, with the BGPPeers that give
	// them. More than one, and it is ambiguous.
	ways []way
}

type way struct {
	settings settings
	sources  []source // none for the mesh
}

func (h *halfSession) ambiguous() bool { return len(h.ways) > 1 }

// add adds a source that gives the half-session with settings s.
func (h *halfSession) add(s settings, from source) {
	for i := range h.ways {
		if h.ways[i].settings == s {
			if !slices.Contains(h.ways[i].sources, from) {
				h.ways[i].sources = append(h.ways[i].sources, from)
			}
			return
		}
	}
	h.ways = append(h.ways, way{s, []source{from}})
}

// suffix is what follows the address in the protocol's name.
func (h *halfSession) suffix() string { return suffix(h.prefix, h.port) }

func suffix(p prefix, port uint16) string {
	if port == 0 || p == prefixMesh {
		return ""
	}
	return "_port_" + strconv.Itoa(int(port))
}

// compareHalfSessions orders half-sessions with one neighbour as their names do.
func compareHalfSessions(a, b halfSession) int {
	return cmp.Or(cmp.Compare(a.prefix, b.prefix), strings.Compare(a.suffix(), b.suffix()))
}

// protocol is the name of the protocol with a neighbour.
func (h *halfSession) protocol(address string) string {
	return h.prefix.String() + strings.NewReplacer(".", "_", ":", "_").Replace(address) + h.suffix()
}

// defaultPort is where BIRD listens and what it dials, where nothing is set.
const defaultPort = 179

func portOr179(port uint16) uint16 { return cmp.Or(port, defaultPort) }

// localASN is what a node of g presents itself with.
func (s *settings) local(g *nodes.Class) uint32 { return cmp.Or(s.localASN, g.ASN) }

// internal reports whether it is iBGP, as Calico and BIRD tell it.
func (s *settings) internal(g *nodes.Class) bool { return s.peerASN == s.local(g) }

// normalise drops what does not show in a node's bird.cfg: BGPPeers that differ
// in nothing else do no harm together.
func (s *settings) normalise(g *nodes.Class) {
	if s.localASN == g.ASN {
		s.localASN = 0
	}
	if !s.internal(g) || s.clusterID != g.ClusterID {
		s.clusterID = ""
	}
	if s.nextHopMode != "" || s.internal(g) {
		s.keepOriginal = false
	}
	if s.keepalive == 0 { // BIRD takes it as unset.
		s.keepalive = unset
	}
}

// client reports whether a node of g takes the peer for its client: it is a
// reflector itself, and the peer is none or one with another cluster ID, as
// far as Calico knows (bgp_processor.go, buildPeerFromData). The mesh has none.
func (s *settings) client(g *nodes.Class, p prefix) bool {
	return p != prefixMesh && g.Reflector() && s.internal(g) && s.clusterID != g.ClusterID
}

// passive reports whether the protocol waits for its peer to dial. own and peer
// are addresses as text, which is how Calico compares them.
func (h *halfSession) passive(s *settings, own, peer string) bool {
	switch h.prefix {
	case prefixMesh:
		return peer > own
	case prefixGlobal:
		return s.passive
	case prefixWorkload:
		return true
	default:
		return false
	}
}

// rules are what the whole cluster's configuration says of sessions.
type rules struct {
	mesh bool
	asn  uint32
	// peerInherits tells that a node takes the AS number of a mesh peer without
	// one of its own for its own, and not for the cluster's: so since v3.32
	// (bgp_processor.go, processMeshPeers), and where the version is not known.
	peerInherits bool
	meshPassword string
	meshRestart  int
	meshSource   bool   // there is a BGPConfiguration "default"
	ports        string // all listen ports, to be compared
}

// meshSettings are those of the mesh for the half-session of a towards b.
func (r *rules) meshSettings(a, b *nodes.Class) settings {
	s := settings{peerASN: b.ASN, port: b.Port, password: r.meshPassword, restart: r.meshRestart, keepalive: unset}
	if !b.OwnASN && r.peerInherits {
		s.peerASN = a.ASN
	}
	return s
}

// inMesh reports whether the nodes of a group take part in the mesh.
func (r *rules) inMesh(g *nodes.Class, f calico.Family) bool {
	return r.mesh && g.Speaks(f) && !g.Reflector()
}
