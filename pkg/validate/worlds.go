package validate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// world is the states before and after a change under assumptions. A change is decided in
// every world that could make a difference, and worse in one of them is worse.
type world struct {
	comparison
	// live reports that the states have no objects that are being deleted and no Nodes that
	// are not ready; otherwise they are the states as configured.
	live bool
	// landed are the pending changes that the states contain.
	landed []Pending
	// configured is the state as configured, of which a live state leaves objects out.
	configured *state.Snapshot
	// returned returns the world in which an object that is down was not there, and comes
	// back as the change leaves it. It is set for the states as configured, if the change
	// only touches such an object and does not delete it.
	returned func() *world
	back     *world // by returned, once it is needed
}

// worlds returns the worlds of a change to s in groups. The worlds of a group contain the
// same pending changes: first the states as configured, then, if it differs, the live
// states. The first group contains no pending change, unless r has more than MaxPending of
// them: the only group then contains all. O(2^MaxPending) incremental
// evaluations; two without pending changes and objects that are down.
func (e *Engine) worlds(ctx context.Context, s *state.Snapshot, r *Request) [][]*world {
	base := e.Evaluate(ctx, s)
	pending := r.others()
	liveBase := base
	living := e.livingOf(s)
	live := living != s || calico.Down(r.Before) || calico.Down(r.After)
	for i := range pending {
		live = live || calico.Down(pending[i].Before) || calico.Down(pending[i].After)
	}
	if live && base.Topology != nil {
		liveBase = e.evaluateLive(ctx, living, base)
	}
	var out [][]*world
	for _, landed := range combinations(pending) {
		configured, alive := s, living
		for i := range landed {
			configured = configured.Apply(landed[i].Change)
			alive = alive.Apply(state.LiveChange(landed[i].Change))
		}
		first := &world{landed: landed, configured: configured}
		first.comparison = e.compared(ctx, base, configured, r.Change, r)
		if onlyDown(r.Change) && r.After != nil && liveBase.Topology != nil {
			first.returned = func() *world {
				w := &world{landed: landed, configured: configured, live: true}
				w.comparison = e.compared(ctx, liveBase, alive, state.Change{After: r.After}, r)
				return w
			}
		}
		group := []*world{first}
		if live {
			second := &world{landed: landed, configured: configured, live: true}
			second.comparison = e.compared(ctx, liveBase, alive, state.LiveChange(r.Change), r)
			group = append(group, second)
		}
		out = append(out, group)
	}
	return out
}

// others returns the pending changes of other objects. A pending change of the same object
// is not one of them: the request contains the object before the change, and the API server
// persists a change only to the version that was reviewed.
func (r *Request) others() []Pending {
	var out []Pending
	for _, p := range r.Pending {
		if p.ID() != r.ID() {
			p.Change = p.Informed()
			out = append(out, p)
		}
	}
	return out
}

// combinations returns all subsets of pending, the empty one first. If pending has more
// than MaxPending elements, it returns only pending itself.
func combinations(pending []Pending) [][]Pending {
	if len(pending) > MaxPending {
		return [][]Pending{pending}
	}
	out := make([][]Pending, 0, 1<<len(pending))
	for mask := range 1 << len(pending) {
		var set []Pending
		for i := range pending {
			if mask&(1<<i) != 0 {
				set = append(set, pending[i])
			}
		}
		out = append(out, set)
	}
	return out
}

// compared evaluates the states before and after c, which the change of r makes to s. s is the state before the change as
// far as known. base is an evaluation of a similar state, from which unchanged parts are
// reused. If the topology before the change cannot be computed, after is the same as before.
func (e *Engine) compared(ctx context.Context, base *Evaluation, s *state.Snapshot, c state.Change, r *Request) comparison {
	before := base
	if c.Before != nil || c.After != nil {
		s = asKnown(s, c)
	}
	if s != base.Snapshot && base.Topology != nil {
		before = e.evaluate(ctx, s, base.Policies, base)
	}
	after := before
	if next := s.Apply(c); next != s && before.Topology != nil {
		after = e.evaluate(ctx, next, base.Policies, before)
	}
	return comparison{before: before, after: after, kind: string(r.ID().Kind), operation: string(r.Operation()), document: e.changeDocument(before, after, r)}
}

// livingOf returns the live state of s; see state.Snapshot.Live. The last one is cached.
func (e *Engine) livingOf(s *state.Snapshot) *state.Snapshot {
	last := e.living.Load()
	if last != nil && last.of == s {
		return last.live
	}
	var before *state.Snapshot
	if last != nil {
		before = last.live
	}
	next := &living{of: s, live: s.Live(before)}
	e.living.Store(next)
	return next.live
}

// living is a snapshot and its live state.
type living struct{ of, live *state.Snapshot }

// onlyDown reports whether c only touches an object that is down before and after it. It
// is then decided in the live states alone, in which it changes nothing: what the object
// provided is lost already. An object that stays is also decided as if it came back, because
// Calico still configures it: its address may be that of another node. An IPPool that stays
// is not down in this sense: Calico deletes it when no pod has an address of it, and until
// then the pods have routes.
func onlyDown(c state.Change) bool {
	if c.After != nil && c.ID().Kind == calico.KindIPPool {
		return false
	}
	return calico.Down(c.Before) && (c.After == nil || calico.Down(c.After))
}

// isDown is the reason why a change that only touches an object that is down is not denied.
const isDown = "the object is being deleted, or its node is not ready"

// setsValue is the reason why a change is not denied because other objects differ from a
// value that the changed object sets.
const setsValue = "the changed object sets the value, and can be changed before the objects that must have it"

// assumption returns what the world assumes, as clauses; "" for the states as configured
// without pending changes.
func (w *world) assumption() string {
	var clauses []string
	for i := range w.landed {
		p := &w.landed[i]
		by := ""
		if p.User != "" {
			by = " by " + p.User
		}
		clauses = append(clauses, fmt.Sprintf("the %s of %s%s, which was just allowed, takes effect", strings.ToLower(string(p.Operation())), p.ID(), by))
	}
	if w.live {
		n, sample := w.configured.Down()
		names := make([]string, len(sample))
		for i, id := range sample {
			names[i] = id.String()
		}
		clauses = append(clauses, fmt.Sprintf("%s that %s not ready or being deleted stay down: %s", text.Count(n, "object"), map[bool]string{true: "is", false: "are"}[n == 1], text.SomeOf(names, n)))
	}
	return strings.Join(clauses, ", and ")
}

// judge returns the verdicts of the policies that match the request, and the failures. It
// sets Exempt, and Waived if the change only touches an object that is down, sets the value from
// which others differ, or fixes an unread object.
func (w *world) judge(ctx context.Context, r *Request) (verdicts []Verdict, failures []Failure) {
	asked, object := r.asked(), violation.Object{Kind: string(r.ID().Kind), Name: r.ID().Name}
	verdicts = w.room()
	for i, p := range w.after.Policies.Policies() {
		if !p.Matches(asked) {
			continue
		}
		exempt, from := p.Exempts(asked), len(verdicts)
		var err error
		if verdicts, err = w.verdicts(ctx, verdicts, i); err != nil {
			f := Failure{Policy: p.Name, Action: p.Action, Exempt: exempt, Err: err}
			soften(&f, r.Change)
			failures = append(failures, f)
		}
		for j := range verdicts[from:] {
			v := &verdicts[from+j]
			v.Exempt = exempt
			if v.Relation.Worse() {
				v.blame(object)
			}
			switch by := v.Violation.SetBy; {
			case !v.Relation.Worse():
			case !w.live && onlyDown(r.Change) && !w.harmsIfReturned(ctx, i, v.Violation.ID):
				v.Waived = isDown
			case by != nil && *by == object:
				v.Waived = setsValue
			case fixesUnread(r.Change):
				v.Waived = wasUnread
			}
		}
	}
	return verdicts, failures
}

// blame adds the changed object to the objects of a verdict that the change makes worse: a policy
// sees only the state, in which the cause may have no trace, such as a deleted BGPPeer.
func (v *Verdict) blame(changed violation.Object) {
	if !v.Violation.Concerns(changed) {
		// The violation is shared with other decisions.
		v.Violation.Objects = slices.Concat(violation.Subjects(changed), v.Violation.Objects)
	}
}

// harmsIfReturned reports whether the return of an object that is down makes a violation of
// the policy with the given number worse, or whether this is not known.
func (w *world) harmsIfReturned(ctx context.Context, number int, id string) bool {
	if w.returned == nil {
		return false
	}
	if w.back == nil {
		w.back = w.returned()
	}
	verdicts, err := w.back.verdicts(ctx, nil, number)
	return err != nil || slices.ContainsFunc(verdicts, func(v Verdict) bool { return v.Violation.ID == id && v.Relation.Worse() })
}

// alters reports whether a change alters the topology in a world, or whether this is
// not known.
func (w *world) alters() bool {
	return w.after.Topology == nil || !w.after.Topology.Equivalent(w.before.Topology)
}
