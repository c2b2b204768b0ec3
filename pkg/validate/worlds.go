package validate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/operator"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// world is the states before and after a change under assumptions. A change is decided in
// every world that could make a difference, and worse in one of them is worse.
type world struct {
	comparison
	reading

	// landed are the pending changes that the states contain.
	landed []Pending
	// asked reports that the states have what an Installation asks for.
	asked bool
	// configured is the state as configured, of which a live state leaves objects out.
	configured *state.Snapshot
	// returned returns the world in which objects that are down were not there, and come
	// back as the changes leave them. It is set for the states as configured, if a change
	// only touches such an object and does not delete it.
	returned func() *world
	back     *world // by returned, once it is needed
	// others returns the world of the changes of a set that touch objects that are not down.
	// It is nil if all changes are of one sort.
	others func() *world
	rest   *world // by others, once it is needed
}

// worlds returns the worlds of a set of changes to s in groups. The worlds of a group contain the
// same pending changes and make the same assumptions about Typha and the API group: first the
// states as configured, then, if it differs, the live states. The first group contains no pending
// change. O(2^MaxPending) incremental evaluations; two without pending changes and objects that are down, and
// twice as many if it is not known whether Typha drops an object, or which API group Calico reads.
func (e *Engine) worlds(ctx context.Context, s *state.Snapshot, set requestSet) [][]*world {
	base := e.Evaluate(ctx, s)
	pending := set.others()
	changes := set.changes(s)
	for i := range pending {
		changes = append(changes, pending[i].Change)
	}
	readings := e.readingsOf(s, set, changes)
	bases := e.bases(ctx, s, base, readings)
	var out [][]*world
	for _, landed := range combinations(pending) {
		configured, applied := s, []state.Change(nil)
		asked := slices.ContainsFunc(landed, func(p Pending) bool { return isInstallation(p.Change) })
		for i := range landed {
			for _, c := range effects(configured, landed[i].Change) {
				configured, applied = configured.Apply(c), append(applied, c)
			}
		}
		in := func(how reading, of func(state.Change) state.Change) *world {
			before, at := e.read(how, s), s
			if how.other {
				at = s.Other()
			}
			for _, c := range how.changes(&at, applied, set) {
				before = before.Apply(how.change(c))
			}
			changes := how.changes(&at, set.changes(at), set)
			for i := range changes {
				changes[i] = of(changes[i])
			}
			return &world{reading: how, asked: asked || how.asked, landed: landed, configured: configured, comparison: e.compared(ctx, bases[how], before, set, changes)}
		}
		for _, how := range readings {
			if how.asked && asked { // The states are as the pending Installation asks.
				continue
			}
			w := in(how, how.change)
			if how.live {
				last := len(out) - 1
				out[last] = append(out[last], w)
				continue
			}
			if base.Topology != nil && !set.onlyDown() && set.some(func(r *Request) bool { return onlyDown(r.Change) }) {
				w.others = func() *world { return e.withoutDown(ctx, w) }
			}
			alive := how
			alive.live = true
			if living := bases[alive]; living != nil && living.Topology != nil && set.some(func(r *Request) bool { return onlyDown(r.Change) && r.After != nil }) {
				w.returned = func() *world { return in(alive, returned) }
			}
			out = append(out, []*world{w})
		}
	}
	return out
}

// readingsOf returns the readings of s that could make a difference for changes of a set. A set that copies
// objects to the other API group is decided in the present one. One that changes an Installation leads to the
// states that it asks for, so that those that it asked for before do not count.
func (e *Engine) readingsOf(s *state.Snapshot, set requestSet, changes []state.Change) []reading {
	copied := set.some(func(r *Request) bool { return r.copies })
	installs := set.installs()
	return slices.DeleteFunc(e.readings(s, changes...), func(how reading) bool { return how.other && copied || how.asked && installs })
}

// bases returns the evaluation of s in each reading. base is that of s as configured.
func (e *Engine) bases(ctx context.Context, s *state.Snapshot, base *Evaluation, readings []reading) map[reading]*Evaluation {
	out := map[reading]*Evaluation{}
	for _, how := range readings {
		out[how] = base
		if read := e.read(how, s); read != s && base.Topology != nil {
			out[how] = e.evaluateOnce(ctx, how, read, base, 0)
		}
	}
	return out
}

// unevaluatedWorld returns worlds in which all policies fail with err.
func (e *Engine) unevaluatedWorld(s *state.Snapshot, set requestSet, err error) [][]*world {
	v := unevaluated(s, e.policies.Load(), err)
	return [][]*world{{{configured: s, comparison: e.comparison(newProposal(v, nil, v), set)}}}
}

// GroupsOf returns pending changes in groups: the nodes that join are one, and each other change is one. The
// changes of a group are assumed to be persisted together. A node that joins adds sessions and routes and removes
// none, and no pod runs on it yet: for the other nodes a change does most harm either with none of the nodes that
// join, or with all of them.
func GroupsOf(pending []Pending) [][]Pending {
	var joins []Pending
	var out [][]Pending
	for i := range pending {
		if pending[i].Joins {
			joins = append(joins, pending[i])
		} else {
			out = append(out, pending[i:i+1])
		}
	}
	if joins != nil {
		out = append(out, joins)
	}
	return out
}

// combinations returns all subsets of the groups of pending changes, the empty one first. Of more than MaxPending
// groups, it returns only none of them and all.
func combinations(pending []Pending) [][]Pending {
	groups := GroupsOf(pending)
	if len(groups) > MaxPending {
		return [][]Pending{nil, pending}
	}
	out := make([][]Pending, 0, 1<<len(groups))
	for mask := range 1 << len(groups) {
		var set []Pending
		for i := range groups {
			if mask&(1<<i) != 0 {
				set = append(set, groups[i]...)
			}
		}
		out = append(out, set)
	}
	return out
}

// compared evaluates the states before and after changes, those of the requests of a set in
// the form that the world needs. s is the state before the changes as far as known. base is an
// evaluation of a similar state, from which unchanged parts are reused.
func (e *Engine) compared(ctx context.Context, base *Evaluation, s *state.Snapshot, set requestSet, changes []state.Change) comparison {
	before := base
	for _, c := range changes {
		if c.Before != nil || c.After != nil {
			s = asKnown(s, c)
		}
	}
	if s != base.Snapshot && base.Topology != nil {
		before = e.evaluate(ctx, s, base.Policies, base)
	}
	return e.comparison(e.propose(ctx, s, changes, before), set)
}

// comparison compares the states before and after a proposal, between which the changes of a set are made.
func (e *Engine) comparison(p *proposal, set requestSet) comparison {
	c := comparison{
		engine: e, proposal: p, set: set, documents: make([]*changeDocuments, len(set)),
		difference: policy.NewDifference(p.before.document, p.after.document),
	}
	for i := range set {
		r := *set[i].Request
		r.Change = r.ofUser()
		c.documents[i] = e.changeDocuments(p.before, p.after, &r)
	}
	return c
}

// withoutDown returns the world in which the changes that only touch objects that are down
// were made before the others of the set.
func (e *Engine) withoutDown(ctx context.Context, w *world) *world {
	s := w.before.Snapshot
	for i := range w.set {
		if c := w.set[i].Change; onlyDown(c) {
			s = s.Apply(c)
		}
	}
	out := *w
	out.comparison = e.comparison(newProposal(e.evaluate(ctx, s, w.before.Policies, w.before), nil, w.after), w.set)
	return &out
}

// returned returns a change to the live state in which an object that is down comes back as
// the change leaves it.
func returned(c state.Change) state.Change {
	if onlyDown(c) {
		return state.Change{After: c.After}
	}
	return state.LiveChange(c)
}

// reading is how the states of a world are read from a snapshot.
type reading struct {
	// live means without objects that are being deleted and without Nodes that are not ready.
	live bool
	// typha means as if Typha were installed, which is not known; see Snapshot.AssumingTypha.
	typha bool
	// other means of the other API group, because it is not known which one Calico reads; see
	// Snapshot.Other.
	other bool
	// asked means as tigera-operator leaves the states, which has not written yet all that an
	// Installation asks for; see operator.Reconciled.
	asked bool
}

// asConfigured is the reading of a snapshot as it is.
var asConfigured = reading{}

// readingCount is the number of readings.
const readingCount = 16

// allReadings lists the readings. The states as configured precede the live ones.
var allReadings = func() (out []reading) {
	for _, asked := range []bool{false, true} {
		for _, other := range []bool{false, true} {
			for _, typha := range []bool{false, true} {
				out = append(out, reading{asked: asked, other: other, typha: typha}, reading{asked: asked, other: other, typha: typha, live: true})
			}
		}
	}
	return out
}()

// readings returns the readings of s that could make a difference, before or after changes of it,
// in order. The first one is asConfigured.
func (e *Engine) readings(s *state.Snapshot, changes ...state.Change) []reading {
	down := slices.ContainsFunc(changes, func(c state.Change) bool { return calico.Down(c.Before) || calico.Down(c.After) })
	return slices.DeleteFunc(slices.Clone(allReadings), func(r reading) bool {
		if r.other && s.Other() == nil {
			return true
		}
		of := e.read(reading{other: r.other, asked: r.asked}, s)
		if r.asked && of == e.read(reading{other: r.other}, s) {
			return true
		}
		return r.typha && !of.TyphaMatters(changes...) || r.live && !down && e.read(reading{other: r.other, asked: r.asked, live: true}, s) == of
	})
}

// slot returns the slot of a reading.
func (e *Engine) slot(r reading) *slot {
	if r == asConfigured {
		return &e.configured
	}
	return &e.assumed[slices.Index(allReadings, r)]
}

// change returns what a change does to the states of a reading. A state that assumes Typha drops
// objects itself.
func (r reading) change(c state.Change) state.Change {
	if r.live {
		return state.LiveChange(c)
	}
	return c
}

// read returns the state of a reading of s. The last one of each reading is cached.
func (e *Engine) read(r reading, s *state.Snapshot) *state.Snapshot {
	if r == asConfigured {
		return s
	}
	in := e.slot(r)
	last := in.read.Load()
	if last != nil && last.of == s {
		return last.state
	}
	next := &readState{of: s}
	switch {
	case r.typha:
		next.state = e.read(reading{live: r.live, other: r.other, asked: r.asked}, s).AssumingTypha()
	case r.live:
		var before *state.Snapshot
		if last != nil {
			before = last.state
		}
		next.state = e.read(reading{other: r.other, asked: r.asked}, s).Live(before)
	case r.asked:
		next.state = operator.Reconciled(e.read(reading{other: r.other}, s))
	default:
		next.state = s.Other()
	}
	in.read.Store(next)
	return next.state
}

// readState is a snapshot and its state in a reading.
type readState struct{ of, state *state.Snapshot }

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
// without pending changes and without an assumption about Typha.
func (w *world) assumption() string {
	var clauses []string
	for _, group := range GroupsOf(w.landed) {
		p := &group[0]
		if n := len(group); n > 1 {
			names := make([]string, 0, joinSample)
			for i := range group[:min(n, joinSample)] {
				names = append(names, group[i].ID().Name)
			}
			clauses = append(clauses, fmt.Sprintf("%s that were just allowed to join do so: %s", text.Count(n, "node"), text.SomeOf(names, n)))
			continue
		}
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
	if w.reading.asked {
		clauses = append(clauses, "tigera-operator has written what the Installation asks for")
	}
	if w.typha {
		clauses = append(clauses, w.dropped())
	}
	if w.other {
		clauses = append(clauses, fmt.Sprintf("Calico reads its objects from %s", w.before.Snapshot.APIVersion()))
	}
	return strings.Join(clauses, ", and ")
}

// joinSample is how many nodes that join an assumption names.
const joinSample = 3

// droppedSample is how many objects that Typha drops an assumption names.
const droppedSample = 3

// dropped returns the assumption that Typha is installed, with the objects that it drops after
// the change, or before it if there are none.
func (w *world) dropped() string {
	rejected := w.after.Snapshot.Rejected()
	if len(rejected) == 0 {
		rejected = w.before.Snapshot.Rejected()
	}
	names := make([]string, 0, droppedSample)
	for _, o := range rejected[:min(len(rejected), droppedSample)] {
		names = append(names, o.ID().String())
	}
	return "Typha is installed, which drops what Calico's validator rejects: " + text.SomeOf(names, len(rejected))
}

// judge returns the verdicts of the policies that match a request, and the failures. It sets
// Exempt, and Waived if the violation only comes from changes of objects that are down, if a
// changed object sets the value from which others differ, or if a change fixes an unread
// object.
func (w *world) judge(ctx context.Context) (verdicts []Verdict, failures []Failure) {
	verdicts = w.room()
	for i, p := range w.after.Policies.Policies() {
		switch numbers := w.set.matching(p); {
		case p.Definition.Judges == policy.JudgesChange:
			for j := range numbers { // A user can be exempt from one of them.
				verdicts, failures = w.judgePolicy(ctx, verdicts, failures, i, numbers[j:j+1])
			}
		case len(numbers) > 0:
			verdicts, failures = w.judgePolicy(ctx, verdicts, failures, i, numbers)
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

// judgePolicy appends the verdicts of policy number i on the requests with the given numbers,
// and its failure.
func (w *world) judgePolicy(ctx context.Context, verdicts []Verdict, failures []Failure, i int, numbers []int) ([]Verdict, []Failure) {
	p := w.after.Policies.Policies()[i]
	exempt, from := w.set.exempt(p, numbers), len(verdicts)
	verdicts, err := w.verdicts(ctx, verdicts, i, numbers)
	if err != nil {
		f := Failure{Policy: p.Name, Action: p.Action, Exempt: exempt, Err: err}
		if w.set.fixesUnread() {
			soften(&f)
		}
		failures = append(failures, f)
	}
	for j := range verdicts[from:] {
		v := &verdicts[from+j]
		v.Exempt = exempt
		v.untouched = len(v.Violation.Objects) > 1 && !w.set.touches(&v.Violation)
		if v.Relation.Worse() && w.set.single() { // Of several changes, any may be the cause.
			v.blame(w.set.objects()[0])
		}
		switch {
		case !v.Relation.Worse():
		case !w.asked && w.set.every(func(r *Request) bool { return r.step }):
			v.Waived = isStep
		case w.onlyByDown(ctx, i, v.Violation.ID, numbers):
			v.Waived = isDown
		case w.set.sets(v.Violation.SetBy):
			v.Waived = setsValue
		case w.set.fixesUnread():
			v.Waived = wasUnread
		}
	}
	return verdicts, failures
}

// onlyByDown reports whether only changes of objects that are down make a violation of the
// policy with the given number worse, and do no harm if the objects come back.
func (w *world) onlyByDown(ctx context.Context, number int, id string, numbers []int) bool {
	if w.live || !w.set.onlyDown() && w.others == nil {
		return false
	}
	harms := func(build func() *world, built **world) bool {
		if build == nil {
			return false
		}
		if *built == nil {
			*built = build()
		}
		verdicts, err := (*built).verdicts(ctx, nil, number, numbers)
		return err != nil || slices.ContainsFunc(verdicts, func(v Verdict) bool { return v.Violation.ID == id && v.Relation.Worse() })
	}
	return !harms(w.others, &w.rest) && !harms(w.returned, &w.back)
}

// alters reports whether a change alters the topology in a world, or whether this is
// not known.
func (w *world) alters() bool {
	return w.after.Topology == nil || !w.after.Topology.Equivalent(w.before.Topology)
}
