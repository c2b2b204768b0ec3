package leader

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var lease = types.NamespacedName{Namespace: "bgpguard-system", Name: "bgpguard"}

// replica is a process that competes.
type replica struct {
	log  bytes.Buffer
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	doing map[string]int // how many times each function of its work runs
}

func (r *replica) work(name string) func(context.Context) {
	return func(ctx context.Context) {
		r.add(name, 1)
		<-ctx.Done()
		time.Sleep(time.Second) // Work does not stop at once.
		r.add(name, -1)
	}
}

func (r *replica) add(name string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doing[name] += n
}

// does returns the names of the functions that run.
func (r *replica) does() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, name := range []string{"leads", "leads too", "follows"} {
		for range r.doing[name] {
			out = append(out, name)
		}
	}
	return strings.Join(out, ", ")
}

// compete starts a replica.
func compete(t *testing.T, client *fake.Clientset, identity string) *replica {
	t.Helper()
	r := &replica{doing: map[string]int{}, done: make(chan struct{})}
	log := logr.FromSlogHandler(slog.NewTextHandler(&r.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "lease" {
			return slog.Attr{}
		}
		return a
	}}))
	r.run(t, newElection(client.CoordinationV1(), lease, identity, log))
	return r
}

func (r *replica) run(t *testing.T, e *Election) {
	t.Helper()
	e.Add(Work{Lead: r.work("leads"), Follow: r.work("follows")}, Work{Lead: r.work("leads too")})
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() {
		defer close(r.done)
		if err := e.Start(ctx); err != nil {
			t.Error(err)
		}
	}()
}

// end stops a replica and waits for its end.
func (r *replica) end() {
	r.stop()
	<-r.done
}

// metric returns the value of leader_election_master_status. controller-runtime registers it.
func metric(t *testing.T) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "leader_election_master_status" {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no metric")
	return 0
}

func expect(t *testing.T, when string, r *replica, want string) {
	t.Helper()
	if got := r.does(); got != want {
		t.Errorf("%s: %q, want %q; the log:\n%s", when, got, want, r.log.String())
	}
}

const leads, follows = "leads, leads too", "follows"

// takeover is longer than a free Lease stays free: the elector waits for at most 2.2 times retryPeriod, and then the work of a
// follower stops.
const takeover = 3 * retryPeriod

func TestOneReplicaLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		first := compete(t, client, "first")
		time.Sleep(2 * time.Second)
		second := compete(t, client, "second")
		time.Sleep(time.Minute)
		expect(t, "the first replica", first, leads)
		expect(t, "the second replica", second, follows)
		first.end()
		expect(t, "a replica that has ended", first, "")
		time.Sleep(takeover)
		expect(t, "after the Lease was released", second, leads)
		second.end()
		found, err := client.CoordinationV1().Leases(lease.Namespace).Get(t.Context(), lease.Name, metav1.GetOptions{})
		if err != nil || *found.Spec.HolderIdentity != "" || *found.Spec.LeaseTransitions != 1 {
			t.Errorf("the Lease is %+v, %v", found.Spec, err)
		}
	})
}

// A replica whose Lease another one takes stops its work, and leads again when that Lease
// has expired.
func TestALostLeaseStopsOnlyTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		// The fake client does not compare versions. After a change, the replica must read the Lease
		// before it can write it.
		var changed atomic.Bool
		client.PrependReactor("*", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
			if action.GetVerb() == "get" {
				changed.Store(false)
			}
			if !changed.Load() {
				return false, nil, nil
			}
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, lease.Name, errors.New("changed"))
		})
		r := compete(t, client, "r")
		time.Sleep(2 * time.Second)
		leases := client.CoordinationV1().Leases(lease.Namespace)
		taken, err := leases.Get(t.Context(), lease.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		*taken.Spec.HolderIdentity = "stranger"
		if _, err := leases.Update(t.Context(), taken, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		changed.Store(true)
		time.Sleep(renewDeadline + 2*retryPeriod)
		expect(t, "while the stranger holds the Lease", r, follows)
		time.Sleep(leaseDuration)
		expect(t, "when the Lease has expired", r, leads)
		r.end()
		const want = `level=INFO msg="This replica is the leader"
level=INFO msg="This replica is no longer the leader, competing again" holder=stranger
level=INFO msg="This replica is the leader"
level=INFO msg="Released the Lease"
`
		if got := r.log.String(); got != want {
			t.Errorf("logged\n%s", got)
		}
	})
}

// While the API server does not answer, no replica leads. Its error is logged once.
func TestTheWorkStopsWhileTheAPIServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		var away atomic.Bool
		client.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, errors.New("connection refused")
		})
		r := compete(t, client, "r")
		time.Sleep(2 * time.Second)
		expect(t, "at first", r, leads)
		if got := metric(t); got != 1 {
			t.Errorf("the metric of a leader is %v", got)
		}
		away.Store(true)
		time.Sleep(renewDeadline - time.Second)
		expect(t, "before the deadline", r, leads)
		time.Sleep(2*retryPeriod + time.Second)
		expect(t, "after the deadline", r, follows)
		if got := metric(t); got != 0 {
			t.Errorf("the metric of a replica that is not the leader is %v", got)
		}
		time.Sleep(time.Hour)
		expect(t, "later", r, follows)
		away.Store(false)
		time.Sleep(takeover)
		expect(t, "when the API server is back", r, leads)
		r.end()
		const want = `level=INFO msg="This replica is the leader"
level=ERROR msg="Cannot read or write the Lease of the leader election, trying again" err="connection refused"
level=INFO msg="This replica is no longer the leader, competing again" holder=r
level=INFO msg="This replica is the leader"
level=INFO msg="Released the Lease"
`
		if got := r.log.String(); got != want {
			t.Errorf("logged\n%s", got)
		}
	})
}

func TestAloneIsAlwaysTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &replica{doing: map[string]int{}, done: make(chan struct{})}
		r.run(t, Alone())
		expect(t, "at once", r, leads)
		time.Sleep(time.Hour)
		expect(t, "later", r, leads)
		r.end()
	})
}
