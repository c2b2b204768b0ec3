package enforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// apiServer holds one BGPPolicy and applies the patches of status: each replica owns
// its entry, the leader the rest.
type apiServer struct {
	client.Reader
	client.SubResourceWriter
	object v1alpha1.BGPPolicy
	// writes are the field managers of the writes, in order.
	writes []string
}

func (a *apiServer) Get(_ context.Context, key client.ObjectKey, out client.Object, _ ...client.GetOption) error {
	if key.Name != a.object.Name {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "bgppolicies"}, key.Name)
	}
	a.object.DeepCopyInto(out.(*v1alpha1.BGPPolicy))
	return nil
}

func (a *apiServer) List(_ context.Context, out client.ObjectList, _ ...client.ListOption) error {
	out.(*v1alpha1.BGPPolicyList).Items = []v1alpha1.BGPPolicy{*a.object.DeepCopy()}
	return nil
}

func (a *apiServer) Patch(_ context.Context, o client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	var all client.SubResourcePatchOptions
	all.ApplyOptions(options)
	text, err := patch.Data(o)
	if err != nil {
		return err
	}
	var sent v1alpha1.BGPPolicy
	if err := json.Unmarshal(text, &sent); err != nil {
		return err
	}
	a.writes = append(a.writes, all.FieldManager)
	status := &a.object.Status
	switch {
	case patch.Type() == types.MergePatchType:
		status.Replicas = sent.Status.Replicas
	case sent.Status.Replicas != nil:
		one := sent.Status.Replicas[0]
		status.Replicas = append(slices.DeleteFunc(status.Replicas, func(r v1alpha1.Replica) bool { return r.Name == one.Name }), one)
	default:
		replicas := status.Replicas
		*status = sent.Status
		status.Replicas = replicas
	}
	return nil
}

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// bench returns a status and a server with the first of documents.
func bench(t *testing.T, documents ...policy.Document) (*status, *apiServer, *clock) {
	t.Helper()
	server := &apiServer{object: documents[0].BGPPolicy}
	at := &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	k := newKeeper(t, logr.Discard())
	k.SetDocuments(documents)
	return &status{
		keeper: k, replica: "a", log: logr.Discard(), cached: server, live: server, writer: server, now: at.now,
		count:    func() (map[string]int32, time.Time) { return map[string]int32{"mesh": 1}, at.at },
		notAsked: func() (string, bool) { return "", true }, tooLarge: func() string { return "" },
		lagging: map[lag]time.Time{},
	}, server, at
}

func (s *status) round(t *testing.T) {
	t.Helper()
	s.write(t.Context(), fieldManager+"-"+s.replica, s.ownPart)
	s.lead(t.Context())
}

// change stores another generation in the server and the keeper.
func (a *apiServer) change(s *status, d policy.Document) {
	a.object.Spec, a.object.Generation = d.Spec, d.Generation
	s.keeper.SetDocuments([]policy.Document{d})
}

func TestStatusIsWrittenOnceForEachChange(t *testing.T) {
	s, server, at := bench(t, named("mesh", "mesh-node-limit", 1))
	began := at.at
	s.round(t)
	s.round(t)
	if got := fmt.Sprint(server.writes); got != "[bgpguard-a bgpguard]" {
		t.Errorf("wrote %s", got)
	}
	want := `{"observedGeneration":1,"policy":"mesh-node-limit","judges":"state","violations":1,"lastAuditTime":"2026-01-01T00:00:00Z","conditions":[` +
		`{"type":"Compiled","status":"True","observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z","reason":"Valid","message":"policy mesh-node-limit compiles, its parameters are valid and its tests pass"},` +
		`{"type":"Enforced","status":"True","observedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z","reason":"Enforced","message":"generation 1 is enforced on all replicas (1)"}],` +
		`"replicas":[{"name":"a","observedGeneration":1,"enforcedGeneration":1,"lastTransitionTime":"2026-01-01T00:00:00Z"}]}`
	if text, err := json.Marshal(server.object.Status); err != nil || string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}

	at.at = began.Add(time.Hour)
	server.change(s, withText(named("mesh", "mesh-node-limit", 2), `{"maxNodes": 7}`))
	s.round(t)
	if got := len(server.writes); got != 4 {
		t.Errorf("wrote %q", server.writes)
	}
	if is := server.object.Status; !is.Replicas[0].LastTransitionTime.Time.Equal(at.at) || is.ObservedGeneration != 2 ||
		!is.Conditions[1].LastTransitionTime.Time.Equal(began) || is.Conditions[1].ObservedGeneration != 2 {
		t.Errorf("got %+v", is)
	}

	at.at = began.Add(2 * time.Hour)
	server.change(s, named("mesh", "nothing", 3))
	s.round(t)
	if is := server.object.Status.Conditions[1]; is.Reason != v1alpha1.ReasonLastGood || !is.LastTransitionTime.Time.Equal(at.at) {
		t.Errorf("got %+v", is)
	}
}

func TestViolationsInTheStatus(t *testing.T) {
	s, server, _ := bench(t, named("mesh", "mesh-node-limit", 1))
	var counts map[string]int32
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s.count = func() (map[string]int32, time.Time) { return counts, at }
	for _, step := range []struct {
		name   string
		after  time.Duration
		counts map[string]int32
		want   string
		writes int
	}{
		{"counted", 0, map[string]int32{"mesh": 3}, "3 at 00:00:00", 1},
		{"counted again", 2 * time.Second, map[string]int32{"mesh": 3}, "3 at 00:00:00", 1},
		{"a state that is not known keeps the number", 0, nil, "3 at 00:00:00", 1},
		{"none is a number too", 2 * time.Second, map[string]int32{"mesh": 0}, "0 at 00:00:04", 2},
		{"counted again after a while", 5 * time.Minute, map[string]int32{"mesh": 0}, "0 at 00:05:04", 3},
		{"a clock that was set back", -5 * time.Minute, map[string]int32{"mesh": 0}, "0 at 00:00:04", 4},
		{"a clock that was set forward", time.Hour, map[string]int32{"mesh": 0}, "0 at 01:00:04", 5},
		{"a policy that cannot judge has none", 0, map[string]int32{}, "none", 6},
	} {
		counts, at = step.counts, at.Add(step.after)
		s.lead(t.Context())
		got := "none"
		if is := server.object.Status; is.Violations != nil {
			got = fmt.Sprintf("%d at %s", *is.Violations, is.LastAuditTime.UTC().Format(time.TimeOnly))
		} else if is.LastAuditTime != nil {
			t.Errorf("%s: audited at %s", step.name, is.LastAuditTime)
		}
		if got != step.want || len(server.writes) != step.writes {
			t.Errorf("%s: got %s with %d writes, want %s with %d", step.name, got, len(server.writes), step.want, step.writes)
		}
	}
}

// A replica writes only the status of the object that it has seen, not of a new object with
// the same name.
func TestStatusOfAnotherObjectIsNotWritten(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.BGPPolicy){
		"another generation": func(o *v1alpha1.BGPPolicy) { o.Generation = 2 },
		"another object":     func(o *v1alpha1.BGPPolicy) { o.UID = "other" },
		"no object":          func(o *v1alpha1.BGPPolicy) { o.Name = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			s, server, _ := bench(t, named("mesh", "mesh-node-limit", 1))
			change(&server.object)
			s.round(t)
			if len(server.writes) > 0 {
				t.Errorf("%q wrote", server.writes)
			}
		})
	}
}

func TestACacheThatLagsBehindCausesNoWrite(t *testing.T) {
	s, server, _ := bench(t, named("mesh", "mesh-node-limit", 1))
	stale := &apiServer{object: server.object}
	s.cached = stale
	s.round(t)
	s.round(t)
	if len(server.writes) != 2 {
		t.Errorf("%q wrote", server.writes)
	}
}

// A new leader has not compared the configuration of the webhook yet: what the previous one has
// found stays until then.
func TestANewLeaderKeepsNotAsked(t *testing.T) {
	s, server, _ := bench(t, named("mesh", "mesh-node-limit", 1))
	for _, step := range []struct {
		notAsked string
		known    bool
		want     string
	}{
		{"", false, "Enforced generation 1 is enforced on all replicas (1)"},
		{"no webhook", true, "NotAsked no webhook"},
		{"", false, "NotAsked no webhook"},
		{"", true, "Enforced generation 1 is enforced on all replicas (1)"},
	} {
		s.notAsked = func() (string, bool) { return step.notAsked, step.known }
		s.round(t)
		if is := server.object.Status.Conditions[1]; is.Reason+" "+is.Message != step.want {
			t.Errorf("not asked %q, known %t: got %s %s, want %s", step.notAsked, step.known, is.Reason, is.Message, step.want)
		}
	}
}

func TestEnforcedLooksAtAllReplicas(t *testing.T) {
	of := func(name string, generation int64) v1alpha1.Replica {
		return v1alpha1.Replica{Name: name, ObservedGeneration: generation, EnforcedGeneration: generation}
	}
	good := Outcome{Name: "p", Generation: 3, Enforced: 3, Policy: &policy.Policy{}}
	for name, c := range map[string]struct {
		outcome  Outcome
		replicas []v1alpha1.Replica
		notAsked string
		tooLarge string
		want     string
	}{
		"all agree":                   {good, []v1alpha1.Replica{of("a", 3), of("b", 3)}, "", "", "True Enforced: generation 3 is enforced on all replicas (2)"},
		"the API server does not ask": {good, []v1alpha1.Replica{of("a", 3), of("b", 2)}, "no webhook", "", "False NotAsked: no webhook"},
		"the state is too large":      {good, []v1alpha1.Replica{of("a", 3)}, "no webhook", "too many", "False StateTooLarge: too many"},
		"one is behind": {
			good, []v1alpha1.Replica{of("a", 3), of("b", 2)},
			"", "", "False ReplicasDiffer: 1 of 2 replicas do not enforce generation 3 yet (b enforces generation 2): see status.replicas",
		},
		"an older generation": {
			Outcome{Generation: 3, Enforced: 2, Policy: &policy.Policy{}, Err: errors.New("x")}, []v1alpha1.Replica{of("a", 2)},
			"", "", "False LastGood: generation 2 is still enforced: generation 3 is rejected, see condition Compiled",
		},
		"nothing": {
			Outcome{Generation: 3, Err: errors.New("x")}, []v1alpha1.Replica{of("a", 0)},
			"no webhook", "too many", "False Invalid: nothing is enforced: generation 3 is rejected, see condition Compiled",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := enforced(&c.outcome, c.replicas, c.notAsked, c.tooLarge)
			if text := fmt.Sprintf("%s %s: %s", got.Status, got.Reason, got.Message); text != c.want {
				t.Errorf("\n got %s\nwant %s", text, c.want)
			}
		})
	}
}

func TestReplicasThatNoLongerExistAreDropped(t *testing.T) {
	s, server, at := bench(t, named("mesh", "mesh-node-limit", 2))
	server.object.Status.Replicas = []v1alpha1.Replica{
		{Name: "gone", ObservedGeneration: 1, EnforcedGeneration: 1, LastTransitionTime: metav1.NewTime(at.at)},
		{Name: "slow", ObservedGeneration: 1, EnforcedGeneration: 1, LastTransitionTime: metav1.NewTime(at.at)},
		{Name: "here", ObservedGeneration: 2, EnforcedGeneration: 2, LastTransitionTime: metav1.NewTime(at.at)},
	}
	names := func() string {
		var out []string
		for _, r := range server.object.Status.Replicas {
			out = append(out, r.Name)
		}
		return strings.Join(out, " ")
	}
	s.round(t)
	at.at = at.at.Add(lagLimit)
	s.round(t)
	if got := names(); got != "gone slow here a" {
		t.Fatalf("after just a minute there are %s", got)
	}
	server.object.Status.Replicas[1].ObservedGeneration = 2 // It was only slow.
	server.object.Status.Replicas[1].EnforcedGeneration = 2
	at.at = at.at.Add(time.Second)
	s.round(t)
	if got := names(); got != "slow here a" {
		t.Errorf("after more than a minute there are %s", got)
	}
	if is := server.object.Status.Conditions[1]; is.Status != metav1.ConditionTrue {
		t.Errorf("got %+v", is)
	}
}

func TestLongErrorsAreShortened(t *testing.T) {
	got := (&status{}).entry(&Outcome{Err: errors.New(strings.Repeat("ä", maxMessage))}).Error
	if len(got) > maxMessage || !strings.HasSuffix(got, "ä...") {
		t.Errorf("got %d bytes that end in %q", len(got), got[len(got)-10:])
	}
}

// Only the leader writes the conditions, and only once the BGPPolicies have been read. A replica
// that leads again does not count the time in between as lag.
func TestTheLeaderWritesTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, server, at := bench(t, named("mesh", "mesh-node-limit", 2))
		s.own, s.rest, s.now = loop.NewSignal(), loop.NewSignal(), time.Now
		server.object.Status.Replicas = []v1alpha1.Replica{{Name: "slow", ObservedGeneration: 1, EnforcedGeneration: 1, LastTransitionTime: metav1.NewTime(at.at)}}
		o := &Objects{status: s}
		lead := func() {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); o.Lead(ctx) }()
			time.Sleep(20 * time.Second)
			cancel()
			<-done
		}
		lead()
		if len(server.writes) > 0 {
			t.Errorf("%q wrote before the BGPPolicies were read", server.writes)
		}
		o.read.Store(true)
		lead()
		if !slices.Contains(server.writes, fieldManager) {
			t.Error("the leader wrote nothing")
		}
		time.Sleep(time.Hour)
		lead()
		if len(server.object.Status.Replicas) != 1 {
			t.Error("the leader dropped a replica that lags for less than a minute of its term")
		}
	})
}

func TestWritesAreCombined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake := loop.NewSignal()
		began := time.Now()
		var at []time.Duration
		go runOnSignal(ctx, wake, restDelay, restInterval, func() { at = append(at, time.Since(began)) })
		for range 50 { // changes for five seconds
			wake.Send()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(30 * time.Second) // no changes, only retries
		cancel()
		synctest.Wait()
		for i := range at[1:] {
			if gap := at[i+1] - at[i]; gap < restInterval {
				t.Errorf("ran at %v: two of them only %s apart", at, gap)
			}
		}
		if at[0] != restDelay || len(at) < 5 || len(at) > 7 {
			t.Errorf("ran at %v", at)
		}
	})
}

// listed is a cache with the BGPPolicy of a server.
type listed struct {
	cache.Cache
	server *apiServer
}

func (l listed) List(ctx context.Context, out client.ObjectList, options ...client.ListOption) error {
	return l.server.List(ctx, out, options...)
}

// A new leader finds out from the conditions what an earlier one has reported.
func TestWhatAnEarlierLeaderHasReported(t *testing.T) {
	s, server, _ := bench(t, named("mesh", "mesh-node-limit", 1))
	long := strings.Repeat("x", 2*maxMessage)
	o := &Objects{cache: listed{server: server}}
	if o.ReportedNotAsked(t.Context(), "") {
		t.Error("known before the BGPPolicies are read")
	}
	o.read.Store(true)
	for _, written := range []string{"", "it does not exist", long} {
		s.notAsked = func() (string, bool) { return written, true }
		s.lead(t.Context())
		for _, asked := range []string{"", "it does not exist", long} {
			if got := o.ReportedNotAsked(t.Context(), asked); got != (asked == written) {
				t.Errorf("%.20q is written, %.20q is asked for: got %t", written, asked, got)
			}
		}
	}
}
