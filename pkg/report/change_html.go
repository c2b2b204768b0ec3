package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/report/picture"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// changePart is the part of a page about the change: what it is, and what it does.
type changePart struct {
	ID string
	// Effect is what the change does, in one sentence; it can be "".
	Effect  string
	Objects []changedPart
	// Rest counts the objects that are not on the page; "" for none.
	Rest string
	// Moves are the sessions that the change adds and removes, by groups of nodes.
	Moves *cells
	// Comparison compares the totals.
	Comparison *table
}

// changedPart is one changed object.
type changedPart struct {
	Title, Where  string
	Verdict       badge
	Lines         []diffLine
	Why, Warnings []string
	Effects       []string
}

// diffLine is a line of a diff. Class is "del", "add" or "".
type diffLine struct{ Class, Sign, Text, Mark string }

// The bounds of a page: changed objects, and lines of the diff of one.
const (
	changesShown = 100
	linesShown   = 60
)

// newChangePart returns the part on changes that lead to t; nil if there are none.
func newChangePart(changes []Checked, t *Topology, id string) *changePart {
	if len(changes) == 0 && (t == nil || t.Before == nil) {
		return nil
	}
	p := &changePart{ID: id}
	c := &Check{Changes: changes}
	parts := alike(changes, func(change *Checked) changedPart { return newChangedPart(c, change) })
	list, total := head(parts, changesShown)
	p.Objects = list
	if rest := total - len(list); rest > 0 {
		p.Rest = "and " + Count(rest, "more change")
	}
	if t != nil && t.Before != nil {
		if len(changes) != 1 || changes[0].Decision == nil { // Else the object has this.
			p.Effect = sentence(t.effect())
		}
		p.Moves = moveCells(t)
		p.Comparison = comparisonTable(t)
	}
	return p
}

// alike returns the parts of changes. Objects of one kind with the same difference are one part.
func alike(changes []Checked, part func(*Checked) changedPart) []changedPart {
	var out []changedPart
	at := map[string]int{} // in out, by difference
	names := map[int][]string{}
	for i := range changes {
		one, id := part(&changes[i]), changes[i].Change.ID()
		if changes[i].Decision != nil {
			out = append(out, one)
			continue
		}
		differing := changes[i].changed()
		if changes[i].Change.Operation() != state.Update {
			differing = changes[i].fields()
		}
		key := fmt.Sprint(id.Kind, one.Verdict, differing)
		n, found := at[key]
		if !found {
			n = len(out)
			at[key], out = n, append(out, one)
		}
		if names[n] = append(names[n], id.Name); found {
			out[n].Title = fmt.Sprintf("%s %s", Count(len(names[n]), string(id.Kind)), clean(text.SomeOf(names[n][:min(len(names[n]), topology.SampleSize)], len(names[n]))))
		}
	}
	return out
}

func newChangedPart(c *Check, change *Checked) changedPart {
	if change.Decision == nil { // The difference of two states.
		verb := verbs[change.Change.Operation()] + "d"
		return changedPart{Title: change.Change.ID().String(), Verdict: badge{neutral, "low", verb}, Lines: diffOf(change, nil)}
	}
	d, found := change.Decision, c.findings(change)
	o := outcomeOf([]Checked{*change})
	p := changedPart{Title: capital(change.what()), Verdict: badge{o.tone, o.tone, o.word}, Why: messageLines(d.Message())}
	if change.Source.File != "" {
		var first finding
		if len(found) > 0 {
			first = found[0]
		}
		p.Where = fmt.Sprintf("%s:%d", clean(change.Source.File), change.line(&first))
	}
	for _, w := range d.Warnings() {
		p.Warnings = append(p.Warnings, clean(w))
	}
	if len(p.Why) == 0 && d.Impact != nil { // Else the message has this.
		for _, e := range append(slices.Clone(d.Impact.Causes), d.Impact.String()) {
			p.Effects = append(p.Effects, sentence(clean(e)))
		}
	}
	p.Lines = diffOf(change, change.marks(found))
	return p
}

// messageLines returns the lines of text.
func messageLines(text string) []string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			out = append(out, clean(line))
		}
	}
	return out
}

// diffOf returns the diff of the changed fields; for a create or a delete, of all fields.
func diffOf(change *Checked, marks map[string][]string) []diffLine {
	var out []diffLine
	add := func(class, sign, field, value, mark string) {
		out = append(out, diffLine{class, sign, clean(field) + ": " + clean(value), mark})
	}
	for _, f := range change.fields() {
		mark := ""
		if by := marks[f.Field]; len(by) > 0 {
			mark = clean(strings.Join(by, ", "))
		}
		if !f.differs() && mark == "" {
			continue
		}
		before, after := shorten(compact(f.Before), compact(f.After))
		switch {
		case f.After == nil:
			add("del", "-", f.Field, before, mark)
		case f.Before == nil:
			add("add", "+", f.Field, after, mark)
		case !f.differs():
			add("", " ", f.Field, cut(compact(f.After), 0), mark)
		default:
			add("del", "-", f.Field, before, "")
			add("add", "+", f.Field, after, mark)
		}
	}
	if rest := len(out) - linesShown; rest > 0 {
		out = append(out[:linesShown], diffLine{Text: "and " + Count(rest, "more line")})
	}
	if len(out) == 0 && change.Change.Operation() == state.Update {
		out = append(out, diffLine{Text: "no field that decides BGP changes"})
	}
	return out
}

// moveCells lists the sessions that a change adds and removes, by groups of nodes.
func moveCells(t *Topology) *cells {
	c := &cells{Title: "Sessions that the change adds and removes", Sortable: true, Header: append(heads("Change"), numberHead("Sessions"), columnHead{Text: "Kind"}, columnHead{"Nodes x sessions of each", "wide"}, columnHead{Text: "From"})}
	for _, m := range movesOf(t) {
		b := badge{"good", "new", "added"}
		if m.difference() < 0 {
			b = badge{"critical", "gone", "removed"}
		}
		if m.link.Kind == topology.LinkBroken && m.difference() > 0 {
			b.Tone = "critical"
		}
		n := m.difference()
		c.Rows = append(c.Rows, cellRow{Groups: m.link.From + " " + m.link.To, Cells: []cell{
			{Badge: &b}, numberCell(max(n, -n)), {Text: picture.LinkKind(m.link)}, {Text: clean(m.who)}, {Text: clean(m.from)},
		}})
	}
	c.cut()
	return c
}

// changeVerdict is the verdict on changes: allowed, warned or denied, and why.
func changeVerdict(changes []Checked, t *Topology) verdict {
	if len(changes) == 0 {
		return topologyVerdict(t)
	}
	o := outcomeOf(changes)
	v := verdict{Tone: o.tone, Icon: o.tone, Text: o.sentenceOf(changes)}
	for i := range changes {
		d := changes[i].Decision
		why := slices.DeleteFunc(messageLines(d.Message()), func(line string) bool { // The last line has this.
			return t != nil && line == clean(d.Effect())
		})
		if len(why) == 0 && o.tone == odd {
			why = d.Warnings()
		}
		for _, line := range why {
			v.More = append(v.More, clean(line))
		}
	}
	if rest := len(v.More) - shown; rest > 0 {
		v.More = append(v.More[:shown], "and "+Count(rest, "more reason")+", below")
	}
	v.More = slices.Compact(v.More)
	if t != nil {
		if effect := t.effect(); effect != "" {
			v.More = append(v.More, "What it does: "+effect+".")
		}
	}
	return v
}
