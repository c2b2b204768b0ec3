package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// shown is the number of items that a list in text shows before it counts the rest.
const shown = 5

// writeTopologyText writes totals, the effect of a change, faults, convergence, and the
// sessions of one node.
func writeTopologyText(w io.Writer, t *Topology) error {
	p := &printer{}
	p.totals(t)
	if t.Described != nil {
		p.node(t.Described)
	}
	if t.Before != nil {
		p.changes(t.Changes, t, t.Color)
		p.compare(t)
	}
	p.reflectors(t)
	for _, f := range calico.Families {
		p.routes(t, f)
	}
	p.broken(t)
	p.ambiguous(t)
	p.frozen(t.Frozen)
	p.ignored(t.Ignored)
	p.convergence(t)
	if t.Node != "" {
		p.sessions(t)
	}
	_, err := io.WriteString(w, p.String())
	return err
}

// printer collects text in sections.
type printer struct{ strings.Builder }

func (p *printer) line(indent int, parts ...string) {
	p.WriteString(strings.Repeat("  ", indent) + strings.Join(parts, "") + "\n")
}

// section begins a new section.
func (p *printer) section(parts ...string) {
	p.line(0)
	p.line(0, parts...)
}

// table writes rows below their header, aligned.
func (p *printer) table(indent int, rows [][]string) {
	// A strings.Builder returns no errors.
	w := tabwriter.NewWriter(&p.Builder, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Repeat("  ", indent)+strings.Join(row, "\t"))
	}
	_ = w.Flush()
}

// rest writes the number of items that were not listed.
func (p *printer) rest(indent, total, listed int) {
	if total > listed {
		p.line(indent, "and ", number(total-listed), " more")
	}
}

func (p *printer) totals(t *Topology) {
	for _, fact := range facts(t.Summary, versionHint) {
		p.line(0, fact.Name, ": ", fact.Value)
	}
}

// node describes one node: its routes, then the BGPPeers that select it, then the others.
func (p *printer) node(n *topology.NodeDescription) {
	role := ""
	if n.ClusterID != "" {
		role = ", route reflector with cluster ID " + clean(n.ClusterID)
	}
	if n.Mesh {
		role += ", in the node-to-node mesh"
	}
	p.section("Node ", clean(n.Name), ", AS ", strconv.FormatUint(uint64(n.ASN), 10), role, ":")
	for _, f := range calico.Families {
		one := n.Families.In(f)
		if one.Address == "" {
			p.line(1, f.String(), ": no address, so no sessions")
			continue
		}
		p.line(1, f.String(), ": address ", one.Address, ", ", Count(one.Sessions, "half-session"), ", ", reflectorsOf(one.Reflectors))
		p.line(2, reachText(&one.WithoutTransit))
		if one.WithTransit != one.WithoutTransit {
			p.line(2, "if external peers pass routes on: ", reachText(&one.WithTransit))
		}
	}
	peers := slices.Clone(n.BGPPeers)
	selects := func(b *topology.NodePeering) bool { return b.Local.Matches || b.Peer != nil && b.Peer.Matches }
	slices.SortStableFunc(peers, func(a, b topology.NodePeering) int { return btoi(selects(&b)) - btoi(selects(&a)) })
	shown := peers[:min(len(peers), peersInText)]
	for i := range shown {
		b := &shown[i]
		p.line(1, "BGPPeer ", clean(b.Name), ": ", either(btoi(selects(b)), "selects the node", "does not select the node"))
		p.line(2, matchText(&b.Local))
		if b.Peer != nil {
			p.line(2, matchText(b.Peer))
		}
	}
	if len(peers) > len(shown) {
		p.line(1, "and ", number(len(peers)-len(shown)), " more BGPPeers: -o json lists all")
	}
}

// peersInText is the number of BGPPeers that the description of a node lists.
const peersInText = 20

func reflectorsOf(list []string) string {
	if len(list) == 0 {
		return "none with a route reflector"
	}
	return "with " + Count(len(list), "route reflector") + ": " + clean(strings.Join(list, ", "))
}

func reachText(r *topology.NodeReach) string {
	switch {
	case r.Others == 0:
		return "no other node has an address"
	case r.Isolated:
		return fmt.Sprintf("isolated: no routes to or from any of %s", Count(r.Others, "other node"))
	default:
		return fmt.Sprintf("not isolated: routes to the pods of %s and from %s of %s", number(r.To), number(r.From), Count(r.Others, "other node"))
	}
}

// matchText says whether a field of a BGPPeer selects the node, and which clauses decide.
func matchText(m *topology.Match) string {
	_, field, _ := strings.Cut(m.Field, ".")
	switch {
	case m.Field == "":
		return "neither node nor nodeSelector is set: it applies to all nodes"
	case m.Error != "":
		return fmt.Sprintf("%s %q does not parse and matches no node: %s", field, clean(m.Value), clean(m.Error))
	case field == "node":
		return fmt.Sprintf("node %s %s", clean(m.Value), either(btoi(m.Matches), "is this node", "is another node"))
	}
	clauses := make([]string, len(m.Clauses))
	for i, c := range m.Clauses {
		clauses[i] = clean(c.String())
	}
	if m.Matches {
		return fmt.Sprintf("%s %q matches: %s", field, clean(m.Value), strings.Join(clauses, ", "))
	}
	return fmt.Sprintf("%s %q does not match, because of %s", field, clean(m.Value), strings.Join(clauses, ", "))
}

func (p *printer) reflectors(t *Topology) {
	if len(t.Reflectors) == 0 {
		return
	}
	p.section("Route reflectors and their load:")
	rows := [][]string{{"NODE", "CLUSTER ID", "SESSIONS"}}
	listed := busiest(t.Reflectors)
	for _, r := range listed {
		rows = append(rows, []string{clean(r.Node), clean(r.ClusterID), number(r.Sessions)})
	}
	p.table(1, rows)
	p.rest(1, len(t.Reflectors), len(listed))
}

// busiest returns the reflectors to list, most sessions first.
func busiest(list []Reflector) []Reflector {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b Reflector) int { return cmp.Compare(b.Sessions, a.Sessions) })
	return sorted[:min(len(sorted), 2*shown)]
}

func (p *printer) routes(t *Topology, f calico.Family) {
	findings := routeFindings(t, f)
	if len(findings) == 0 {
		return
	}
	p.section("Routes to pods, ", f.String(), assumption(t, f), ":")
	for _, finding := range findings {
		p.line(1, finding)
	}
}

func (p *printer) broken(t *Topology) {
	samples, counts := brokenByReason(t)
	total := 0
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return
	}
	p.section(Count(total, "half-session"), " that cannot come up:")
	for _, reason := range byCount(counts) {
		p.line(1, string(reason), ": ", number(counts[reason]))
		for _, b := range samples[reason] {
			p.line(2, clean(b.Node), " ", b.Family, " ", clean(b.Protocol), ": ", clean(b.Message), from(b.Sources))
		}
		p.rest(2, counts[reason], len(samples[reason]))
	}
}

// brokenByReason returns the first few broken half-sessions of each reason and their
// numbers. If the summary has the numbers, it stops at the last half-session that it
// returns.
func brokenByReason(t *Topology) (samples map[topology.Reason][]topology.BrokenSession, counts map[topology.Reason]int) {
	samples, counts = map[topology.Reason][]topology.BrokenSession{}, map[topology.Reason]int{}
	if t.Node != "" {
		for b := range t.Broken {
			counts[b.Reason]++
			if len(samples[b.Reason]) < topology.SampleSize {
				samples[b.Reason] = append(samples[b.Reason], b)
			}
		}
		return samples, counts
	}
	for _, f := range calico.Families {
		for reason, n := range t.Summary.Sessions.In(f).BrokenReasons {
			counts[reason] += n.HalfSessions
		}
	}
	wanted := 0
	for _, n := range counts {
		wanted += min(n, topology.SampleSize)
	}
	few := func(yield func(topology.BrokenSession) bool) {
		for b := range t.Broken {
			if len(samples[b.Reason]) < topology.SampleSize && !yield(b) {
				return
			}
		}
	}
	for b := range take(few, wanted) {
		samples[b.Reason] = append(samples[b.Reason], b)
	}
	return samples, counts
}

// byCount returns the keys of counts, most frequent first.
func byCount[K cmp.Ordered](counts map[K]int) []K {
	keys := make([]K, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	return keys
}

// from names the objects that configure something.
func from(sources []string) string {
	if len(sources) == 0 {
		return ""
	}
	return " (from " + names(sources[:min(len(sources), topology.SampleSize)], len(sources)) + ")"
}

func (p *printer) ambiguous(t *Topology) {
	_, known := t.totals()
	list, total := first(t.Ambiguous, shown, known)
	if total == 0 {
		return
	}
	p.section(Count(total, "half-session"), " whose settings depend on the order in which Calico processes BGPPeers:")
	for _, a := range list {
		p.line(1, clean(a.Node), " ", a.Family, " to ", clean(a.PeerIP), ": BGPPeers ", names(a.Sources, len(a.Sources)),
			" differ in ", names(a.Differs, len(a.Differs)))
	}
	p.rest(1, total, len(list))
}

func (p *printer) frozen(list []topology.FrozenNode) {
	sample, total := head(list, shown)
	if total == 0 {
		return
	}
	p.section(Count(total, "configuration"), " that BIRD rejects (the node keeps the previous one):")
	for _, n := range sample {
		p.line(1, clean(n.Node), " ", n.Family, ": ", clean(rejectedValues(n)))
	}
	p.rest(1, total, len(sample))
}

// rejectedValues lists the values that BIRD rejects on a node.
func rejectedValues(n topology.FrozenNode) string {
	texts := make([]string, len(n.Rejected))
	for i, v := range n.Rejected {
		texts[i] = v.String()
	}
	return strings.Join(texts, "; ")
}

func (p *printer) ignored(list []topology.Ignored) {
	sample, total := head(list, 2*shown)
	if total == 0 {
		return
	}
	p.section(Count(total, "setting"), " that Calico ignores or rejects:")
	for _, i := range sample {
		p.line(1, i.Kind, " ", clean(i.Name), ": ", clean(i.Message))
	}
	p.rest(1, total, len(sample))
}

func (p *printer) convergence(t *Topology) {
	p.section("Convergence, worst case (estimated from BIRD's timers):")
	for _, d := range delays(t) {
		p.line(1, d.Name, ": ", d.Value)
	}
}

// compare writes the totals before and after the change, and the changed half-sessions of
// one node.
func (p *printer) compare(t *Topology) {
	p.section("Before and after the change:")
	rows := [][]string{{"", "BEFORE", "AFTER"}}
	for _, r := range comparison(t.Before, t) {
		rows = append(rows, []string{r.Name, r.Before, r.After})
	}
	p.table(1, rows)
	if t.Node == "" {
		return
	}
	for d := range t.changes() {
		verb, h := "altered", d.After
		switch {
		case d.Before == nil:
			verb = "added"
		case d.After == nil:
			verb, h = "removed", d.Before
		}
		p.line(1, verb, ": ", clean(h.Node), " ", h.Family, " ", clean(h.Protocol), from(h.Sources))
	}
}

func (p *printer) sessions(t *Topology) {
	rows := [][]string{{"FAMILY", "PROTOCOL", "PEER", "REMOTE AS", "LOCAL AS", "DIALS", "REFLECTS", "FROM", "STATUS"}}
	for h := range t.Sessions {
		peer := h.PeerIP
		if h.PeerNode != "" {
			peer += " (" + h.PeerNode + ")"
		}
		rows = append(rows, []string{
			h.Family, clean(h.Protocol), clean(peer), strconv.FormatUint(uint64(h.PeerASN), 10), strconv.FormatUint(uint64(h.LocalASN), 10),
			yes(!h.Passive), yes(h.RouteReflectorClient), names(h.Sources, len(h.Sources)), string(h.Status),
		})
	}
	p.section(Count(len(rows)-1, "half-session"), " of node ", clean(t.Node), ":")
	if len(rows) > 1 {
		p.table(1, rows)
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
