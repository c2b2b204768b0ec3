package validate

import (
	"fmt"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Relation is how a violation relates to the state before.
type Relation string

// The relations. A violation that both shrank and reaches other nodes is Spread.
const (
	// New: the violation did not exist before. Every violation of a policy that could not
	// be evaluated on the state before is New too, because its earlier violations are not
	// known.
	New Relation = "New"
	// Larger: the violation existed with a smaller size.
	Larger Relation = "Larger"
	// Spread: the violation existed, is not larger, and reaches nodes or pairs of nodes
	// that it did not reach.
	Spread Relation = "Spread"
	// Standing: the violation existed with the same size and reaches no further nodes or
	// pairs.
	Standing Relation = "Standing"
	// Smaller: the violation existed with a larger size and reaches no further nodes or
	// pairs.
	Smaller Relation = "Smaller"
	// Gone: the violation existed and is resolved.
	Gone Relation = "Gone"
	// Joined: the violation is new or larger only because it reaches nodes that had no
	// address in its family before. Such nodes had no session, so the change takes nothing
	// from them. A cluster can thus be installed, and extended by nodes, in any order.
	Joined Relation = "Joined"
)

// Worse reports whether a change that leads to r makes the state worse: New, Larger
// and Spread do.
func (r Relation) Worse() bool { return r == New || r == Larger || r == Spread }

// Verdict is a violation compared with the state before.
type Verdict struct {
	// Violation is the violation after the change, or before it if the relation is Gone.
	Violation violation.Violation
	// Before is the violation before the change, nil if it is New. It is shared and must
	// not be changed.
	Before *violation.Violation
	// Relation relates Violation to Before.
	Relation Relation
	// Gained counts the nodes, or the pairs of nodes, that the violation reaches and did
	// not reach before. Sample names the first few. Both are 0 and empty if the
	// violation is New, has no members or the topology of a side is not available.
	Gained int
	Sample []string
	// Exempt reports that the user is exempt from the policy: it is not enforced.
	Exempt bool
	// Assumption is what the verdict assumes about what is not known, as clauses; "" for
	// nothing. It is set for worse verdicts only.
	Assumption string
	// untouched reports that the violation is about several objects, and that the change changes
	// none of their fields at fault.
	untouched bool
	// topology is the one of the state with Violation, nil if it is not available.
	topology *topology.Topology
	// Waived is the reason why a worse verdict does not deny the change, "" for none.
	Waived string
	// Exception is the BGPException because of which the verdict does not deny the change, nil for
	// none.
	Exception *policy.Exception
}

// Text returns the message of the violation, the nodes that it newly reaches, and what the
// verdict assumes.
func (v *Verdict) Text() string {
	out := v.Violation.Message
	if v.Gained > 0 {
		out += "; new among them: " + text.SomeOf(v.Sample, v.Gained)
	}
	if v.Assumption != "" {
		out += "; this assumes that " + v.Assumption
	}
	return out
}

// Nodes names all nodes that the violation is about, in order; nil if they are not known.
// O(nodes).
func (v *Verdict) Nodes() []string { return NodesOf(v.topology, &v.Violation) }

// NodesOf names all nodes that a violation of a state is about, in order; nil if they are
// not known. The sets of a violation are nested, first the one whose nodes the message counts:
// it returns the first that is not empty. t is the topology of the state or nil. O(nodes).
func NodesOf(t *topology.Topology, v *violation.Violation) []string {
	if t == nil {
		return nil
	}
	for _, name := range v.Members {
		if nodes, err := t.Members(name); err == nil && len(nodes) > 0 {
			return nodes
		}
	}
	return nil
}

// Applied returns the action that bgpguard takes: the action of the policy, Audit if the
// user is exempt, at most Warn if the violation is advisory, waived or excepted.
func (v *Verdict) Applied() violation.Action {
	a := applied(v.Violation.Action, v.Exempt)
	if a == violation.Deny && (v.Violation.Advisory || v.Waived != "" || v.Exception != nil) {
		return violation.Warn
	}
	return a
}

func applied(a violation.Action, exempt bool) violation.Action {
	if exempt {
		return violation.Audit
	}
	return a
}

// Found holds the violations that policies found in one state.
type Found struct {
	Violations []violation.Violation
	// Failed names the policies that could not be evaluated.
	Failed []string
	// Topology is the topology of the state, nil if it is not available.
	Topology *topology.Topology
}

// Compare compares the violations of two states, by policy, id, size and members, and
// returns a verdict for each violation of either, sorted by policy and id. Admission,
// audits, drift, explanations and reports all read these verdicts.
//
// Members are looked up in the topologies of both states. Where one of them is not
// available, as that of an audit that was read back from JSON, members are not
// compared and no verdict is Spread. Members that neither topology knows are an error
// of the policy: the violation has no verdict, and the policy is among the failures,
// once. A policy that failed after the change has no Gone verdicts.
//
// It takes O(violations), plus the time of topology.Gained if members are compared.
func Compare(before, after Found) ([]Verdict, []Failure) {
	return compare(nil, before, after, func(*violation.Violation) bool { return true })
}

// compare appends the verdicts to out, without those on violations that stand and for which asked returns false.
func compare(out []Verdict, before, after Found, asked func(*violation.Violation) bool) ([]Verdict, []Failure) {
	var failures []Failure
	if same(before.Violations, after.Violations) {
		for i := range after.Violations {
			if one := &after.Violations[i]; len(one.Members) > 0 || asked(one) {
				v, err := compareOne(one, one, before.Topology, after.Topology)
				if err != nil || v.Relation != Standing || asked(one) {
					out, failures = collect(out, failures, v, err)
				}
			}
		}
		return out, failures
	}
	old, now := sorted(before.Violations), sorted(after.Violations)
	for len(old) > 0 || len(now) > 0 {
		switch order := first(old, now); {
		case order < 0:
			if !slices.Contains(after.Failed, old[0].Policy) {
				out = append(out, Verdict{Violation: old[0], Before: &old[0], Relation: Gone})
			}
			old = old[1:]
		case order > 0:
			v, err := compareOne(nil, &now[0], before.Topology, after.Topology)
			out, failures = collect(out, failures, v, err)
			now = now[1:]
		default:
			v, err := compareOne(&old[0], &now[0], before.Topology, after.Topology)
			if err != nil || v.Relation != Standing || asked(&now[0]) {
				out, failures = collect(out, failures, v, err)
			}
			old, now = old[1:], now[1:]
		}
	}
	return out, failures
}

// same reports whether two lists are one, which was reused.
func same(a, b []violation.Violation) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// sorted returns violations in order of policy and id.
func sorted(violations []violation.Violation) []violation.Violation {
	if slices.IsSortedFunc(violations, violation.ByPolicyAndID) {
		return violations
	}
	violations = slices.Clone(violations)
	slices.SortFunc(violations, violation.ByPolicyAndID)
	return violations
}

// first compares the next violations of both lists: it returns a value below 0 if that of
// old sorts first, above 0 if that of now does, and 0 if they are the same violation.
func first(old, now []violation.Violation) int {
	switch {
	case len(old) == 0:
		return 1
	case len(now) == 0:
		return -1
	default:
		return violation.ByPolicyAndID(old[0], now[0])
	}
}

// collect appends a verdict, or the error of it, which counts once for each policy.
func collect(out []Verdict, failures []Failure, v Verdict, err error) ([]Verdict, []Failure) {
	if err == nil {
		return append(out, v), failures
	}
	of := &v.Violation
	if n := len(failures); n == 0 || failures[n-1].Policy != of.Policy {
		failures = append(failures, Failure{Policy: of.Policy, Action: of.Action, Err: err})
	}
	return out, failures
}

// compareOne compares a violation with that before, nil if it did not exist.
func compareOne(old, now *violation.Violation, before, after *topology.Topology) (Verdict, error) {
	v := Verdict{Violation: *now, Before: old, topology: after}
	joined := false
	if before != nil && after != nil {
		// The sets are nested: the first one that gained names the nodes.
		for _, members := range now.Members {
			gain, err := after.Gained(before, members)
			if err != nil {
				return v, fmt.Errorf("violation %q: %w", now.ID, err)
			}
			v.Gained, v.Sample = gain.Members, gain.Sample
			joined = joined || gain.Joined > 0
			if v.Gained > 0 {
				break
			}
		}
	}
	v.relate(joined)
	if v.Relation == New { // All nodes are new: naming them again would say nothing.
		v.Gained, v.Sample = 0, nil
	}
	return v, nil
}

// compareToChange returns the verdict on a violation of a policy that evaluates changes. It
// is New, unless it has members all of which were in their sets before: it is Standing then,
// because the change does not affect them.
func compareToChange(found *violation.Violation, before, after *topology.Topology) (Verdict, error) {
	if len(found.Members) == 0 {
		return Verdict{Violation: *found, Relation: New}, nil
	}
	v, err := compareOne(found, found, before, after)
	if v.Relation == Spread {
		v.Before, v.Relation = nil, New
	}
	return v, err
}

// relate sets the relation. joined reports that members joined. If no other member was
// gained, a larger size comes from those that joined.
func (v *Verdict) relate(joined bool) {
	was := 0.0
	if v.Before != nil {
		was = v.Before.Size
	}
	grown := v.Violation.Size - was
	switch {
	case v.Gained == 0 && joined && grown > 0:
		v.Relation = Joined
	case v.Before == nil:
		v.Relation = New
	case grown > 0:
		v.Relation = Larger
	case v.Gained > 0:
		v.Relation = Spread
	case grown < 0:
		v.Relation = Smaller
	default:
		v.Relation = Standing
	}
}
