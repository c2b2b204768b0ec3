// Package violation defines the violations that policies find and the actions of policies.
// It imports no other package of bgpguard, so that every package can import it.
package violation

import (
	"cmp"
	"slices"
	"strings"
)

// Action is what follows from a violation. Names and meaning are those of the
// validationActions of a ValidatingAdmissionPolicyBinding.
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

// String returns "Kind name", for example "BGPPeer rack-1".
func (o Object) String() string { return o.Kind + " " + o.Name }

// Subject is an object that a violation is about.
type Subject struct {
	Object
	// Fields are the fields of the object that are at fault, the most important one first, as
	// paths such as "spec.peerSelector" or "metadata.labels[topology.kubernetes.io/zone]": a key
	// that has other characters than letters, digits, "-" and "_" is in brackets. Nodes have the
	// fields of core/v1. It is empty if the policy names no field.
	Fields []string `json:"fields,omitempty"`
}

// Subjects returns objects without fields.
func Subjects(objects ...Object) []Subject {
	out := make([]Subject, len(objects))
	for i, o := range objects {
		out[i] = Subject{Object: o}
	}
	return out
}

// Violation is one defect that a policy found in a state or a change.
type Violation struct {
	// Policy is the name of the BGPPolicy that found it.
	Policy string `json:"policy"`
	// ID is unique within the policy. It stays the same as long as the defect exists, so
	// that the violations of two states can be compared.
	ID string `json:"id"`
	// Size says how bad it is, in a unit that the policy chooses; larger is worse.
	Size float64 `json:"size"`
	// Action is the strongest validation action of the policy.
	Action Action `json:"action"`
	// Severity is that of the policy, one of policy.Severities.
	Severity string `json:"-"`
	// Advisory means that the violation warns at most, whatever the action of the policy: it
	// is inferred, or it cannot end a session.
	Advisory bool `json:"advisory,omitempty"`
	// Assumption is what the violation assumes and the objects do not tell, as a clause such
	// as "external peers do not pass routes on between nodes"; "" for none. A violation with
	// an assumption only serves to compare the states before and after a change. It is not
	// listed among the violations of a state.
	Assumption string `json:"assumption,omitempty"`
	// SetBy is the object that sets the value from which the objects of the violation differ,
	// nil where no object sets it. For a change of that object the violation is advisory: the
	// value may be changed first, and then the objects that must follow it.
	SetBy *Object `json:"-"`
	// Message says what is wrong, the numbers, and what to do.
	Message string `json:"message"`
	// Details holds the numbers behind the message, for programs.
	Details map[string]any `json:"details"`
	// Link is the page about the policy, "" where the policy names none.
	Link string `json:"link,omitempty"`
	// Objects are the objects at fault. For a violation that a change makes worse, they include
	// the changed object.
	Objects []Subject `json:"objects"`
	// Members names the sets of nodes, or of pairs of nodes, that the violation is
	// about, as the fields "members" of the summary name them. A violation that reaches
	// a node or a pair that it did not reach before is worse, whatever its size. The
	// names serve this comparison, and to find Nodes.
	Members []string `json:"-"`
	// Nodes names all nodes that the violation is about, in order: those of the first of its
	// Members that is not empty. It is nil without Members, and where they were not looked up.
	Nodes []string `json:"nodes,omitempty"`
}

// Text returns the message with the link in parentheses. Use it to show a single violation;
// for several violations, See lists each link once.
func (v *Violation) Text() string {
	if v.Link == "" {
		return v.Message
	}
	return v.Message + " (" + v.Link + ")"
}

// See returns the line that refers to links, each once, such as "See https://example.com/a
// and https://example.com/b"; "" where all are empty.
func See(links ...string) string {
	var named []string
	for _, link := range links {
		if link != "" && !slices.Contains(named, link) {
			named = append(named, link)
		}
	}
	switch last := len(named) - 1; {
	case last < 0:
		return ""
	case last == 0:
		return "See " + named[0]
	default:
		return "See " + strings.Join(named[:last], ", ") + " and " + named[last]
	}
}

// Fields returns the fields of o that are at fault. It is empty if the policy names none, and
// if v is not about o.
func (v *Violation) Fields(o Object) []string {
	for i := range v.Objects {
		if v.Objects[i].Object == o {
			return v.Objects[i].Fields
		}
	}
	return nil
}

// Concerns reports whether v is about o.
func (v *Violation) Concerns(o Object) bool {
	return slices.ContainsFunc(v.Objects, func(s Subject) bool { return s.Object == o })
}

// ByPolicyAndID compares violations: by policy, then by id, then by assumption.
func ByPolicyAndID(a, b Violation) int {
	return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Assumption, b.Assumption))
}
