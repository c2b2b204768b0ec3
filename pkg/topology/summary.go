package topology

import (
	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Summary is what policies read of a state: its JSON form is input.state. Its
// size does not depend on the number of nodes. Every field is always present.
// Summaries share equal parts by pointer, so none may be changed.
type Summary struct {
	// CalicoVersion is "MAJOR.MINOR.PATCH", or "" where it is not known.
	CalicoVersion string `json:"calicoVersion"`
	// Nodes counts the nodes.
	Nodes *Nodes `json:"nodes"`
	// Mesh is the node-to-node mesh.
	Mesh *Mesh `json:"mesh"`
	// Reflectors counts, for each family, the route reflectors that the other nodes
	// have sessions to.
	Reflectors *PerFamily[Reflectors] `json:"reflectors"`
	// Sessions counts, for each family, the sessions between nodes and the
	// half-sessions that cannot come up.
	Sessions *PerFamily[Sessions] `json:"sessions"`
	// Routes is, for each family, which nodes have routes to the pods of which others.
	Routes *PerFamily[Routes] `json:"routes"`
	// Convergence estimates how long routes are missing after a start or a loss.
	Convergence *Convergence `json:"convergence"`
	// PodTraffic is, for each family, whether pod traffic between nodes needs BGP.
	PodTraffic *PerFamily[PodTraffic] `json:"podTraffic"`
	// ClusterRoutes is who programs the routes to pods on other nodes.
	ClusterRoutes *ClusterRoutes `json:"clusterRoutes"`
	// Timers groups the sessions by their timers.
	Timers *Timers `json:"timers"`
	// BGPPeers holds the BGPPeers by name.
	BGPPeers map[string]*BGPPeer `json:"bgpPeers"`
	// BGPConfigurations holds the BGPConfigurations by name.
	BGPConfigurations map[string]*BGPConfiguration `json:"bgpConfigurations"`
	// IPPools holds the IPPools by name.
	IPPools map[string]*IPPool `json:"ipPools"`
	// FelixConfigurations holds the FelixConfigurations by name.
	FelixConfigurations map[string]*FelixConfiguration `json:"felixConfigurations"`
	// BGPFilters names the BGPFilters.
	BGPFilters *BGPFilters `json:"bgpFilters"`
	// Secrets names the Secrets in calico-node's namespace.
	Secrets *Secrets `json:"secrets"`
}

// PerFamily holds a T for each address family.
type PerFamily[T any] struct {
	IPv4 T `json:"IPv4"`
	IPv6 T `json:"IPv6"`
}

// In returns the T of family f.
func (p *PerFamily[T]) In(f calico.Family) *T {
	if f == calico.IPv4 {
		return &p.IPv4
	}
	return &p.IPv6
}

// Nodes counts nodes.
type Nodes struct {
	// Total counts all Node objects, BGP those with a BGP address,
	// Reflectors those of them that are route reflectors.
	Total      int `json:"total"`
	BGP        int `json:"bgp"`
	Reflectors int `json:"reflectors"`
	// NotReady are those with a BGP address that are not ready. Sessions with them
	// are counted as they are configured.
	NotReady NodeSet `json:"notReady"`
}

// NodeSet is a set of nodes: how many, and the names of the first few.
type NodeSet struct {
	Nodes  int      `json:"nodes"`
	Sample []string `json:"sample"`
	// Members names the whole set. A policy puts the name into the "members" of a
	// violation. The engine then compares the sets before and after a change, node by
	// node; see Topology.Gained.
	Members string `json:"members"`
}

// PairSet is a set of pairs of nodes, as NodeSet.
type PairSet struct {
	Pairs   int    `json:"pairs"`
	Sample  []Pair `json:"sample"`
	Members string `json:"members"`
}

// Sessions counts sessions of one family.
type Sessions struct {
	// Total counts the sessions between nodes of the state.
	Total int `json:"total"`
	// External counts the half-sessions to external peers and to pods.
	External int `json:"external"`
	// Most is the highest number of half-sessions on one node, without those that
	// cannot come up; MostNode is the first such node.
	Most     int    `json:"most"`
	MostNode string `json:"mostNode"`
	// Load counts the nodes that are not route reflectors by their number of
	// half-sessions, counted as in Most, highest first.
	Load []Load `json:"load"`
	// Broken counts the half-sessions that cannot come up; BrokenReasons are the same
	// by reason.
	Broken        int                  `json:"broken"`
	BrokenReasons map[Reason]HalfGroup `json:"brokenReasons"`
	// Ambiguous are those that depend on the order in which Calico visits BGPPeers.
	Ambiguous Ambiguous `json:"ambiguous"`
	// Frozen are the nodes whose BIRD rejects its configuration; FrozenReasons are
	// the parts that it rejects, sorted.
	Frozen        NodeSet        `json:"frozen"`
	FrozenReasons []FrozenReason `json:"frozenReasons"`
}

// Load is the nodes with equally many half-sessions.
type Load struct {
	Sessions int      `json:"sessions"`
	Nodes    int      `json:"nodes"`
	Sample   []string `json:"sample"`
	// Members names the set of nodes with at least so many, as in NodeSet.
	Members string `json:"members"`
}

// maxLoads bounds the list of Loads.
const maxLoads = 16

// maxNames bounds the BGPPeers or fields that a list names.
const maxNames = 10

// HalfGroup is half-sessions that have something in common.
type HalfGroup struct {
	HalfSessions int `json:"halfSessions"`
	// NodeSet is the nodes that have them.
	NodeSet
	// BGPPeers names the first few that configure them.
	BGPPeers []string `json:"bgpPeers"`
}

// Ambiguous is the half-sessions for which several BGPPeers have different
// settings.
type Ambiguous struct {
	HalfGroup
	// Fields names what they differ in, as AmbiguousSession does.
	Fields []string `json:"fields"`
}

// FrozenReason is something that BIRD rejects, and the nodes that have it.
type FrozenReason struct {
	Reason string `json:"reason"`
	NodeSet
	// BGPPeers names the first few that configure the half-sessions with it.
	BGPPeers []string `json:"bgpPeers"`
}

// Routes is which nodes have routes to the pods of which others in one family,
// under both readings of external peers: they pass routes on between nodes, or not.
// The objects do not say which holds.
type Routes struct {
	// WithTransit assumes that all external peers pass routes on to each other and to
	// every node that peers with one of them, whatever the AS numbers in their paths.
	WithTransit *Reach `json:"withTransit"`
	// WithoutTransit assumes that they pass nothing on. Without external peers, both
	// are the same.
	WithoutTransit *Reach `json:"withoutTransit"`
	// NoAddress are the nodes without an address in the family. Calico configures no
	// sessions in it for them.
	NoAddress NodeSet `json:"noAddress"`
	// NotExported names the IPPools that need BGP and set disableBGPExport: no node
	// has routes to their pods.
	NotExported []string `json:"notExported"`
	// BGPPeers names all that configure sessions of nodes in either family, except
	// sessions with pods.
	BGPPeers []string `json:"bgpPeers"`
	// Filtered names the BGPPeers with BGPFilters. The filters are assumed to accept
	// the routes to pods.
	Filtered []string `json:"filtered"`
}

// Reach is reachability under one reading of external peers.
type Reach struct {
	// Nodes counts those with an address in the family.
	Nodes int `json:"nodes"`
	// Partitions counts the sets of nodes that reach each other and no others;
	// LargestPartition is the number of nodes of the largest.
	Partitions       int `json:"partitions"`
	LargestPartition int `json:"largestPartition"`
	// Isolated are the nodes without routes to or from all others: mostly, those
	// without a session. A single node is not isolated.
	Isolated NodeSet `json:"isolated"`
	// WithoutRoute are the pairs of which at least one node has no route to
	// the other's pods.
	WithoutRoute PairSet `json:"withoutRoute"`
	// SinglePoints are the single points of failure.
	SinglePoints []SinglePoint `json:"singlePoints"`
}

// SinglePoint is a node, zone or external peer whose loss would isolate nodes: all
// their sessions are with it, and they have routes of other nodes through it.
type SinglePoint struct {
	Kind string `json:"kind"` // "node", "zone" or "externalPeer"
	Name string `json:"name"`
	// NodeSet is the nodes that would be isolated, without the node itself or the
	// nodes of the zone.
	NodeSet
}

// Convergence estimates, from BIRD's timers as Calico sets them, how long a
// node is without routes.
type Convergence struct {
	// Start is how long a node is without routes after calico-node starts, at most.
	Start Delay `json:"start"`
	// Waiting are the nodes that wait the whole graceful-restart wait at every
	// start, because one of their half-sessions cannot come up.
	Waiting NodeSet `json:"waiting"`
	// ReflectorCrash, ReflectorStop and ReflectorSilence are how long nodes keep the
	// routes that they have through one route reflector only, after its process
	// crashes, after it stops gracefully, and after its machine or network fails.
	ReflectorCrash   Delay `json:"reflectorCrash"`
	ReflectorStop    Delay `json:"reflectorStop"`
	ReflectorSilence Delay `json:"reflectorSilence"`
}

// Delay is an estimate and its reason.
type Delay struct {
	Seconds int    `json:"seconds"`
	Reason  string `json:"reason"`
}

// Mesh is the node-to-node mesh: all nodes with a BGP address but the route
// reflectors are in it.
type Mesh struct {
	Enabled bool `json:"enabled"`
	// Source is where Enabled comes from: the field nodeToNodeMeshEnabled of the
	// BGPConfiguration "default" is "set" or "unset", or the object is "absent".
	Source string `json:"source"`
	// Nodes counts those in the mesh, or that would be if it were on.
	Nodes int `json:"nodes"`
	// SessionsPerNode and Sessions count over both families; 0 when the mesh
	// is off. A family with n nodes has n(n-1)/2 sessions.
	SessionsPerNode int `json:"sessionsPerNode"`
	Sessions        int `json:"sessions"`
	// NotReady are those in the mesh that are not ready; none when it is off.
	NotReady NodeSet `json:"notReady"`
}

// Reflectors counts the route reflectors that the other nodes have sessions to by
// BGPPeers, in one family.
type Reflectors struct {
	// Total counts the route reflectors with an address in this family.
	Total int `json:"total"`
	// Peered counts those that other nodes have a session to.
	Peered int `json:"peered"`
	// Nodes counts the nodes that are not route reflectors.
	Nodes int `json:"nodes"`
	// Levels counts these by the number of reflectors that they have sessions to,
	// fewest first, without empty levels. MaxLevel stands for that many and more.
	Levels []Level `json:"levels"`
	// Load is that of the route reflectors, as in Sessions.
	Load []Load `json:"load"`
	// BGPPeers names those that configure sessions of a reflector in this family.
	BGPPeers []string `json:"bgpPeers"`
}

// MaxLevel is the highest level of reflectors.
const MaxLevel = 16

// Level is a group of nodes with sessions to equally many reflectors.
type Level struct {
	Reflectors int `json:"reflectors"`
	Nodes      int `json:"nodes"`
	// Sample names the first few of them.
	Sample []string `json:"sample"`
	// Members names the set of nodes with at most so many, as in NodeSet.
	Members string `json:"members"`
}

// SampleSize is the number of nodes that a sample names at most.
const SampleSize = 3

// PodTraffic is whether pod traffic between nodes needs BGP in one family.
type PodTraffic struct {
	NeedsBGP bool `json:"needsBGP"`
	// Pools names the IPPools that do, none where the state has no IPPool.
	Pools []string `json:"pools"`
}

// ClusterRoutes is who programs the routes to pods on other nodes into the kernel,
// for the IPPools for pods without VXLAN; those with VXLAN are always Felix's. A
// pool that nobody programs has no routes. A pool that both program has flapping
// routes.
type ClusterRoutes struct {
	IPIP    PoolClass `json:"ipip"`
	NoEncap PoolClass `json:"noEncap"`
	// Setting is programClusterRoutes in effect.
	Setting ClusterRoutesSetting `json:"setting"`
	// Version is Calico's "MAJOR.MINOR", which the defaults depend on, or "" where it
	// is not known. The defaults are then those before v3.33.
	Version string `json:"version"`
}

// PoolClass is the IPPools of one encapsulation.
type PoolClass struct {
	// Felix and BIRD report who programs their routes.
	Felix bool     `json:"felix"`
	BIRD  bool     `json:"bird"`
	Pools []string `json:"pools"`
}

// ClusterRoutesSetting is programClusterRoutes of the FelixConfiguration and the
// BGPConfiguration "default"; "" where it is not set and the version not known.
type ClusterRoutesSetting struct {
	Felix string `json:"felix"`
	BIRD  string `json:"bird"`
}

// Timers groups sessions by their timers.
type Timers struct {
	// RestartTime is the graceful restart time that the nodes advertise.
	RestartTime []TimerGroup `json:"restartTime"`
	// KeepaliveTime is the time between keepalives.
	KeepaliveTime []TimerGroup `json:"keepaliveTime"`
	// MeshRestartTime is nodeMeshMaxRestartTime of the BGPConfiguration
	// "default".
	MeshRestartTime OptionalSeconds `json:"nodeMeshMaxRestartTime"`
}

// OptionalSeconds is a duration that may not be set; Seconds is then 0.
type OptionalSeconds struct {
	Set     bool `json:"set"`
	Seconds int  `json:"seconds"`
}

// TimerGroup is all that gives sessions the same value of one timer.
type TimerGroup struct {
	// Seconds is the value in effect: rounded as Calico does, BIRD's default
	// where nothing is set.
	Seconds int `json:"seconds"`
	// Scope is "nodes" for sessions between nodes of the state, "external"
	// for all others.
	Scope string `json:"scope"`
	// Sessions counts the sessions between nodes; 0 for external ones.
	Sessions int `json:"sessions"`
	// Objects are those that set the value or, for the default, leave it unset.
	Objects []TimerObject `json:"objects"`
}

// TimerObject is a BGPPeer or, for the mesh, the BGPConfiguration "default".
type TimerObject struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Set is true where the object sets the timer itself.
	Set      bool `json:"set"`
	Sessions int  `json:"sessions"`
}

// Object is what all objects in a summary have in common, as it was sent.
type Object struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Spec is the spec as it was sent, every field of it.
	Spec map[string]any `json:"spec"`
	// Problems lists what Calico would ignore or reject in the object.
	Problems []string `json:"problems"`
}

// BGPPeer is a BGPPeer and its effect.
type BGPPeer struct {
	Object
	// Scope is "nodes" where the peers are nodes of the state, "workloads"
	// where they are pods, "external" otherwise.
	Scope string `json:"scope"`
	// LocalNodes and RemoteNodes count the nodes on both sides that speak BGP.
	LocalNodes  int `json:"localNodes"`
	RemoteNodes int `json:"remoteNodes"`
	// Sessions counts the sessions between nodes of the state.
	Sessions int `json:"sessions"`
	// RestartTime and KeepaliveTime are in seconds, as in TimerGroup.
	RestartTime   int `json:"restartTimeSeconds"`
	KeepaliveTime int `json:"keepaliveTimeSeconds"`
	// Selectors are its nodeSelector and peerSelector, those that are set.
	Selectors []Selector `json:"selectors"`
}

// BGPConfiguration is a BGPConfiguration.
type BGPConfiguration struct {
	Object
	// Node is the node that it is for, "" for "default".
	Node string `json:"node"`
}

// IPPool is an IPPool.
type IPPool struct {
	Object
	Family string `json:"family"`
	// NeedsBGP is true where pods of this pool need BGP to reach pods on other nodes.
	NeedsBGP bool `json:"needsBGP"`
}

// FelixConfiguration is a FelixConfiguration.
type FelixConfiguration struct{ Object }

// BGPFilters names the BGPFilters. If Known is false, there may be more.
type BGPFilters struct {
	Known bool     `json:"known"`
	Names []string `json:"names"`
}

// Secrets holds the keys of Secrets, by name. If Known is false, there may be more.
type Secrets struct {
	Known bool                `json:"known"`
	Keys  map[string][]string `json:"keys"`
}
