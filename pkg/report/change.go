package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/report/picture"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// changesOutcome is the verdict on a sequence of changes in words.
type changesOutcome struct {
	word  string // "denied", "allowed with warnings", "allowed", "could not be evaluated"
	tone  string
	count int // of the changes with this outcome
}

// outcomeOf returns the worst outcome of changes.
func outcomeOf(changes []Checked) changesOutcome {
	out := changesOutcome{"allowed", good, 0}
	for _, worst := range []struct {
		changesOutcome
		is func(*Checked) bool
	}{
		{changesOutcome{word: "denied", tone: "critical"}, func(c *Checked) bool { return !c.Decision.Allowed && c.Decision.Evaluated() }},
		{changesOutcome{word: "could not be evaluated", tone: unsure}, func(c *Checked) bool { return !c.Decision.Evaluated() }},
		{changesOutcome{word: "allowed with warnings", tone: odd}, func(c *Checked) bool { return c.Decision.Allowed && len(c.Decision.Warnings()) > 0 }},
	} {
		for i := range changes {
			if worst.is(&changes[i]) {
				worst.count++
			}
		}
		if worst.count > 0 {
			return worst.changesOutcome
		}
	}
	out.count = len(changes)
	return out
}

// sentenceOf describes the outcome: "Denied: delete BGPPeer workers", or "2 of 3 changes
// are denied".
func (o changesOutcome) sentenceOf(changes []Checked) string {
	if len(changes) == 1 {
		return capital(o.word) + ": " + changes[0].what()
	}
	if o.count == len(changes) {
		return fmt.Sprintf("%s: all %s", capital(o.word), Count(o.count, "change"))
	}
	return fmt.Sprintf("%s: %s of %s", capital(o.word), number(o.count), Count(len(changes), "change"))
}

// changes writes what the changes are, their decisions, and what they do.
func (p *printer) changes(changes []Checked, t *Topology, color bool) {
	c := Check{Changes: changes, Color: color, together: len(changes) == 1}
	p.section("The change:")
	var b strings.Builder
	for i := range changes {
		c.textChange(&b, &changes[i])
	}
	for line := range strings.Lines(b.String()) {
		p.WriteString("  " + line)
	}
	p.effects(t)
}

// effects writes what the change does, and which sessions the change adds and removes, by groups of nodes.
func (p *printer) effects(t *Topology) {
	if effect := t.effect(); effect != "" {
		p.line(1, "What it does: ", effect)
	}
	moves := movesOf(t)
	list, total := head(moves, 2*shown)
	for _, m := range list {
		p.line(2, m.verb(), " ", m.sessions(), ", ", m.who, ", ", m.from)
	}
	p.rest(2, total, len(list))
}

// move is the sessions of one kind between two groups that a change adds, removes or
// changes in number.
type move struct {
	link topology.LinkChange
	// who names the groups: "296 reflector clients (a, b, c and 293 more) x 4".
	who  string
	from string
}

// difference returns the number of added (positive) or removed (negative) sessions.
func (m *move) difference() int { return m.link.After - m.link.Before }

func (m *move) verb() string {
	if m.difference() < 0 {
		return "removes"
	}
	return "adds"
}

// sessions counts the added or removed sessions: "1,184 reflected sessions, IPv4".
func (m *move) sessions() string {
	l := m.link
	n := m.difference()
	l.Before = max(n, -n)
	l.After = l.Before
	return picture.LinkText(l)
}

// movesOf returns the moves of a change, those with the most sessions first. Removed
// sessions come before added ones.
func movesOf(t *Topology) []move {
	if t.Change == nil {
		return nil
	}
	p := picture.Compare(t.Change)
	shapes := map[string]*picture.Shape{}
	for i := range p.Shapes {
		shapes[p.Shapes[i].ID] = &p.Shapes[i]
	}
	var out []move
	for _, l := range p.Links {
		if l.Before != l.After {
			out = append(out, move{l, between(shapes[l.From], shapes[l.To], l), picture.LinkSources(l)})
		}
	}
	slices.SortStableFunc(out, func(a, b move) int {
		da, db := a.difference(), b.difference()
		return cmp.Or(strings.Compare(b.verb(), a.verb()), cmp.Compare(max(db, -db), max(da, -da)))
	})
	return out
}

// between describes which nodes have the sessions of a link, and how many each has.
func between(a, b *picture.Shape, l topology.LinkChange) string {
	if a == b {
		return "among " + Count(a.Size, "node") + ": " + a.String()
	}
	if a.Size < b.Size {
		a, b = b, a
	}
	n := max(l.After, l.Before)
	if n == 1 {
		return a.String() + " and " + b.String()
	}
	if each := n / max(a.Size, 1); each > 0 && each*a.Size == n {
		return fmt.Sprintf("%s x %s: %s and %s", Count(a.Size, a.Unit()), number(each), a.String(), b.String())
	}
	return a.String() + " and " + b.String()
}

// effect describes what the change does in one line, without a full stop; "" if that was
// not computed.
func (t *Topology) effect() string {
	if t.Impact == nil {
		return ""
	}
	return t.Impact.String()
}
