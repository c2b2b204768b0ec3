package admission

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Each change of a Node that nobody evaluated is counted with the reason.
func TestUnevaluatedChangesOfNodesAreCounted(t *testing.T) {
	fails := func(err error) Decider {
		return always(&validate.Decision{Failures: []validate.Failure{{Policy: "mine", Action: violation.Deny, Err: err}}})
	}
	dry, yes := nodeRequest(update, "jane"), true
	dry.DryRun = &yes
	node := nodeRequest(update, "jane")
	for name, test := range map[string]struct {
		handler *Handler
		request admission.Request
		reason  string // "" if it is not counted
	}{
		"the state is stale":           {New(fakeCluster{err: fmt.Errorf("%w: 5m", state.ErrStale)}, always(allowed())), node, unevaluatedState},
		"a policy is late":             {New(fakeCluster{}, fails(fmt.Errorf("stopped: %w", context.DeadlineExceeded))), node, unevaluatedTime},
		"a policy divides by zero":     {New(fakeCluster{}, fails(errors.New("division by zero"))), node, unevaluatedPolicy},
		"a panic":                      {New(fakeCluster{}, outOfCheese), node, unevaluatedPanic},
		"a dry run":                    {New(fakeCluster{}, fails(errors.New("division by zero"))), dry, ""},
		"an evaluated change":          {New(fakeCluster{}, always(allowed())), node, ""},
		"a BGPPeer, which is rejected": {New(fakeCluster{}, fails(errors.New("division by zero"))), request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			counts := func() map[string]float64 {
				out := map[string]float64{}
				for _, reason := range []string{unevaluatedState, unevaluatedTime, unevaluatedPolicy, unevaluatedInFlight, unevaluatedPanic} {
					out[reason] = testutil.ToFloat64(unevaluatedNodes.WithLabelValues(reason))
				}
				return out
			}
			before := counts()
			r := test.handler.Handle(t.Context(), test.request)
			if test.reason != "" && !r.Allowed {
				t.Errorf("got %s", toJSON(t, r))
			}
			for reason, n := range counts() {
				if got := n - before[reason]; (got == 1) != (reason == test.reason) {
					t.Errorf("counted %v with the reason %s, want %q", got, reason, test.reason)
				}
			}
		})
	}
}
