package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// Goal names a design: a way to carry the routes to pods.
type Goal string

// The designs.
const (
	MeshTimers       = "mesh-timers"
	RouteReflectors  = "route-reflectors"
	VXLANCrossSubnet = "vxlan-cross-subnet"
	PerRack          = "per-rack"
)

// Goals lists the designs, the one with the fewest changes first.
var Goals = []Goal{MeshTimers, RouteReflectors, VXLANCrossSubnet, PerRack}

// Title is the name of the design for people.
func (g Goal) Title() string {
	switch g {
	case MeshTimers:
		return "full mesh with tuned timers"
	case RouteReflectors:
		return "route reflectors"
	case VXLANCrossSubnet:
		return "VXLANCrossSubnet"
	case PerRack:
		return "per-rack eBGP"
	}
	return string(g)
}

// Limits are the numbers from which a design is too large. They are the parameters of
// policies.
type Limits struct {
	// MeshNodes is the maximum number of nodes in a mesh (maxNodes of mesh-node-limit).
	MeshNodes int `json:"meshNodes"`
	// ReflectorSessions is the maximum number of sessions of a route reflector in one
	// address family (maxSessions of reflector-redundancy).
	ReflectorSessions int `json:"reflectorSessions"`
}

// DefaultLimits are the defaults of the policies.
var DefaultLimits = Limits{MeshNodes: 100, ReflectorSessions: 2000}

// DesignOptions select details of a design. The zero value chooses all of them.
type DesignOptions struct {
	// Reflectors is the number of route reflectors, per zone with PerZone. 0 chooses the
	// number with which every node keeps two route reflectors when one of them or a zone
	// fails.
	Reflectors int
	// Select is a selector of the nodes that may become route reflectors, "" for all.
	Select string
	// PerZone gives each zone route reflectors of its own. A design does so by itself where
	// one route reflector would have more than Limits.ReflectorSessions sessions.
	PerZone bool
	// Limits has DefaultLimits in place of fields that are 0.
	Limits Limits
}

func (o DesignOptions) limits() Limits {
	return Limits{cmp.Or(o.Limits.MeshNodes, DefaultLimits.MeshNodes), cmp.Or(o.Limits.ReflectorSessions, DefaultLimits.ReflectorSessions)}
}

// Status says whether a state meets a prerequisite.
type Status string

// The values of Status. Unknown means that the objects do not show it.
const (
	Met     Status = "met"
	Unmet   Status = "unmet"
	Unknown Status = "unknown"
)

// Prerequisite is a condition of a design.
type Prerequisite struct {
	Status Status `json:"status"`
	Text   string `json:"text"`
}

// Target is a design for one state.
type Target struct {
	Goal Goal
	// Changes lead from the state to the design, one after the other, in an order that keeps
	// routes. Without changes, the state already has the design.
	Changes       []state.Change
	Prerequisites []Prerequisite
	// Reflectors names the nodes that become route reflectors or are some.
	Reflectors []string
	// PerZone reports that each zone has route reflectors of its own.
	PerZone bool
}

// Blocked returns the unmet prerequisites.
func (t *Target) Blocked() []string {
	var out []string
	for _, p := range t.Prerequisites {
		if p.Status == Unmet {
			out = append(out, p.Text)
		}
	}
	return out
}

func (t *Target) add(status Status, format string, args ...any) {
	t.Prerequisites = append(t.Prerequisites, Prerequisite{status, fmt.Sprintf(format, args...)})
}

// Labels and names of the objects of a design.
const (
	// ReflectorLabel is the label of route reflectors in Calico's documentation.
	ReflectorLabel = "route-reflector"
	// reflectorsPeer is the name of the BGPPeer between nodes and route reflectors, and the
	// prefix of one per zone.
	reflectorsPeer = "route-reflectors"
	zoneLabel      = corev1.LabelTopologyZone
)

// controlPlane are the labels of control plane nodes.
var controlPlane = []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

// TunedRestartTime is the graceful restart time of the design MeshTimers: the shortest that
// the policy timer-safety accepts by default, and longer than a usual restart of
// calico-node.
const TunedRestartTime = "30s"

// Design returns the changes that lead from s, whose topology is t, to a design. A design
// that is not possible has unmet prerequisites and no changes. The error is about the
// options. O(nodes log nodes).
func Design(goal Goal, s *state.Snapshot, t *topology.Topology, o DesignOptions) (*Target, error) {
	b := &designer{Target: &Target{Goal: goal}, s: s, summary: t.Summary(), o: o, limits: o.limits()}
	var err error
	switch goal {
	case MeshTimers:
		err = b.meshTimers()
	case RouteReflectors:
		err = b.routeReflectors()
	case VXLANCrossSubnet:
		err = b.vxlan()
	case PerRack:
		err = b.perRack()
	default:
		return nil, fmt.Errorf("no design %q; known designs: mesh-timers, route-reflectors, vxlan-cross-subnet, per-rack", goal)
	}
	if err != nil {
		return nil, err
	}
	if len(b.Blocked()) > 0 {
		b.Changes = nil
	}
	return b.Target, nil
}

// designer collects the parts of a Target.
type designer struct {
	*Target

	s       *state.Snapshot // after the changes so far
	summary *topology.Summary
	o       DesignOptions
	limits  Limits
}

// change appends a change to the object, or its creation.
func (b *designer) change(o calico.Object) {
	if before := b.s.Get(o.ID()); !calico.Equal(before, o) {
		c := state.Change{Before: before, After: o}.Informed()
		b.Changes, b.s = append(b.Changes, c), b.s.Apply(c)
	}
}

// withSpec returns an object of the state with fields of its spec set, or unset for nil. It
// creates an object that is absent.
func (b *designer) withSpec(kind calico.Kind, name string, fields map[string]any) (calico.Object, error) {
	document := calico.Manifest(b.s.Get(calico.ID{Kind: kind, Name: name}))
	if document == nil {
		document = map[string]any{"apiVersion": calico.APIVersionV3, "kind": string(kind), "metadata": map[string]any{"name": name}}
	}
	document = maps.Clone(document)
	old, _ := document["spec"].(map[string]any)
	spec := maps.Clone(old)
	if spec == nil {
		spec = map[string]any{}
	}
	for k, v := range fields {
		if v == nil {
			delete(spec, k)
		} else {
			spec[k] = v
		}
	}
	document["spec"] = spec
	return calico.Decode(document)
}

// meshOff turns the mesh off. The API server rejects its password and restart time in an
// object that turns the mesh off (CEL rules of BGPConfiguration since v3.32).
func (b *designer) meshOff() error {
	if !b.summary.Mesh.Enabled {
		return nil
	}
	o, err := b.withSpec(calico.KindBGPConfiguration, calico.Default, map[string]any{
		"nodeToNodeMeshEnabled": false, "nodeMeshPassword": nil, "nodeMeshMaxRestartTime": nil,
	})
	if err == nil {
		b.change(o)
	}
	return err
}

// meshTimers keeps or turns on the mesh, with a shorter graceful restart time.
func (b *designer) meshTimers() error {
	fields := map[string]any{"nodeMeshMaxRestartTime": TunedRestartTime}
	if !b.summary.Mesh.Enabled {
		fields["nodeToNodeMeshEnabled"] = true
	}
	o, err := b.withSpec(calico.KindBGPConfiguration, calico.Default, fields)
	if err != nil {
		return err
	}
	b.change(o)
	n := b.summary.Mesh.Nodes
	if n > b.limits.MeshNodes {
		b.add(Unknown, "%s in the mesh, above the limit of %s: every node must have memory and time for %s", text.Count(n, "node"), text.Number(b.limits.MeshNodes), text.Count(n-1, "session"))
	} else {
		b.add(Met, "%s in the mesh, at or below the limit of %s", text.Count(n, "node"), text.Number(b.limits.MeshNodes))
	}
	if down := b.summary.Nodes.NotReady.Nodes; down > 0 {
		b.add(Unknown, "%s not ready: until you delete Nodes whose machines no longer exist, every start of calico-node waits 240 s for them", text.Count(down, "node is", "nodes are"))
	} else {
		b.add(Met, "no node is down: a start of calico-node waits for no peer")
	}
	b.add(Unknown, "calico-node is back within %s of a restart: else peers drop its routes before it is", TunedRestartTime)
	b.needVersion(3, 23, "nodeMeshMaxRestartTime")
	return nil
}

// needVersion adds the version of Calico as a prerequisite.
func (b *designer) needVersion(major, minor int, what string) {
	have := string(b.summary.CalicoVersion)
	parts := strings.SplitN(have, ".", 3)
	if len(parts) < 2 {
		b.add(Unknown, "Calico v%d.%d or later for %s: the state has no ClusterInformation", major, minor, what)
		return
	}
	x, _ := strconv.Atoi(parts[0])
	y, _ := strconv.Atoi(parts[1])
	if x > major || x == major && y >= minor {
		b.add(Met, "Calico v%d.%d or later for %s: the cluster has v%s", major, minor, what, have)
		return
	}
	b.add(Unmet, "Calico v%d.%d or later for %s: the cluster has v%s", major, minor, what, have)
}

// hasReflectors reports whether every node has sessions to two route reflectors in each
// family in which nodes have addresses.
func (b *designer) hasReflectors() bool {
	some := false
	for _, f := range calico.Families {
		r := b.summary.Reflectors.In(f)
		if r.Nodes == 0 {
			continue
		}
		some = true
		if len(r.Levels) == 0 || r.Levels[0].Reflectors < 2 {
			return false
		}
	}
	return some
}

// routeReflectors chooses route reflectors, connects all nodes to them and turns the mesh
// off. The BGPPeers come first: while no node has the label and a cluster ID, they do
// nothing. A node that becomes a route reflector leaves the mesh and has its BGPPeer
// sessions at once. When all of them serve, the mesh goes off and no route depends on it.
func (b *designer) routeReflectors() error {
	if b.hasReflectors() {
		for _, n := range b.s.Nodes() {
			if n.RouteReflector() {
				b.Reflectors = append(b.Reflectors, n.Name)
			}
		}
		b.add(Met, "every node has sessions to 2 route reflectors or more")
		return b.meshOff()
	}
	list, err := b.choose()
	if err != nil || list == nil {
		return err
	}
	global := b.peerName(reflectorsPeer, isReflector)
	if err := b.reflectorPeer(global, "all()", isReflector); err != nil {
		return err
	}
	for _, c := range list {
		o, err := reflectorNode(c.node, c.clusterID)
		if err != nil {
			return err
		}
		b.change(o)
		b.Reflectors = append(b.Reflectors, c.node.Name)
	}
	if !b.PerZone {
		return b.meshOff()
	}
	// The nodes of other zones need the routes of a new route reflector as long as not every
	// zone has one, so all nodes peer with all of them until the mesh is off.
	zone := ""
	for _, c := range list {
		if c.zone == zone {
			continue
		}
		zone = c.zone
		in := fmt.Sprintf("%s == '%s'", zoneLabel, zone)
		remote := in + " && " + isReflector
		if err := b.reflectorPeer(b.peerName(peerOfZone(zone), remote), in+" && !"+isReflector, remote); err != nil {
			return err
		}
	}
	if err := b.meshOff(); err != nil {
		return err
	}
	return b.reflectorPeer(global, isReflector, isReflector)
}

// chosen is a node that is chosen as route reflector.
type chosen struct {
	node            *calico.Node
	zone, clusterID string
}

// population is the nodes of a cluster by zone, "" for nodes without one.
type population struct {
	zones []string
	// sizes counts the nodes with a BGP address, candidates has those of them that may become
	// route reflectors, the best first.
	sizes      map[string]int
	candidates map[string][]*calico.Node
	// nodes and able are the sums of both, labelled the candidates with ReflectorLabel.
	nodes, able, labelled int
}

// population counts the nodes. The error is about the selector of the options.
func (b *designer) population() (*population, error) {
	var selector *calico.Selector
	if b.o.Select != "" {
		var err error
		if selector, err = calico.ParseSelector(b.o.Select); err != nil {
			return nil, fmt.Errorf("the selector of route reflectors %q does not parse: %w", b.o.Select, err)
		}
	}
	families := [2]bool{b.hasFamily(calico.IPv4), b.hasFamily(calico.IPv6)}
	p := &population{sizes: map[string]int{}, candidates: map[string][]*calico.Node{}}
	for _, n := range b.s.Nodes() {
		if !n.SpeaksBGP(calico.IPv4) && !n.SpeaksBGP(calico.IPv6) {
			continue
		}
		zone := n.Labels[zoneLabel]
		p.nodes++
		p.sizes[zone]++
		if calico.Down(n) || selector != nil && !selector.Matches(n.Labels) ||
			families[0] && !n.SpeaksBGP(calico.IPv4) || families[1] && !n.SpeaksBGP(calico.IPv6) {
			continue
		}
		p.able++
		if rank(n) == 1 {
			p.labelled++
		}
		p.candidates[zone] = append(p.candidates[zone], n)
	}
	for _, list := range p.candidates {
		slices.SortStableFunc(list, func(x, y *calico.Node) int { return cmp.Compare(rank(x), rank(y)) })
	}
	p.zones = slices.Sorted(maps.Keys(p.sizes))
	return p, nil
}

// choose selects the route reflectors: first nodes that are some already, then nodes with
// ReflectorLabel, then control plane nodes; and one zone after the other. It returns nil if
// the state does not have enough of them.
func (b *designer) choose() ([]chosen, error) {
	p, err := b.population()
	if err != nil {
		return nil, err
	}
	if numbers := b.asNumbers(); numbers > 1 {
		b.add(Unmet, "one AS number for all nodes (RFC 4456): they have %s", text.Number(numbers))
		return nil, nil
	}
	if b.o.PerZone && (len(p.zones) < 2 || p.zones[0] == "") {
		b.add(Unmet, "label %s with 2 values or more on all nodes, for route reflectors per zone", zoneLabel)
		return nil, nil
	}
	b.PerZone = b.perZone(p)
	number := b.o.Reflectors
	switch {
	case number == 0 && b.PerZone:
		number = 2
	case number == 0:
		// The BGPPeer selects every node with the label.
		number = max(enough(p.nodes, p.zones), p.labelled)
	}
	var out []chosen
	switch {
	case b.PerZone:
		out = b.inEachZone(p, number)
	case p.able < number || number < 2:
		b.add(Unmet, "%s for route reflectors: %s of %s can be one (ready, an address in each family, selected)", text.Count(max(number, 2), "node"), text.Number(p.able), text.Count(p.nodes, "node"))
	default:
		out = spread(p, number)
	}
	if out != nil {
		b.describe(out, p, number)
	}
	return out, nil
}

// asNumbers counts the AS numbers of the nodes.
func (b *designer) asNumbers() int {
	cluster, numbers := b.s.BGPConfiguration(calico.Default).ClusterASNumber(), map[uint32]bool{}
	for _, n := range b.s.Nodes() {
		switch {
		case !n.SpeaksBGP(calico.IPv4) && !n.SpeaksBGP(calico.IPv6):
		case n.ASNumber == nil:
			numbers[cluster] = true
		default:
			numbers[*n.ASNumber] = true
		}
	}
	return len(numbers)
}

// inEachZone takes the best nodes of each zone, which share a cluster ID. It returns nil if a
// zone does not have enough.
func (b *designer) inEachZone(p *population, number int) []chosen {
	var out []chosen
	for i, zone := range p.zones {
		able := p.candidates[zone]
		if len(able) < number {
			b.add(Unmet, "%s for route reflectors in zone %q: %s of its %s can be one (ready, an address in each family, selected)",
				text.Count(number, "node"), zone, text.Number(len(able)), text.Count(p.sizes[zone], "node"))
			return nil
		}
		for _, n := range able[:number] {
			out = append(out, chosen{n, zone, cmp.Or(n.ClusterID, fmt.Sprintf("244.0.%d.%d", (i+1)>>8, (i+1)&255))})
		}
	}
	return out
}

func (b *designer) hasFamily(f calico.Family) bool {
	return slices.ContainsFunc(b.s.Nodes(), func(n *calico.Node) bool { return n.SpeaksBGP(f) })
}

// rank orders the nodes that may become route reflectors.
func rank(n *calico.Node) int {
	_, labelled := n.Labels[ReflectorLabel]
	switch {
	case n.RouteReflector():
		return 0
	case labelled:
		return 1
	case slices.ContainsFunc(controlPlane, func(l string) bool { _, ok := n.Labels[l]; return ok }):
		return 2
	}
	return 3
}

// perZone reports whether each zone gets route reflectors of its own.
func (b *designer) perZone(p *population) bool {
	if len(p.zones) < 2 || p.zones[0] == "" {
		return false
	}
	largest := slices.Max(slices.Collect(maps.Values(p.sizes)))
	return b.o.PerZone || p.nodes-1 > b.limits.ReflectorSessions && largest+2*len(p.zones) <= b.limits.ReflectorSessions
}

// enough is the number of route reflectors of which two are left when one of them or a zone
// is lost.
func enough(nodes int, zones []string) int {
	switch {
	case nodes <= 4:
		return 2
	case len(zones) == 2:
		return 4
	}
	return 3
}

// spread takes the best node of each zone in turn.
func spread(p *population, number int) []chosen {
	var out []chosen
	next := map[string]int{}
	for len(out) < number {
		for _, zone := range p.zones {
			if i := next[zone]; i < len(p.candidates[zone]) && len(out) < number {
				n := p.candidates[zone][i]
				out = append(out, chosen{n, zone, cmp.Or(n.ClusterID, "244.0.0.1")})
				next[zone]++
			}
		}
	}
	return out
}

// describe adds what the choice means.
func (b *designer) describe(list []chosen, p *population, number int) {
	names := make([]string, len(list))
	used, plane := map[string]bool{}, 0
	for i, c := range list {
		names[i] = c.node.Name
		used[c.zone] = true
		if rank(c.node) == 2 {
			plane++
		}
	}
	b.add(Met, "%s for route reflectors: %s", text.Count(len(list), "node"), text.Names(names[:min(len(names), 6)], len(names)))
	if plane > 0 {
		b.add(Unknown, "%s of them in the control plane: their load of BGP must fit beside the API server", text.Number(plane))
	}
	switch load := loadOf(p, number, b.PerZone); {
	case load > b.limits.ReflectorSessions:
		b.add(Unknown, "%s on a route reflector, above the limit of %s: label nodes with zones (%s) for route reflectors per zone, or raise the limit", text.Count(load, "session"), text.Number(b.limits.ReflectorSessions), zoneLabel)
	default:
		b.add(Met, "%s on a route reflector, at or below the limit of %s", text.Count(load, "session"), text.Number(b.limits.ReflectorSessions))
	}
	switch {
	case len(p.zones) == 1 && p.zones[0] == "":
		b.add(Unknown, "label %s: no node has it, so the route reflectors may share one rack or power supply", zoneLabel)
	case len(used) < min(len(p.zones), 2):
		b.add(Unknown, "route reflectors in 2 zones: all of them are in one of %s", text.Count(len(p.zones), "zone"))
	default:
		b.add(Met, "route reflectors in %s of %s", text.Number(len(used)), text.Count(len(p.zones), "zone"))
	}
}

// loadOf is the highest number of sessions of a route reflector in one family.
func loadOf(p *population, number int, perZone bool) int {
	if !perZone {
		return p.nodes - 1
	}
	load := 0
	for _, n := range p.sizes {
		load = max(load, n-1+number*(len(p.zones)-1))
	}
	return load
}

// isReflector selects the route reflectors.
const isReflector = "has(" + ReflectorLabel + ")"

// reflectorPeer sets the BGPPeer between nodes and route reflectors. It keeps the password
// and the restart time of the mesh.
func (b *designer) reflectorPeer(name, local, remote string) error {
	fields := map[string]any{"nodeSelector": local, "peerSelector": remote}
	if c := b.s.BGPConfiguration(calico.Default); c != nil && c.MeshEnabled() {
		if v := c.Spec["nodeMeshPassword"]; v != nil {
			fields["password"] = v
		}
		if v := c.Spec["nodeMeshMaxRestartTime"]; v != nil {
			fields["maxRestartTime"] = v
		}
	}
	o, err := b.withSpec(calico.KindBGPPeer, name, fields)
	if err == nil {
		b.change(o)
	}
	return err
}

// peerName returns name, or name with a number if a BGPPeer of another purpose has it.
func (b *designer) peerName(name, remote string) string {
	for i := 1; ; i++ {
		try := name
		if i > 1 {
			try += "-" + strconv.Itoa(i)
		}
		p, _ := b.s.Get(calico.ID{Kind: calico.KindBGPPeer, Name: try}).(*calico.BGPPeer)
		if p == nil || p.PeerSelector == remote {
			return try
		}
	}
}

// peerOfZone is the name of the BGPPeer of a zone. Values of labels may contain "_" and
// capital letters, names of objects may not.
func peerOfZone(zone string) string {
	return reflectorsPeer + "-" + strings.ToLower(strings.ReplaceAll(zone, "_", "-"))
}

// reflectorNode returns a node with ReflectorLabel and a cluster ID.
func reflectorNode(n *calico.Node, clusterID string) (calico.Object, error) {
	document := calico.Manifest(n)
	meta, _ := document["metadata"].(map[string]any)
	meta = maps.Clone(meta)
	for key, entry := range map[string][2]string{"labels": {ReflectorLabel, "true"}, "annotations": {calico.AnnotationClusterID, clusterID}} {
		old, _ := meta[key].(map[string]any)
		values := maps.Clone(old)
		if values == nil {
			values = map[string]any{}
		}
		if _, ok := values[entry[0]]; !ok {
			values[entry[0]] = entry[1]
		}
		meta[key] = values
	}
	document["metadata"] = meta
	o, err := calico.Decode(document)
	if changed, ok := o.(*calico.Node); ok {
		// A Node that was not read from a core/v1 document has no status.
		changed.NotReady, changed.DeletionTimestamp = n.NotReady, n.DeletionTimestamp
		changed.Others, changed.InternalIP, changed.Listed = n.Others, n.InternalIP, n.Listed
	}
	return o, err
}

// vxlan moves every IPPool that needs BGP to VXLAN, whose routes Felix programs, and then
// turns the mesh off.
func (b *designer) vxlan() error {
	pools, disabled := 0, 0
	for _, p := range b.s.IPPools() {
		if !p.Routed || p.VXLANMode != string(v3.VXLANModeNever) {
			continue
		}
		if !b.summary.IPPools[p.Name].NeedsBGP && b.summary.IPPools[p.Name].Allocations == topology.AllocationsNone {
			continue
		}
		pools++
		if p.Disabled {
			disabled++
		}
		o, err := b.withSpec(calico.KindIPPool, p.Name, map[string]any{"vxlanMode": string(v3.VXLANModeCrossSubnet), "ipipMode": string(v3.IPIPModeNever)})
		if err != nil {
			return err
		}
		b.change(o)
	}
	switch {
	case len(b.s.IPPools()) == 0:
		b.add(Unmet, "an IPPool: the state has none, so it is not known which routes pods need")
	case pools == 0:
		b.add(Met, "no IPPool needs BGP for pod traffic between nodes")
	case disabled > 0:
		b.add(Met, "%s to change, %s of them disabled: pods may still have addresses of them", text.Count(pools, "IPPool"), text.Number(disabled))
	default:
		b.add(Met, "%s to change: after that no IPPool needs BGP for pod traffic between nodes", text.Count(pools, "IPPool"))
	}
	for _, f := range calico.Families {
		if w := b.summary.PodAddresses.WithoutPool.In(f); w.Blocks > 0 {
			b.add(Unmet, "every pod address in an IPPool: %s (%s) %s in none, and Felix programs no routes to them", text.Count(w.Blocks, "block"), text.Names(w.Sample, w.Blocks), text.Either(w.Blocks, "is", "are"))
		}
	}
	b.subnets()
	b.add(Unknown, "UDP port 4789 open between all nodes")
	b.add(Unknown, "room for 50 bytes of VXLAN in the MTU of pods (70 for IPv6): pods that run keep the old MTU until they restart")
	if b.hasFamily(calico.IPv6) {
		b.needVersion(3, 23, "VXLAN of IPv6 pools")
	}
	if external := b.external(); external > 0 {
		b.add(Unknown, "%s to external peers stay: they still need BGP for addresses of pods and services", text.Count(external, "half-session"))
	}
	return b.meshOff()
}

func (b *designer) external() int {
	return b.summary.Sessions.IPv4.External + b.summary.Sessions.IPv6.External
}

// subnets counts the networks of the nodes: traffic within one is not encapsulated.
func (b *designer) subnets() {
	for _, f := range calico.Families {
		networks, unknown := map[netip.Prefix]bool{}, 0
		for _, n := range b.s.Nodes() {
			switch p := n.Address[f]; {
			case !p.IsValid():
			case p.IsSingleIP():
				unknown++
			default:
				networks[p.Masked()] = true
			}
		}
		switch {
		case unknown > 0:
			b.add(Unknown, "%s subnets of nodes: %s without a prefix length, whose traffic is always encapsulated", f, text.Count(unknown, "address", "addresses"))
		case len(networks) == 1:
			b.add(Met, "%s subnets of nodes: 1, so no traffic is encapsulated; its nodes must reach each other without a router", f)
		case len(networks) > 1:
			b.add(Met, "%s subnets of nodes: %s; traffic between them is encapsulated", f, text.Number(len(networks)))
		}
	}
}

// perRack leaves the routes to the external peers of each node and turns the mesh off. Nodes
// of one AS number accept each other's routes from a router only if their AS number may
// occur in the path.
func (b *designer) perRack() error {
	var peers []*calico.BGPPeer
	external := map[uint32]bool{}
	for _, p := range b.s.BGPPeers() {
		s := b.summary.BGPPeers[p.Name]
		if s == nil || s.Scope != sessions.ScopeExternal || s.LocalNodes == 0 {
			continue
		}
		peers, external[p.ASNumber] = append(peers, p), true
	}
	if len(peers) == 0 {
		b.add(Unmet, "external peers: no BGPPeer has an address outside the cluster; each rack needs a router with BGP, and a BGPPeer to it")
		return nil
	}
	b.add(Met, "external peers: %s", text.Count(len(peers), "BGPPeer"))
	shared, asns := 0, map[uint32]bool{}
	cluster := b.s.BGPConfiguration(calico.Default).ClusterASNumber()
	for _, n := range b.s.Nodes() {
		if !n.SpeaksBGP(calico.IPv4) && !n.SpeaksBGP(calico.IPv6) {
			continue
		}
		if n.ASNumber == nil || *n.ASNumber == cluster {
			shared++
		} else {
			asns[*n.ASNumber] = true
		}
	}
	switch {
	case external[cluster] && shared > 0:
		b.add(Unknown, "routers of AS %d, that of the nodes, must be route reflectors", cluster)
	case len(asns)+min(shared, 1) == 1:
		b.add(Unknown, "all nodes have one AS number: BGPPeers get numAllowedLocalASNumbers: 1, so that nodes accept routes that return with it")
		for _, p := range peers {
			if p.NumAllowedLocalASNumbers > 0 {
				continue
			}
			o, err := b.withSpec(calico.KindBGPPeer, p.Name, map[string]any{"numAllowedLocalASNumbers": int64(1)})
			if err != nil {
				return err
			}
			b.change(o)
		}
	default:
		b.add(Met, "AS numbers of racks: %s", text.Number(len(asns)+min(shared, 1)))
	}
	for _, f := range calico.Families {
		if b.hasFamily(f) && b.summary.PodTraffic.In(f).NeedsBGP {
			b.add(Unknown, "routers pass %s routes on between all racks: the objects do not show it; name them in transitPeers of the policies", f)
		}
	}
	return b.meshOff()
}

// LimitsOf returns the limits that policies enforce: DefaultLimits for one that no policy
// has. Of several, the lowest counts. The error is about a parameter that is no number.
func LimitsOf(set *policy.Set) (Limits, error) {
	found := Limits{}
	for _, p := range set.Policies() {
		var parameter string
		var limit *int
		switch p.Definition.Name {
		case "mesh-node-limit":
			parameter, limit = "maxNodes", &found.MeshNodes
		case "reflector-redundancy":
			parameter, limit = "maxSessions", &found.ReflectorSessions
		default:
			continue
		}
		n, err := strconv.Atoi(fmt.Sprint(p.Parameters()[parameter]))
		if err != nil {
			return Limits{}, fmt.Errorf("BGPPolicy %s: parameter %s is not a number: %w", p.Name, parameter, err)
		}
		if *limit == 0 || n < *limit {
			*limit = n
		}
	}
	return DesignOptions{Limits: found}.limits(), nil
}
