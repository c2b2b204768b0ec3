package sessions

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// prefix begins the names of Calico's BGP protocols, in the order in which the
// names sort and BIRD therefore meets them.
type Prefix uint8

const (
	PrefixGlobal Prefix = iota
	PrefixWorkload
	PrefixMesh
	PrefixNode
)

// String returns the prefix as it is in names.
func (p Prefix) String() string {
	return [...]string{"Global_", "Local_Workload_", "Mesh_", "Node_"}[p]
}

// Protocol is the half-session of every node of one class towards every node of
// another, or towards a peer that is not a node.
type Protocol struct {
	Prefix Prefix
	port   uint16
	pass   pass // in which Calico enters it
	// ways are the settings that it may have, with the BGPPeers that give
	// them. More than one, and it is ambiguous.
	Ways []Way
}

type Way struct {
	Settings Settings
	Sources  []Source // none for the mesh
}

func (h *Protocol) Ambiguous() bool { return len(h.Ways) > 1 }

// add adds a source that gives the half-session with settings s.
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

// suffix is what follows the address in the protocol's name.
func (h *Protocol) suffix() string { return suffix(h.Prefix, h.port) }

func suffix(p Prefix, port uint16) string {
	if port == 0 || p == PrefixMesh {
		return ""
	}
	return "_port_" + strconv.Itoa(int(port))
}

// compareHalfSessions orders half-sessions with one neighbor as their names do.
func compareHalfSessions(a, b Protocol) int {
	return cmp.Or(cmp.Compare(a.Prefix, b.Prefix), strings.Compare(a.suffix(), b.suffix()))
}

// protocol is the name of the protocol with a neighbor.
func (h *Protocol) protocol(address string) string {
	return h.Prefix.String() + strings.NewReplacer(".", "_", ":", "_").Replace(address) + h.suffix()
}

// defaultPort is where BIRD listens and what it dials, where nothing is set.
const defaultPort = 179

func portOr179(port uint16) uint16 { return cmp.Or(port, defaultPort) }

// Local is what a node of g presents itself with.
func (s *Settings) Local(g *nodes.Class) uint32 { return cmp.Or(s.localASN, g.ASN) }

// Internal reports whether it is iBGP, as Calico and BIRD tell it.
func (s *Settings) Internal(g *nodes.Class) bool { return s.PeerASN == s.Local(g) }

// normalise drops what does not show in a node's bird.cfg: BGPPeers that differ
// in nothing else do no harm together.
func (s *Settings) normalise(g *nodes.Class) {
	if s.localASN == g.ASN {
		s.localASN = 0
	}
	if !s.Internal(g) || s.clusterID != g.ClusterID {
		s.clusterID = ""
	}
	if s.nextHopMode != "" || s.Internal(g) {
		s.keepOriginal = false
	}
	if s.keepalive == 0 { // BIRD takes it as unset.
		s.keepalive = Unset
	}
}

// Client reports whether a node of g takes the peer for its client: it is a
// reflector itself, and the peer is none or one with another cluster ID, as
// far as Calico knows (bgp_processor.go, buildPeerFromData). The mesh has none.
func (s *Settings) Client(g *nodes.Class, p Prefix) bool {
	return p != PrefixMesh && g.Reflector() && s.Internal(g) && s.clusterID != g.ClusterID
}

// passive reports whether the protocol waits for its peer to dial. own and peer
// are addresses as text, which is how Calico compares them.
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

// Rules are what the whole cluster's configuration says of sessions.
type Rules struct {
	Mesh bool
	ASN  uint32
	// peerInherits reports that a node takes the AS number of a mesh peer without
	// one of its own for its own, and not for the cluster's: so since v3.32
	// (bgp_processor.go, processMeshPeers), and where the version is not known.
	peerInherits bool
	meshPassword string
	meshRestart  int
	meshSource   bool   // there is a BGPConfiguration "default"
	ports        string // all listen ports, to be compared
}

// meshSettings are those of the mesh for the half-session of a towards b.
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

// Seconds is a timer as Calico writes it into bird.cfg: rounded to seconds
// (confd/pkg/backends/calico/bgp_processor.go).
func Seconds(d time.Duration) int { return int(math.Round(d.Seconds())) }

// optionalSeconds is a timer as it is written, unset for nil.
func optionalSeconds(d *time.Duration) int {
	if d == nil {
		return Unset
	}
	return Seconds(*d)
}

func newRules(s *state.Snapshot) Rules {
	c := s.BGPConfiguration(calico.Default)
	r := Rules{Mesh: c.MeshEnabled(), ASN: c.ClusterASNumber(), meshRestart: Unset, peerInherits: true}
	if v := CalicoVersion(s); v != nil {
		r.peerInherits = v.AtLeast(version.MajorMinor(3, 32))
	}
	if c != nil {
		r.meshPassword, r.meshRestart = c.NodeMeshPassword, optionalSeconds(c.NodeMeshMaxRestartTime)
		r.meshSource = true
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

func CalicoVersion(s *state.Snapshot) *version.Version {
	if c := s.ClusterInformation(); c != nil {
		return c.Version
	}
	return nil
}
