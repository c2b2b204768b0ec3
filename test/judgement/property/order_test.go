package property

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// TestDecisionsOnRandomChanges adds and removes faults at random and checks each decision:
//
//   - The order of policies and objects does not affect it.
//   - A denied change makes a violation worse, and no worse one has a lower severity than a
//     violation that the change fixes for certain.
//   - A change is allowed if it leaves no critical violation and there was one.
//   - The violations after it are those that an engine finds which knows no other state: a policy is not evaluated again only if
//     it would find the same.
func TestDecisionsOnRandomChanges(t *testing.T) {
	t.Parallel()
	docs, err := policy.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(docs)
	reversed, err := policy.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	policies, all := library(t), clusters(t)
	engine := validate.NewEngine(policies)
	changes, denied := share(7), 0
	for round := range uint64(changes) {
		r := rand.New(rand.NewPCG(*seed+1, round))
		c := all[r.IntN(len(all))]
		before := c.draw(r, r.IntN(maxFaults+1))
		after := c.next(r, before)
		if after == nil {
			continue
		}
		objects := c.objects(t)
		s := state.New(objects...)
		for i, f := range before {
			s = s.Apply(c.change(t, f.id, before[:i], before[:i+1]))
		}
		changed := before
		if len(after) > len(before) {
			changed = after
		}
		change := c.change(t, changed[len(changed)-1].id, before, after)
		d := engine.Decide(t.Context(), s, validate.Request{Change: change})
		text := fmt.Sprintf("seed %d, round %d, cluster %q from %s to %s: allowed %t\n%s", *seed, round, c.name, names(before), names(after), d.Allowed, d.Message())
		if !d.Allowed {
			denied++
		}
		checkSeverities(t, d, text)
		if criticals(t, engine, s) > 0 && criticals(t, engine, s.Apply(change)) == 0 && !d.Allowed {
			t.Errorf("a change that fixes all critical violations is denied: %s", text)
		}
		engine.Evaluate(t.Context(), s)
		reused := engine.Evaluate(t.Context(), s.Apply(change)).Violations()
		fresh := validate.NewEngine(policies).Evaluate(t.Context(), s.Apply(change)).Violations()
		if !reflect.DeepEqual(reused, fresh) {
			t.Errorf("a policy was not evaluated again: %s\nfound %v\nwant  %v", text, reused, fresh)
		}
		if round%5 == 0 {
			slices.Reverse(objects)
			other := state.New(objects...)
			for i, f := range before {
				other = other.Apply(c.change(t, f.id, before[:i], before[:i+1]))
			}
			again := validate.NewEngine(reversed).Decide(t.Context(), other, validate.Request{Change: change})
			if again.Allowed != d.Allowed || again.Message() != d.Message() || !slices.Equal(again.Warnings(), d.Warnings()) {
				t.Errorf("the order matters: %s\nin the other order: allowed %t\n%s", text, again.Allowed, again.Message())
			}
		}
	}
	if denied < changes/20 {
		t.Errorf("only %d of %d changes were denied: the test checks little", denied, changes)
	}
}

// next removes the last fault or adds one.
func (c *cluster) next(r *rand.Rand, before []*fault) []*fault {
	if len(before) > 0 && r.IntN(2) == 0 {
		return before[:len(before)-1]
	}
	f := &c.faults[r.IntN(len(c.faults))]
	if slices.ContainsFunc(before, f.clash) || slices.Contains(before, f) {
		return nil
	}
	return append(slices.Clone(before), f)
}

// criticals counts the critical violations of a state.
func criticals(t *testing.T, engine *validate.Engine, s *state.Snapshot) int {
	t.Helper()
	n := 0
	for _, v := range engine.Evaluate(t.Context(), s).Violations() {
		if v.Severity == "critical" && v.Assumption == "" {
			n++
		}
	}
	return n
}

// checkSeverities checks that a denial has a reason which no repair outweighs.
func checkSeverities(t *testing.T, d *validate.Decision, text string) {
	t.Helper()
	worst, fixed := len(policy.Severities), len(policy.Severities) // 0 is the highest severity
	for i := range d.Verdicts {
		v := &d.Verdicts[i]
		severity := slices.Index(policy.Severities, v.Violation.Severity)
		switch {
		case v.Relation.Worse() && v.Applied() == violation.Deny:
			worst = min(worst, severity)
		case (v.Relation == validate.Gone || v.Relation == validate.Smaller) && v.Violation.Assumption == "" && !v.Violation.Advisory:
			fixed = min(fixed, severity)
		}
	}
	if denies := worst < len(policy.Severities); denies == d.Allowed {
		t.Errorf("the verdicts do not fit the answer: %s", text)
	}
	if !d.Allowed && fixed < worst {
		t.Errorf("a fix of severity %s does not outweigh %s: %s", policy.Severities[fixed], policy.Severities[worst], text)
	}
}
