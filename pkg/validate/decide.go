package validate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Request is a change and the user who asks for it.
type Request struct {
	state.Change
	// User asks for the change, and is in Groups; "" if the user is not known.
	User   string
	Groups []string
	// DryRun reports that the change is not persisted.
	DryRun bool
	// Pending are changes that were allowed and that the snapshot does not show: each of them
	// may or may not be persisted. The change is decided for every combination of at most
	// MaxPending groups of them; of more, for the states with none of them and with all. See GroupsOf.
	Pending []Pending
	// All asks for the verdicts on all violations, also on those that stand and are not about the changed object.
	All bool

	// copies is set by Decide; see copies.
	copies bool
	// installation is the Installation that another request changes, if tigera-operator makes the
	// change because of it: as that request leaves it, or as it was before a delete.
	installation calico.Object
	// step is set by Decide for a change that tigera-operator makes, if an Installation asks for
	// it; see steps.
	step bool
	// rest is what such a change does besides, and of a change with an installation what was
	// not asked for before; a change without objects for nothing.
	rest state.Change
}

// written reports whether tigera-operator makes the change because of another request.
func (r *Request) written() bool { return r.installation != nil }

// ofUser returns what policies that evaluate changes evaluate of the change. What an Installation
// asks for, they have evaluated together with the Installation.
func (r *Request) ofUser() state.Change {
	if r.step || r.written() {
		return r.rest
	}
	return r.Change
}

// copies reports whether a change creates an object of s in an API version that Calico does not read.
// Calico's migration to projectcalico.org/v3 copies each object in this way, in any order. Such a change
// is decided as an update of the object of s, because what the object does is in effect already.
func copies(s *state.Snapshot, c state.Change) bool {
	from := s.APIVersion()
	return c.Before == nil && from != "" && c.ID().Kind.Info().Calico && calico.APIVersionOf(c.After) != from && s.Get(c.ID()) != nil
}

// byMachine reports that a component of the cluster changes a Node, such as a kubelet or
// calico-node. Nobody reads what such a change does.
func (r *Request) byMachine() bool {
	return r.ID().Kind == calico.KindNode && strings.HasPrefix(r.User, "system:")
}

// MaxPending is the number of groups of pending changes of which every combination is decided.
const MaxPending = 3

// Pending is a change that was allowed and that no snapshot shows yet.
type Pending struct {
	state.Change
	// User made the change.
	User string
	// Joins reports that the change adds a node to BGP; see calico.Joins.
	Joins bool
}

// Decide evaluates the policies on a change to s. It evaluates only the policies whose
// input the change alters; the evaluation of s itself is cached between calls. A request
// without a change is allowed. If ctx ends before the topologies are computed, all policies
// fail. As many decisions run at once as there are CPUs. Others wait, in order of arrival; if
// ctx ends before a decision begins, all policies fail.
//
// A change is decided under each assumption that could make a difference: for the states as
// configured and for the live states, with every combination of pending changes. A
// violation that is worse in one of them is worse; the decision has the verdict with the
// strongest action for each violation.
//
// A change that only disables an IPPool may be the first of the two requests of a delete: if the
// delete would be denied and nothing replaces the IPPool, the change is denied, too.
func (e *Engine) Decide(ctx context.Context, s *state.Snapshot, r Request) *Decision {
	d := e.decide(ctx, s, newRequestSet(withWrites(s, []Request{r})))
	e.decideDelete(ctx, s, &r, d)
	return d
}

func (e *Engine) decide(ctx context.Context, s *state.Snapshot, set requestSet) *Decision {
	if len(set) == 0 {
		return &Decision{Allowed: true}
	}
	for i := range set {
		if r := set[i].Request; copies(s, r.Change) {
			r.copies, r.Before = true, s.Get(r.ID())
		}
		if rest, ok := steps(s, set[i].Request); ok {
			set[i].rest, set[i].step = rest, true
		}
	}
	d := &Decision{Objects: set.objects(), Written: set.writing()}
	m := merger{decision: d}
	var groups [][]*world
	if end, err := e.turn(ctx); err != nil {
		groups = e.unevaluatedWorld(s, set, err)
	} else {
		defer end()
		var finish func()
		ctx, finish = e.workers.Together(ctx)
		defer finish()
		groups = e.worlds(ctx, s, set)
	}
	var first *world
	for _, group := range groups {
		judged := make([][]Verdict, len(group))
		for i, w := range group {
			if first == nil {
				first = w
			}
			var failures []Failure
			d.Alters = d.Alters || w.alters() || set.fixesUnread()
			judged[i], failures = w.judge(ctx)
			m.fail(failures)
		}
		waive(judged)
		for i, w := range group {
			m.add(w, judged[i])
		}
	}
	m.finish()
	e.except(d, set, first.after.Policies)
	d.Allowed = !d.denied()
	if set.every(func(r *Request) bool { return r.NotEnforced() != "" }) {
		d.Admit(set[0].Request)
	}
	if first.after.Topology == nil {
		return d
	}
	w := first
	if m.harmful != nil {
		w = m.harmful
	}
	if w.alters() && (m.harmful != nil || !set.every((*Request).byMachine)) {
		d.Impact = w.impact()
	}
	if set.single() {
		d.addProblems(first.after.Topology.Problems(set[0].ID()))
	}
	return d
}

// addProblems adds the problems of the changed object whose fields no violation names.
func (d *Decision) addProblems(problems []calico.Problem) {
	if len(problems) == 0 {
		return
	}
	explained := d.explained()
	for _, p := range problems {
		if !slices.Contains(explained, p.Field) {
			d.Problems = append(d.Problems, p)
		}
	}
}

// rank orders severities: the worst has the highest rank. An unknown one has the lowest.
func rank(severity string) int {
	if i := slices.Index(policy.Severities, severity); i >= 0 {
		return len(policy.Severities) - i
	}
	return 0
}

// waive allows what one change makes worse if it fixes something more severe: if a
// violation is resolved or smaller whose severity is higher than that of each verdict that
// denies the change, these verdicts warn instead. groups are the verdicts of states with the
// same pending changes. Violations with an assumption and advisory ones are not certain, so
// fixing them waives nothing.
func waive(groups [][]Verdict) {
	worst, best := -1, -1
	var fixed *Verdict
	for _, verdicts := range groups {
		for i := range verdicts {
			v := &verdicts[i]
			switch of := &v.Violation; {
			case v.denies():
				worst = max(worst, rank(of.Severity))
			case (v.Relation == Gone || v.Relation == Smaller) && of.Assumption == "" && !of.Advisory && rank(of.Severity) > best:
				best, fixed = rank(of.Severity), v
			}
		}
	}
	if worst < 0 || best <= worst {
		return
	}
	for _, verdicts := range groups {
		for i := range verdicts {
			if v := &verdicts[i]; v.denies() {
				v.Waived = fmt.Sprintf("the change fixes a violation of higher severity: %s of %s (%s)", fixed.Violation.ID, fixed.Violation.Policy, fixed.Violation.Severity)
			}
		}
	}
}

// merger collects the verdicts of all worlds in a decision: of each violation the one with
// the strongest action, and of equal ones the first.
type merger struct {
	decision *Decision
	// began reports that the decision has the verdicts of the first world. index is by policy and id; it is nil while
	// the verdicts are sorted and no other order was asked for.
	began bool
	index map[[2]string]int
	// harmful is the first world in which a violation with members is worse, or any violation
	// only because Typha drops an object.
	harmful *world
}

// find returns the index of the verdict on the violation of v.
func (m *merger) find(v *Verdict) (int, bool) {
	n := len(m.decision.Verdicts)
	if m.index == nil && n > 0 {
		last := &m.decision.Verdicts[n-1].Violation
		switch order := cmp.Or(cmp.Compare(last.Policy, v.Violation.Policy), cmp.Compare(last.ID, v.Violation.ID)); {
		case order == 0:
			return n - 1, true
		case order > 0:
			m.index = make(map[[2]string]int, n)
			for i := range m.decision.Verdicts {
				m.index[m.decision.Verdicts[i].key()] = i
			}
		}
	}
	at, known := m.index[v.key()]
	return at, known
}

// key identifies the violation among those of all policies.
func (v *Verdict) key() [2]string { return [2]string{v.Violation.Policy, v.Violation.ID} }

// strength orders verdicts by what follows from them.
func (v *Verdict) strength() int {
	switch {
	case v.denies():
		return 4
	case v.Relation.Worse() && v.Applied() == violation.Warn:
		return 3
	case v.Relation.Worse():
		return 2
	default:
		return 1
	}
}

// add adds the verdicts of a world. What is not worse is only of interest in the first
// world, and without an assumption. The list of the first world becomes that of the decision.
func (m *merger) add(w *world, verdicts []Verdict) {
	first := !m.began
	if first {
		m.began, m.decision.Verdicts = true, verdicts[:0]
	}
	clause := ""
	for i := range verdicts {
		v := &verdicts[i]
		worse := v.Relation.Worse()
		if !worse && (!first || v.Violation.Assumption != "") {
			continue
		}
		if worse && m.harmful == nil && (len(v.Violation.Members) > 0 || w.typha) {
			m.harmful = w
		}
		at, known := m.find(v)
		if known && m.decision.Verdicts[at].strength() >= v.strength() {
			continue
		}
		if worse {
			if clause == "" {
				clause = w.assumption()
			}
			v.Assumption = and(clause, v.Violation.Assumption)
		}
		if known {
			m.decision.Verdicts[at] = *v
			continue
		}
		if m.index != nil {
			m.index[v.key()] = len(m.decision.Verdicts)
		}
		m.decision.Verdicts = append(m.decision.Verdicts, *v)
	}
}

// and joins two clauses, either of which may be "".
func and(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", and " + b
}

// fail adds the failures of a world, of each policy the first.
func (m *merger) fail(failures []Failure) {
	for i := range failures {
		known := slices.ContainsFunc(m.decision.Failures, func(f Failure) bool { return f.Policy == failures[i].Policy })
		if !known {
			m.decision.Failures = append(m.decision.Failures, failures[i])
		}
	}
}

// finish sorts what was collected.
func (m *merger) finish() {
	slices.SortStableFunc(m.decision.Verdicts, func(a, b Verdict) int { return violation.ByPolicyAndID(a.Violation, b.Violation) })
	slices.SortStableFunc(m.decision.Failures, func(a, b Failure) int { return cmp.Compare(a.Policy, b.Policy) })
}

// asKnown returns s with the changed object replaced by c.Before. A request holds the
// current object, while a snapshot may lag behind. With the current object, two changes of
// one object in quick succession are evaluated separately.
func asKnown(s *state.Snapshot, c state.Change) *state.Snapshot {
	return s.Apply(state.Change{Before: s.Get(c.ID()), After: c.Before})
}

// asked returns the request in the form that the match and exempt fields of a BGPPolicy
// select.
func (r *Request) asked() *policy.Request {
	return &policy.Request{
		Kind: string(r.ID().Kind), Name: r.ID().Name, Operation: string(r.Operation()),
		Labels: [2]map[string]string{calico.Labels(r.Before), calico.Labels(r.After)}, User: r.User, Groups: r.Groups,
	}
}

// comparison holds the evaluations of the states before and after a change, by the same
// policies.
type comparison struct {
	*proposal

	engine     *Engine
	difference *policy.Difference
	// set are the requests for the changes between the states.
	set requestSet
	// documents are the input of policies that evaluate changes, for each request.
	documents []*changeDocuments
	changed   []violation.Object // see asked
}

// room returns an empty list with room for the verdicts of most decisions.
func (c *comparison) room() []Verdict {
	n := 0
	for i := range c.after.results {
		n += max(len(c.before.results[i].violations), len(c.after.results[i].violations))
	}
	return make([]Verdict, 0, min(n, maxRoom))
}

// maxRoom is the number of verdicts for which room is reserved. Most violations of a state with more stand.
const maxRoom = 32

// asked reports whether a decision needs the verdict on a violation that stands: if it is about a changed object.
func (c *comparison) asked(v *violation.Violation) bool {
	if c.changed == nil {
		c.changed = c.set.objects()
		for _, change := range c.changes {
			c.changed = append(c.changed, violation.Object{Kind: string(change.ID().Kind), Name: change.ID().Name})
		}
	}
	return c.set.all() || slices.ContainsFunc(c.changed, v.Concerns)
}

// verdicts appends the verdicts of policy number i to out. numbers are those of the requests
// that the policy matches; only policies that evaluate changes read them. An error means that the policy
// could not be evaluated on one of the states, or that the members of a violation are
// unknown.
func (c *comparison) verdicts(ctx context.Context, out []Verdict, i int, numbers []int) ([]Verdict, error) {
	if known := c.proposal.verdicts[i].Load(); known != nil && !c.set.all() {
		return append(out, *known...), nil
	}
	before, after := &c.before.results[i], &c.after.results[i]
	if after.err != nil {
		return out, after.err
	}
	p := c.after.Policies.Policies()[i]
	if p.Definition.Judges == policy.JudgesChange {
		for _, request := range numbers {
			found, err := c.ofChange(ctx, p, i, request)
			if err != nil {
				return out, err
			}
			for j := range found {
				v, failed := compareToChange(&found[j], c.before.Topology, c.after.Topology)
				if failed != nil {
					return out, failed
				}
				out = append(out, v)
			}
		}
		return out, nil
	}
	from := len(out)
	out, failures := compare(out, Found{Violations: before.violations, Topology: c.before.Topology}, Found{Violations: after.violations, Topology: c.after.Topology}, c.asked)
	switch {
	case len(failures) > 0:
		return out, failures[0].Err
	case before.err != nil && !isUnread(before.err): // Otherwise the change fixes the object.
		return out, fmt.Errorf("on the state before the change: %w", before.err)
	}
	if len(out)-from <= maxCached && !c.set.all() {
		found := slices.Clone(out[from:])
		c.proposal.verdicts[i].Store(&found)
	}
	return out, nil
}

// maxCached is the number of verdicts of a policy that a proposal keeps. To compare more again costs less than to copy them.
const maxCached = 256

// ofChange returns the violations of policy number i, which evaluates changes, on the change of
// a request. It evaluates
// the policy only if it can find a violation in such a change. The result of a policy that
// reads only the states is cached for changes that alter nothing of what it reads.
func (c *comparison) ofChange(ctx context.Context, p *policy.Policy, i, request int) ([]violation.Violation, error) {
	if err := unreadBy(p, c.after.Snapshot); err != nil {
		return nil, err
	}
	asked, change := c.set[request].asked, c.set[request].ofUser()
	if change.Before == nil && change.After == nil || !p.CanFire(ctx, asked.Kind, string(change.Operation())) || p.Ignores(asked.Kind, change.Differs) {
		return nil, nil
	}
	evaluate := func() ([]violation.Violation, error) {
		return c.engine.evaluateChange(ctx, p, asked, c.documents[request].of(p), c.after)
	}
	if !p.ReadsOnlyStates() || !c.difference.Unaffected(p) {
		return evaluate()
	}
	cached := &c.before.unaltered[i]
	if known := cached.Load(); known != nil {
		return *known, nil
	}
	found, err := evaluate()
	if err == nil {
		cached.Store(&found)
	}
	return found, err
}

// denied reports whether a verdict or a failure denies the change.
func (d *Decision) denied() bool {
	return slices.ContainsFunc(d.Verdicts, func(v Verdict) bool { return v.denies() }) ||
		slices.ContainsFunc(d.Failures, func(f Failure) bool { return f.Applied() == violation.Deny })
}

// explained lists the fields of the changed object that the message or a warning explains: those
// of violations that are about this object alone. A violation that is about others too says what
// follows from a field, and not what is wrong with it.
func (d *Decision) explained() []string {
	var out []string
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		if v.Violation.Action != violation.Audit && len(v.Violation.Objects) == 1 && v.Relation != Gone {
			out = append(out, v.Violation.Fields(d.Objects[0])...)
		}
	}
	return out
}
