// Package violation holds the words in which a judgement is spoken: what a
// policy found, and what a change gets for it. It is a leaf, so that every
// other package can speak them.
package violation

import (
	"cmp"
	"slices"
	"strings"
)

// Action is what follows from a violation, with the names and the meaning of
// a ValidatingAdmissionPolicyBinding's validationActions.
type Action string

// The validation actions, strongest first.
const (
	Deny  Action = "Deny"
	Warn  Action = "Warn"
	Audit Action = "Audit"
)

// Actions lists every action, strongest first.
var Actions = []Action{Deny, Warn, Audit}

// Object names one object that a violation is about.
type Object struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// String gives "Kind name", for example "BGPPeer rack-1".
func (o Object) String() string { return o.Kind + " " + o.Name }

// Violation is one thing that a policy found wrong with a state or a change.
type Violation struct {
	// Policy is the name of the BGPPolicy document that found it.
	Policy string `json:"policy"`
	// ID tells the policy's violations apart and stays the same as long as the
	// same thing is wrong, so that a state before and one after can be compared.
	ID string `json:"id"`
	// Size says how bad it is, in a unit of the policy's own; larger is worse.
	Size float64 `json:"size"`
	// Action is the strongest validation action that the policy carries.
	Action Action `json:"action"`
	// Message says what is wrong, the numbers, and what to do.
	Message string `json:"message"`
	// Details holds the numbers behind the message, for programs.
	Details map[string]any `json:"details"`
	// Link is where to read more about the policy, "" where it names nothing.
	Link string `json:"link,omitempty"`
	// Objects are those that the violation is about.
	Objects []Object `json:"objects"`
	// Members names the sets of nodes, or of pairs of nodes, that the violation
	// is about, as the summary of the state names them in its fields "members".
	// Of two states with the same violation, the one with a node or a pair in a
	// set that was not in it before is worse, whatever the sizes say. They are
	// for that comparison only, and mean nothing outside it.
	Members []string `json:"-"`
}

// Text gives the message, and behind it in parentheses the link.
func (v *Violation) Text() string {
	if v.Link == "" {
		return v.Message
	}
	return v.Message + " (" + v.Link + ")"
}

// Fields lists the fields of its objects that the violation is about, as paths such
// as "spec.peerSelector": what the policy gives as "field" or "fields" in the
// details. None where it does not tell.
func (v *Violation) Fields() []string {
	names, _ := v.Details["fields"].([]any)
	var out []string
	for _, name := range append([]any{v.Details["field"]}, names...) {
		field, ok := name.(string)
		if !ok || field == "" {
			continue
		}
		if top, _, _ := strings.Cut(field, "."); top != "spec" && top != "metadata" {
			field = "spec." + field
		}
		out = append(out, field)
	}
	return out
}

// Concerns reports whether o is among the objects of v.
func (v *Violation) Concerns(o Object) bool { return slices.Contains(v.Objects, o) }

// Compare orders violations by policy, then by id.
func Compare(a, b Violation) int {
	return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.ID, b.ID))
}
