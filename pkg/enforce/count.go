package enforce

import (
	"context"
	"time"

	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// countLimit bounds Count, of which most was computed for requests already.
const countLimit = 5 * time.Second

// Count returns how many violations each policy finds in the state of the
// cluster, by the name of the BGPPolicy. Policies that judge changes, or could
// not judge, are left out; nil says that the state is not known yet.
func Count(ctx context.Context, store *cluster.Store, engine *validate.Engine) map[string]int32 {
	snapshot, _, err := store.Snapshot()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, countLimit)
	defer cancel()
	judged := engine.Judge(ctx, snapshot)
	counts := map[string]int32{}
	for _, p := range judged.Policies.Policies() {
		if p.Definition.Judges == policy.JudgesState {
			counts[p.Name] = 0
		}
	}
	for _, v := range judged.Violations {
		counts[v.Policy]++
	}
	for _, f := range judged.Failures {
		delete(counts, f.Policy)
	}
	return counts
}
