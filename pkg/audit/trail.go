package audit

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Trail is what has to be known of the audits so far to tell what is new, since when
// the rest is there, and what is gone. It outlives the process that made it: its JSON
// form is kept where the next one finds it.
type Trail struct {
	// Time is that of the last audit.
	Time time.Time `json:"time"`
	// Policies holds the fingerprints of the policies that judged then, by name.
	Policies map[string]string `json:"policies"`
	// Failed names those that could not judge then, sorted.
	Failed []string `json:"failed,omitempty"`
	// Violations are those that were there, sorted by policy and id.
	Violations []Seen `json:"violations"`
}

// Seen is a violation as a Trail remembers it.
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

// maxSeen is how many violations a Trail remembers at the most, so that its JSON form
// has a bounded size. Those beyond are new in every audit; the most severe are kept.
const maxSeen = 20_000

// Step is what Follow has to know beside the audit.
type Step struct {
	// Before is the state that the audit before was of, nil where it is not known, as
	// after a start.
	Before *state.Snapshot
	// Exempted tells who made a change of an object past a policy that does not hold
	// for them, if it was so; nil where nobody keeps record.
	Exempted func(ctx context.Context, policy string, object violation.Object) (user string, ok bool)
}

// Follow takes the next audit: it tells of each violation of a since when it is there
// and how it came about, lists those that are gone, and returns the trail with a. A nil
// Trail is that before the first audit. engine is one for this alone, as it looks at
// states that are none any more.
func (t *Trail) Follow(ctx context.Context, a *Audit, engine *validate.Engine, step Step) *Trail {
	if t == nil {
		t = &Trail{}
	}
	old := make(map[key]*Seen, len(t.Violations))
	for i := range t.Violations {
		s := &t.Violations[i]
		old[key{s.Policy, s.ID}] = s
	}
	next := &Trail{Time: a.Time, Policies: map[string]string{}, Violations: make([]Seen, 0, len(a.Violations))}
	known := t.judged(a, next)
	var appeared []*Violation
	earlier := map[*Violation]*Seen{} // those of them that were there before
	moved := moves(ctx, step.Before, a)
	for i := range a.Violations {
		v := &a.Violations[i]
		was := old[keyOf(&v.Violation)]
		delete(old, keyOf(&v.Violation))
		if was != nil {
			v.FirstSeen, v.Origin, v.Cause = was.FirstSeen, was.Origin, was.Cause
		}
		switch {
		case was != nil && v.Size <= was.Size && (!known[v.Policy] || v.Action != violation.Deny || !moved(v)):
		case !known[v.Policy]:
			if was == nil {
				v.Origin = Standing
			}
		case v.Action != violation.Deny:
			v.Origin, v.Cause = Allowed, ""
		case slices.Contains(t.Failed, v.Policy):
			v.Origin, v.Cause = Unwatched, "it came while its policy could not judge"
		default:
			appeared = append(appeared, v)
			if was != nil {
				earlier[v] = was
			}
		}
	}
	if len(appeared) > 0 {
		explain(ctx, engine, step, t.Time, a, appeared)
	}
	keep(earlier)
	t.resolve(a, old, next)
	for i := range a.Violations {
		next.Violations = append(next.Violations, seen(&a.Violations[i]))
	}
	next.bound()
	return next
}

// keep gives violations that were there before their origin back where nothing since
// came past admission: a node that joins makes what did larger, not right.
func keep(earlier map[*Violation]*Seen) {
	for v, was := range earlier {
		if !v.Origin.Drift() && (was.Origin.Drift() || v.Size <= was.Size) {
			v.Origin, v.Cause = was.Origin, was.Cause
		}
	}
}

// judged puts into next the policies that judged a, and those that failed. It returns
// those that judged the state before as they judge this one.
func (t *Trail) judged(a *Audit, next *Trail) map[string]bool {
	known := map[string]bool{}
	for _, p := range a.Policies {
		// What could not judge is as it was when it last could: what it finds when it
		// can again may have come meanwhile.
		if fingerprint, there := t.Policies[p.Name]; a.failed(p.Name) {
			if there {
				next.Policies[p.Name] = fingerprint
			}
			continue
		}
		next.Policies[p.Name] = p.fingerprint
		known[p.Name] = t.Policies[p.Name] == p.fingerprint
	}
	for _, f := range a.Failures {
		next.Failed = append(next.Failed, f.Policy)
	}
	return known
}

// resolve lists in a what is left of old, which is gone. What its policy could not judge
// is in next as it was.
func (t *Trail) resolve(a *Audit, old map[key]*Seen, next *Trail) {
	for i := range t.Violations {
		s := &t.Violations[i]
		if old[key{s.Policy, s.ID}] == nil {
			continue
		}
		if a.failed(s.Policy) {
			next.Violations = append(next.Violations, *s)
			continue
		}
		gone := s.violation()
		if !a.InForce(s.Policy) {
			gone.Cause = notInForce
		}
		a.Resolved = append(a.Resolved, gone)
	}
}

// Recall tells of each violation of a what t remembers of it. It is for those who look
// at a state that others follow: what t does not know is taken for new.
func (t *Trail) Recall(a *Audit) {
	if t == nil {
		return
	}
	old := make(map[key]*Seen, len(t.Violations))
	for i := range t.Violations {
		s := &t.Violations[i]
		old[key{s.Policy, s.ID}] = s
	}
	for i := range a.Violations {
		v := &a.Violations[i]
		if was := old[keyOf(&v.Violation)]; was != nil {
			v.FirstSeen, v.Origin, v.Cause = was.FirstSeen, was.Origin, was.Cause
		}
	}
}

// bound keeps no more than a Trail may hold, the most severe, and sorts them.
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
		s.Object = &v.Objects[0]
	}
	return s
}

// violation is what is left of it to say that it is gone.
func (s *Seen) violation() Violation {
	v := Violation{
		Violation: violation.Violation{Policy: s.Policy, ID: s.ID, Size: s.Size, Action: s.Action, Objects: []violation.Object{}},
		Severity:  s.Severity, FirstSeen: s.FirstSeen, LastSeen: s.LastSeen, Origin: s.Origin, Cause: s.Cause,
	}
	if s.Object != nil {
		v.Objects = append(v.Objects, *s.Object)
	}
	return v
}
