package admission

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/reserve"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func TestTwinIsCountedOnce(t *testing.T) {
	dry := true
	first := request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), "")
	second := request(create, v1, "BGPPeer", "a", peer(v1, "a", goodSpec), "")
	byUser := second
	second.UserInfo.Username = calicoAPIServer
	other := request(create, v1, "BGPPeer", "a", peer(v1, "a", `{"peerIP":"10.0.0.2","asNumber":64512}`), "")
	dryRun := second
	dryRun.DryRun = &dry
	type step struct {
		request admission.Request
		after   time.Duration
	}
	tests := map[string]struct {
		steps []step
		want  float64
	}{
		"a change that is reviewed in both groups":        {[]step{{first, 0}, {second, time.Second}}, 1},
		"a change that a user makes in both groups":       {[]step{{first, 0}, {byUser, time.Second}}, 2},
		"a change that is made again":                     {[]step{{first, 0}, {second, time.Second}, {second, 0}}, 2},
		"a change that is made in the one group only":     {[]step{{second, 0}, {second, 0}}, 2},
		"a change to something else":                      {[]step{{first, 0}, {other, 0}}, 2},
		"a dry run and then the change":                   {[]step{{first, 0}, {dryRun, 0}}, 2},
		"a second review that comes too late for a twin":  {[]step{{first, 0}, {second, twinAge + time.Second}}, 2},
		"a second review that comes just in time":         {[]step{{first, 0}, {second, twinAge}}, 1},
		"a delete that Calico's API server does not show": {[]step{{request(remove, v1, "BGPPeer", "a", "", peer(v1, "a", goodSpec)), 0}}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			clock := time.Unix(0, 0)
			h := New(fakeCluster{}, always(&validate.Decision{
				Allowed:  true,
				Verdicts: fresh(violation.Violation{Policy: "mesh-node-limit", ID: "x", Action: violation.Warn}),
			}))
			h.twins = newTwins(func() time.Time { return clock })
			count := func() float64 {
				return testutil.ToFloat64(decisions.WithLabelValues("mesh-node-limit", "Warn", "false")) +
					testutil.ToFloat64(decisions.WithLabelValues("mesh-node-limit", "Warn", "true"))
			}
			before := count()
			for _, s := range test.steps {
				clock = clock.Add(s.after)
				h.SetLedger(reserve.NewLedger(nil, "", logr.Discard())) // It recognises second reviews, too.
				if r := h.Handle(t.Context(), s.request); !r.Allowed {
					t.Errorf("answered %s", toJSON(t, r))
				}
			}
			if got := count() - before; got != test.want {
				t.Errorf("counted %v, want %v", got, test.want)
			}
		})
	}
}

// Every kind that both of Calico's groups serve can be reviewed twice.
func TestTheSecondReviewOfEveryKindIsRecognised(t *testing.T) {
	for _, info := range calico.Kinds() {
		if !info.Calico || info.Review == calico.ReviewNone {
			continue
		}
		t.Run(string(info.Kind), func(t *testing.T) {
			tw := newTwins(time.Now)
			reviewed := func(group string, tweaks ...calicotest.Tweak) bool {
				document := calicotest.Document(t, info.Kind, "default", calicotest.Spec{"later": true}, tweaks...)
				r := request(create, group, string(info.Kind), "default", string(calicotest.JSON(t, document)), "")
				if group == v1 {
					r.UserInfo.Username = calicoAPIServer
				}
				return tw.second(&r, state.Change{After: calicotest.Decode(t, document)})
			}
			if reviewed(v3) {
				t.Error("the first review is taken for the second")
			}
			if !reviewed(v1, calicotest.CRD) {
				t.Error("the second review is taken for another change")
			}
			if reviewed(v1, calicotest.CRD) {
				t.Error("the same change, made again, is taken for the second review")
			}
		})
	}
}

// A denied change is not written, so an equal change in the other group is another request of
// a user.
func TestDenialsHaveNoTwins(t *testing.T) {
	h := New(fakeCluster{}, always(denied()))
	counter := decisions.WithLabelValues("mesh-node-limit", "Deny", "false")
	before := testutil.ToFloat64(counter)
	h.Handle(t.Context(), request(create, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), ""))
	h.Handle(t.Context(), request(create, v1, "BGPPeer", "a", peer(v1, "a", goodSpec), ""))
	if got := testutil.ToFloat64(counter) - before; got != 2 {
		t.Errorf("counted %v, want 2", got)
	}
}

func TestTwinsAreBounded(t *testing.T) {
	clock := time.Unix(0, 0)
	tw := newTwins(func() time.Time { return clock })
	for i := range 3 * maxTwin {
		tw.remember(twin{after: [32]byte{byte(i), byte(i >> 8)}})
	}
	if len(tw.seen) != maxTwin {
		t.Errorf("%d are remembered", len(tw.seen))
	}
	clock = clock.Add(2 * twinAge)
	tw.remember(twin{dryRun: true})
	if len(tw.seen) != 1 {
		t.Errorf("%d are remembered when all others are too old", len(tw.seen))
	}
}
