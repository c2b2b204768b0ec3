package property

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

var (
	seed  = flag.Uint64("property.seed", 1, "the seed of the random states")
	cases = flag.Int("property.cases", 1000, "the number of changes to decide, in all tests together")
)

// share returns a percentage of the cases.
func share(percent int) int { return *cases * percent / 100 }

// library compiles the policies of the library as they are installed by default, except
// some.
func library(t testing.TB, except ...string) *policy.Set {
	t.Helper()
	docs, err := policy.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	docs = slices.DeleteFunc(docs, func(d policy.Document) bool { return slices.Contains(except, d.Name) })
	policies, err := policy.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

// maxFaults is how many faults a state has at most.
const maxFaults = 5

// TestRepairsAreNeverDenied breaks healthy clusters by several faults and then removes the
// faults one after the other, in any order. No such change may be denied, however bad the
// state is that remains.
func TestRepairsAreNeverDenied(t *testing.T) {
	t.Parallel()
	engines := map[bool]*validate.Engine{
		false: validate.NewEngine(library(t)), true: validate.NewEngine(library(t, "route-reflectors-required")),
	}
	all := clusters(t)
	healthy := make([]*state.Snapshot, len(all))
	for i, c := range all {
		healthy[i] = state.New(c.objects(t)...)
	}
	done, denied := 0, map[string]bool{}
	for round := uint64(0); done < share(86); round++ {
		r := rand.New(rand.NewPCG(*seed, round))
		k := r.IntN(len(all))
		c, s := all[k], healthy[k]
		engine := engines[c.others]
		faults := c.draw(r, 1+r.IntN(maxFaults))
		var now []*fault
		for _, f := range faults {
			s = s.Apply(c.change(t, f.id, now, append(now, f)))
			now = append(now, f)
		}
		for len(now) > 0 {
			freezes := slices.ContainsFunc(now, func(f *fault) bool { return f.freezes })
			for i := range now {
				if freezes && !now[i].freezes {
					continue
				}
				rest := without(now, i)
				change := c.change(t, now[i].id, now, rest)
				done++
				d := engine.Decide(t.Context(), s, validate.Request{Change: change})
				if !d.Allowed && !denied[now[i].name] && len(denied) < 20 {
					denied[now[i].name] = true
					t.Errorf("seed %d, round %d, cluster %q with %s:\nremoving %q is denied: %s\n%s\n", *seed, round, c.name, names(now), now[i].name, d.Message(), show(change))
				}
			}
			i := r.IntN(len(now))
			rest := without(now, i)
			s, now = s.Apply(c.change(t, now[i].id, now, rest)), rest
		}
	}
	t.Log(fmt.Sprint(done, " repairs decided"))
}
