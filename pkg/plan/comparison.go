package plan

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// Comparison compares the designs for one cluster.
type Comparison struct {
	// Cluster names the cluster or the files. Compare leaves it empty.
	Cluster string `json:"cluster"`
	// CalicoVersion is "MAJOR.MINOR.PATCH", or "" if it is unknown.
	CalicoVersion string `json:"calicoVersion"`
	// Nodes counts the nodes with a BGP address, Zones the values of
	// topology.kubernetes.io/zone on them.
	Nodes int `json:"nodes"`
	Zones int `json:"zones"`
	// DualStack reports that nodes have addresses in both families.
	DualStack bool   `json:"dualStack"`
	Limits    Limits `json:"limits"`
	// IPPools counts the IPPools. Without one, pod traffic counts as needing BGP.
	IPPools int `json:"ipPools"`
	// Pools are the IPPools whose pods need BGP to reach pods on other nodes.
	Pools []string `json:"poolsThatNeedBGP"`
	// Current is the design of the state, "" if it is none of them.
	Current Goal `json:"current"`
	// Now is the state before any change.
	Now Facts `json:"now"`
	// Designs has one entry for each of Goals, in that order.
	Designs        []*Option      `json:"designs"`
	Recommendation Recommendation `json:"recommendation"`
}

// Option is a design in a comparison.
type Option struct {
	Goal  Goal   `json:"goal"`
	Title string `json:"title"`
	// Possible is false if a prerequisite is unmet. Facts is then nil.
	Possible bool `json:"possible"`
	// Changes counts the changes. Objects counts the objects that change, by kind.
	Changes int      `json:"changes"`
	Objects []Number `json:"objects"`
	// Reflectors are the route reflectors of the design.
	Reflectors    []Reflector    `json:"reflectors"`
	Prerequisites []Prerequisite `json:"prerequisites"`
	// Facts are the sessions and delays of the design.
	Facts *Facts `json:"facts"`
	// Interruption is what pods notice of the changes, nil if the design is not possible.
	Interruption *Interruption `json:"interruption"`
}

// Interruption is what pods notice of changes that are made one after the other.
type Interruption struct {
	// Changes counts the changes that interrupt routes, Nodes the nodes that one of them
	// interrupts, the highest number.
	Changes int `json:"changes"`
	Nodes   int `json:"nodes"`
	// Seconds is the usual time without routes on these nodes, AtWorst the longest.
	Seconds int `json:"seconds"`
	AtWorst int `json:"atWorst"`
	// Text says it in one sentence.
	Text string `json:"text"`
}

// Number is the number of objects of a kind that change.
type Number struct {
	Kind   string `json:"kind"`
	Number int    `json:"number"`
}

// Facts describe one topology.
type Facts struct {
	// Sessions counts the sessions between nodes, External the half-sessions to external
	// peers and pods, over both families.
	Sessions int `json:"sessions"`
	External int `json:"external"`
	// Fullest is the highest number of half-sessions of one node in one family. FullestNode
	// is the first node with this number.
	Fullest     int    `json:"fullest"`
	FullestNode string `json:"fullestNode"`
	// Usual is the number of half-sessions that most nodes that are no route reflector have
	// in one family, UsualNodes the number of these nodes.
	Usual      int `json:"usual"`
	UsualNodes int `json:"usualNodes"`
	// NeedsBGP reports whether pod traffic between nodes needs BGP.
	NeedsBGP bool `json:"podTrafficNeedsBGP"`
	// Start has the delays of a start of calico-node.
	Start []Start `json:"start"`
	// Losses has one entry for each kind of failure that the state can have.
	Losses []Loss `json:"losses"`
	// Isolated counts the nodes without a route to or from any other, in the worse family,
	// with transit by external peers.
	Isolated int `json:"isolated"`
}

// The values of Start.When.
const (
	AllUp         = "all nodes are up"
	NodeDown      = "one node is down"
	ReflectorDown = "one route reflector is down"
	RouterDown    = "one router is down"
)

// recoveryWait is how long, in seconds, a starting BIRD waits for a peer that does not answer
// (BIRD 1.6, proto/nest.c: 240; Calico does not set it).
const recoveryWait = 240

// Start is how long a node has no routes after a start of calico-node.
type Start struct {
	// When is AllUp, NodeDown, ReflectorDown or RouterDown.
	When string `json:"when"`
	// Seconds is the delay of the nodes concerned, Nodes their number: with AllUp all nodes,
	// else those that wait for the node that is down. All others start as with AllUp.
	// 0 seconds mean that pod traffic does not need BGP.
	Seconds int `json:"seconds"`
	Nodes   int `json:"nodes"`
}

// The values of Loss.Kind.
const (
	LossReflector = "route reflector"
	LossZone      = "zone"
	LossRouter    = "router"
)

// Loss is the worst outcome of the loss of one route reflector, zone or router.
type Loss struct {
	Kind string `json:"kind"`
	// Name is the one whose loss is worst, and Of the number of them.
	Name string `json:"name"`
	Of   int    `json:"of"`
	// Isolated and Pairs count the nodes that then have no route to any other node, and the
	// pairs of nodes without a route, among the nodes that are left.
	Isolated int `json:"isolated"`
	Pairs    int `json:"pairs"`
}

// Recommendation is the design that bgpguard recommends.
type Recommendation struct {
	// Goal is the design, and Keep that the cluster has it already.
	Goal Goal `json:"goal"`
	Keep bool `json:"keep"`
	// Summary is one sentence, Reasons has the numbers behind it, and Others why the other
	// designs come after it.
	Summary string   `json:"summary"`
	Reasons []string `json:"reasons"`
	Others  []string `json:"others"`
}

// maxZones bounds the zones whose loss Compare computes: the largest.
const maxZones = 32

// Compare computes each design for s, whose topology is t. It takes one topology for each
// route reflector and zone of a design, at most maxZones zones. An error is that of ctx or of
// the options.
func Compare(ctx context.Context, s *state.Snapshot, t *topology.Topology, o DesignOptions) (*Comparison, error) {
	summary := t.Summary()
	out := &Comparison{
		CalicoVersion: string(summary.CalicoVersion), Nodes: summary.Nodes.BGP, Limits: o.limits(), IPPools: len(s.IPPools()), Pools: []string{},
		DualStack: hasFamily(s, calico.IPv4) && hasFamily(s, calico.IPv6), Current: current(summary),
	}
	zones := map[string]bool{}
	for _, n := range s.Nodes() {
		if zone := n.Labels[zoneLabel]; zone != "" {
			zones[zone] = true
		}
	}
	out.Zones = len(zones)
	for _, f := range calico.Families {
		out.Pools = append(append(out.Pools, summary.PodTraffic.In(f).Pools...), summary.PodTraffic.In(f).DisabledPools...)
	}
	now, err := factsOf(ctx, s, t)
	if err != nil {
		return nil, err
	}
	out.Now = *now
	for _, goal := range Goals {
		option, err := optionOf(ctx, goal, s, t, now, o)
		if err != nil {
			return nil, err
		}
		out.Designs = append(out.Designs, option)
	}
	out.recommend()
	return out, nil
}

// Option returns the design of a goal.
func (c *Comparison) Option(goal Goal) *Option {
	for _, d := range c.Designs {
		if d.Goal == goal {
			return d
		}
	}
	return nil
}

// current is the design of a state.
func current(s *topology.Summary) Goal {
	reflectors := s.Reflectors.IPv4.Peered + s.Reflectors.IPv6.Peered
	switch {
	case s.Mesh.Enabled && s.Mesh.Sessions > 0:
		return MeshTimers
	case reflectors > 0:
		return RouteReflectors
	case !s.PodTraffic.IPv4.NeedsBGP && !s.PodTraffic.IPv6.NeedsBGP:
		return VXLANCrossSubnet
	case s.Sessions.IPv4.External+s.Sessions.IPv6.External > 0:
		return PerRack
	}
	return ""
}

func optionOf(ctx context.Context, goal Goal, s *state.Snapshot, t *topology.Topology, now *Facts, o DesignOptions) (*Option, error) {
	target, err := Design(goal, s, t, o)
	if err != nil {
		return nil, err
	}
	out := &Option{
		Goal: goal, Title: goal.Title(), Possible: len(target.Blocked()) == 0, Changes: len(target.Changes), Objects: []Number{},
		Reflectors: []Reflector{}, Prerequisites: target.Prerequisites,
	}
	if !out.Possible {
		return out, nil
	}
	counts, seen := map[string]int{}, map[calico.ID]bool{}
	after := s
	for _, c := range target.Changes {
		if id := c.ID(); !seen[id] {
			seen[id] = true
			counts[string(id.Kind)]++
		}
		after = after.Apply(c)
	}
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		out.Objects = append(out.Objects, Number{kind, counts[kind]})
	}
	computed, err := topology.Compute(ctx, after, t)
	if err != nil {
		return nil, err
	}
	facts, err := factsOf(ctx, after, computed)
	if err != nil {
		return nil, err
	}
	out.Reflectors = reflectorsOf(after, computed, target.Reflectors)
	// Nodes that are isolated now, for example because they share an address, block no design.
	if facts.NeedsBGP && (facts.Isolated > now.Isolated || facts.Isolated > 0 && facts.Isolated == computed.Summary().Nodes.BGP) {
		out.Possible = false
		out.Prerequisites = append(out.Prerequisites, Prerequisite{Unmet, fmt.Sprintf("sessions for every node: %s would have no route to any other node", text.Count(facts.Isolated, "node"))})
		return out, nil
	}
	out.Facts = facts
	out.Interruption, err = interruption(ctx, target, s, t)
	return out, err
}

// interruption computes what the changes of a design interrupt, one after the other. It
// computes a topology for each change.
func interruption(ctx context.Context, target *Target, s *state.Snapshot, t *topology.Topology) (*Interruption, error) {
	out := &Interruption{}
	pools := 0
	for _, c := range target.Changes {
		s = s.Apply(c)
		next, err := topology.Compute(ctx, s, t)
		if err != nil {
			return nil, err
		}
		if i := next.Impact(t).Interruption; i.AtWorst > 0 {
			out.Changes++
			out.Nodes, out.Seconds, out.AtWorst = max(out.Nodes, i.Nodes), max(out.Seconds, i.Seconds), max(out.AtWorst, i.AtWorst)
		}
		if c.ID().Kind == calico.KindIPPool {
			pools++
		}
		t = next
	}
	switch {
	case len(target.Changes) == 0:
		out.Text = "none: nothing changes"
	case pools > 0:
		out.Text = fmt.Sprintf("connections of pods between nodes pause for some seconds while %s the encapsulation; pods that run keep their old MTU until they restart", text.Count(pools, "IPPool changes", "IPPools change"))
	case out.Changes == 0:
		out.Text = "none: every route that stays also comes over a session that stays up"
	default:
		nodes := text.Count(out.Nodes, "node")
		verb := "interrupts routes on " + nodes
		switch {
		case out.Nodes == 0: // Each node keeps a session.
			verb = "may interrupt routes"
		case out.Changes > 1:
			verb = "interrupt routes, each on " + nodes + ","
		}
		out.Text = fmt.Sprintf("%s of %s %s for about %d s, %d s at worst", text.Number(out.Changes), text.Count(len(target.Changes), "change"), verb, out.Seconds, out.AtWorst)
		if target.Goal == MeshTimers {
			out.Text += ": BIRD restarts a session whose timer changes"
		}
	}
	return out, nil
}

func hasFamily(s *state.Snapshot, f calico.Family) bool {
	return slices.ContainsFunc(s.Nodes(), func(n *calico.Node) bool { return n.SpeaksBGP(f) })
}

// factsOf describes t, the topology of s.
func factsOf(ctx context.Context, s *state.Snapshot, t *topology.Topology) (*Facts, error) {
	out := &Facts{Start: []Start{}, Losses: []Loss{}}
	summary := t.Summary()
	for _, f := range calico.Families {
		in := summary.Sessions.In(f)
		out.Sessions += in.Total
		out.External += in.External
		if in.Most > out.Fullest {
			out.Fullest, out.FullestNode = in.Most, string(in.MostNode)
		}
		for _, load := range in.Load {
			if load.Nodes > out.UsualNodes {
				out.Usual, out.UsualNodes = load.Sessions, load.Nodes
			}
		}
		if p := summary.PodTraffic.In(f); hasFamily(s, f) && (p.NeedsBGP || len(p.DisabledPools) > 0) {
			out.NeedsBGP = true
			out.Isolated = max(out.Isolated, summary.Routes.In(f).WithTransit.Isolated.Nodes)
		}
	}
	l := &laboratory{s: s, t: t, out: out}
	if err := l.starts(ctx); err != nil {
		return nil, err
	}
	return out, l.losses(ctx)
}

// laboratory computes what happens to a state.
type laboratory struct {
	s   *state.Snapshot
	t   *topology.Topology
	out *Facts
}

// starts computes the delays of a start.
func (l *laboratory) starts(ctx context.Context) error {
	if !l.out.NeedsBGP {
		l.out.Start = append(l.out.Start, Start{AllUp, 0, l.t.Summary().Nodes.BGP}, Start{NodeDown, 0, 0})
		return nil
	}
	up := l.s
	for _, n := range l.s.Nodes() {
		if n.NotReady {
			up = up.Apply(state.Change{Before: n, After: ready(n, true)})
		}
	}
	t, err := topology.Compute(ctx, up, l.t)
	if err != nil {
		return err
	}
	c := t.Summary().Convergence
	l.out.Start = append(l.out.Start, Start{AllUp, c.Start.Seconds, cmp.Or(c.Waiting.Nodes, t.Summary().Nodes.BGP)})
	var ordinary, reflecting *calico.Node
	for _, n := range up.Nodes() {
		switch {
		case !n.SpeaksBGP(calico.IPv4) && !n.SpeaksBGP(calico.IPv6):
		case n.RouteReflector() && reflecting == nil:
			reflecting = n
		case !n.RouteReflector() && ordinary == nil:
			ordinary = n
		}
	}
	for when, n := range map[string]*calico.Node{NodeDown: ordinary, ReflectorDown: reflecting} {
		if n == nil {
			continue
		}
		down, err := topology.Compute(ctx, up.Apply(state.Change{Before: n, After: ready(n, false)}), t)
		if err != nil {
			return err
		}
		peers := map[string]bool{}
		for h := range t.HalfSessions(n.Name) {
			if h.PeerNode != "" {
				peers[h.PeerNode] = true
			}
		}
		l.out.Start = append(l.out.Start, Start{when, down.Summary().Convergence.Start.Seconds, len(peers)})
	}
	slices.SortFunc(l.out.Start[1:], func(a, b Start) int { return cmp.Compare(a.When, b.When) })
	if router := l.busiestRouter(); router > 0 {
		l.out.Start = append(l.out.Start, Start{RouterDown, recoveryWait, router})
	}
	return nil
}

// busiestRouter is the highest number of nodes that peer with an external peer by one BGPPeer.
func (l *laboratory) busiestRouter() int {
	out := 0
	for _, p := range l.t.Summary().BGPPeers {
		if p.Scope == sessions.ScopeExternal {
			out = max(out, p.LocalNodes)
		}
	}
	return out
}

// ready returns the node with another condition Ready.
func ready(n *calico.Node, is bool) *calico.Node {
	out := *n
	out.NotReady = !is
	return &out
}

// losses computes the worst loss of each kind.
func (l *laboratory) losses(ctx context.Context) error {
	var reflectors [][]*calico.Node
	zones := map[string][]*calico.Node{}
	for _, n := range l.s.Nodes() {
		if n.RouteReflector() && (n.SpeaksBGP(calico.IPv4) || n.SpeaksBGP(calico.IPv6)) {
			reflectors = append(reflectors, []*calico.Node{n})
		}
		if zone := n.Labels[zoneLabel]; zone != "" {
			zones[zone] = append(zones[zone], n)
		}
	}
	largest := slices.SortedFunc(maps.Keys(zones), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(zones[b]), len(zones[a])), cmp.Compare(a, b))
	})
	var sets [][]*calico.Node
	for _, zone := range largest[:min(len(largest), maxZones)] {
		sets = append(sets, zones[zone])
	}
	if err := l.worst(ctx, LossReflector, reflectors[:min(len(reflectors), maxZones)], func(i int) string { return reflectors[i][0].Name }); err != nil {
		return err
	}
	if len(sets) > 1 {
		if err := l.worst(ctx, LossZone, sets, func(i int) string { return largest[i] }); err != nil {
			return err
		}
	}
	l.routers()
	return nil
}

// worst adds the worst of the losses of sets of nodes.
func (l *laboratory) worst(ctx context.Context, kind string, sets [][]*calico.Node, name func(int) string) error {
	if len(sets) == 0 {
		return nil
	}
	worst := Loss{Kind: kind, Of: len(sets)}
	for i, set := range sets {
		loss := Loss{Kind: kind, Of: len(sets), Name: name(i)}
		if l.out.NeedsBGP {
			left := l.s
			for _, n := range set {
				left = left.Apply(state.Change{Before: n})
			}
			t, err := topology.Compute(ctx, left, l.t)
			if err != nil {
				return err
			}
			for _, f := range calico.Families {
				r := t.Summary().Routes.In(f).WithTransit
				loss.Isolated, loss.Pairs = max(loss.Isolated, r.Isolated.Nodes), max(loss.Pairs, r.WithoutRoute.Pairs)
			}
		}
		if i == 0 || loss.Isolated > worst.Isolated || loss.Isolated == worst.Isolated && loss.Pairs > worst.Pairs {
			worst = loss
		}
	}
	l.out.Losses = append(l.out.Losses, worst)
	return nil
}

// routers adds the loss of one external peer, by the single points of failure.
func (l *laboratory) routers() {
	if l.out.External == 0 {
		return
	}
	worst := Loss{Kind: LossRouter}
	summary := l.t.Summary()
	for _, p := range summary.BGPPeers {
		if p.Scope == sessions.ScopeExternal && p.LocalNodes > 0 {
			worst.Of++
		}
	}
	for _, f := range calico.Families {
		for _, p := range summary.Routes.In(f).WithTransit.SinglePoints {
			if p.Kind == "externalPeer" && p.Nodes > worst.Isolated && l.out.NeedsBGP {
				worst.Name, worst.Isolated = p.Name, p.Nodes
			}
		}
	}
	l.out.Losses = append(l.out.Losses, worst)
}
