package plan

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// Labels of nodes.
const (
	zoneLabel         = "topology.kubernetes.io/zone"
	controlPlaneLabel = "node-role.kubernetes.io/control-plane"
	// reflectorLabel is the label of Calico's documentation. otherLabel is used where nodes
	// that do not become route reflectors have it.
	reflectorLabel = "route-reflector"
	otherLabel     = "calico-route-reflector"
)

// roleLabels are the labels by which a node is preferred as a route reflector, the best first.
var roleLabels = []struct{ label, why string }{
	{reflectorLabel, "has the label " + reflectorLabel},
	{"node-role.kubernetes.io/route-reflector", "is a dedicated node (label node-role.kubernetes.io/route-reflector)"},
	{controlPlaneLabel, "is a node of the control plane, which runs few pods and is rarely replaced"},
	{"node-role.kubernetes.io/infra", "is an infrastructure node (label node-role.kubernetes.io/infra)"},
}

// ReflectorOptions select the route reflectors.
type ReflectorOptions struct {
	// Count is the number of route reflectors, with PerZone in each zone; 0 lets bgpguard
	// choose.
	Count int
	// Select is a label selector of Kubernetes: all nodes that it matches become route
	// reflectors. "" lets bgpguard choose.
	Select string
	// PerZone gives each zone route reflectors of its own.
	PerZone bool
}

// Bounds of bgpguard's own choice, where no policy has others.
const (
	leastReflectors = 2
	// largeCluster is the number of nodes from which a third route reflector is chosen: while
	// one is replaced, the loss of another leaves each node one.
	largeCluster = 200
	// mostSessions is the highest number of sessions of a route reflector.
	mostSessions = 2000
	// mostGroups is the number of groups for which cluster IDs of 244.0.0.0/16 are numbered.
	mostGroups = 65000
)

// group is the nodes that share route reflectors.
type group struct {
	zone       string // "" for all nodes
	clusterID  string
	clients    int
	reflectors []*calico.Node
	why        map[string]string // of each reflector
}

// ToRouteReflectors returns a plan that replaces the node-to-node mesh by sessions with route
// reflectors. Its order needs no state in which a node has no session: the BGPPeers exist
// first and match no route reflector yet; then each node becomes a route reflector with one
// patch of label and cluster ID, so its mesh sessions and its new sessions change places at
// once; the mesh is turned off last, when every route also comes from the route reflectors.
//
// All route reflectors of a group share a cluster ID (RFC 4456, section 7): every node of the
// group peers with all of them, so no route needs two of them, and they do not keep and
// advertise the copies that they receive from each other. Groups have different cluster IDs,
// because their route reflectors pass routes on to each other.
//
// An error is a *DeniedError if the cluster's policies deny a step. O(nodes log nodes) without
// the evaluation of the steps.
func ToRouteReflectors(ctx context.Context, in Input, o ReflectorOptions) (*Plan, error) {
	b := newBuilder(ctx, in, RouteReflectors, "From the node-to-node mesh to route reflectors")
	d := &reflectorDesign{builder: b, options: o, nodes: in.Snapshot.Nodes()}
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := d.choose(); err != nil {
		return nil, err
	}
	if err := d.steps(); err != nil {
		return nil, err
	}
	d.notes()
	p, err := b.finish()
	if err != nil {
		return nil, err
	}
	d.list(p)
	return p, nil
}

// reflectorDesign is the design of a cluster with route reflectors.
type reflectorDesign struct {
	*builder

	options ReflectorOptions
	nodes   []*calico.Node
	groups  []group
	label   string
}

// check returns an error if route reflectors of one AS cannot serve the nodes.
func (d *reflectorDesign) check() error {
	s := d.Snapshot
	if len(d.nodes) == 0 {
		return fmt.Errorf("the state has no Node: without nodes there are no sessions")
	}
	c := s.BGPConfiguration(calico.Default)
	if !c.MeshEnabled() {
		return fmt.Errorf("the node-to-node mesh is off already (BGPConfiguration default): describe the wanted state in files and use --to FILE")
	}
	numbers := map[uint32][]string{}
	for _, n := range d.nodes {
		as := c.ClusterASNumber()
		if n.ASNumber != nil {
			as = *n.ASNumber
		}
		numbers[as] = append(numbers[as], n.Name)
	}
	if len(numbers) > 1 {
		var parts []string
		for _, as := range slices.Sorted(maps.Keys(numbers)) {
			parts = append(parts, fmt.Sprintf("AS %d: %s", as, text.Names(numbers[as], len(numbers[as]))))
		}
		return fmt.Errorf("route reflection needs one AS number (RFC 4456), and the nodes have %d: %s; use --to %s, or give all nodes one AS number", len(numbers), strings.Join(parts, "; "), PerRack)
	}
	if d.options.Count > 0 && d.options.Select != "" {
		return fmt.Errorf("flags --reflectors and --select are mutually exclusive: the selector decides the number")
	}
	return nil
}

// families are the address families in which the node has an address.
func families(n *calico.Node) (out [2]bool) {
	for _, f := range calico.Families {
		out[f] = n.SpeaksBGP(f)
	}
	return out
}

// unsuitable returns why a node cannot be a route reflector, "" if it can.
func (d *reflectorDesign) unsuitable(n *calico.Node, wanted [2]bool) string {
	for _, f := range calico.Families {
		if wanted[f] && !n.SpeaksBGP(f) {
			return fmt.Sprintf("has no %s address", f)
		}
	}
	switch {
	case n.DeletionTimestamp != "":
		return "is being deleted"
	case n.NotReady:
		return "is not ready"
	default:
		return ""
	}
}

// parameter returns the number that a parameter of a policy has, or otherwise. If several
// BGPPolicies use the policy, better decides.
func (b *builder) parameter(policy, name string, otherwise int, better func(a, b int) int) int {
	found := false
	for _, p := range b.Engine.Policies().Policies() {
		if p.Definition.Name != policy {
			continue
		}
		var n int
		if _, err := fmt.Sscan(fmt.Sprint(p.Parameters()[name]), &n); err == nil {
			if !found {
				otherwise, found = n, true
			} else {
				otherwise = better(otherwise, n)
			}
		}
	}
	return otherwise
}

func (d *reflectorDesign) choose() error {
	var wanted [2]bool
	zones := map[string]int{}
	without := 0
	for _, n := range d.nodes {
		for f, there := range families(n) {
			wanted[f] = wanted[f] || there
		}
		if z := n.Labels[zoneLabel]; z != "" {
			zones[z]++
		} else {
			without++
		}
	}
	least := d.parameter("route-reflectors-required", "minReflectors", leastReflectors, func(a, b int) int { return max(a, b) })
	budget := d.parameter("reflector-redundancy", "maxSessions", mostSessions, func(a, b int) int { return min(a, b) })
	perZone := d.options.PerZone
	if perZone && without > 0 {
		return fmt.Errorf("flag --per-zone: %s no label %s", text.Count(without, "node has", "nodes have"), zoneLabel)
	}
	if !perZone && len(d.nodes)-1 > budget {
		if without > 0 || len(zones) < 2 {
			return fmt.Errorf("%s nodes would give each route reflector %s sessions, and the limit is %s (maxSessions of reflector-redundancy): "+
				"label the nodes with %s, so that each zone gets route reflectors of its own, or raise the limit",
				text.Number(len(d.nodes)), text.Number(len(d.nodes)-1), text.Number(budget), zoneLabel)
		}
		perZone = true
		d.builder.choose("Each zone has route reflectors of its own: %s nodes would give each route reflector %s sessions, and the limit is %s.",
			text.Number(len(d.nodes)), text.Number(len(d.nodes)-1), text.Number(budget))
	}
	d.groups = []group{{clients: len(d.nodes)}}
	if perZone {
		d.groups = nil
		for _, z := range slices.Sorted(maps.Keys(zones)) {
			d.groups = append(d.groups, group{zone: z, clients: zones[z]})
		}
	}
	if len(d.groups) > mostGroups {
		return fmt.Errorf("the nodes have %s zones: the limit is %s", text.Number(len(d.groups)), text.Number(mostGroups))
	}
	selector, err := d.selector()
	if err != nil {
		return err
	}
	ids := d.existingIDs()
	for i := range d.groups {
		if err := d.chooseIn(&d.groups[i], wanted, selector, least, budget, len(zones)); err != nil {
			return err
		}
		d.groups[i].clusterID = nextID(ids, d.groups[i].reflectors)
		ids[d.groups[i].clusterID] = true
	}
	d.chooseLabel()
	return nil
}

func (d *reflectorDesign) selector() (labels.Selector, error) {
	if d.options.Select == "" {
		return nil, nil
	}
	s, err := labels.Parse(d.options.Select)
	if err != nil {
		return nil, fmt.Errorf("flag --select: %q is no label selector: %w", d.options.Select, err)
	}
	if s.Empty() {
		return nil, fmt.Errorf("flag --select must not be empty: it would make every node a route reflector")
	}
	return s, nil
}

// existingIDs are the cluster IDs of nodes and external devices that must not be reused for
// another group.
func (d *reflectorDesign) existingIDs() map[string]bool {
	out := map[string]bool{}
	for _, n := range d.nodes {
		if n.ClusterID != "" {
			out[n.ClusterID] = true
		}
	}
	return out
}

// nextID returns the cluster ID of a group: that of a chosen node that has one, else the next
// of 244.0.0.0/16, the range of Calico's documentation.
func nextID(used map[string]bool, chosen []*calico.Node) string {
	for _, n := range chosen {
		if n.ClusterID != "" {
			return n.ClusterID
		}
	}
	for i := 1; ; i++ {
		if id := fmt.Sprintf("244.0.%d.%d", i>>8, i&255); !used[id] {
			return id
		}
	}
}

// candidate is a node that can be a route reflector.
type candidate struct {
	node *calico.Node
	rank int // lower is better
	why  string
}

func (d *reflectorDesign) chooseIn(g *group, wanted [2]bool, selector labels.Selector, least, budget, zones int) error {
	var list []candidate
	refused := map[string][]string{}
	for _, n := range d.nodes {
		if g.zone != "" && n.Labels[zoneLabel] != g.zone || selector != nil && !selector.Matches(labels.Set(n.Labels)) {
			continue
		}
		if why := d.unsuitable(n, wanted); why != "" {
			refused[why] = append(refused[why], n.Name)
			continue
		}
		list = append(list, ranked(n))
	}
	where := ""
	if g.zone != "" {
		where = " of zone " + g.zone
	}
	number := d.options.Count
	switch {
	case selector != nil:
		number = len(list)
		d.builder.choose("%s%s %s --select %q.", text.Count(number, "node"), where, text.Either(number, "matches", "match"), d.options.Select)
	case number > 0:
		d.builder.choose("%s%s, as --reflectors asks.", text.Count(number, "route reflector"), where)
	default:
		number = least
		why := fmt.Sprintf("the minimum is %d, so that each node keeps its routes when one is lost", least)
		if g.clients > largeCluster && number < leastReflectors+1 {
			number, why = leastReflectors+1, fmt.Sprintf("with more than %d nodes, a third one leaves each node two while one is replaced", largeCluster)
		} else if zones > number && zones <= 3 && g.zone == "" {
			number, why = zones, fmt.Sprintf("the nodes are in %d zones, so each has one", zones)
		}
		d.builder.choose("%s%s: %s.", text.Count(number, "route reflector"), where, why)
	}
	if len(list) < number || number < least && selector != nil {
		return fmt.Errorf("the plan needs %s%s, and %s can be one%s", text.Count(max(number, least), "route reflector"), where, text.Count(len(list), "node"), reasons(refused))
	}
	if number < least {
		d.note("%s%s are fewer than the minimum of %d: the policy route-reflectors-required denies turning the mesh off.", text.Count(number, "route reflector"), where, least)
	}
	if sessions := g.clients - 1 + d.otherReflectors(g, number); sessions > budget {
		d.note("Each route reflector%s has about %s sessions, above the limit of %s (maxSessions of reflector-redundancy).", where, text.Number(sessions), text.Number(budget))
	}
	g.why = map[string]string{}
	for _, c := range spread(list, number) {
		g.reflectors = append(g.reflectors, c.node)
		g.why[c.node.Name] = c.why
	}
	return nil
}

// otherReflectors estimates the sessions of a route reflector with those of other groups.
func (d *reflectorDesign) otherReflectors(g *group, number int) int {
	if g.zone == "" {
		return 0
	}
	return (len(d.groups) - 1) * number
}

func reasons(refused map[string][]string) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(refused)) {
		names := refused[why]
		parts = append(parts, fmt.Sprintf("%s %s", text.Names(names, len(names)), why))
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, "; ")
}

func ranked(n *calico.Node) candidate {
	if n.RouteReflector() {
		return candidate{n, -1, "is a route reflector already"}
	}
	for i, role := range roleLabels {
		if _, ok := n.Labels[role.label]; ok {
			return candidate{n, i, role.why}
		}
	}
	return candidate{n, len(roleLabels), "is an ordinary node: no node" + " of its zone is dedicated or of the control plane"}
}

// spread returns number candidates. It takes the best one of each zone in turn, zones with the
// better candidates first.
func spread(list []candidate, number int) []candidate {
	zones := map[string][]candidate{}
	for _, c := range list {
		z := c.node.Labels[zoneLabel]
		zones[z] = append(zones[z], c)
	}
	names := slices.Collect(maps.Keys(zones))
	for _, z := range names {
		slices.SortStableFunc(zones[z], func(a, b candidate) int { return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.node.Name, b.node.Name)) })
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(zones[a][0].rank, zones[b][0].rank), strings.Compare(a, b)) })
	var out []candidate
	for len(out) < number {
		for _, z := range names {
			if len(zones[z]) > 0 && len(out) < number {
				out = append(out, zones[z][0])
				zones[z] = zones[z][1:]
			}
		}
	}
	slices.SortStableFunc(out, func(a, b candidate) int { return strings.Compare(a.node.Name, b.node.Name) })
	return out
}

// chooseLabel chooses a label that no other node has.
func (d *reflectorDesign) chooseLabel() {
	chosen := map[string]bool{}
	for i := range d.groups {
		for _, n := range d.groups[i].reflectors {
			chosen[n.Name] = true
		}
	}
	d.label = reflectorLabel
	for _, n := range d.nodes {
		if _, ok := n.Labels[reflectorLabel]; ok && !chosen[n.Name] {
			d.label = otherLabel
			d.builder.choose("The label of the route reflectors is %s: node %s has the label %s and does not become one.", otherLabel, n.Name, reflectorLabel)
			return
		}
	}
}

// steps adds the steps of the plan.
func (d *reflectorDesign) steps() error {
	if err := d.watch(); err != nil {
		return err
	}
	if err := d.peers(); err != nil {
		return err
	}
	for i := range d.groups {
		g := &d.groups[i]
		for _, n := range g.reflectors {
			if err := d.reflector(g, n); err != nil {
				return err
			}
		}
	}
	return d.meshOff()
}

// watch lets calico-node on the route reflectors report its sessions.
func (d *reflectorDesign) watch() error {
	step := Step{
		Name: "watch", Title: "Let the future route reflectors report their sessions",
		Why:  "calico-node writes the sessions of its node into a CalicoNodeStatus every 10 seconds. \"bgpguard plan verify\" and the waits below read it.",
		Wait: Wait{Text: "Nothing to wait for."},
	}
	reported := map[string]bool{}
	for _, s := range d.Snapshot.NodeStatuses() {
		if s.BGP && s.UpdatePeriod != nil && *s.UpdatePeriod > 0 {
			reported[s.Node] = true
		}
	}
	for i := range d.groups {
		for _, n := range d.groups[i].reflectors {
			if !reported[n.Name] {
				step.Edits = append(step.Edits, Edit{Kind: string(calico.KindCalicoNodeStatus), Name: n.Name, Object: object(d.Snapshot, calico.KindCalicoNodeStatus, n.Name, map[string]any{
					"node": n.Name, "classes": []any{"Agent", "BGP"}, "updatePeriodSeconds": 10,
				})})
			}
		}
	}
	return d.add(step)
}

// object returns a new object in the API version that the state uses.
func object(s *state.Snapshot, kind calico.Kind, name string, spec map[string]any) map[string]any {
	return map[string]any{"apiVersion": version(s), "kind": string(kind), "metadata": map[string]any{"name": name}, "spec": spec}
}

// version returns the API version of the Calico objects of a state: that of the first BGP
// object that has one, else projectcalico.org/v3.
func version(s *state.Snapshot) string {
	for _, c := range s.BGPConfigurations() {
		if v, _ := calico.Manifest(c)["apiVersion"].(string); v != "" {
			return v
		}
	}
	for _, p := range s.IPPools() {
		if v, _ := calico.Manifest(p)["apiVersion"].(string); v != "" {
			return v
		}
	}
	return calico.APIVersionV3
}

// carried are the settings of the mesh that the new BGPPeers get too.
func (d *reflectorDesign) carried(spec map[string]any) map[string]any {
	c := d.Snapshot.BGPConfiguration(calico.Default)
	if c == nil {
		return spec
	}
	if c.NodeMeshMaxRestartTime != nil {
		spec["maxRestartTime"] = c.Spec["nodeMeshMaxRestartTime"]
	}
	if c.NodeMeshPassword != "" {
		spec["password"] = c.Spec["nodeMeshPassword"]
	}
	return spec
}

// peers adds the BGPPeers.
func (d *reflectorDesign) peers() error {
	is, isNot := "has("+d.label+")", "!has("+d.label+")"
	step := Step{
		Name: "bgppeers", Title: "Create the BGPPeers",
		Why: fmt.Sprintf("They select the route reflectors by the label %s, which no node has yet, so they configure no session. "+
			"They must exist before a node gets a cluster ID: the cluster ID removes it from the mesh at once, and only BGPPeers then give it sessions.", d.label),
		Wait: Wait{Text: "Nothing to wait for: no session is configured yet."},
	}
	if d.hasLabel() {
		step.Why = fmt.Sprintf("They select the route reflectors by the label %s. "+
			"They must exist before a node gets a cluster ID: the cluster ID removes it from the mesh at once, and only BGPPeers then give it sessions.", d.label)
		step.Wait.Text = "Nothing to wait for."
	}
	peer := func(name string, spec map[string]any) {
		step.Edits = append(step.Edits, Edit{Kind: string(calico.KindBGPPeer), Name: d.freeName(name), Object: object(d.Snapshot, calico.KindBGPPeer, d.freeName(name), d.carried(spec))})
	}
	peer("route-reflectors", map[string]any{"nodeSelector": is, "peerSelector": is})
	for i := range d.groups {
		g := &d.groups[i]
		if g.zone == "" {
			peer("nodes-to-route-reflectors", map[string]any{"nodeSelector": isNot, "peerSelector": is})
			continue
		}
		zone := fmt.Sprintf(" && %s == '%s'", zoneLabel, g.zone)
		peer("nodes-to-route-reflectors-"+slug(g.zone), map[string]any{"nodeSelector": isNot + zone, "peerSelector": is + zone})
	}
	return d.add(step)
}

// hasLabel reports whether a node has the label of the route reflectors.
func (d *reflectorDesign) hasLabel() bool {
	return slices.ContainsFunc(d.nodes, func(n *calico.Node) bool { _, ok := n.Labels[d.label]; return ok })
}

// freeName returns a name that no BGPPeer has.
func (d *reflectorDesign) freeName(name string) string {
	for out, i := name, 2; ; out, i = fmt.Sprintf("%s-%d", name, i), i+1 {
		if d.Snapshot.Get(calico.ID{Kind: calico.KindBGPPeer, Name: out}) == nil {
			return out
		}
	}
}

// reflector adds the step that makes a node a route reflector.
func (d *reflectorDesign) reflector(g *group, n *calico.Node) error {
	patch := map[string]any{"metadata": map[string]any{
		"labels": map[string]any{d.label: "true"}, "annotations": map[string]any{calico.AnnotationClusterID: g.clusterID},
	}}
	return d.add(Step{
		Name: "reflector-" + n.Name, Title: "Make " + n.Name + " a route reflector",
		Why: "One patch sets the label and the cluster ID, so the node leaves the mesh and gets its sessions by BGPPeers at once. " +
			"Set apart, the first of them would leave the node without sessions, or with two for each peer. " +
			"Only the traffic of pods on this node stops until its new sessions are established: drain the node before, if that matters.",
		Edits: []Edit{{Kind: string(calico.KindNode), Name: n.Name, Patch: patch}},
		Wait:  Wait{Text: "Wait until all sessions of " + n.Name + " are established.", Nodes: []string{n.Name}},
	})
}

// meshOff adds the last step.
func (d *reflectorDesign) meshOff() error {
	var all []string
	for i := range d.groups {
		for _, n := range d.groups[i].reflectors {
			all = append(all, n.Name)
		}
	}
	return d.add(meshOffStep(d.Snapshot, "Every route also comes from the route reflectors now, so no node loses one.",
		Wait{Text: "Wait until all sessions of the route reflectors are established; the mesh sessions are gone.", Nodes: all}))
}

// meshOffStep returns the step that turns the mesh off. Calico rejects nodeMeshPassword and
// nodeMeshMaxRestartTime beside nodeToNodeMeshEnabled: false (since v3.32), so it unsets them.
func meshOffStep(s *state.Snapshot, why string, wait Wait) Step {
	step := Step{Name: "mesh-off", Title: "Turn the node-to-node mesh off", Why: why, Wait: wait}
	spec := map[string]any{"nodeToNodeMeshEnabled": false}
	c := s.BGPConfiguration(calico.Default)
	if c == nil {
		step.Edits = []Edit{{Kind: string(calico.KindBGPConfiguration), Name: calico.Default, Object: object(s, calico.KindBGPConfiguration, calico.Default, spec)}}
		return step
	}
	for _, field := range []string{"nodeMeshPassword", "nodeMeshMaxRestartTime"} {
		if _, ok := c.Spec[field]; ok {
			spec[field] = nil
		}
	}
	step.Edits = []Edit{{Kind: string(calico.KindBGPConfiguration), Name: calico.Default, Patch: map[string]any{"spec": spec}}}
	return step
}

// notes describes what the design costs.
func (d *reflectorDesign) notes() {
	ids := "One cluster ID for all route reflectors"
	if len(d.groups) > 1 {
		ids = "One cluster ID for the route reflectors of each zone"
	}
	d.builder.choose("%s: each node peers with all route reflectors of its cluster ID, so no route needs two of them, and they do not keep the copies that they get from each other (RFC 4456, section 7). "+
		"With one ID for each, a node would receive every route once for each pair of route reflectors, because Calico's BIRD sends all paths.", ids)
	d.note("Two nodes that have each lost the session with another route reflector have no route to each other, although each still has a session: " +
		"route reflectors of one cluster ID do not pass routes of clients on to each other. Alert on sessions that are not established.")
	d.note("New nodes need no change: the BGPPeers select them. A new route reflector needs the label %s and its cluster ID in one patch.", d.label)
	d.note("The API server must not lose the label %s of the route reflectors: node pools that are replaced must set it, and the cluster ID, on the new nodes.", d.label)
}

// list fills the route reflectors of the plan.
func (d *reflectorDesign) list(p *Plan) {
	t := d.Engine.Evaluate(d.ctx, d.now).Topology
	sessions := map[string]int{}
	for n := range t.Neighbours(func(n *calico.Node) bool { return n.RouteReflector() }) {
		sessions[n.Node.Name] += len(n.List)
	}
	for i := range d.groups {
		g := &d.groups[i]
		for _, n := range g.reflectors {
			p.Reflectors = append(p.Reflectors, Reflector{n.Name, n.Labels[zoneLabel], g.why[n.Name], g.clusterID, sessions[n.Name]})
		}
	}
}
