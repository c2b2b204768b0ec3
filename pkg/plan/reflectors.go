package plan

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/text"
)

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

// label is LABEL or LABEL=VALUE, as kubectl writes selectors.
var label = regexp.MustCompile(`^([\w./-]+)(=([\w.-]+))?$`)

// selectorOf returns the selector of Calico for a label, and any other text as it is.
func selectorOf(text string) string {
	switch m := label.FindStringSubmatch(text); {
	case m == nil:
		return text
	case m[2] == "":
		return "has(" + m[1] + ")"
	default:
		return m[1] + " == '" + m[3] + "'"
	}
}

// population counts the nodes. The error is about the selector of the options.
func (b *designer) population() (*population, error) {
	var selector *calico.Selector
	if b.o.Select != "" {
		var err error
		if selector, err = calico.ParseSelector(selectorOf(b.o.Select)); err != nil {
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
		if c.zone != "" {
			names[i] += " (zone " + c.zone + ")"
		}
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
