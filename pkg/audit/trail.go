package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Trail is the record of the audits so far: it shows which violations are new, when the
// others were first seen, and which are resolved. Its JSON form is stored between processes.
type Trail struct {
	// Time is the time of the last audit.
	Time time.Time `json:"time"`
	// Policies holds the fingerprints of the policies at the last audit, by name. For a policy
	// that could not be evaluated, it holds the fingerprint of its last evaluation.
	Policies map[string]string `json:"policies"`
	// Failed names the policies that could not be evaluated at the last audit, sorted.
	Failed []string `json:"failed,omitempty"`
	// Violations are those of the last audit, sorted by policy and id.
	Violations []Seen `json:"violations"`
}

// Seen is the form of a violation in a Trail.
type Seen struct {
	Policy    string            `json:"policy"`
	ID        string            `json:"id"`
	Size      float64           `json:"size"`
	Severity  string            `json:"severity"`
	Action    violation.Action  `json:"action"`
	FirstSeen time.Time         `json:"firstSeen"`
	LastSeen  time.Time         `json:"lastSeen"`
	Origin    Origin            `json:"origin,omitempty"`
	Cause     string            `json:"cause,omitempty"`
	Object    *violation.Object `json:"object,omitempty"`
}

// maxSeen is the maximum number of violations in a Trail, so that its JSON form has a bounded
// size. A Trail keeps the most severe ones. The others are new in every audit.
const maxSeen = 20_000

// Step holds the inputs of Follow besides the audit.
type Step struct {
	// Before is the state of the previous audit, nil if it is not known, for example after a
	// start.
	Before *state.Snapshot
	// Exempted returns why a change of an object was allowed although a policy denies it; false if no
	// such change is recorded. It is nil if no records are kept.
	Exempted func(ctx context.Context, policy string, object violation.Object) (Exemption, bool)
}

// Exemption is why a change was allowed although a policy denies it.
type Exemption struct {
	// User made the change.
	User string `json:"user"`
	// Exception is the name of the BGPException that allowed it, "" if the user is exempt from the
	// policy.
	Exception string `json:"exception,omitempty"`
}

// String returns "USER, ..." with the reason.
func (e Exemption) String() string {
	if e.Exception != "" {
		return fmt.Sprintf("%s, which BGPException %s allowed", e.User, e.Exception)
	}
	return e.User + ", who is exempt from the policy"
}

// Follow adds the next audit: it sets FirstSeen, Origin and Cause of each violation of a,
// lists the resolved violations in a.Resolved, and returns the trail including a. A nil
// Trail is the trail before the first audit. engine evaluates hypothetical states and must
// not be the engine that requests use, whose cache they would replace. The only error is
// that of ctx, if it ends before the topology of step.Before is computed.
//
// A violation that is worse than at the previous audit gets a new origin:
//   - Standing, if it is new and its policy was added, changed or fixed since
//   - Allowed, if its policy does not deny
//   - Unwatched, if its policy could not be evaluated at the previous audit
//   - otherwise, the origin that explain finds in the changes since
//
// A violation that existed before keeps its earlier origin if the earlier origin is drift and
// the new one is not, or if only its members differ: a node that joins makes the violation
// larger, but does not remove the drift.
func (t *Trail) Follow(ctx context.Context, a *Audit, engine *validate.Engine, step Step) (*Trail, error) {
	if t == nil {
		t = &Trail{}
	}
	old := t.index()
	before, err := t.found(ctx, a, old, step.Before)
	if err != nil {
		return nil, err
	}
	verdicts := a.compare(before)
	next := &Trail{Time: a.Time, Policies: map[string]string{}, Violations: make([]Seen, 0, len(a.Violations))}
	same := t.samePolicies(a, next)
	var worse []*Violation
	was := map[*Violation]*Seen{}
	for i := range a.Violations {
		v := &a.Violations[i]
		k := keyOf(&v.Violation)
		was[v] = old[k]
		delete(old, k)
		v.recall(was[v])
		switch verdict := verdicts[k]; {
		case verdict != nil && verdict.Relation == validate.Joined:
			v.Origin, v.Cause = Allowed, "reaches nodes that joined, which had no address before"
		case verdict == nil || !verdict.Relation.Worse():
		case !same[v.Policy]:
			if verdict.Relation == validate.New {
				v.Origin = Standing
			}
		case v.Action != violation.Deny:
			if verdict.Relation != validate.Spread {
				v.Origin, v.Cause = Allowed, ""
			}
		case slices.Contains(t.Failed, v.Policy):
			v.Origin, v.Cause = Unwatched, "introduced while its policy could not be evaluated"
		default:
			worse = append(worse, v)
		}
	}
	if len(worse) > 0 {
		explain(ctx, engine, step, t.Time, a, slices.Clone(worse))
	}
	for _, v := range worse {
		if s := was[v]; s != nil && !v.Origin.Drift() && (s.Origin.Drift() || verdicts[keyOf(&v.Violation)].Relation == validate.Spread) {
			v.Origin, v.Cause = s.Origin, s.Cause
		}
	}
	t.resolve(a, old, verdicts, next)
	for i := range a.Violations {
		next.Violations = append(next.Violations, seen(&a.Violations[i]))
	}
	next.bound()
	return next, nil
}

// index returns the violations of t by key.
func (t *Trail) index() map[key]*Seen {
	out := make(map[key]*Seen, len(t.Violations))
	for i := range t.Violations {
		s := &t.Violations[i]
		out[key{s.Policy, s.ID}] = s
	}
	return out
}

// found returns the violations of t in the form that validate.Compare takes. The topology
// of the state before is computed only if a violation that existed before has members and the
// state has changed.
func (t *Trail) found(ctx context.Context, a *Audit, old map[key]*Seen, before *state.Snapshot) (validate.Found, error) {
	f := validate.Found{Violations: make([]violation.Violation, len(t.Violations))}
	for i := range t.Violations {
		f.Violations[i] = t.Violations[i].violation().Violation
	}
	if before == nil || before == a.Snapshot || !slices.ContainsFunc(a.Violations, func(v Violation) bool {
		return len(v.Members) > 0 && old[keyOf(&v.Violation)] != nil
	}) {
		return f, nil
	}
	var err error
	f.Topology, err = topology.Compute(ctx, before, a.Topology, a.Topology.Transit()...)
	return f, err
}

// samePolicies records in next the policies of a and those that failed. It returns those
// that were evaluated and are the same as at the previous audit.
func (t *Trail) samePolicies(a *Audit, next *Trail) map[string]bool {
	same := map[string]bool{}
	for _, p := range a.Policies {
		before, known := t.Policies[p.Name]
		switch {
		case !a.failed(p.Name):
			next.Policies[p.Name] = p.fingerprint
			same[p.Name] = before == p.fingerprint
		case known:
			next.Policies[p.Name] = before
		}
	}
	for _, f := range a.Failures {
		next.Failed = append(next.Failed, f.Policy)
	}
	return same
}

// resolve lists those of missing, the violations of t that are not in a, in a.Resolved if
// they are resolved. It keeps in next those of policies that could not be evaluated.
func (t *Trail) resolve(a *Audit, missing map[key]*Seen, verdicts map[key]*validate.Verdict, next *Trail) {
	for i := range t.Violations {
		s := &t.Violations[i]
		k := key{s.Policy, s.ID}
		switch {
		case missing[k] == nil:
		case verdicts[k] == nil:
			next.Violations = append(next.Violations, *s)
		default:
			gone := s.violation()
			if !a.InForce(s.Policy) {
				gone.Cause = notInForce
			}
			a.Resolved = append(a.Resolved, gone)
		}
	}
}

// Recall sets FirstSeen, Origin and Cause of the violations of a that are in t. It is for
// audits that do not call Follow. t may be nil.
func (t *Trail) Recall(a *Audit) {
	if t == nil {
		return
	}
	old := t.index()
	for i := range a.Violations {
		v := &a.Violations[i]
		v.recall(old[keyOf(&v.Violation)])
	}
}

// recall copies the history in was to v; was is nil if there is none.
func (v *Violation) recall(was *Seen) {
	if was != nil {
		v.FirstSeen, v.Origin, v.Cause = was.FirstSeen, was.Origin, was.Cause
	}
}

// bound keeps the maxSeen most severe violations and sorts them.
func (t *Trail) bound() {
	if len(t.Violations) > maxSeen {
		slices.SortStableFunc(t.Violations, func(a, b Seen) int { return cmp.Compare(Rank(a.Severity), Rank(b.Severity)) })
		t.Violations = t.Violations[:maxSeen:maxSeen]
	}
	slices.SortFunc(t.Violations, func(a, b Seen) int { return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.ID, b.ID)) })
}

func seen(v *Violation) Seen {
	s := Seen{
		Policy: v.Policy, ID: v.ID, Size: v.Size, Severity: v.Severity, Action: v.Action, FirstSeen: v.FirstSeen, LastSeen: v.LastSeen,
		Origin: v.Origin, Cause: v.Cause,
	}
	if len(v.Objects) > 0 {
		s.Object = &v.Objects[0].Object
	}
	return s
}

// violation returns s as a violation without message, details and members.
func (s *Seen) violation() Violation {
	v := Violation{
		Violation: violation.Violation{Policy: s.Policy, ID: s.ID, Size: s.Size, Action: s.Action, Objects: []violation.Subject{}},
		Severity:  s.Severity, FirstSeen: s.FirstSeen, LastSeen: s.LastSeen, Origin: s.Origin, Cause: s.Cause,
	}
	if s.Object != nil {
		v.Objects = append(v.Objects, violation.Subject{Object: *s.Object})
	}
	return v
}
