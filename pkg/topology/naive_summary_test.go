package topology

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions/bgpfilter"
)

// The functions below return parts of a summary as texts, once from the summary and once
// from the naive model.

func levelsOf(r *Reflectors) string {
	text := fmt.Sprintf("%d reflectors, %s not ready, %d nodes, %s", r.Total, nodeSetOf(r.NotReady), r.Nodes, loadOf(r.Load))
	for _, l := range r.Levels {
		text += fmt.Sprintf("; %d: %d nodes %v", l.Reflectors, l.Nodes, l.Sample)
	}
	for _, l := range r.Reflecting {
		text += fmt.Sprintf("; %d reflecting with %d", l.Nodes, l.Reflectors)
	}
	return text
}

func (m *naive) levels(f calico.Family) string {
	r := &Reflectors{Load: m.load(f, true)}
	with, reflecting := map[int][]string{}, map[int]int{}
	down := &naiveSet{}
	for _, n := range m.nodes {
		count := 0
		for _, s := range m.slots {
			if n.RouteReflector() && n.NotReady && s.node == n && s.family == f && s.status == Paired && !m.owner(f, s.peer).RouteReflector() {
				down.add(n, 0, nil)
			}
			if s.node == n && s.family == f && s.status == Paired && m.owner(f, s.peer).RouteReflector() {
				count++
			}
		}
		switch {
		case !n.SpeaksBGP(f):
		case n.RouteReflector():
			r.Total++
			reflecting[count]++
		default:
			r.Nodes++
			with[count] = append(with[count], n.Name)
		}
	}
	r.NotReady = down.nodeSet()
	for count := range MaxLevel {
		if reflecting[count] > 0 {
			r.Reflecting = append(r.Reflecting, Reflecting{Reflectors: count, Nodes: reflecting[count]})
		}
	}
	for count := range MaxLevel {
		if names := with[count]; len(names) > 0 {
			r.Levels = append(r.Levels, Level{Reflectors: count, Nodes: len(names), Sample: names[:min(SampleSize, len(names))]})
		}
	}
	return levelsOf(r)
}

func totalsOf(s *Sessions) string {
	text := fmt.Sprintf("total %d, external %d, most %d on %q, %s, broken %d, ambiguous %s differ in %v, conflicting %s in %v, frozen %s",
		s.Total, s.External, s.Most, s.MostNode, loadOf(s.Load), s.Broken, halfGroupOf(s.Ambiguous.HalfGroup), s.Ambiguous.Fields, halfGroupOf(s.Conflicting.HalfGroup), s.Conflicting.Fields, nodeSetOf(s.Frozen))
	for _, r := range s.FrozenReasons {
		text += fmt.Sprintf(", frozen by %s: %s by %v", r.Reason, nodeSetOf(r.NodeSet), r.Objects)
	}
	for _, reason := range sortedKeys(s.BrokenReasons) {
		text += fmt.Sprintf(", %s: %s", reason, halfGroupOf(s.BrokenReasons[reason]))
	}
	return text
}

func nodeSetOf(s NodeSet) string { return fmt.Sprintf("%d nodes %v", s.Nodes, s.Sample) }

func halfGroupOf(g HalfGroup) string {
	return fmt.Sprintf("%d on %s by %v", g.HalfSessions, nodeSetOf(g.NodeSet), g.BGPPeers)
}

func loadOf(list []Load) string {
	text := "load"
	for _, l := range list {
		text += fmt.Sprintf(" %d on %d nodes %v", l.Sessions, l.Nodes, l.Sample)
	}
	return text
}

// load groups the nodes by their numbers of half-sessions, without broken ones.
func (m *naive) load(f calico.Family, reflectors bool) []Load {
	with := map[int][]string{}
	for _, n := range m.nodes {
		if !n.SpeaksBGP(f) || n.RouteReflector() != reflectors {
			continue
		}
		count := 0
		for _, s := range m.slots {
			if s.node == n && s.family == f && s.status != Broken {
				count++
			}
		}
		with[count] = append(with[count], n.Name)
	}
	var out []Load
	for count := 2 * (len(m.slots) + 1); count >= 0 && len(out) < maxLoads; count-- {
		if names := with[count]; len(names) > 0 {
			out = append(out, Load{Sessions: count, Nodes: len(names), Sample: names[:min(SampleSize, len(names))]})
		}
	}
	return out
}

func (m *naive) totals(f calico.Family) string {
	out := &Sessions{BrokenReasons: map[Reason]HalfGroup{}, Load: m.load(f, false)}
	broken, frozen, faults := map[Reason]*naiveSet{}, map[*calico.Rule]*naiveSet{}, naiveRejections{}
	all, ambiguous, fields, conflicting, conflicts := &naiveSet{}, &naiveSet{}, &naiveSet{}, &naiveSet{}, &naiveSet{}
	paired := 0
	for _, n := range m.nodes {
		mine := 0
		for _, s := range m.slots {
			switch {
			case s.node != n || s.family != f:
				continue
			case s.ambiguous():
				ambiguous.add(n, 1, s.peersOf(s.candidates...))
				fields.add(n, 1, differing(s.candidates))
				if c := m.conflicts(s); len(c) > 0 {
					conflicting.add(n, 1, s.peersOf(s.candidates...))
					conflicts.add(n, 1, c)
				}
			case s.status == External:
				out.External++
			case s.status == Broken:
				out.Broken++
				if broken[s.reason] == nil {
					broken[s.reason] = &naiveSet{}
				}
				broken[s.reason].add(n, 1, s.peersOf(s.candidates...))
			}
			if s.status == Paired {
				paired++
			}
			if s.status != Broken {
				mine++
			}
		}
		if mine > out.Most {
			out.Most, out.MostNode = mine, Optional(n.Name)
		}
		for rule, objects := range m.rejections(n, f) {
			if frozen[rule] == nil {
				frozen[rule] = &naiveSet{}
			}
			frozen[rule].add(n, 0, nil)
			faults[rule] = append(faults[rule], objects...)
			all.add(n, 0, nil)
		}
	}
	out.Total, out.Frozen = paired/2, all.nodeSet()
	out.Ambiguous = Ambiguous{ambiguous.halfGroup(), fields.names()}
	out.Conflicting = Ambiguous{conflicting.halfGroup(), conflicts.names()}
	for reason, set := range broken {
		out.BrokenReasons[reason] = set.halfGroup()
	}
	for _, rule := range calico.Rules {
		if frozen[rule] != nil {
			slices.SortFunc(faults[rule], Subject.compare)
			objects := slices.Compact(faults[rule])
			out.FrozenReasons = append(out.FrozenReasons, FrozenReason{rule.Reason, rule.Fix, frozen[rule].nodeSet(), objects[:min(len(objects), maxNames)]})
		}
	}
	return totalsOf(out)
}

// conflicts lists the fields in which candidates differ, after timers are equal and filters
// are those of the first candidate whose filters let the same routes pass.
func (m *naive) conflicts(s *naiveSlot) []string {
	var halves []HalfSession
	for _, h := range s.candidates {
		h.GracefulRestartTime, h.KeepaliveTime, h.Protocol = nil, nil, ""
		for _, other := range s.candidates {
			if m.samePass(s.family, h.Filters, other.Filters) {
				h.Filters = other.Filters
				break
			}
		}
		halves = append(halves, h)
	}
	return differing(halves)
}

// samePass reports whether two lists of BGPFilters let the same routes pass. Package bgpfilter
// has a naive model of its own.
func (m *naive) samePass(f calico.Family, a, b []string) bool {
	if slices.Equal(a, b) {
		return true
	}
	bits := map[calico.Family]int{calico.IPv4: 32, calico.IPv6: 128}[f]
	rules := func(names []string, d bgpfilter.Direction) bgpfilter.Rules {
		direction := map[bgpfilter.Direction]string{bgpfilter.Import: "import", bgpfilter.Export: "export"}[d]
		out := bgpfilter.Parse(d, bits, nil, false)
		for _, name := range names {
			next := bgpfilter.Unknown(d, bits, name)
			for _, filter := range m.state.BGPFilters() {
				if filter.Name == name {
					next = bgpfilter.Parse(d, bits, filter.Spec[naiveField(direction, f)], !m.atLeast(3, 32, 0))
				}
			}
			out = out.Join(next)
		}
		return out
	}
	for _, d := range []bgpfilter.Direction{bgpfilter.Import, bgpfilter.Export} {
		if !bgpfilter.Same(rules(a, d), rules(b, d)) {
			return false
		}
	}
	return true
}

// meshNotReady returns the nodes in the mesh that are not ready.
func (m *naive) meshNotReady() NodeSet {
	out := &naiveSet{}
	c := m.state.BGPConfiguration(calico.Default)
	for _, n := range m.nodes {
		if (c == nil || c.NodeToNodeMeshEnabled == nil || *c.NodeToNodeMeshEnabled) && n.NotReady && !n.RouteReflector() && (n.SpeaksBGP(calico.IPv4) || n.SpeaksBGP(calico.IPv6)) {
			out.add(n, 0, nil)
		}
	}
	return out.nodeSet()
}

// selectors returns the selectors of a BGPPeer as text. It matches each node.
func (m *naive) selectors(p *calico.BGPPeer) string {
	text := ""
	for _, s := range []struct {
		field, text string
		selector    *calico.Selector
	}{{"spec.nodeSelector", p.NodeSelector, p.Local()}, {"spec.peerSelector", p.PeerSelector, p.Remote()}} {
		if s.text != "" {
			var unintended []string
			for _, n := range m.selected(s.selector) {
				if m.selectsByValue(s.text, n) {
					unintended = append(unintended, n.Name)
				}
			}
			text += fmt.Sprintf("%s %q parses %v matches %d, %d of them unintendedly: %q; ", s.field, s.text, s.selector != nil,
				len(m.selected(s.selector)), len(unintended), unintended[:min(len(unintended), SampleSize)])
		}
	}
	return text
}

// selectsByValue reports whether a selector matches a node, which it matches, only by a
// negative value of the label rr.
func (m *naive) selectsByValue(selector string, n *calico.Node) bool {
	if !slices.Contains([]string{"false", "Off", "disabled"}, n.Labels["rr"]) {
		return false
	}
	switch selector { // Of the selectors of random states, these read rr by has() alone.
	case "has(rr)":
		return true
	case "rack == 'b' || has(rr)":
		return n.Labels["rack"] != "b"
	}
	return false
}

func selectorsOfPart(list []Selector) string {
	text := ""
	for _, s := range list {
		text += fmt.Sprintf("%s %q parses %v matches %d, %d of them unintendedly: %q; ", s.Field, s.Text, s.Error == "",
			s.Nodes, s.Unintended.Nodes, s.Unintended.Sample)
	}
	return text
}

// peer is the parsed peer of a BGPPeer as text.
func (m *naive) peer(p *calico.BGPPeer) string {
	spec := p.Spec
	if spec["peerSelector"] != nil {
		return peerOfPart(&BGPPeer{})
	}
	out := &BGPPeer{}
	host, port := hostAndPort(p)
	if port != 0 {
		out.Port = new(int(port))
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return peerOfPart(&BGPPeer{})
	}
	out.Address = new(ip.String())
	if asn, ok := spec["asNumber"].(int64); ok && asn != 0 {
		out.ASNumber = new(int(asn))
	}
	return peerOfPart(out)
}

// externalSessions counts the half-sessions with external peers of which a BGPPeer is the first source.
func (m *naive) externalSessions(p *calico.BGPPeer) int {
	n := 0
	for _, s := range m.slots {
		if s.status == External && !s.workload() && !m.unusable(p) && slices.Min(sourcesOf(s.candidates)) == p.Name {
			n++
		}
	}
	return n
}

func peerOfPart(b *BGPPeer) string {
	text := "no address"
	if b.Address != nil {
		text = *b.Address
	}
	for _, n := range []*int{b.Port, b.ASNumber} {
		if n == nil {
			text += " unset"
		} else {
			text += fmt.Sprintf(" %d", *n)
		}
	}
	return text
}

func reachOf(r *Reach) string {
	return fmt.Sprintf("%d nodes, %d isolated %v, %d pairs without a route %v, to new blocks %d %v",
		r.Nodes, r.Isolated.Nodes, r.Isolated.Sample, r.WithoutRoute.Pairs, r.WithoutRoute.Sample, r.NewBlocks.Pairs, r.NewBlocks.Sample)
}

func (m *naive) reach(f calico.Family, reading naiveReading) string {
	out := &Reach{}
	var speakers []*calico.Node
	to, toNew := map[*calico.Node]map[*calico.Node]bool{}, map[*calico.Node]map[*calico.Node]bool{}
	for _, n := range m.nodes {
		if n.SpeaksBGP(f) {
			speakers = append(speakers, n)
			to[n] = m.reached(f, n, reading)
			toNew[n] = m.gets(f, n, slices.Concat(m.blocks(f), m.allocated(f, nil)), reading, false)
		}
	}
	add := func(set *PairSet, n, other *calico.Node, to map[*calico.Node]map[*calico.Node]bool) {
		if !to[n][other] || !to[other][n] {
			set.Pairs++
			if len(set.Sample) < SampleSize {
				set.Sample = append(set.Sample, Pair{n.Name, other.Name})
			}
		}
	}
	out.Nodes = len(speakers)
	for i, n := range speakers {
		if len(speakers) > 1 && m.alone(n, f, reading) {
			out.Isolated.Nodes++
			if len(out.Isolated.Sample) < SampleSize {
				out.Isolated.Sample = append(out.Isolated.Sample, n.Name)
			}
		}
		for _, other := range speakers[i+1:] {
			add(&out.WithoutRoute, n, other, to)
			add(&out.NewBlocks, n, other, toNew)
		}
	}
	return reachOf(out)
}

// alone reports whether a node has no route to a block of another node, and no other node one
// to a block of its own.
func (m *naive) alone(n *calico.Node, f calico.Family, reading naiveReading) bool {
	originates := func(n *calico.Node) []netip.Prefix {
		if own := m.allocated(f, n); own != nil {
			return own
		}
		return m.blocks(f)
	}
	for _, other := range m.nodes {
		if other != n && (m.gets(f, n, originates(n), reading, true)[other] || m.gets(f, other, originates(other), reading, true)[n]) {
			return false
		}
	}
	return true
}
