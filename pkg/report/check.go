package report

import (
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// Check contains the decisions on a sequence of changes.
type Check struct {
	Changes []Checked
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
	return "what the change does: " + (&topology.Impact{}).String()
}

// line returns the line of a field, 0 if the object is in no file.
func (s Source) line(field string) int {
	if s.File == "" || s.LineOf == nil {
		return 0
	}
	return s.LineOf(field)
}
