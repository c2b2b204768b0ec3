package validate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/operator"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// isInstallation reports whether a change is one of an Installation, from which others follow.
func isInstallation(c state.Change) bool { return c.ID().Kind == calico.KindInstallation }

// effects returns what follows from a change to s: the change with what it does to a running
// cluster, and what tigera-operator writes if it is one of an Installation. O(IPPools).
func effects(s *state.Snapshot, c state.Change) []state.Change {
	c = operator.Effect(c)
	out := []state.Change{c}
	if isInstallation(c) {
		out = append(out, operator.Writes(s.Apply(c))...)
	}
	return out
}

// withWrites returns the requests to s, and one for each object that tigera-operator then writes
// because they change an Installation. These are by the user who changes the Installation: so an
// Installation is decided like the objects that it stands for.
func withWrites(s *state.Snapshot, requests []Request) []Request {
	i := slices.IndexFunc(requests, func(r Request) bool { return (r.Before != nil || r.After != nil) && isInstallation(r.Change) })
	if i < 0 {
		return requests
	}
	by := requests[i]
	by.installation = by.After
	if by.After == nil {
		by.installation = by.Before
	}
	before := s
	for _, r := range requests {
		if r.Before != nil || r.After != nil {
			before = asKnown(before, r.Change)
			s = asKnown(s, r.Change).Apply(operator.Effect(r.Change))
		}
	}
	asked := operator.Reconciled(before)
	out := slices.Clone(requests)
	for _, c := range operator.Writes(s) {
		r := by
		r.Change, r.rest = c, state.Change{Before: asked.Get(c.ID()), After: c.After}
		if sameSpec(r.rest.Before, r.rest.After) { // The operator has to write it in any case.
			r.rest = state.Change{}
		}
		out = append(out, r)
	}
	return out
}

// sameSpec reports whether two objects have the same spec, or whether both are nil.
func sameSpec(a, b calico.Object) bool {
	if a == nil || b == nil {
		return a == b
	}
	return reflect.DeepEqual(calico.MetadataOf(a).Spec, calico.MetadataOf(b).Spec)
}

// maxWritten bounds the objects that a message names.
const maxWritten = 5

// writing returns what tigera-operator does because of the set, "" for nothing.
func (s requestSet) writing() string {
	var names []string
	restarts := false
	for i := range s {
		if s[i].written() {
			names = append(names, written(s[i].Change))
		}
		before, ok := s[i].Before.(*calico.Installation)
		after, is := s[i].After.(*calico.Installation)
		restarts = restarts || ok && is && after.Restarts(before)
	}
	var parts []string
	if len(names) > 0 {
		parts = append(parts, text.SomeOf(names[:min(len(names), maxWritten)], len(names)))
	}
	if restarts {
		parts = append(parts, "restarts every calico-node")
	}
	if len(parts) == 0 {
		return ""
	}
	return "tigera-operator " + strings.Join(parts, ", and ")
}

// written returns what the operator does to an object.
func written(c state.Change) string {
	value := ""
	for _, field := range []string{"programClusterRoutes", "cidr"} {
		if m := calico.MetadataOf(c.After); m != nil && m.Spec[field] != nil {
			value = fmt.Sprintf(" (%s: %v)", field, m.Spec[field])
		}
	}
	return strings.ToLower(string(c.Operation())) + "s " + c.ID().String() + value
}

// operators are the users as which the writes of tigera-operator arrive: its own ServiceAccount,
// and that of Calico's API server, through which it writes IPPools; which namespace that has depends
// on the version of the operator.
var operators = []string{
	"system:serviceaccount:tigera-operator:tigera-operator",
	"system:serviceaccount:calico-system:calico-apiserver",
	"system:serviceaccount:calico-apiserver:calico-apiserver",
}

// steps reports whether a request is a step of tigera-operator towards what the Installation in s, or
// a pending one, asks for: neither the user nor the object alone suffices. The Installation was
// evaluated with all that the operator writes for it. So a step is decided in the states that have
// all of it, in which it changes nothing unless it does something else, too: rest.
func steps(s *state.Snapshot, r *Request) (rest state.Change, ok bool) {
	if !slices.Contains(operators, r.User) {
		return rest, false
	}
	if rest, ok = operator.Asks(s, r.Change); ok {
		return rest, true
	}
	for i := range r.Pending {
		if p := r.Pending[i].Change; isInstallation(p) {
			if rest, ok = operator.Asks(s.Apply(p), r.Change); ok {
				return rest, true
			}
		}
	}
	return rest, false
}

// isStep is the reason why a step of tigera-operator is not denied.
const isStep = "the Installation asks for it, and was evaluated as a whole; the other steps follow"

// changes returns changes of s, made one after the other, in the form that the states of a reading
// need, and sets s to the state after them. For states as tigera-operator leaves them, that is how the
// objects differ in them: a change that it takes back changes nothing.
func (r reading) changes(s **state.Snapshot, changes []state.Change, set requestSet) []state.Change {
	if !r.asked && !set.installs() {
		return changes // Nobody reads the state after them.
	}
	out := slices.Clone(changes)
	for i, c := range changes {
		if c.Before == nil && c.After == nil {
			continue
		}
		before := asKnown(*s, c)
		*s = before.Apply(c)
		if r.asked {
			out[i] = state.Change{Before: operator.Reconciled(before).Get(c.ID()), After: operator.Reconciled(*s).Get(c.ID())}
		}
	}
	return out
}
