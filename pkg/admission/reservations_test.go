package admission

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/reserve"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// oneMustStay is a Decider that denies a change after which no BGPPeer could be left, under
// each combination of pending changes. It records the requests.
type oneMustStay struct {
	mu       sync.Mutex
	requests []validate.Request
}

func (d *oneMustStay) Decide(_ context.Context, s *state.Snapshot, r validate.Request) *validate.Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests = append(d.requests, r)
	for _, p := range r.Pending {
		if p.After == nil {
			s = s.Apply(p.Change)
		}
	}
	after := s.Apply(r.Change)
	if r.ID().Kind == calico.KindBGPPeer && len(after.BGPPeers()) == 0 {
		answer := denied()
		answer.Alters = true
		return answer
	}
	return &validate.Decision{Allowed: true, Alters: after != s}
}

// world is a cluster with BGPPeers and some replicas, each of which sees the cluster by a watch
// of its own.
type world struct {
	store   *sharedRecord
	decider *oneMustStay
}

type replica struct {
	*Handler
	mu       sync.Mutex
	snapshot *state.Snapshot
	ledger   *reserve.Ledger
	// taken, if it is set, is called once, after a snapshot is taken.
	taken func()
}

func (r *replica) Snapshot() (*state.Snapshot, time.Duration, error) {
	r.mu.Lock()
	snapshot, taken := r.snapshot, r.taken
	r.taken = nil
	r.mu.Unlock()
	if taken != nil {
		taken()
	}
	return snapshot, time.Second, nil
}

// shows is an event of the replica's watch: an object, or the deletion of one.
func (r *replica) shows(id calico.ID, o calico.Object, version string) {
	r.mu.Lock()
	r.snapshot = r.snapshot.Apply(state.Change{Before: r.snapshot.Get(id), After: o})
	r.mu.Unlock()
	r.ledger.Observe(id, version, o != nil)
}

// sharedRecord is a reserve.Store in memory.
type sharedRecord struct {
	mu      sync.Mutex
	record  []byte
	version int
	reads   int
	err     error
	delay   time.Duration
}

func (s *sharedRecord) Read(context.Context) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	return s.record, s.current(), nil
}

func (s *sharedRecord) current() string {
	if s.version == 0 {
		return ""
	}
	return fmt.Sprint(s.version)
}

func (s *sharedRecord) Write(_ context.Context, record []byte, version string) (string, error) {
	time.Sleep(s.delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return "", s.err
	}
	if version != s.current() {
		return "", reserve.ErrConflict
	}
	s.record, s.version = record, s.version+1
	return s.current(), nil
}

func newWorld() *world { return &world{&sharedRecord{delay: time.Millisecond}, &oneMustStay{}} }

// replica returns one that has seen some BGPPeers.
func (w *world) replica(t *testing.T, peers ...string) *replica {
	t.Helper()
	r := &replica{snapshot: state.New(), ledger: reserve.NewLedger(w.store, "replica", logr.Discard())}
	for _, name := range peers {
		r.shows(idOf(name), decoded(t, peer(v3, name, goodSpec)), "50")
	}
	r.Handler = New(r, w.decider)
	r.SetLedger(r.ledger)
	return r
}

func idOf(name string) calico.ID { return calico.ID{Kind: calico.KindBGPPeer, Name: name} }

func decoded(t *testing.T, text string) calico.Object {
	t.Helper()
	o, err := calico.DecodeJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// versioned returns a BGPPeer as JSON in version 50.
func versioned(group, name string) string {
	return strings.Replace(peer(group, name, goodSpec), `"metadata":{`, `"metadata":{"resourceVersion":"50",`, 1)
}

func deletion(name string) admission.Request {
	return request(remove, v3, "BGPPeer", name, "", versioned(v3, name))
}

// send sends requests at once, each to the next of the replicas, and returns the answers.
func send(t *testing.T, replicas []*replica, requests ...admission.Request) []admission.Response {
	t.Helper()
	answers := make([]admission.Response, len(requests))
	var group sync.WaitGroup
	for i, r := range requests {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			answers[i] = replicas[i%len(replicas)].Handle(ctx, r)
		})
	}
	group.Wait()
	return answers
}

func codes(answers []admission.Response) (allowed int, codes map[int32]int) {
	codes = map[int32]int{}
	for _, a := range answers {
		if a.Allowed {
			allowed++
		} else {
			codes[a.Result.Code]++
		}
	}
	return allowed, codes
}

func TestOneOfTwoDeletesIsAllowed(t *testing.T) {
	for name, replicas := range map[string]int{"one replica": 1, "two replicas": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				var all []*replica
				for range replicas {
					all = append(all, w.replica(t, "a", "b"))
				}
				start := time.Now()
				answers := send(t, all, deletion("a"), deletion("b"))
				if n, c := codes(answers); n != 1 || c[http.StatusForbidden] != 1 {
					t.Errorf("%d allowed, %v: %s", n, c, toJSON(t, answers))
				}
				if waited := time.Since(start); waited > 600*time.Millisecond {
					t.Errorf("took %s", waited)
				}
			})
		})
	}
}

// What is denied alone may be possible together with a change in flight.
func TestADeniedChangeWaitsForARepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := w.replica(t, "a")
		if answer := send(t, []*replica{r}, request(create, v3, "BGPPeer", "b", peer(v3, "b", goodSpec), ""))[0]; !answer.Allowed {
			t.Fatal(toJSON(t, answer))
		}
		go func() {
			time.Sleep(5 * time.Millisecond)
			r.shows(idOf("b"), decoded(t, peer(v3, "b", goodSpec)), "51")
		}()
		if answer := send(t, []*replica{r}, deletion("a"))[0]; !answer.Allowed {
			t.Error(toJSON(t, answer))
		}
	})
}

// A change that seems to alter nothing on a snapshot that is late is denied because of a change
// that another replica has allowed.
func TestALateReplicaReadsTheRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		current, late := w.replica(t, "a", "b"), w.replica(t, "a")
		if answer := send(t, []*replica{current}, deletion("a"))[0]; !answer.Allowed {
			t.Fatal(toJSON(t, answer))
		}
		if answer := send(t, []*replica{late}, deletion("b"))[0]; answer.Allowed || answer.Result.Code != http.StatusForbidden {
			t.Error(toJSON(t, answer))
		}
	})
}

// A deleted object that is created again is there after all changes in flight, and absent
// between them.
func TestPendingChangesOfOneObject(t *testing.T) {
	x := decoded(t, peer(v3, "x", goodSpec))
	snapshot := state.New().Apply(state.Change{After: x})
	var open []*reserve.Reservation
	for _, c := range []state.Change{{Before: x}, {After: x}} {
		r, err := reserve.New(c, "50", "jane", v3)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, r)
	}
	got := pending(open, snapshot)
	if len(got) != 2 || got[0].After != nil || got[1].After == nil {
		t.Fatalf("got %v", got)
	}
	for _, p := range got {
		snapshot = snapshot.Apply(p.Change)
	}
	if snapshot.Get(idOf("x")) == nil {
		t.Error("the object is not there")
	}
	if got := pending(open[1:], snapshot); len(got) != 0 {
		t.Errorf("what the snapshot shows is pending: %v", got)
	}
}

func TestWhatIsNotReserved(t *testing.T) {
	dry := deletion("a")
	dryRun := true
	dry.DryRun = &dryRun
	for name, c := range map[string]struct {
		request admission.Request
		peers   []string
	}{
		"a dry run":                 {dry, []string{"a", "b"}},
		"a denied change":           {deletion("a"), []string{"a"}},
		"a change without effect":   {request(update, v3, "BGPPeer", "a", versioned(v3, "a"), versioned(v3, "a")), []string{"a", "b"}},
		"a request without meaning": {request("CONNECT", v3, "BGPPeer", "a", "", ""), []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			r := w.replica(t, c.peers...)
			r.Handle(t.Context(), c.request)
			if w.store.version != 0 || len(r.ledger.Peek().Open) != 0 {
				t.Errorf("%d writes", w.store.version)
			}
		})
	}
}

func TestTwentyDeletesAreAllowedOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		names, requests := []string{"stays"}, []admission.Request{}
		for i := range 20 {
			names, requests = append(names, fmt.Sprint("p", i)), append(requests, deletion(fmt.Sprint("p", i)))
		}
		a, b := w.replica(t, names...), w.replica(t, names...)
		// The watches show a change soon after it was reserved.
		shown, ended := map[calico.ID]bool{}, make(chan struct{})
		go func() {
			for {
				select {
				case <-ended:
					return
				case <-time.After(3 * time.Millisecond):
				}
				for _, r := range append(a.ledger.Peek().Open, b.ledger.Peek().Open...) {
					if !shown[r.ID()] {
						shown[r.ID()] = true
						a.shows(r.ID(), nil, fmt.Sprint(50+len(shown)))
						b.shows(r.ID(), nil, fmt.Sprint(50+len(shown)))
					}
				}
			}
		}()
		start := time.Now()
		answers := send(t, []*replica{a, b}, requests...)
		close(ended)
		if n, c := codes(answers); n != 20 {
			t.Errorf("%d allowed, %v", n, c)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestTooManyChangesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := w.replica(t, "a", "b", "c", "d", "e", "f")
		for _, name := range []string{"a", "b", "c", "d"} {
			if answer := send(t, []*replica{r}, deletion(name))[0]; !answer.Allowed {
				t.Fatal(toJSON(t, answer))
			}
		}
		answer := send(t, []*replica{r}, deletion("e"))[0]
		const message = "4 other changes are in flight (BGPPeer a, BGPPeer b, BGPPeer c, BGPPeer d), and at most 3 are evaluated together; repeat BGPPeer e in a few seconds"
		if answer.Allowed || answer.Result.Code != http.StatusTooManyRequests || answer.Result.Reason != "TooManyRequests" ||
			answer.Result.Message != message || answer.Result.Details.RetryAfterSeconds != 1 || answer.AuditAnnotations["decision"] != "busy" {
			t.Error(toJSON(t, answer))
		}
		// Nodes are decided with all of them.
		if answer := r.Handle(t.Context(), labelled(7, "x")); !answer.Allowed || answer.Warnings != nil {
			t.Error(toJSON(t, answer))
		}
		if last := w.decider.requests[len(w.decider.requests)-1]; len(last.Pending) != 4 || last.Pending[0].User != "jane" {
			t.Errorf("decided with %v", last.Pending)
		}
		// All of it ends.
		time.Sleep(reserve.Lifetime)
		if answer := send(t, []*replica{r}, deletion("e"))[0]; !answer.Allowed {
			t.Error(toJSON(t, answer))
		}
	})
}

func TestARecordThatCannotBeWritten(t *testing.T) {
	w := newWorld()
	w.store.err = errors.New("writing the ConfigMap: forbidden")
	r := w.replica(t, "a", "b")
	answer := r.Handle(t.Context(), deletion("a"))
	const message = "the change could not be evaluated together with the changes that are in flight: writing the ConfigMap: forbidden"
	if answer.Allowed || answer.Result.Code != http.StatusServiceUnavailable || answer.Result.Message != message {
		t.Error(toJSON(t, answer))
	}
	if open := r.ledger.Peek().Open; len(open) != 0 {
		t.Errorf("reserved %v", open)
	}
	// A Node is allowed with a warning, and this replica remembers it.
	answer = r.Handle(t.Context(), labelled(7, "x"))
	if !answer.Allowed || !strings.Contains(strings.Join(answer.Warnings, "\n"), message) || answer.AuditAnnotations["decision"] != resultError {
		t.Error(toJSON(t, answer))
	}
	if open := r.ledger.Peek().Open; len(open) != 1 || open[0].Name != nodeName(7) {
		t.Errorf("reserved %v", open)
	}
}

// A denied change of a user who is not blocked is persisted.
func TestAnOverriddenChangeIsReserved(t *testing.T) {
	w := newWorld()
	r := w.replica(t)
	r.decider = deciderFunc(func(context.Context, *state.Snapshot, validate.Request) *validate.Decision {
		d := denied()
		d.Allowed, d.NotEnforced, d.Alters = true, nodeRemoved, true
		return d
	})
	if answer := r.Handle(t.Context(), nodeRequest(remove, lifecycle)); !answer.Allowed {
		t.Error(toJSON(t, answer))
	}
	if open := r.ledger.Peek().Open; len(open) != 1 || open[0].User != lifecycle {
		t.Errorf("reserved %v", open)
	}
}

// Calico's API server has a change reviewed a second time, as its own.
func TestTheSecondReviewIsNotJudgedOnTopOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.replica(t, "a", "b"), w.replica(t, "a", "b")
		if answer := send(t, []*replica{a}, deletion("a"))[0]; !answer.Allowed {
			t.Fatal(toJSON(t, answer))
		}
		b.ledger.Update(w.store.record, w.store.current())
		// The watch of b already shows the loss of the other BGPPeer, which would deny it.
		b.shows(idOf("b"), nil, "51")
		second := request(remove, v1, "BGPPeer", "a", "", versioned(v1, "a"))
		second.UserInfo.Username = calicoAPIServer
		byUser := request(remove, v1, "BGPPeer", "a", "", versioned(v1, "a"))
		if answer := b.Handle(t.Context(), byUser); answer.Allowed {
			t.Errorf("a user's change is taken for a second review: %s", toJSON(t, answer))
		}
		start := time.Now()
		ctx, out := logged(t)
		if answer := b.Handle(ctx, second); !answer.Allowed || time.Since(start) != 0 {
			t.Errorf("after %s: %s", time.Since(start), toJSON(t, answer))
		}
		if out.Len() > 0 || w.store.version != 1 {
			t.Errorf("%d writes, log %s", w.store.version, out)
		}
		other := request(remove, v1, "BGPPeer", "b", "", versioned(v1, "b"))
		if answer := a.Handle(t.Context(), other); answer.Allowed {
			t.Error("another change is recognised as a second review")
		}
	})
}

// Calico's API server is not exempt, also for a change that alters nothing and that another replica reviews.
func TestTheSecondReviewOfAnOverriddenChange(t *testing.T) {
	byException := excepted(t)
	byUser := &validate.Decision{Allowed: true, Verdicts: exempt("mesh-node-limit")}
	for name, first := range map[string]*validate.Decision{"an exempt user": byUser, "an exception for a user": byException} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				a, b := w.replica(t, "a", "b"), w.replica(t, "a", "b")
				records := 0
				for _, r := range []*replica{a, b} {
					r.decider = deciderFunc(func(_ context.Context, _ *state.Snapshot, c validate.Request) *validate.Decision {
						if c.User == "jane" {
							return first
						}
						return denied()
					})
					r.SetRecord(func(corev1.ObjectReference, string, []validate.Override) { records++ })
				}
				second := request(remove, v1, "BGPPeer", "a", "", versioned(v1, "a"))
				second.UserInfo.Username = calicoAPIServer
				if answer := b.Handle(t.Context(), second); answer.Allowed {
					t.Fatalf("allowed without a first review: %s", toJSON(t, answer))
				}
				tried, yes := deletion("a"), true
				tried.DryRun = &yes
				if answer := a.Handle(t.Context(), tried); !answer.Allowed || w.store.version != 0 || records != 0 {
					t.Errorf("%d writes, %d records of a dry run: %s", w.store.version, records, toJSON(t, answer))
				}
				if answer := a.Handle(t.Context(), deletion("a")); !answer.Allowed {
					t.Fatal(toJSON(t, answer))
				}
				byAnother := second
				byAnother.UserInfo.Username = "joe"
				if answer := b.Handle(t.Context(), byAnother); answer.Allowed {
					t.Errorf("the change of another user is taken for a second review: %s", toJSON(t, answer))
				}
				ctx, log := logged(t)
				if answer := b.Handle(ctx, second); !answer.Allowed || answer.AuditAnnotations["second-review"] != "true" || log.Len() > 0 {
					t.Errorf("%s, log %s", toJSON(t, answer), log)
				}
				if records != 1 {
					t.Errorf("%d records", records)
				}
				other := request(remove, v1, "BGPPeer", "b", "", versioned(v1, "b"))
				other.UserInfo = second.UserInfo
				if answer := b.Handle(t.Context(), other); answer.Allowed {
					t.Error("another change is recognised as a second review")
				}
			})
		})
	}
}

// A change that alters nothing yet may alter what a change in flight leads to.
func TestAChangeThatAltersOnlyWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := w.replica(t, "a", "b")
		if answer := send(t, []*replica{r}, deletion("a"))[0]; !answer.Allowed {
			t.Fatal(toJSON(t, answer))
		}
		r.decider = deciderFunc(func(_ context.Context, _ *state.Snapshot, c validate.Request) *validate.Decision {
			return &validate.Decision{Allowed: true, Alters: len(c.Pending) > 0}
		})
		start := time.Now()
		if answer := r.Handle(t.Context(), labelled(7, "x")); !answer.Allowed || time.Since(start) < 500*time.Millisecond {
			t.Errorf("after %s: %s", time.Since(start), toJSON(t, answer))
		}
		if open := r.ledger.Peek().Open; len(open) != 2 {
			t.Errorf("reserved %v", open)
		}
	})
}

// A change in flight that settles right after the snapshot of a request is taken is in the view of the request, although
// it is not in the snapshot: the request alters something only together with it.
func TestAChangeThatSettlesAfterTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := w.replica(t, "a")
		b := decoded(t, peer(v3, "b", goodSpec))
		if answer := send(t, []*replica{r}, request(create, v3, "BGPPeer", "b", peer(v3, "b", goodSpec), ""))[0]; !answer.Allowed {
			t.Fatal(toJSON(t, answer))
		}
		r.taken = func() { r.shows(idOf("b"), b, "60") }
		r.decider = deciderFunc(func(_ context.Context, s *state.Snapshot, c validate.Request) *validate.Decision {
			return &validate.Decision{Allowed: true, Alters: s.Get(idOf("b")) != nil || len(c.Pending) > 0}
		})
		if answer := r.Handle(t.Context(), labelled(7, "x")); !answer.Allowed {
			t.Fatal(toJSON(t, answer))
		}
		if open := r.ledger.Peek().Open; len(open) != 1 || open[0].Name != nodeName(7) {
			t.Errorf("reserved %v, want node %s", open, nodeName(7))
		}
	})
}

// A change that is reserved after the view of a request was taken is in neither the view nor the snapshot.
func TestAChangeThatIsReservedAfterTheView(t *testing.T) {
	for name, shared := range map[string]bool{"shared": true, "not shared": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				r := w.replica(t, "a", "b")
				if !shared {
					r.ledger = reserve.NewLedger(nil, "", logr.Discard())
					r.SetLedger(r.ledger)
				}
				r.taken = func() {
					if answer := send(t, []*replica{r}, deletion("a"))[0]; !answer.Allowed {
						t.Error(toJSON(t, answer))
					}
				}
				r.decider = deciderFunc(func(_ context.Context, _ *state.Snapshot, c validate.Request) *validate.Decision {
					return &validate.Decision{Allowed: true, Alters: c.ID().Kind == calico.KindBGPPeer || len(c.Pending) > 0}
				})
				if answer := r.Handle(t.Context(), labelled(7, "x")); !answer.Allowed {
					t.Fatal(toJSON(t, answer))
				}
				if open := r.ledger.Peek().Open; len(open) != 2 {
					t.Errorf("reserved %v, want the deletion and the label", open)
				}
			})
		})
	}
}

// A change of a BGPPeer is reserved although it alters nothing: it can change what is read of a
// Node. A change of a Node that alters nothing is not written.
func TestWhatIsReserved(t *testing.T) {
	nothing := always(&validate.Decision{Allowed: true})
	for name, c := range map[string]struct {
		request admission.Request
		open    int
	}{
		"another BGPPeer":      {request(create, v3, "BGPPeer", "b", peer(v3, "b", goodSpec), ""), 1},
		"a BGPPeer, unchanged": {request(update, v3, "BGPPeer", "a", versioned(v3, "a"), versioned(v3, "a")), 0},
		"a label of a Node":    {labelled(7, "x"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				r := w.replica(t, "a")
				r.decider = nothing
				answer := r.Handle(t.Context(), c.request)
				if open := r.ledger.Peek().Open; !answer.Allowed || len(open) != c.open || w.store.version != c.open {
					t.Errorf("allowed %t, reserved %v with %d writes, want %d", answer.Allowed, open, w.store.version, c.open)
				}
			})
		})
	}
}

// What nobody reads is not decided with the changes in flight, however many there are, and is answered without a look at
// the record. What alters nothing does not wait either.
func TestWhatAltersNothingNeverWaits(t *testing.T) {
	annotated := strings.Replace(versioned(v3, "f"), `"metadata":{`, `"metadata":{"annotations":{"team":"a"},`, 1)
	weighed := strings.Replace(versioned(v3, "f"), `"spec":{`, `"spec":{"maxRestartTime":"30s",`, 1)
	for name, c := range map[string]struct {
		kind, object string
		reads        int
	}{
		"an annotation":           {"BGPPeer", annotated, 0},
		"a field without effects": {"BGPFilter", weighed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				r := w.replica(t, "a", "b", "c", "d", "e", "f")
				for _, name := range []string{"a", "b", "c", "d"} {
					if answer := send(t, []*replica{r}, deletion(name))[0]; !answer.Allowed {
						t.Fatal(toJSON(t, answer))
					}
				}
				r.decider = always(&validate.Decision{Allowed: true})
				// Another replica writes the record in the meantime, which it waits for.
				var other time.Duration
				r.taken = func() {
					start := time.Now()
					defer func() { other = time.Since(start) }()
					if answer := w.replica(t, "a", "b", "e", "f").Handle(t.Context(), deletion("e")); !answer.Allowed {
						t.Error(toJSON(t, answer))
					}
					w.store.mu.Lock()
					w.store.reads = 0
					w.store.mu.Unlock()
				}
				old := strings.ReplaceAll(versioned(v3, "f"), "BGPPeer", c.kind)
				start := time.Now()
				answer := r.Handle(t.Context(), request(update, v3, c.kind, "f", strings.ReplaceAll(c.object, "BGPPeer", c.kind), old))
				if waited := time.Since(start) - other; !answer.Allowed || waited > 0 || w.store.reads != c.reads {
					t.Errorf("after %s and %d reads: %s", waited, w.store.reads, toJSON(t, answer))
				}
				if open := r.ledger.Peek().Without(idOf("e")).Open; len(open) != 4 {
					t.Errorf("reserved %v", open)
				}
			})
		})
	}
}

// oneAddress denies a Node with the address of another one.
func oneAddress(_ context.Context, s *state.Snapshot, r validate.Request) *validate.Decision {
	for _, p := range r.Pending {
		s = s.Apply(p.Change)
	}
	mine := r.After.(*calico.Node).Address[calico.IPv4]
	for _, n := range s.Nodes() {
		if n.Name != r.ID().Name && n.Address[calico.IPv4] == mine {
			d := denied()
			d.Alters = true
			return d
		}
	}
	return &validate.Decision{Allowed: true, Alters: true}
}

// Nodes that join at the same moment share writes, and of two with one address only one is allowed, on one replica and on two.
func TestNodesThatJoinTogether(t *testing.T) {
	const pairs = 20
	for name, replicas := range map[string]int{"one replica": 1, "two replicas": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.store.delay = 10 * time.Millisecond
				var all []*replica
				for range replicas {
					r := w.replica(t)
					r.decider = deciderFunc(oneAddress)
					all = append(all, r)
				}
				var requests []admission.Request
				for i := range 2 * pairs {
					object := fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"n-%d","annotations":{"projectcalico.org/IPv4Address":"10.0.0.%d/24"}}}`, i, i/2+1)
					r := request(create, "", "Node", fmt.Sprintf("n-%d", i), object, "")
					r.Kind.Version = "v1"
					requests = append(requests, r)
				}
				start := time.Now()
				answers := send(t, all, requests...)
				taken := map[int]int{}
				for i, a := range answers {
					if a.Allowed {
						taken[i/2]++
					}
					if len(a.Warnings) > 0 || !a.Allowed && a.Result.Code != http.StatusForbidden {
						t.Errorf("not decided: %s", toJSON(t, a))
					}
				}
				if len(taken) != pairs {
					t.Errorf("%d addresses are taken, want %d", len(taken), pairs)
				}
				for address, n := range taken {
					if n != 1 {
						t.Errorf("%d nodes have address %d", n, address)
					}
				}
				if took := time.Since(start); replicas == 1 && (w.store.version > 2 || took > time.Second) {
					t.Errorf("%d writes in %s, want 2", w.store.version, took)
				}
			})
		})
	}
}

// A Node whose change is denied already is not allowed because others are in flight for long.
func TestADeniedNodeIsDeniedAlsoIfTheWaitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r := w.replica(t, "a")
		node := labelled(5, "rack")
		for name, c := range map[string]struct {
			decider Decider
			allowed bool
		}{
			"denied":  {always(denied()), false},
			"allowed": {always(&validate.Decision{Allowed: true, Alters: true}), true},
		} {
			r.ledger.Keep(deletionOfPeer(t, "a"))
			h := New(r, c.decider)
			h.SetLedger(r.ledger)
			_, end, err := r.ledger.Await(t.Context(), idOf("b"), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if got := h.Handle(ctx, node); got.Allowed != c.allowed {
				t.Errorf("%s: allowed %t: %v", name, got.Allowed, got.Result)
			}
			cancel()
			end()
		}
	})
}

// deletionOfPeer is the reservation of deleting a BGPPeer in version 50.
func deletionOfPeer(t *testing.T, name string) *reserve.Reservation {
	t.Helper()
	r, err := reserve.New(state.Change{Before: decoded(t, peer(v3, name, goodSpec))}, "50", "jane", calico.GroupV3)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
