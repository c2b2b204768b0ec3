package report

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// Check contains the decisions on a sequence of changes.
type Check struct {
	// Changes are the changes in the order in which they were decided. If Set is not nil, it is
	// an order in which each of them is allowed, and empty if none was found.
	Changes []Checked
	// Set is the decision on all changes together, nil if each change is decided alone.
	Set *Set
	// Policies are the policies in force, in order of names.
	Policies []*policy.Policy
	// Version is the version of bgpguard.
	Version string
	// Explain adds an explanation to each violation.
	Explain bool
	// All makes Text name all nodes of a violation.
	All bool
	// Quiet makes Text skip changes without a finding.
	Quiet bool
	// Color makes Text use the colors of a terminal.
	Color bool

	// together makes Text leave what each change does to the caller, who says what all of
	// them do.
	together bool
}

// Checked is a change and its decision.
type Checked struct {
	Change   state.Change
	Decision *validate.Decision
	// Source is the position of the changed object.
	Source Source
	// Notes say on which assumptions about the state the decision rests.
	Notes []string
}

// Set is the decision on several changes together.
type Set struct {
	// Together is the decision on all changes as if they were made at once.
	Together *validate.Decision
	// Problems are warnings about the objects, if Together does not allow the changes. They are
	// among the warnings of Changes otherwise.
	Problems []string
	// Notes are about the decision, such as what it assumes.
	Notes []string
	// First is the first change that is denied in the order in which kubectl sends them, nil if
	// none is.
	First *Checked
	// Knot is the reason why no order was found, nil if one was.
	Knot *Knot
}

// warnings returns the warnings about all changes.
func (s *Set) warnings() []string { return slices.Concat(s.Together.Warnings(), s.Problems) }

// Knot is a set of changes of which none is allowed before the others.
type Knot struct {
	// After are the changes that are applied before, in order.
	After []Checked
	// Changes are the changes of the knot, with the decisions on them after After.
	Changes []Checked
	// Incomplete reports that the search ended before it tried all orders.
	Incomplete bool
}

// Decisions returns all decisions that decide the result.
func (c *Check) Decisions() []*validate.Decision {
	var out []*validate.Decision
	if c.Set != nil {
		out = append(out, c.Set.Together)
	}
	for i := range c.Changes {
		out = append(out, c.Changes[i].Decision)
	}
	return out
}

// allowed reports whether the changes are allowed.
func (c *Check) allowed() bool {
	if c.Set != nil && (!c.Set.Together.Allowed || c.Set.Knot != nil) {
		return false
	}
	return c.denied() == 0
}

// Source is the position of an object in a file.
type Source struct {
	// File is "" for an object that is in no file.
	File string
	// LineOf returns the line of a field or of its nearest parent. For "", it returns
	// the line of the object.
	LineOf func(field string) int
}

// denied counts the changes that are not allowed.
func (c *Check) denied() int {
	n := 0
	for _, change := range c.Changes {
		if !change.Decision.Allowed {
			n++
		}
	}
	return n
}

var verbs = map[state.Operation]string{state.Create: "create", state.Update: "update", state.Delete: "delete"}

// what returns the name of the change: "update BGPPeer workers".
func (c *Checked) what() string {
	return verbs[c.Change.Operation()] + " " + clean(c.Change.ID().String())
}

// verdict returns the decision in words.
func (c *Checked) verdict() string {
	switch d := c.Decision; {
	case d.Allowed:
		return "allowed"
	case d.Evaluated():
		return "denied"
	default:
		return "could not be evaluated"
	}
}

// notice returns what an allowed change does, also if it does nothing. It is "" for a
// denied change, whose message contains it, and if this is not known.
func (c *Checked) notice() string {
	d := c.Decision
	if line := d.Notice(); line != "" || !d.Allowed || len(d.Failures) > 0 {
		return line
	}
	return validate.EffectPrefix + (&topology.Impact{}).String()
}

// lineOf returns the line of the first of fields, or of the object if fields is empty. It is 0 if
// the object is in no file.
func (s Source) lineOf(fields []string) int {
	if len(fields) == 0 {
		return s.line("")
	}
	return s.line(fields[0])
}

// line returns the line of a field, 0 if the object is in no file.
func (s Source) line(field string) int {
	if s.File == "" || s.LineOf == nil {
		return 0
	}
	return s.LineOf(field)
}
