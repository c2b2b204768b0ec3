package report

import (
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// Check is the decisions on a sequence of changes.
type Check struct {
	Changes []Checked
	// Policies are those in force, in order of their names.
	Policies []*policy.Policy
	// Version is the program's.
	Version string
	// Explain adds to each violation what is behind it.
	Explain bool
	// Color makes Text use the colors of a terminal.
	Color bool
}

// Checked is a change and its decision.
type Checked struct {
	Change   state.Change
	Decision *validate.Decision
	// Source is where the changed object stands.
	Source Source
}

// Source is where an object stands in a file.
type Source struct {
	// File is "" for an object that is in none.
	File string
	// LineOf tells the line of a field, or of its nearest parent; that of the
	// object for "".
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

// what names the change: "update BGPPeer workers".
func (c *Checked) what() string {
	return verbs[c.Change.Operation()] + " " + clean(c.Change.ID().String())
}

// verdict says what became of the change.
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

// line returns the line of a field, 0 where the object is in no file.
func (s Source) line(field string) int {
	if s.File == "" || s.LineOf == nil {
		return 0
	}
	return s.LineOf(field)
}
