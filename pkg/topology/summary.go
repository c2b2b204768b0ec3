// Package topology computes, from a snapshot, the BGP sessions that Calico
// would configure, and the summary of them that policies read. It is pure.
//
// Node sets are bit sets and a full mesh is a formula, so that the cost of a
// summary grows with the number of BGPPeers and, with a very small constant,
// with the number of nodes, never with nodes x nodes.
package topology

import "github.com/bgpguard/bgpguard/pkg/calico"

// Summary is what policies read of a state: its JSON form is input.state. Its
// size does not depend on the number of nodes. Every field is always present.
// Summaries share the parts that are equal, so two parts that are the same
// pointer are the same; none may be changed.
type Summary struct {
	// CalicoVersion is "MAJOR.MINOR.PATCH", or "" where the state does not tell.
	CalicoVersion string `json:"calicoVersion"`
	// Nodes counts the nodes.
	Nodes *Nodes `json:"nodes"`
	// Mesh is the node-to-node mesh.
	Mesh *Mesh `json:"mesh"`
	// Reflectors tells, for each family, how many route reflectors the other
	// nodes have sessions to.
	Reflectors *PerFamily[Reflectors] `json:"reflectors"`
	// Sessions counts, for each family, the sessions between nodes and the
	// half-sessions on which none comes up.
	Sessions *PerFamily[Sessions] `json:"sessions"`
	// Routes tells, for each family, which nodes have the routes to the pods of
	// which others.
	Routes *PerFamily[Routes] `json:"routes"`
	// Convergence estimates how long routes are missing after a start or a loss.
	Convergence *Convergence `json:"convergence"`
	// PodTraffic tells, for each family, whether pod traffic between nodes
	// needs BGP.
	PodTraffic *PerFamily[PodTraffic] `json:"podTraffic"`
	// ClusterRoutes tells who programs the routes to pods on other nodes.
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
	// NotReady are those with a BGP address that are not ready, or gone and
	// still an object. Sessions with them are counted as they are configured.
	NotReady NodeSet `json:"notReady"`
}

// NodeSet is a set of nodes: how many, and the names of the first few.
type NodeSet struct {
	Nodes  int      `json:"nodes"`
	Sample []string `json:"sample"`
	// Members stands for the whole set. A policy puts it into the "members" of
	// a violation to have the engine compare the sets before and after a
	// change, node by node.
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
	// External counts the half-sessions to peers that are no nodes of the state.
	External int `json:"external"`
	// Most is the highest number of half-sessions on one node, on which a
	// session stands or whose other side is not known; MostNode is the first
	// such node.
	Most     int    `json:"most"`
	MostNode string `json:"mostNode"`
	// Load tells how many of the nodes that are no route reflectors have so many
	// half-sessions, counted as in Most, most first.
	Load []Load `json:"load"`
	// Broken counts the half-sessions on which no session comes up;
	// BrokenReasons tells of them by reason.
	Broken        int                  `json:"broken"`
	BrokenReasons map[Reason]HalfGroup `json:"brokenReasons"`
	// Ambiguous are those that depend on the order in which Calico visits BGPPeers.
	Ambiguous Ambiguous `json:"ambiguous"`
	// Frozen are the nodes whose BIRD refuses its configuration; FrozenReasons
	// tells what it refuses, sorted.
	Frozen        NodeSet        `json:"frozen"`
	FrozenReasons []FrozenReason `json:"frozenReasons"`
}

// Load is the nodes with equally many half-sessions.
type Load struct {
	Sessions int      `json:"sessions"`
	Nodes    int      `json:"nodes"`
	Sample   []string `json:"sample"`
	// Members stands for the nodes with at least so many, as in NodeSet.
	Members string `json:"members"`
}

// MaxLoads is how many values of Load are told apart at the most.
const MaxLoads = 16

// MaxNames is how many BGPPeers or fields a list names at the most.
const MaxNames = 10

// HalfGroup is half-sessions that have something in common.
type HalfGroup struct {
	HalfSessions int `json:"halfSessions"`
	// NodeSet is the nodes that have them.
	NodeSet
	// BGPPeers names the first few that give them.
	BGPPeers []string `json:"bgpPeers"`
}

// Ambiguous is the half-sessions for which several BGPPeers give different
// settings.
type Ambiguous struct {
	HalfGroup
	// Fields names what they differ in, as AmbiguousSession does.
	Fields []string `json:"fields"`
}

// FrozenReason is something that BIRD refuses, and the nodes that have it.
type FrozenReason struct {
	Reason string `json:"reason"`
	NodeSet
	// BGPPeers names the first few that give the half-sessions with it.
	BGPPeers []string `json:"bgpPeers"`
}

// Routes tells who has the routes to whose pods in one family, if what is not
// a node of the state carries routes on between the nodes that peer with it,
// and if it does not. A state does not tell which is so.
type Routes struct {
	// WithTransit assumes that all external peers pass routes, or traffic, on to
	// each other and to every node that peers with one of them, whatever the AS
	// numbers in their paths.
	WithTransit *Reach `json:"withTransit"`
	// WithoutTransit assumes that they pass nothing on. It is the same as WithTransit
	// where there is no such peer.
	WithoutTransit *Reach `json:"withoutTransit"`
	// NoAddress are the nodes without an address in the family, which Calico gives
	// no session in it.
	NoAddress NodeSet `json:"noAddress"`
	// NotExported names the IPPools that need BGP and that disableBGPExport
	// keeps out of it: no node has routes to their pods.
	NotExported []string `json:"notExported"`
	// BGPPeers names all that give nodes sessions in either family, but for
	// those with pods.
	BGPPeers []string `json:"bgpPeers"`
	// Filtered names the BGPPeers with BGPFilters, which are taken to let the
	// routes to pods pass.
	Filtered []string `json:"filtered"`
}

// Reach is reachability under one assumption about external peers.
type Reach struct {
	// Nodes counts those with an address in the family.
	Nodes int `json:"nodes"`
	// Partitions counts the groups of nodes between which there are no routes
	// both ways; LargestPartition is the number of nodes of the largest.
	Partitions       int `json:"partitions"`
	LargestPartition int `json:"largestPartition"`
	// Isolated are the nodes that have the routes of no other and whose routes no
	// other has, where there are others: mostly, those without a session.
	Isolated NodeSet `json:"isolated"`
	// WithoutRoute are the pairs of which at least one node has no route to
	// the other's pods.
	WithoutRoute PairSet `json:"withoutRoute"`
	// SinglePoints are what all sessions of some nodes depend on.
	SinglePoints []SinglePoint `json:"singlePoints"`
}

// SinglePoint is a node, zone or external peer whose loss would cut nodes off:
// all their sessions are with it, and the routes of others come by it.
type SinglePoint struct {
	Kind string `json:"kind"` // "node", "zone" or "externalPeer"
	Name string `json:"name"`
	// NodeSet is those that would be isolated, itself and its own nodes not
	// among them.
	NodeSet
}

// Convergence estimates, from BIRD's timers as Calico sets them, how long a
// node is without routes.
type Convergence struct {
	// Start is what a start of calico-node costs a node, at the worst.
	Start Delay `json:"start"`
	// Waiting are the nodes that wait the whole graceful-restart wait at every
	// start, because a half-session of theirs cannot come up.
	Waiting NodeSet `json:"waiting"`
	// ReflectorCrash, ReflectorStop and ReflectorSilence tell after what time
	// nodes lose the routes that come by one route reflector only: its process
	// ends without a word, it is stopped in order, its machine or network is gone.
	ReflectorCrash   Delay `json:"reflectorCrash"`
	ReflectorStop    Delay `json:"reflectorStop"`
	ReflectorSilence Delay `json:"reflectorSilence"`
}

// Delay is an estimate and its reason.
type Delay struct {
	Seconds int    `json:"seconds"`
	Reason  string `json:"reason"`
}

// Mesh is the node-to-node mesh: of the nodes that speak BGP, all but the
// route reflectors take part.
type Mesh struct {
	Enabled bool `json:"enabled"`
	// Source says where Enabled comes from: "set" and "unset" are about the
	// field nodeToNodeMeshEnabled of the BGPConfiguration "default",
	// "absent" means that there is no such object.
	Source string `json:"source"`
	// Nodes counts those that take part, or would if the mesh were on.
	Nodes int `json:"nodes"`
	// SessionsPerNode and Sessions count over both families; 0 when the mesh
	// is off. A family with n nodes has n(n-1)/2 sessions.
	SessionsPerNode int `json:"sessionsPerNode"`
	Sessions        int `json:"sessions"`
	// NotReady are those that take part and are not ready, none when the mesh is
	// off.
	NotReady NodeSet `json:"notReady"`
}

// Reflectors tells how many route reflectors the nodes of one family that are
// none themselves have sessions to by BGPPeers.
type Reflectors struct {
	// Total counts the route reflectors with an address in this family.
	Total int `json:"total"`
	// Peered counts those to which nodes that are none have a session.
	Peered int `json:"peered"`
	// Nodes counts the nodes that are none.
	Nodes int `json:"nodes"`
	// Levels says how many nodes have sessions to exactly so many reflectors,
	// fewest first, levels without nodes left out; the last level that can be
	// there, MaxLevel, stands for itself and all above.
	Levels []Level `json:"levels"`
	// Load is that of the route reflectors, as in Sessions.
	Load []Load `json:"load"`
	// BGPPeers names those that give a reflector sessions in this family.
	BGPPeers []string `json:"bgpPeers"`
}

// MaxLevel is the highest number of reflectors of one node that is told apart.
const MaxLevel = 16

// Level is a group of nodes with sessions to equally many reflectors.
type Level struct {
	Reflectors int `json:"reflectors"`
	Nodes      int `json:"nodes"`
	// Sample names the first few of them.
	Sample []string `json:"sample"`
	// Members stands for the nodes with at most so many, as in NodeSet.
	Members string `json:"members"`
}

// SampleSize is how many nodes a sample names at the most.
const SampleSize = 3

// PodTraffic tells whether pod traffic between nodes needs BGP in one family.
type PodTraffic struct {
	NeedsBGP bool `json:"needsBGP"`
	// Pools names the IPPools that do, none where the state has no IPPool.
	Pools []string `json:"pools"`
}

// ClusterRoutes tells who programs the routes to pods on other nodes into a node's
// kernel, for the IPPools for pods that Felix does not serve by VXLAN in any case.
// One that nobody programs has no routes; one that both do, has them flapping.
type ClusterRoutes struct {
	IPIP    PoolClass `json:"ipip"`
	NoEncap PoolClass `json:"noEncap"`
	// Setting is programClusterRoutes in effect.
	Setting ClusterRoutesSetting `json:"setting"`
	// Version is Calico's "MAJOR.MINOR", which the defaults depend on, or "" where
	// the state does not tell. What is not set then counts as before v3.33.
	Version string `json:"version"`
}

// PoolClass is the IPPools of one encapsulation.
type PoolClass struct {
	// Felix and BIRD tell who programs their routes.
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
	// Objects are those that set the value, or leave it out.
	Objects []TimerObject `json:"objects"`
}

// TimerObject is a BGPPeer or, for the mesh, the BGPConfiguration "default".
type TimerObject struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Set tells whether the object sets the timer itself.
	Set      bool `json:"set"`
	Sessions int  `json:"sessions"`
}

// Object is what all objects in a summary have in common: what was sent.
type Object struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Spec is the spec as it was sent, every field of it.
	Spec map[string]any `json:"spec"`
	// Problems lists what Calico would ignore or refuse in the object.
	Problems []string `json:"problems"`
}

// BGPPeer is a BGPPeer and what it comes to.
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

// Selector is a selector of nodes.
type Selector struct {
	Field string `json:"field"` // "spec.nodeSelector" or "spec.peerSelector"
	Text  string `json:"text"`
	// Error says why it does not parse, "" where it does.
	Error string `json:"error"`
	// Labels names the labels that it reads, sorted.
	Labels []string `json:"labels"`
	// Nodes counts those that it matches, also those without BGP.
	Nodes int `json:"nodes"`
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
	// NeedsBGP tells whether pods of this pool need BGP to reach pods on
	// other nodes.
	NeedsBGP bool `json:"needsBGP"`
}

// FelixConfiguration is a FelixConfiguration.
type FelixConfiguration struct{ Object }

// BGPFilters names the BGPFilters. Not Known, there may be others than Names.
type BGPFilters struct {
	Known bool     `json:"known"`
	Names []string `json:"names"`
}

// Secrets holds the keys of Secrets, by name. Not Known, there may be others.
type Secrets struct {
	Known bool                `json:"known"`
	Keys  map[string][]string `json:"keys"`
}
