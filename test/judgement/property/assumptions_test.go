package property

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// TestPendingChangesAreDecidedInEveryCombination compares the decision about a change while
// others are pending with one decision for each combination of these.
func TestPendingChangesAreDecidedInEveryCombination(t *testing.T) {
	t.Parallel()
	engine, all := validate.NewEngine(library(t)), clusters(t)
	combined, done, onlyTogether := share(3), 0, 0
	for round := uint64(0); done < combined; round++ {
		r := rand.New(rand.NewPCG(*seed+2, round))
		c := all[r.IntN(len(all))]
		before := c.draw(r, r.IntN(3))
		more := c.draw(r, 2+r.IntN(validate.MaxPending))
		if overlap(before, more) {
			continue
		}
		done++
		s := c.state(t, before)
		change := c.change(t, more[0].id, nil, more[:1])
		var pending []validate.Pending
		for _, f := range more[1:] {
			pending = append(pending, validate.Pending{Change: c.change(t, f.id, nil, []*fault{f})})
		}
		want, alone := true, false
		for mask := range 1 << len(pending) {
			with := s
			for i := range pending {
				if mask&(1<<i) != 0 {
					with = with.Apply(pending[i].Change)
				}
			}
			allowed := engine.Decide(t.Context(), with, validate.Request{Change: change}).Allowed
			want, alone = want && allowed, alone || mask == 0 && allowed
		}
		if alone && !want {
			onlyTogether++
		}
		if d := engine.Decide(t.Context(), s, validate.Request{Change: change, Pending: pending}); d.Allowed != want {
			t.Errorf("seed %d, round %d, cluster %q with %s, pending %s, change %s: allowed %t, want %t\n%s",
				*seed, round, c.name, names(before), names(more[1:]), more[0].name, d.Allowed, want, d.Message())
		}
	}
	if onlyTogether < combined/50 {
		t.Errorf("only %d of %d changes were denied because of a pending one: the test checks little", onlyTogether, combined)
	}
}

// overlap reports whether two faults are about one object, or cannot be in one state.
func overlap(before, more []*fault) bool {
	all := slices.Concat(before, more)
	for i, f := range all {
		for _, g := range all[:i] {
			if f.id == g.id || f.clash(g) {
				return true
			}
		}
	}
	return false
}

// state returns the state of the cluster with faults.
func (c *cluster) state(t testing.TB, faults []*fault) *state.Snapshot {
	t.Helper()
	s := state.New(c.objects(t)...)
	for i, f := range faults {
		s = s.Apply(c.change(t, f.id, faults[:i], faults[:i+1]))
	}
	return s
}

// TestTheLiveStateIsDecidedToo compares decisions about changes of clusters with Nodes that
// are not ready with a naive one: violations before and after, as configured and without these
// Nodes, and the severities of what is worse and of what is fixed.
func TestTheLiveStateIsDecidedToo(t *testing.T) {
	t.Parallel()
	// Policies that read what is not ready, or that let one object set the value of others,
	// have rules of their own. The naive decision knows no policy that evaluates changes,
	// and no reading of external peers.
	engine, all := validate.NewEngine(library(t, "as-number-change", "change-window", "encapsulation-change", "pools-in-use", "stale-mesh-peers", "timers-consistent")), clusters(t)
	living, onlyLive, done := share(4), 0, 0
	for round := uint64(0); done < living; round++ {
		r := rand.New(rand.NewPCG(*seed+3, round))
		c := all[r.IntN(len(all))]
		before := c.draw(r, r.IntN(3))
		after := c.next(r, before)
		if after == nil || c.peersWithRouters() {
			continue
		}
		done++
		s := c.state(t, before)
		changed := before
		if len(after) > len(before) {
			changed = after
		}
		change := c.change(t, changed[len(changed)-1].id, before, after)
		for _, n := range s.Nodes() {
			if r.IntN(4) == 0 && n.ID() != change.ID() {
				dead := *n
				dead.NotReady = true
				s = s.Apply(state.Change{Before: n, After: &dead})
			}
		}
		live := s.Live(nil)
		worst, best := naive(t, engine, s, s.Apply(change))
		deadWorst, deadBest := naive(t, engine, live, live.Apply(state.LiveChange(change)))
		if calico.Down(change.Before) && (change.After == nil || calico.Down(change.After)) {
			worst = -1
		}
		want := max(worst, deadWorst) < 0 || max(best, deadBest) > max(worst, deadWorst)
		if worst < 0 && !want {
			onlyLive++
		}
		if d := engine.Decide(t.Context(), s, validate.Request{Change: change}); d.Allowed != want {
			t.Errorf("seed %d, round %d, cluster %q from %s to %s: allowed %t, want %t (worst %d and live %d, fixed %d and %d)\n%s",
				*seed, round, c.name, names(before), names(after), d.Allowed, want, worst, deadWorst, best, deadBest, d.Message())
		}
	}
	if onlyLive < living/100 {
		t.Errorf("only %d of %d changes were denied because of the live state alone: the test checks little", onlyLive, living)
	}
}

// peersWithRouters reports whether a BGPPeer names an address.
func (c *cluster) peersWithRouters() bool {
	for _, doc := range c.healthy {
		if spec, _ := doc["spec"].(document); spec["peerIP"] != nil {
			return true
		}
	}
	return false
}

// naive returns the highest severity of what denies the change from one state to another and
// of what it fixes, -1 for nothing.
func naive(t *testing.T, engine *validate.Engine, before, after *state.Snapshot) (worst, best int) {
	t.Helper()
	worst, best = -1, -1
	verdicts, failures := validate.Compare(engine.Evaluate(t.Context(), before).Found(), engine.Evaluate(t.Context(), after).Found())
	if len(failures) > 0 {
		t.Fatal(failures)
	}
	for i := range verdicts {
		v := &verdicts[i]
		severity := len(policy.Severities) - slices.Index(policy.Severities, v.Violation.Severity)
		switch {
		case v.Relation.Worse() && v.Violation.Action == violation.Deny && !v.Violation.Advisory:
			worst = max(worst, severity)
		case (v.Relation == validate.Gone || v.Relation == validate.Smaller) && !v.Violation.Advisory:
			best = max(best, severity)
		}
	}
	return worst, best
}
