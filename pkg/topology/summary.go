package topology

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// Summary is the part of a state that policies read. Its JSON form is input.state.
// Its size does not depend on the number of nodes. Every field is always present.
// Summaries share equal parts by pointer, so callers must not change them.
type Summary struct {
	// CalicoVersion is "MAJOR.MINOR.PATCH", or "" if it is unknown.
	CalicoVersion Optional `json:"calicoVersion"`
	// BGP reports whether calico-node runs BIRD.
	BGP *BGP `json:"bgp"`
	// Nodes counts the nodes.
	Nodes *Nodes `json:"nodes"`
	// Addresses describes, for each family, BGP addresses of nodes that cannot work.
	Addresses *PerFamily[Addresses] `json:"addresses"`
	// OtherASNumbers groups, for each family, the BGPPeers that name a node by its address
	// and another AS number than that of the node.
	OtherASNumbers *PerFamily[OtherASNumbers] `json:"otherASNumbers"`
	// Mesh is the node-to-node mesh.
	Mesh *Mesh `json:"mesh"`
	// Reflectors counts, for each family, the route reflectors that the other nodes
	// have sessions to.
	Reflectors *PerFamily[Reflectors] `json:"reflectors"`
	// Sessions counts, for each family, the sessions between nodes and the
	// half-sessions that cannot come up.
	Sessions *PerFamily[Sessions] `json:"sessions"`
	// Routes describes, for each family, which nodes have routes to the pods of others.
	Routes *PerFamily[Routes] `json:"routes"`
	// ServiceRanges lists, for each family, the ranges of addresses of Services that nodes
	// advertise.
	ServiceRanges *PerFamily[[]ServiceRange] `json:"serviceRanges"`
	// Convergence estimates how long routes are missing after a start or a loss.
	Convergence *Convergence `json:"convergence"`
	// PodTraffic reports, for each family, whether pod traffic between nodes needs BGP.
	PodTraffic *PerFamily[PodTraffic] `json:"podTraffic"`
	// PodAddresses reports where pods have addresses.
	PodAddresses *PodAddresses `json:"podAddresses"`
	// ClusterRoutes reports which components program the routes to pods on other nodes.
	ClusterRoutes *ClusterRoutes `json:"clusterRoutes"`
	// Timers groups the sessions by their timers.
	Timers *Timers `json:"timers"`
	// Selectors describes what the BGPPeers select.
	Selectors *Selectors `json:"selectors"`
	// BGPPeers holds the BGPPeers by name.
	BGPPeers map[string]*BGPPeer `json:"bgpPeers"`
	// BGPConfigurations holds the BGPConfigurations by name.
	BGPConfigurations map[string]*BGPConfiguration `json:"bgpConfigurations"`
	// IPPools holds the IPPools by name.
	IPPools map[string]*IPPool `json:"ipPools"`
	// FelixConfigurations holds the FelixConfigurations by name.
	FelixConfigurations map[string]*FelixConfiguration `json:"felixConfigurations"`
	// ClusterInformations holds the ClusterInformations by name.
	ClusterInformations map[string]*ClusterInformation `json:"clusterInformations"`
	// BGPFilters holds the BGPFilters.
	BGPFilters *BGPFilters `json:"bgpFilters"`
	// Secrets names the Secrets in calico-node's namespace.
	Secrets *Secrets `json:"secrets"`
	// Typha describes the objects that Typha drops.
	Typha *Typha `json:"typha"`
}

// Optional is a text that may be unset: "", or null in JSON and in the input of policies.
type Optional = sessions.Optional

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

// BGP reports whether calico-node runs BIRD. Without BIRD there are no sessions.
type BGP struct {
	Enabled bool `json:"enabled"`
	// Installation names the Installation that disables BGP, "" if none does. Deleting reports that it
	// does so because it is being deleted.
	Installation Optional `json:"installation"`
	Deleting     bool     `json:"deleting"`
}

// Nodes counts nodes.
type Nodes struct {
	// Total counts all Node objects. BGP counts those with a BGP address. Reflectors
	// counts the nodes with a BGP address that are route reflectors.
	Total      int `json:"total"`
	BGP        int `json:"bgp"`
	Reflectors int `json:"reflectors"`
	// NotReady is the nodes with a BGP address that are not ready. Their configured
	// sessions are counted like those of other nodes.
	NotReady NodeSet `json:"notReady"`
}

// Addresses describes BGP addresses of nodes that cannot work, in one family.
type Addresses struct {
	// Shared is the nodes whose address another node has too. SharedAddresses lists the
	// first maxNames of these addresses, in order.
	Shared          NodeSet         `json:"shared"`
	SharedAddresses []SharedAddress `json:"sharedAddresses"`
	// Misdetected is the nodes with an address that other nodes probably cannot reach: the
	// status of the Node does not contain it, and no other node is in its subnet.
	// MisdetectedAddresses lists the addresses of the nodes in the sample.
	Misdetected          NodeSet       `json:"misdetected"`
	MisdetectedAddresses []NodeAddress `json:"misdetectedAddresses"`
	// Subnets are the networks of the addresses, by the masks in the Nodes. Networks inside
	// others are not counted. The network of an address without a mask is that address alone.
	Subnets Subnets `json:"subnets"`
}

// Subnets counts networks. Sample lists the first SampleSize.
type Subnets struct {
	Subnets int      `json:"subnets"`
	Sample  []string `json:"sample"`
	// Same, Different and Uneven count the pairs of nodes. In Same, each node has the address of the
	// other in its network: with CrossSubnet, Calico uses no tunnel between them. In Different, none
	// does: with CrossSubnet it uses a tunnel, and without encapsulation packets go to a router. In
	// Uneven, only one of the two does, because their masks differ: one direction is as in Same, the
	// other as in Different.
	Same      int `json:"same"`
	Different int `json:"different"`
	Uneven    int `json:"uneven"`
	// Wider is the nodes that have the address of the other node of an uneven pair in their network.
	Wider NodeSet `json:"wider"`
	// Unadvertised lists the IPPools without encapsulation to whose pods external peers do not receive the
	// routes of all nodes, in order of names. It is empty if Different and Uneven are 0: packets then need
	// no router.
	Unadvertised []UnadvertisedPool `json:"unadvertised"`
}

// UnadvertisedPool is an IPPool, and the nodes whose routes to its pods no external peer receives, neither
// from these nodes nor from others that pass them on: their number, and the names of the first SampleSize.
type UnadvertisedPool struct {
	IPPool string   `json:"ipPool"`
	Nodes  int      `json:"nodes"`
	Sample []string `json:"sample"`
}

// SharedAddress is an address that several nodes have: their number, and the names of the
// first SampleSize.
type SharedAddress struct {
	Address string   `json:"address"`
	Nodes   int      `json:"nodes"`
	Sample  []string `json:"sample"`
}

// NodeAddress is the BGP address of a node, and the InternalIP in the Node's status.
type NodeAddress struct {
	Node       string   `json:"node"`
	Address    string   `json:"address"`
	InternalIP Optional `json:"internalIP"`
}

// OtherASNumbers is the BGPPeers of one family that name a node by its address and another
// AS number than that of the node. No session comes up with them.
type OtherASNumbers struct {
	// Nodes counts the nodes of these BGPPeers, on both sides.
	Nodes int `json:"nodes"`
	// Groups lists the first maxNames pairs of AS numbers, in order.
	Groups []OtherASNumber `json:"groups"`
}

// OtherASNumber is the BGPPeers with one AS number for nodes with another one.
type OtherASNumber struct {
	// ASNumber is that of the BGPPeers, NodeASNumber that of the nodes.
	ASNumber     int `json:"asNumber"`
	NodeASNumber int `json:"nodeASNumber"`
	// BGPPeers counts the BGPPeers. Sample names the first maxNames.
	BGPPeers int      `json:"bgpPeers"`
	Sample   []string `json:"sample"`
}

// NodeSet is a set of nodes: their number, and the names of the first SampleSize.
type NodeSet struct {
	Nodes  int      `json:"nodes"`
	Sample []string `json:"sample"`
	// Members names the whole set. A policy puts the name into the "members" of a
	// violation. The engine then compares the sets before and after a change, node by
	// node; see Topology.Gained.
	Members string `json:"members"`
}

// PairSet is a set of pairs of nodes. Its fields have the same meaning as in NodeSet.
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
	// cannot come up. MostNode is the first node, by name, with this number, "" if no node
	// has one.
	Most     int      `json:"most"`
	MostNode Optional `json:"mostNode"`
	// Load counts the nodes that are not route reflectors by their number of
	// half-sessions, counted as in Most, highest first.
	Load []Load `json:"load"`
	// Broken counts the half-sessions that cannot come up. BrokenReasons groups them
	// by reason.
	Broken        int                  `json:"broken"`
	BrokenReasons map[Reason]HalfGroup `json:"brokenReasons"`
	// Ambiguous is the half-sessions that depend on the order in which Calico visits
	// BGPPeers.
	Ambiguous Ambiguous `json:"ambiguous"`
	// Conflicting is those of them in which settings differ that decide whether the
	// session comes up, or which routes it carries.
	Conflicting Ambiguous `json:"conflicting"`
	// Frozen is the nodes whose BIRD rejects its configuration. FrozenReasons lists
	// the kinds of values that it rejects, in the order of calico.Rules.
	Frozen        NodeSet        `json:"frozen"`
	FrozenReasons []FrozenReason `json:"frozenReasons"`
}

// Load is the nodes with the same number of half-sessions.
type Load struct {
	Sessions int      `json:"sessions"`
	Nodes    int      `json:"nodes"`
	Sample   []string `json:"sample"`
	// Members names the set of nodes with at least this number, as in NodeSet.
	Members string `json:"members"`
}

// maxLoads bounds the list of Loads.
const maxLoads = 16

// maxNames bounds the BGPPeers or fields that a list names.
const maxNames = 10

// HalfGroup is a group of half-sessions with a common property.
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
	// Fields names the settings that differ, as in AmbiguousSession.
	Fields []string `json:"fields"`
}

// FrozenReason is a kind of values that BIRD rejects, with the nodes that have them in their
// configuration. Reason and Fix are those of calico.Rules.
type FrozenReason struct {
	Reason string `json:"reason"`
	Fix    string `json:"fix"`
	NodeSet
	// Objects are the first few objects with such a value, and its field.
	Objects []Subject `json:"objects"`
}

// Subject is a field of an object, such as "spec.exportV4[0].cidr" of a BGPFilter.
type Subject struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Field string `json:"field"`
}

func (s Subject) compare(o Subject) int {
	return cmp.Or(strings.Compare(s.Kind, o.Kind), strings.Compare(s.Name, o.Name), strings.Compare(s.Field, o.Field))
}

// Routes describes which nodes have routes to the pods of which others in one
// family, under several readings of external peers: they pass routes on between nodes,
// or not. The objects do not show which reading is correct.
type Routes struct {
	// WithTransit assumes that all external peers pass routes on to each other and to
	// every node that peers with one of them, whatever the AS numbers in their paths.
	// Peers whose addresses are loopback, unspecified, multicast or a node's own never do.
	WithTransit *Reach `json:"withTransit"`
	// WithoutTransit assumes that external peers do not pass routes on. Without external
	// peers, both results are equal.
	WithoutTransit *Reach `json:"withoutTransit"`
	// WithASPaths assumes the same as WithTransit, but that external peers keep the AS numbers
	// that nodes prepended and, over eBGP, set their own address as next hop. A node drops a route in
	// whose AS path its own AS number is more often than numAllowedLocalASNumbers permits. A router
	// does not unpack what BIRD sends to it through an IPIP tunnel, so such a route is missing.
	WithASPaths *Reach `json:"withASPaths"`
	// KnownTransit holds a reading for each list of TransitPeers that Compute was given:
	// of the external peers in WithTransit, only those in the list pass routes on.
	KnownTransit []KnownTransit `json:"knownTransit"`
	// WithoutLinks holds the same readings if what is not known does not give nodes a common link: mesh sessions
	// between AS numbers need one also if the version of Calico is not known, and nodes whose addresses have no mask,
	// or one of all bits, are on a link with no other node. The other readings assume the contrary. It is nil if the
	// sessions are the same.
	WithoutLinks *Readings `json:"withoutLinks"`
	// NoAddress is the nodes without an address in the family. Calico configures no
	// sessions for them in this family.
	NoAddress NodeSet `json:"noAddress"`
	// NotExported names the IPPools that need BGP and have prefixes to which no node exports routes:
	// disableBGPExport of an IPPool that contains them applies, and no BGPFilter accepts them.
	NotExported []string `json:"notExported"`
	// ExportDisabledBy names the IPPools that contain these prefixes and have disableBGPExport.
	ExportDisabledBy []string `json:"exportDisabledBy"`
	// BGPPeers names the BGPPeers that configure sessions of nodes in either family,
	// except sessions with pods.
	BGPPeers []string `json:"bgpPeers"`
	// Filtered names the BGPPeers with BGPFilters of which rules for the family are not known or
	// not understood. The result assumes that these rules match no route to pods.
	Filtered []string `json:"filtered"`
}

// Readings is reachability under the readings of external peers; see Routes.
type Readings struct {
	WithTransit    *Reach         `json:"withTransit"`
	WithoutTransit *Reach         `json:"withoutTransit"`
	WithASPaths    *Reach         `json:"withASPaths"`
	KnownTransit   []KnownTransit `json:"knownTransit"`
}

// KnownTransit is reachability if only the external peers that a list names pass routes
// on.
type KnownTransit struct {
	TransitPeers []string `json:"transitPeers"`
	Reach        *Reach   `json:"reach"`
}

// Reach is reachability under one reading of external peers.
type Reach struct {
	// Nodes counts the nodes with an address in the family.
	Nodes int `json:"nodes"`
	// Partitions counts the sets of nodes that reach each other and no others.
	// LargestPartition is the number of nodes in the largest one.
	Partitions       int `json:"partitions"`
	LargestPartition int `json:"largestPartition"`
	// Isolated is the nodes without routes to or from any other node, usually because
	// they have no session. The only node of a cluster is not isolated.
	Isolated NodeSet `json:"isolated"`
	// WithoutRoute is the pairs of nodes in which at least one node has no route to
	// the other's pods.
	WithoutRoute PairSet `json:"withoutRoute"`
	// NewBlocks is the same if each node has blocks in all parts of the IPPools that need BGP, and addresses in
	// blocks of others if some node has. It differs from WithoutRoute only if IPAMBlocks show in which parts nodes
	// have pods, and BGPFilters treat parts differently.
	NewBlocks PairSet `json:"newBlocks"`
	// SinglePoints lists the single points of failure.
	SinglePoints []SinglePoint `json:"singlePoints"`
}

// ServiceRange is a range of addresses of Services in the BGPConfiguration "default".
type ServiceRange struct {
	// Field is serviceClusterIPs, serviceExternalIPs or serviceLoadBalancerIPs.
	Field string `json:"field"`
	CIDR  string `json:"cidr"`
	// Nodes counts the nodes that may originate routes to it: those with an address in the
	// family and without the label that excludes nodes from external load balancers.
	Nodes int `json:"nodes"`
	// Sessions counts the sessions with external peers over which nodes may advertise all of it.
	// BGPFilters decide, and for addresses of single Services where these have endpoints. It is
	// null if BGPFilters distinguish too many parts of the ranges.
	Sessions *int `json:"sessions"`
	// PartSessions counts the sessions over which nodes may advertise at least a part of it, and
	// Unadvertised the addresses of it that no session carries. Both are null if Sessions is.
	PartSessions *int              `json:"partSessions"`
	Unadvertised *ServiceAddresses `json:"unadvertised"`
	// NextHops is the nodes whose address some other node resolves, as a next hop, through its route to
	// the range, so that it drops packets to the pods: the address is in the range, and not in a network
	// of that node's interface that is as small as the range.
	NextHops NodeSet `json:"nextHops"`
	// IPPools are the parts of IPPools whose pods need BGP with blocks inside the range, if nodes have a
	// route to it: the kernel filter of BIRD rejects the routes to these blocks on every node.
	IPPools []PoolPart `json:"ipPools"`
}

// PoolPart is the part of an IPPool that is inside CIDR.
type PoolPart struct {
	Name string `json:"name"`
	CIDR string `json:"cidr"`
}

// ServiceAddresses is a part of a range: the number of addresses, rounded if it is higher than 2^53, and
// the first SampleSize CIDRs that contain them, such as "10.1.0.0/28 except 10.1.0.8/30".
type ServiceAddresses struct {
	Addresses float64  `json:"addresses"`
	Sample    []string `json:"sample"`
}

// SinglePoint is a node, zone or external peer whose loss would isolate nodes: all
// their sessions are with it, and they receive routes of other nodes through it.
type SinglePoint struct {
	Kind string `json:"kind"` // "node", "zone" or "externalPeer"
	Name string `json:"name"`
	// NodeSet is the nodes that would be isolated. It does not include the node itself
	// or the nodes of the zone.
	NodeSet
}

// Convergence estimates, from BIRD's timers as Calico sets them, how long a
// node is without routes.
type Convergence struct {
	// Start is the longest time that a node is without routes after calico-node starts.
	Start Delay `json:"start"`
	// Waiting is the nodes that wait the whole graceful-restart wait at every
	// start, because one of their half-sessions cannot come up.
	Waiting NodeSet `json:"waiting"`
	// ReflectorCrash, ReflectorStop and ReflectorSilence are how long nodes keep
	// routes that they have only through one route reflector: after its process
	// crashes, after it stops gracefully, and after its machine or network fails.
	ReflectorCrash   Delay `json:"reflectorCrash"`
	ReflectorStop    Delay `json:"reflectorStop"`
	ReflectorSilence Delay `json:"reflectorSilence"`
}

// Delay is an estimate, in seconds, and its reason.
type Delay struct {
	Seconds int    `json:"seconds"`
	Reason  string `json:"reason"`
}

// Mesh is the node-to-node mesh. It contains all nodes with a BGP address except
// the route reflectors.
type Mesh struct {
	Enabled bool `json:"enabled"`
	// Source is where Enabled comes from: the field nodeToNodeMeshEnabled of the
	// BGPConfiguration "default" is "set" or "unset", or the object is "absent".
	Source string `json:"source"`
	// Nodes counts the nodes in the mesh. If the mesh is off, it counts the nodes that
	// would be in it.
	Nodes int `json:"nodes"`
	// SessionsPerNode and Sessions count over both families. They are 0 if
	// the mesh is off. A family with n nodes has n(n-1)/2 sessions.
	SessionsPerNode int `json:"sessionsPerNode"`
	Sessions        int `json:"sessions"`
	// NotReady is the nodes in the mesh that are not ready. It is empty if the mesh is
	// off.
	NotReady NodeSet `json:"notReady"`
}

// Reflectors counts the route reflectors that the other nodes have sessions to by
// BGPPeers, in one family.
type Reflectors struct {
	// Total counts the route reflectors with an address in this family.
	Total int `json:"total"`
	// Peered counts the route reflectors to which other nodes have a session.
	Peered int `json:"peered"`
	// NotReady is the route reflectors in Peered that are not ready.
	NotReady NodeSet `json:"notReady"`
	// Nodes counts the nodes that are not route reflectors.
	Nodes int `json:"nodes"`
	// Levels groups these nodes by the number of reflectors to which they have
	// sessions, fewest first, without empty levels. Level MaxLevel also contains the
	// nodes with more.
	Levels []Level `json:"levels"`
	// Reflecting groups the route reflectors by the number of other route reflectors to
	// which they have sessions, fewest first. The sets of Levels contain them too: a node
	// that is no longer a route reflector has no fewer sessions than before.
	Reflecting []Reflecting `json:"reflecting"`
	// Load is the load of the route reflectors, as in Sessions.
	Load []Load `json:"load"`
	// BGPPeers names the BGPPeers that configure sessions of a reflector in this family.
	BGPPeers []string `json:"bgpPeers"`
}

// MaxLevel is the highest level of reflectors.
const MaxLevel = 16

// Level is the nodes with sessions to the same number of reflectors.
type Level struct {
	Reflectors int `json:"reflectors"`
	Nodes      int `json:"nodes"`
	// Sample names the first SampleSize nodes.
	Sample []string `json:"sample"`
	// Members names the set of nodes with at most this number, as in NodeSet. It contains
	// route reflectors too.
	Members string `json:"members"`
}

// Reflecting counts the route reflectors with sessions to the same number of other route
// reflectors.
type Reflecting struct {
	Reflectors int `json:"reflectors"`
	Nodes      int `json:"nodes"`
	// Members names the set of a Level with the same number.
	Members string `json:"members"`
}

// SampleSize is the maximum number of nodes in a sample.
const SampleSize = 3

// PodTraffic reports whether pod traffic between nodes needs BGP in one family.
type PodTraffic struct {
	// NeedsBGP is true if Pools is not empty or the state has no IPPool for pods.
	NeedsBGP bool `json:"needsBGP"`
	// Pools names the IPPools that need BGP and from which pods get addresses. It is empty
	// if the state has no IPPool.
	Pools []string `json:"pools"`
	// DisabledPools names the IPPools that need BGP if they hold addresses of pods, which is
	// not known: they are disabled.
	DisabledPools []string `json:"disabledPools"`
}

// PodAddresses reports where pods have addresses, by the IPAMBlocks of the state.
type PodAddresses struct {
	// Known is false if the state does not contain the IPAMBlocks, if one of them does not
	// parse, or if there are none because the cluster does not use Calico's IPAM.
	Known bool `json:"known"`
	// WithoutPool are the blocks with addresses of pods that are in no IPPool. Nodes pass
	// no routes to them on, and Felix programs none.
	WithoutPool PerFamily[Blocks] `json:"withoutPool"`
}

// Blocks counts IPAMBlocks, and lists the CIDRs of the first few.
type Blocks struct {
	Blocks int      `json:"blocks"`
	Sample []string `json:"sample"`
}

// ClusterRoutes reports whether Felix or BIRD programs the kernel routes to pods on other
// nodes, for the IPPools for pods without VXLAN. Felix always programs the routes of
// pools with VXLAN. A pool has no routes if neither Felix nor BIRD programs them, and
// flapping routes if both do.
type ClusterRoutes struct {
	IPIP    PoolClass `json:"ipip"`
	NoEncap PoolClass `json:"noEncap"`
	// Setting is the effective programClusterRoutes.
	Setting ClusterRoutesSetting `json:"setting"`
	// OtherNodes are the nodes whose Felix has another setting than Setting.Felix, because of a
	// FelixConfiguration for one node or with a nodeSelector, in order of settings.
	OtherNodes []NodeSetting `json:"otherNodes"`
	// OtherPriorities are the nodes whose Felix has another priority of normal routes than
	// FelixConfiguration "default", in order of priorities.
	OtherPriorities PerFamily[[]NodePriority] `json:"otherPriorities"`
	// Version is Calico's "MAJOR.MINOR", which decides the defaults, or "" if it is
	// unknown. The defaults are then those before v3.33.
	Version Optional `json:"version"`
}

// PoolClass is the IPPools of one encapsulation.
type PoolClass struct {
	// Felix and BIRD report whether each programs the routes of the pools. Felix does not
	// cover the nodes in OtherNodes.
	Felix bool     `json:"felix"`
	BIRD  bool     `json:"bird"`
	Pools []string `json:"pools"`
}

// NodeSetting is the nodes whose Felix has one setting of programClusterRoutes.
type NodeSetting struct {
	// Setting is the setting, "" if it is unknown. IPIP and NoEncap report for which classes
	// Felix then programs routes.
	Setting Optional `json:"setting"`
	IPIP    bool     `json:"ipip"`
	NoEncap bool     `json:"noEncap"`
	// FelixConfigurations names the first maxNames objects that set it.
	FelixConfigurations []string `json:"felixConfigurations"`
	NodeSet
}

// NodePriority is the nodes whose Felix has one priority of normal routes.
type NodePriority struct {
	Priority int `json:"priority"`
	// FelixConfigurations names the first maxNames objects that set it.
	FelixConfigurations []string `json:"felixConfigurations"`
	NodeSet
}

// ClusterRoutesSetting is programClusterRoutes of the FelixConfiguration and the
// BGPConfiguration "default", or "" if it is unset and the version is unknown.
type ClusterRoutesSetting struct {
	Felix Optional `json:"felix"`
	BIRD  Optional `json:"bird"`
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

// OptionalSeconds is a duration that may be unset. Seconds is nil if it is unset.
type OptionalSeconds struct {
	Set     bool `json:"set"`
	Seconds *int `json:"seconds"`
}

// TimerGroup is the sessions with the same value of one timer, and the objects that
// configure it.
type TimerGroup struct {
	// Seconds is the value in effect: rounded as Calico rounds it, or BIRD's
	// default if the timer is unset.
	Seconds int `json:"seconds"`
	// Scope is "nodes" for sessions between nodes of the state, "external"
	// for all others.
	Scope string `json:"scope"`
	// Sessions counts the sessions between nodes. It is 0 for Scope "external".
	Sessions int `json:"sessions"`
	// Objects lists the objects that set the value or, for the default, do not set it.
	Objects []TimerObject `json:"objects"`
}

// Key returns a text that differs between the groups of one timer.
func (g TimerGroup) Key() string { return g.Scope + " " + strconv.Itoa(g.Seconds) }

// TimerObject is a BGPPeer or, for the mesh, the BGPConfiguration "default".
type TimerObject struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Set reports whether the object itself sets the timer.
	Set      bool `json:"set"`
	Sessions int  `json:"sessions"`
}

// Object is the fields that all objects in a summary share, as the API server sent
// them.
type Object struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Spec is the complete spec as the API server sent it.
	Spec map[string]any `json:"spec"`
	// Problems lists what Calico would ignore or reject in the object.
	Problems []string `json:"problems"`
}

// BGPPeer is a BGPPeer and its effects.
type BGPPeer struct {
	Object
	// Scope is "nodes" if the peers are nodes of the state, "workloads" if they are
	// pods, and "external" otherwise.
	Scope string `json:"scope"`
	// Address is the address in peerIP, in its canonical form and without the port, Port its
	// port, and ASNumber the AS number of the peer. Each is nil if it is unset or invalid, or
	// if Calico ignores it because peerSelector is set.
	Address  *string `json:"address"`
	Port     *int    `json:"port"`
	ASNumber *int    `json:"asNumber"`
	// Unusable is why the nodes cannot have a session with the peer, "" if they can: peerIP
	// is a loopback, unspecified, multicast or broadcast address or one of the only local
	// node, or pods have no address to peer with.
	Unusable Optional `json:"unusable"`
	// LocalNodes and RemoteNodes count the nodes with a BGP address on each side.
	LocalNodes  int `json:"localNodes"`
	RemoteNodes int `json:"remoteNodes"`
	// Sessions counts the sessions between nodes of the state. ExternalSessions counts those with an
	// external peer that come up if it has half-sessions back: one that several BGPPeers configure
	// counts for the first of them, by name.
	Sessions         int `json:"sessions"`
	ExternalSessions int `json:"externalSessions"`
	// RestartTime and KeepaliveTime are in seconds, as in TimerGroup.
	RestartTime   int `json:"restartTimeSeconds"`
	KeepaliveTime int `json:"keepaliveTimeSeconds"`
	// Selectors lists its nodeSelector and peerSelector, if they are set.
	Selectors []Selector `json:"selectors"`
	// Selects lists the paths of the fields that select its nodes and its peers, without those
	// that Calico ignores because of another one.
	Selects []string `json:"selects"`

	// unused is the paths of those of Selects that select no node.
	unused []string
}

// Selectors describes what the BGPPeers select.
type Selectors struct {
	// Labels are the labels that the selectors of BGPPeers read, sorted.
	Labels []string `json:"labels"`
	// Unused are the first maxUnused BGPPeers, by name, that give no node a session because one
	// side selects no node, with the fields of that side. Only peers that are nodes have a remote side
	// that can select none.
	Unused []SelectingBGPPeer `json:"unused"`
	// Wide are the BGPPeers, by name, that configure sessions of a route reflector and connect more nodes
	// than there are route reflectors, so that they have to select all other nodes. It is empty if there
	// are more than maxWide: each of them may be for other nodes.
	Wide PerFamily[[]SelectingBGPPeer] `json:"wide"`
}

// SelectingBGPPeer is a BGPPeer with some of its fields that select nodes or peers.
type SelectingBGPPeer struct {
	Name string `json:"name"`
	// Fields are the paths of the fields.
	Fields []string `json:"fields"`
}

// BGPConfiguration is a BGPConfiguration.
type BGPConfiguration struct {
	Object
	// Node is the node to which it applies, or "" for "default".
	Node Optional `json:"node"`
}

// IPPool is an IPPool.
type IPPool struct {
	Object
	Family string `json:"family"`
	// NeedsBGP reports whether pods of this pool need BGP to reach pods on other nodes. It
	// is false if the pool is disabled and known to hold no addresses of pods.
	NeedsBGP bool `json:"needsBGP"`
	// Allocations reports whether pods have addresses of the pool: AllocationsSome,
	// AllocationsNone or AllocationsUnknown.
	Allocations string `json:"allocations"`
}

// FelixConfiguration is a FelixConfiguration.
type FelixConfiguration struct{ Object }

// ClusterInformation is a ClusterInformation.
type ClusterInformation struct{ Object }

// BGPFilters holds the BGPFilters, by name. If Known is false, there may be more.
type BGPFilters struct {
	Known   bool                  `json:"known"`
	Names   []string              `json:"names"`
	Objects map[string]*BGPFilter `json:"objects"`
}

// BGPFilter is a BGPFilter. Its rules are in Spec.
type BGPFilter struct{ Object }

// Secrets holds the keys of Secrets, by name. If Known is false, there may be more.
type Secrets struct {
	Known bool                `json:"known"`
	Keys  map[string][]string `json:"keys"`
}
