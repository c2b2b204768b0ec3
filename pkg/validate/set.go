package validate

import (
	"context"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/operator"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// requestSet has the requests whose changes are made together, one for each object.
type requestSet []setMember

// setMember is a request of a set.
type setMember struct {
	*Request

	asked *policy.Request
}

// newRequestSet returns the requests with a change. Several changes of one object, in their
// order, become one by the user of the last. O(requests).
func newRequestSet(requests []Request) requestSet {
	set := make(requestSet, 0, len(requests))
	index := make(map[calico.ID]int, len(requests))
	for _, r := range requests {
		if r.Before == nil && r.After == nil {
			continue
		}
		if at, ok := index[r.ID()]; ok {
			r.Before = set[at].Before
			if !set[at].written() {
				r.installation = nil
			}
			set[at].Request = &r
			continue
		}
		index[r.ID()] = len(set)
		set = append(set, setMember{Request: &r})
	}
	// An object that is created and deleted again has no change.
	set = slices.DeleteFunc(set, func(m setMember) bool { return m.Before == nil && m.After == nil })
	for i := range set {
		set[i].Change = set[i].Informed()
		set[i].asked = set[i].Request.asked()
	}
	return set
}

// every reports whether all requests have a property, some whether at least one has.
func (s requestSet) every(has func(*Request) bool) bool {
	return !s.some(func(r *Request) bool { return !has(r) })
}

func (s requestSet) some(has func(*Request) bool) bool {
	return slices.ContainsFunc(s, func(m setMember) bool { return has(m.Request) })
}

// changes returns the changes of a state with what they do to a running cluster; see
// operator.Effect. What tigera-operator writes is that for the state, and not that for the one for
// which the set was made.
func (s requestSet) changes(at *state.Snapshot) []state.Change {
	out := make([]state.Change, 0, len(s))
	installs := s.installs()
	for i := range s {
		if s[i].written() {
			continue
		}
		c := operator.Effect(s[i].Change)
		out = append(out, c)
		if installs {
			at = asKnown(at, c).Apply(c)
		}
	}
	if installs {
		out = append(out, operator.Writes(at)...)
	}
	return out
}

// single reports whether a user changes one object. The others of the set are those that
// tigera-operator writes because of it. It is the first one.
func (s requestSet) single() bool {
	return len(s) == 1 || !slices.ContainsFunc(s[1:], func(m setMember) bool { return !m.written() })
}

// objects returns the changed objects.
func (s requestSet) objects() []violation.Object {
	out := make([]violation.Object, len(s))
	for i := range s {
		out[i] = violation.Object{Kind: string(s[i].ID().Kind), Name: s[i].ID().Name}
	}
	return out
}

// all reports whether the verdicts on all violations are asked for.
func (s requestSet) all() bool {
	return slices.ContainsFunc(s, func(r setMember) bool { return r.All })
}

// others returns the pending changes of objects that the set does not change. A pending
// change of a changed object is not one of them: the request contains the object before the
// change, and the API server persists a change only to the version that was reviewed.
func (s requestSet) others() []Pending {
	var out []Pending
	for i := range s {
		for _, p := range s[i].Pending {
			known := func(q Pending) bool { return q.ID() == p.ID() }
			if s.some(func(r *Request) bool { return !r.written() && r.ID() == p.ID() }) || slices.ContainsFunc(out, known) {
				continue
			}
			p.Change = p.Informed()
			out = append(out, p)
		}
	}
	return out
}

// onlyDown reports whether all changes only touch objects that are down.
func (s requestSet) onlyDown() bool {
	return s.every(func(r *Request) bool { return onlyDown(r.Change) })
}

// fixesUnread reports whether a change fixes an object that did not parse.
func (s requestSet) fixesUnread() bool {
	return s.some(func(r *Request) bool { return fixesUnread(r.Change) })
}

// installs reports whether a request changes an Installation.
func (s requestSet) installs() bool {
	return s.some(func(r *Request) bool { return isInstallation(r.Change) })
}

// installation returns the changed Installation of which the written changes of the set are.
func (s requestSet) installation() setMember {
	return s[slices.IndexFunc(s, func(m setMember) bool { return isInstallation(m.Change) })]
}

// sets reports whether a changed object is by, the one that sets a value; nil for none.
func (s requestSet) sets(by *violation.Object) bool {
	return by != nil && s.some(func(r *Request) bool { return string(r.ID().Kind) == by.Kind && r.ID().Name == by.Name })
}

// matching returns the numbers of the requests that a policy matches.
func (s requestSet) matching(p *policy.Policy) []int {
	out := make([]int, 0, len(s))
	for i := range s {
		if p.Matches(s[i].asked) {
			out = append(out, i)
		}
	}
	return out
}

// exempt reports whether a policy exempts the users of all requests with the given numbers.
func (s requestSet) exempt(p *policy.Policy, numbers []int) bool {
	return !slices.ContainsFunc(numbers, func(i int) bool { return !p.Exempts(s[i].asked) })
}

// DecideSet evaluates the policies on several changes that are made to s together, by the
// rules of Decide: it compares the state after all of them with s, under each assumption, and
// evaluates policies that evaluate changes on each change between these two states. States in
// between are not evaluated, so the changes may be denied when they are made one by one. The
// changes of one object must be in order.
//
// A policy that evaluates states applies if it matches one of the changes, and exempts if it
// exempts the users of all changes that it matches. A denial is enforced unless it would be
// for none of the changes.
func (e *Engine) DecideSet(ctx context.Context, s *state.Snapshot, requests []Request) *Decision {
	return e.decide(ctx, s, newRequestSet(withWrites(s, requests)))
}

// touches reports whether a change changes a field at fault of an object of v. A create and a delete
// change all fields, and so does a change of an object without named fields.
func (s requestSet) touches(v *violation.Violation) bool {
	for i, o := range s.objects() {
		if !v.Concerns(o) {
			continue
		}
		fields := v.Fields(o)
		if len(fields) == 0 || s[i].Before == nil || s[i].After == nil {
			return true
		}
		before, after := calico.Manifest(s[i].Before), calico.Manifest(s[i].After)
		if slices.ContainsFunc(fields, func(path string) bool {
			return !reflect.DeepEqual(valueAt(before, path), valueAt(after, path))
		}) {
			return true
		}
	}
	return false
}

var fieldKeys = regexp.MustCompile(`[^.\[\]]+|\[[^\]]*\]`)

// valueAt returns the value of a field of a document, nil if it is absent; see violation.Subject.
func valueAt(document map[string]any, path string) any {
	var value any = document
	for _, key := range fieldKeys.FindAllString(path, -1) {
		m, _ := value.(map[string]any)
		value = m[strings.Trim(key, "[]")]
	}
	return value
}
