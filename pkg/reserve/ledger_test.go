package reserve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// memory is a Store in memory. Its versions start at 1000.
type memory struct {
	mu      sync.Mutex
	record  []byte
	version int
	err     error
	writes  int
	// delay is how long a write takes. written, if it is set, is called after a write and before its answer.
	delay   time.Duration
	written func()
}

func (m *memory) Read(context.Context) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.record, m.current(), m.err
}

func (m *memory) current() string {
	if m.version == 0 {
		return ""
	}
	return fmt.Sprint(1000 + m.version)
}

func (m *memory) Write(_ context.Context, record []byte, version string) (string, error) {
	time.Sleep(m.delay)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return "", m.err
	}
	if version != m.current() {
		return "", ErrConflict
	}
	m.record, m.version, m.writes = record, m.version+1, m.writes+1
	if m.written != nil {
		m.written()
	}
	return m.current(), nil
}

// ledger returns one whose watch has shown some BGPPeers in version 50.
func ledger(store Store, replica string, shown ...string) *Ledger {
	l := NewLedger(store, replica, logr.Discard())
	for _, name := range shown {
		l.Observe(id(name), "50", true)
	}
	return l
}

func peer(t *testing.T, name string, asn int64) calico.Object {
	t.Helper()
	return calicotest.Object(t, calico.KindBGPPeer, name, map[string]any{"peerIP": "10.0.0.1", "asNumber": asn})
}

func id(name string) calico.ID { return calico.ID{Kind: calico.KindBGPPeer, Name: name} }

// deletion is the reservation of deleting a BGPPeer in version 50.
func deletionOf(t *testing.T, name string) *Reservation {
	t.Helper()
	return reservation(t, state.Change{Before: peer(t, name, 1)}, "50")
}

func reservation(t *testing.T, c state.Change, version string) *Reservation {
	t.Helper()
	r, err := New(c, version, "jane", calico.GroupV3)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// await returns the view of a change that is not in a hurry, without holding the turn.
func await(ctx context.Context, l *Ledger, id calico.ID) (View, error) {
	view, end, err := l.Await(ctx, id, time.Now().Add(Lifetime))
	if err == nil {
		end()
	}
	return view, err
}

// reserve reserves r as a handler does.
func reserve(t *testing.T, l *Ledger, r *Reservation) View {
	t.Helper()
	view, err := await(t.Context(), l, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reserve(t.Context(), view, r); err != nil {
		t.Fatal(err)
	}
	return view
}

// confirm records that the watch has reached a version with these BGPPeers in version 50.
func confirm(l *Ledger, version string, names ...string) {
	l.Confirm(calico.KindBGPPeer, version, func(yield func(string, string) bool) {
		for _, name := range names {
			if !yield(name, "50") {
				return
			}
		}
	})
}

// names lists the open reservations of all objects.
func names(l *Ledger) string {
	var out []string
	for _, r := range l.Peek().Open {
		out = append(out, string(r.Operation)+" "+r.Name)
	}
	return strings.Join(out, ", ")
}

func want(t *testing.T, l *Ledger, open string) {
	t.Helper()
	if got := names(l); got != open {
		t.Errorf("open are %q, want %q", got, open)
	}
}

func TestWhatSettlesAReservation(t *testing.T) {
	type event struct {
		name, version string
		exists        bool
	}
	update, create := state.Change{Before: peer(t, "a", 1), After: peer(t, "a", 2)}, state.Change{After: peer(t, "a", 2)}
	for name, c := range map[string]struct {
		before  []event
		change  state.Change
		version string
		after   []event
		settled bool
	}{
		"nothing":                                    {nil, update, "50", nil, false},
		"a newer version":                            {nil, update, "50", []event{{"a", "51", true}}, true},
		"the version itself":                         {nil, update, "50", []event{{"a", "50", true}}, false},
		"an older version, as the watch is late":     {nil, update, "50", []event{{"a", "49", true}}, false},
		"an event of another object":                 {[]event{{"a", "50", true}}, update, "50", []event{{"b", "99", true}}, false},
		"a deletion":                                 {nil, update, "50", []event{{"a", "51", false}}, true},
		"a deletion of an earlier object":            {nil, update, "50", []event{{"a", "40", false}}, false},
		"a delete and its deletion":                  {nil, state.Change{Before: peer(t, "a", 1)}, "50", []event{{"a", "51", false}}, true},
		"a delete that waits for finalizers":         {nil, state.Change{Before: peer(t, "a", 1)}, "50", []event{{"a", "51", true}}, true},
		"a deletion that the watch missed":           {[]event{{"a", "50", true}}, update, "50", []event{{"a", "", false}}, true},
		"a missed deletion of an earlier object":     {[]event{{"a", "40", true}}, update, "50", []event{{"a", "", false}}, false},
		"a create and its object":                    {nil, create, "", []event{{"a", "1", true}}, true},
		"a create and an event of an earlier one":    {[]event{{"b", "60", true}}, create, "", []event{{"a", "55", true}}, false},
		"a create and the deletion before it":        {nil, create, "", []event{{"a", "51", false}}, false},
		"shown before it is known":                   {[]event{{"a", "51", true}}, update, "50", nil, true},
		"deleted before it is known":                 {[]event{{"a", "51", false}}, update, "50", nil, true},
		"shown in an older version":                  {[]event{{"a", "49", true}}, update, "50", nil, false},
		"an update whose version is not known":       {nil, update, "x", []event{{"a", "99", true}}, false},
		"an update of an object that did not decode": {nil, state.Change{After: peer(t, "a", 2)}, "50", []event{{"a", "51", true}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := ledger(nil, "x")
			for _, e := range c.before {
				l.Observe(id(e.name), e.version, e.exists)
			}
			reserve(t, l, reservation(t, c.change, c.version))
			for _, e := range c.after {
				l.Observe(id(e.name), e.version, e.exists)
			}
			if got := names(l) == ""; got != c.settled {
				t.Errorf("settled %t, want %t", got, c.settled)
			}
		})
	}
}

func TestAReservationExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, before := ledger(nil, "x"), testutil.ToFloat64(expired)
		reserve(t, l, deletionOf(t, "a"))
		time.Sleep(Lifetime - time.Millisecond)
		want(t, l, "DELETE a")
		time.Sleep(time.Millisecond)
		l.Sweep(t.Context())
		want(t, l, "")
		if got := testutil.ToFloat64(expired) - before; got != 1 {
			t.Errorf("%v expired, want 1", got)
		}
	})
}

func TestTheSameChangeAgainIsTheSameReservation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger(&memory{}, "x")
		reserve(t, l, deletionOf(t, "a"))
		reserve(t, l, reservation(t, state.Change{After: peer(t, "b", 1)}, ""))
		time.Sleep(Lifetime - time.Second)
		start := time.Now()
		reserve(t, l, deletionOf(t, "a"))
		reserve(t, l, reservation(t, state.Change{After: peer(t, "b", 1)}, ""))
		want(t, l, "DELETE a, CREATE b")
		if waited := time.Since(start); waited != Landing {
			t.Errorf("waited %s: only the second change waits, for the first", waited)
		}
		time.Sleep(Lifetime - time.Second)
		want(t, l, "DELETE a, CREATE b")
		time.Sleep(time.Second)
		want(t, l, "")
	})
}

// Either of two changes of one version may be persisted, so both are open for others.
func TestTwoChangesOfOneVersion(t *testing.T) {
	l := ledger(nil, "x", "a", "b")
	reserve(t, l, deletionOf(t, "a"))
	view := reserve(t, l, reservation(t, state.Change{Before: peer(t, "a", 1), After: peer(t, "a", 2)}, "50"))
	if len(view.Open) != 0 {
		t.Errorf("decided with %v: at most one of both is persisted", view.Open)
	}
	want(t, l, "DELETE a, UPDATE a")
	l.Observe(id("a"), "51", true)
	want(t, l, "")
}

func TestAnObjectIsCreatedAgain(t *testing.T) {
	l := ledger(&memory{}, "x")
	create := state.Change{After: peer(t, "a", 1)}
	reserve(t, l, reservation(t, create, ""))
	l.Observe(id("a"), "1002", true)
	want(t, l, "")
	l.Observe(id("a"), "1003", false)
	reserve(t, l, reservation(t, create, ""))
	want(t, l, "CREATE a")
	l.Observe(id("a"), "1005", true)
	want(t, l, "")
}

func TestAChangeWaits(t *testing.T) {
	tests := map[string]struct {
		during func(t *testing.T, l *Ledger)
		waits  time.Duration
		open   int
	}{
		"until the youngest reservation is old": {func(*testing.T, *Ledger) {}, Landing, 1},
		"until the watch shows the change": {func(_ *testing.T, l *Ledger) {
			time.Sleep(3 * time.Millisecond)
			l.Observe(id("a"), "51", false)
		}, 3 * time.Millisecond, 0},
		"for one that is reserved meanwhile": {func(t *testing.T, l *Ledger) {
			time.Sleep(100 * time.Millisecond)
			l.Keep(deletionOf(t, "b"))
		}, 600 * time.Millisecond, 2},
		"not for other events": {func(_ *testing.T, l *Ledger) {
			time.Sleep(time.Millisecond)
			l.Observe(id("z"), "51", false)
		}, Landing, 1},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := ledger(nil, "x", "a", "b")
				reserve(t, l, deletionOf(t, "a"))
				go c.during(t, l)
				start := time.Now()
				view, err := await(t.Context(), l, id("c"))
				if err != nil || len(view.Open) != c.open || time.Since(start) != c.waits {
					t.Errorf("%v, %d open after %s; want %d after %s", err, len(view.Open), time.Since(start), c.open, c.waits)
				}
				synctest.Wait()
			})
		})
	}
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger(nil, "x", "a", "b")
		reserve(t, l, deletionOf(t, "a"))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := await(ctx, l, id("b")); !errors.Is(err, ErrBusy) || err.Error() != "waiting for the outcome of other changes: context deadline exceeded" {
			t.Errorf("got %v", err)
		}

		start := time.Now()
		view, end, err := l.Await(t.Context(), id("b"), start.Add(200*time.Millisecond))
		if err != nil || len(view.Open) != 1 || time.Since(start) != 200*time.Millisecond {
			t.Errorf("in a hurry: %v, %d open after %s", err, len(view.Open), time.Since(start))
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := await(ctx, l, id("c")); !errors.Is(err, ErrBusy) {
			t.Errorf("while another change has its turn: %v", err)
		}
		end()
		if _, err := await(t.Context(), l, id("c")); err != nil {
			t.Error(err)
		}
	})
}

// What is reserved while a change waits for its turn is in its view.
func TestChangesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger(&memory{}, "x", "a", "b", "c", "d")
		var got []int
		var group sync.WaitGroup
		for _, name := range []string{"a", "b", "c", "d"} {
			group.Go(func() {
				view, end, err := l.Await(t.Context(), id(name), time.Now().Add(Lifetime))
				if err != nil {
					t.Error(err)
					return
				}
				defer end()
				got = append(got, len(view.Open)) // The turn is the lock.
				if err := l.Reserve(t.Context(), view, deletionOf(t, name)); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if fmt.Sprint(got) != "[0 1 2 3]" {
			t.Errorf("decided with %v open reservations", got)
		}
	})
}

func TestReplicasShareReservations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, b := ledger(m, "a", "w", "x", "y", "z"), ledger(m, "b", "w", "x", "y", "z")
		// Both have read the record before either writes it.
		viewA, errA := await(t.Context(), a, id("x"))
		viewB, errB := await(t.Context(), b, id("y"))
		if errA != nil || errB != nil || len(viewA.Open)+len(viewB.Open) != 0 {
			t.Fatal(errA, errB)
		}
		if err := a.Reserve(t.Context(), viewA, deletionOf(t, "x")); err != nil {
			t.Fatal(err)
		}
		before := testutil.ToFloat64(conflicts)
		if err := b.Reserve(t.Context(), viewB, deletionOf(t, "y")); !errors.Is(err, ErrConflict) {
			t.Fatalf("got %v, want a conflict", err)
		}
		if got := testutil.ToFloat64(conflicts) - before; got != 1 {
			t.Errorf("counted %v conflicts", got)
		}
		if view := reserve(t, b, deletionOf(t, "y")); len(view.Open) != 1 || view.Open[0].User != "jane" || view.Open[0].Replica != "a" {
			t.Errorf("decided with %v", view.Open)
		}
		want(t, b, "DELETE x, DELETE y")
		a.Update(m.record, m.current())
		want(t, a, "DELETE x, DELETE y")

		// A view is out of date as soon as the watch shows a newer record.
		time.Sleep(Landing)
		viewA, errA = await(t.Context(), a, id("z"))
		reserve(t, b, deletionOf(t, "w"))
		a.Update(m.record, m.current())
		if err := a.Reserve(t.Context(), viewA, deletionOf(t, "z")); errA != nil || !errors.Is(err, ErrConflict) {
			t.Errorf("%v, %v: want a conflict", errA, err)
		}
	})
}

// What one replica has seen is open at the other until its own watch shows it.
func TestEachReplicaWaitsForItsOwnWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, b := ledger(m, "a", "w", "x", "y", "z"), ledger(m, "b", "w", "x", "y", "z")
		reserve(t, a, deletionOf(t, "x"))
		a.Observe(id("x"), "51", false)
		reserve(t, a, deletionOf(t, "y"))
		want(t, a, "DELETE y")
		if _, err := await(t.Context(), b, id("z")); err != nil {
			t.Fatal(err)
		}
		want(t, b, "DELETE x, DELETE y")
		b.Observe(id("x"), "51", false)
		want(t, b, "DELETE y")
	})
}

func TestAMarkReplacesAnOldReservation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a := ledger(m, "a")
		reserve(t, a, deletionOf(t, "x"))
		a.Observe(id("x"), "51", false)
		time.Sleep(keepSettled)
		reserve(t, a, deletionOf(t, "y"))
		if text := string(m.record); strings.Count(text, `"operation"`) != 1 || !strings.Contains(text, `"settled":[{"kind":"BGPPeer","name":"x","version":51}]`) {
			t.Errorf("the record is %s", text)
		}

		late := ledger(m, "late", "x")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := await(ctx, late, id("z")); err == nil || !strings.Contains(err.Error(), "the watch has not shown yet how BGPPeer x was changed") {
			t.Errorf("a replica that is late: %v", err)
		}
		start := time.Now()
		go func() {
			time.Sleep(2 * time.Second)
			late.Observe(id("x"), "51", false)
		}()
		if _, err := await(t.Context(), late, id("z")); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}

		// The first list of a replica does not contain the object.
		fresh := NewLedger(m, "new", logr.Discard())
		confirm(fresh, "52")
		if _, err := await(t.Context(), fresh, id("z")); err != nil {
			t.Error(err)
		}
	})
}

// A replica that starts decides at once although the record holds objects that its first list
// does not contain, because they were created and deleted.
func TestAReplicaStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a := ledger(m, "a", "kept")
		version := 2000
		next := func() string { version++; return fmt.Sprint(version) }
		objects := []string{"v", "w", "x", "y"}
		created := map[string]string{}
		for _, name := range objects {
			reserve(t, a, reservation(t, state.Change{After: peer(t, name, 1)}, ""))
			created[name] = next()
			a.Observe(id(name), created[name], true)
		}
		for _, name := range objects {
			reserve(t, a, reservation(t, state.Change{Before: peer(t, name, 1)}, created[name]))
			a.Observe(id(name), next(), false)
		}
		fresh := NewLedger(m, "new", logr.Discard())
		fresh.List(calico.KindBGPPeer, next())
		fresh.Observe(id("kept"), "50", true)
		if err := fresh.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(fresh.Peek().Without(id("z")).Open); got == 0 {
			t.Error("nothing is open before the list is observed")
		}
		confirm(fresh, fmt.Sprint(version-1), "kept") // Older than the list.
		confirm(fresh, fmt.Sprint(version))           // The observer has one that the informer lacks.
		confirm(fresh, fmt.Sprint(version), "kept", "other")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := await(ctx, fresh, id("z")); !errors.Is(err, ErrBusy) {
			t.Errorf("before the list is confirmed: %v", err)
		}
		confirm(fresh, fmt.Sprint(version), "kept")
		start := time.Now()
		if view, err := await(t.Context(), fresh, id("z")); err != nil || len(view.Open) > 0 || time.Since(start) > 0 {
			t.Errorf("%v, %d open after %s", err, len(view.Open), time.Since(start))
		}
	})
}

// The objects of a list are observed in any order, so only Confirm shows that all are.
func TestAListIsObservedInAnyOrder(t *testing.T) {
	l := ledger(nil, "x", "a", "b")
	reserve(t, l, reservation(t, state.Change{Before: peer(t, "c", 1)}, "60"))
	l.List(calico.KindBGPPeer, "80")
	l.Observe(id("b"), "70", true)
	want(t, l, "DELETE c")
	l.Observe(id("c"), "65", true)
	want(t, l, "")
	if got := l.progress[calico.KindBGPPeer]; got != 50 {
		t.Errorf("the progress is %d before the list is confirmed", got)
	}
	confirm(l, "80", "a", "b", "c")
	l.Observe(id("a"), "81", true)
	if got := l.progress[calico.KindBGPPeer]; got != 81 {
		t.Errorf("the progress is %d, want 81", got)
	}
	l.List(calico.KindBGPPeer, "20") // A backup of etcd.
	if got := l.progress[calico.KindBGPPeer]; got != 20 {
		t.Errorf("the progress is %d, want 20", got)
	}
}

// A user deletes the record, or etcd is restored from a backup.
func TestTheRecordIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{version: 10, record: []byte("{}")}
		a, b := ledger(m, "a", "v", "w", "x", "y", "z"), ledger(m, "b", "v", "w", "x", "y", "z")
		reserve(t, a, deletionOf(t, "x"))
		if _, err := await(t.Context(), b, id("y")); err != nil {
			t.Fatal(err)
		}
		m.record, m.version = nil, 0
		again := func(name string, conflict bool) {
			t.Helper()
			view, err := await(t.Context(), b, id(name))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Reserve(t.Context(), view, deletionOf(t, name)); errors.Is(err, ErrConflict) != conflict {
				t.Fatalf("got %v, want a conflict: %t", err, conflict)
			}
		}
		again("y", true)
		again("y", false)
		if !strings.Contains(string(m.record), `"name":"x"`) {
			t.Errorf("the new record lacks the reservation of the other replica: %s", m.record)
		}
		b.Update([]byte("{}"), "5000")
		again("z", true) // The version of the record is 1001, lower than the last one.
		again("z", false)
	})
}

// A mark stands for all older events of its kind. A replica that does not know the marked
// object has passed them only if it has listed the kind since: its watch can be so late that
// it shows neither the creation of the object nor its deletion.
func TestAMarkOfAnObjectThatIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a := ledger(m, "a", "x", "y", "z")
		reserve(t, a, deletionOf(t, "x"))
		a.Observe(id("x"), "51", false)
		time.Sleep(keepSettled)
		reserve(t, a, deletionOf(t, "y"))

		late, started := ledger(m, "late", "y", "z"), NewLedger(m, "started", logr.Discard())
		if err := started.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		started.Observe(id("y"), "50", true)
		for _, l := range []*Ledger{late, started} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := await(ctx, l, id("z")); err == nil {
				t.Errorf("replica %s does not wait for its watch", l.replica)
			}
			cancel()
		}

		confirm(started, "51", "y")
		if _, err := await(t.Context(), started, id("z")); err != nil {
			t.Error(err)
		}
		want(t, started, "DELETE y")
		late.Observe(id("w"), "52", true)
		if _, err := await(t.Context(), late, id("z")); err != nil {
			t.Error(err)
		}
	})
}

// The first list of a replica contains no object that was created and deleted before.
func TestAReplicaStartsAfterACreateAndADelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a := ledger(m, "a", "y")
		reserve(t, a, reservation(t, state.Change{After: peer(t, "x", 1)}, ""))
		a.Observe(id("x"), "1100", true)
		reserve(t, a, reservation(t, state.Change{Before: peer(t, "x", 1)}, "1100"))
		a.Observe(id("x"), "1101", false)
		m.version = 200 // The record is newer than these events.
		a.Update(m.record, m.current())
		reserve(t, a, deletionOf(t, "y"))

		b := NewLedger(m, "b", logr.Discard())
		if err := b.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Observe(id("y"), "50", true)
		confirm(b, "1102", "y")
		if open := b.Peek().Without(id("z")).Open; len(open) != 1 || open[0].Name != "y" {
			t.Errorf("open are %v", open)
		}

		late := ledger(m, "late", "y")
		if _, err := await(t.Context(), late, id("z")); err != nil {
			t.Fatal(err)
		}
		if open := late.Peek().Without(id("z")).Open; len(open) != 3 {
			t.Errorf("a replica that is late has open %v", open)
		}
	})
}

// The record stays small while many changes are made, and this costs one write each.
func TestTheRecordIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, b := ledger(m, "a", "w", "x", "y", "z"), ledger(m, "b", "w", "x", "y", "z")
		const count = 150
		for i := range count {
			name := fmt.Sprintf("peer-%03d", i)
			l := map[bool]*Ledger{true: a, false: b}[i%2 == 0]
			other := map[bool]*Ledger{true: b, false: a}[i%2 == 0]
			reserve(t, l, reservation(t, state.Change{Before: peer(t, name, 1), After: peer(t, name, 2)}, fmt.Sprint(10+i)))
			other.Update(m.record, m.current())
			time.Sleep(10 * time.Millisecond)
			a.Observe(id(name), fmt.Sprint(11+i), true)
			b.Observe(id(name), fmt.Sprint(11+i), true)
			if len(m.record) > 2*maxSettled {
				t.Fatalf("the record has %d bytes after %d changes", len(m.record), i)
			}
		}
		want(t, a, "")
		want(t, b, "")
		if m.writes != count {
			t.Errorf("%d writes for %d changes", m.writes, count)
		}
		time.Sleep(2 * Lifetime)
		reserve(t, a, deletionOf(t, "last"))
		a.Sweep(t.Context())
		if len(a.done) > 0 || len(a.open) != 1 || len(m.record) > 400 {
			t.Errorf("%d done, %d open, a record of %d bytes: %s", len(a.done), len(a.open), len(m.record), m.record)
		}
	})
}

func TestARecordThatDoesNotParse(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "{", "a null": `{"reservations":[null]}`,
		"no object":            `{"reservations":[{"kind":"BGPPeer","name":"a","operation":"CREATE"}]}`,
		"another object":       `{"reservations":[{"kind":"BGPPeer","name":"a","operation":"CREATE","object":{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"b"}}}]}`,
		"an unreadable object": `{"reservations":[{"kind":"BGPPeer","name":"a","operation":"CREATE","object":{"kind":7}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{record: []byte(text), version: 7}
				l := ledger(m, "x")
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := await(ctx, l, id("b")); err == nil || !strings.Contains(err.Error(), "do not parse") {
					t.Errorf("got %v", err)
				}
				time.Sleep(Lifetime)
				reserve(t, l, deletionOf(t, "b")) // Replaces it: what was in it has expired.
				if _, _, err := l.decode(m.record); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAStoreThatFails(t *testing.T) {
	m := &memory{err: errors.New("configmaps is forbidden")}
	l := ledger(m, "x")
	if _, err := await(t.Context(), l, id("a")); err == nil || err.Error() != "reading the reservations: configmaps is forbidden" {
		t.Errorf("got %v", err)
	}
	m.err = nil
	view, err := await(t.Context(), l, id("a"))
	if err != nil {
		t.Fatal(err)
	}
	m.err = errors.New("no quota")
	if err := l.Reserve(t.Context(), view, deletionOf(t, "a")); err == nil || names(l) != "" {
		t.Errorf("%v, open %q", err, names(l))
	}
}

// A change that is allowed although it was not reserved is in the next record.
func TestAKeptReservationIsSharedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, b := ledger(m, "a", "w", "x", "y", "z"), ledger(m, "b", "w", "x", "y", "z")
		a.Keep(deletionOf(t, "x"))
		reserve(t, a, deletionOf(t, "y"))
		if _, err := await(t.Context(), b, id("z")); err != nil {
			t.Fatal(err)
		}
		want(t, b, "DELETE x, DELETE y")
	})
}

func TestTheSecondReviewIsRecognised(t *testing.T) {
	at := func(version string) func() string { return func() string { return version } }
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		a, b := ledger(m, "a", "w", "x", "y", "z"), ledger(m, "b", "w", "x", "y", "z")
		update := state.Change{Before: peer(t, "x", 1), After: peer(t, "x", 2)}
		reserve(t, a, reservation(t, update, "50"))
		b.Update(m.record, m.current())
		for name, c := range map[string]struct {
			change  state.Change
			version string
			group   string
			want    bool
		}{
			"the same change":   {update, "50", calico.GroupV1, true},
			"in the same group": {update, "50", calico.GroupV3, false},
			"of a Node":         {update, "50", "", false},
			"another object":    {state.Change{Before: peer(t, "y", 1), After: peer(t, "y", 2)}, "50", calico.GroupV1, false},
			"another content":   {state.Change{Before: peer(t, "x", 1), After: peer(t, "x", 3)}, "50", calico.GroupV1, false},
			"a create":          {state.Change{After: peer(t, "x", 2)}, "", calico.GroupV1, false},
			"a delete":          {state.Change{Before: peer(t, "x", 1)}, "50", calico.GroupV1, false},
			"another version":   {update, "49", calico.GroupV1, false},
		} {
			if got := b.Reviewed(c.change, c.group, at(c.version)); got != c.want {
				t.Errorf("%s: got %t", name, got)
			}
		}
		time.Sleep(secondReview)
		if b.Reviewed(update, calico.GroupV1, at("50")) {
			t.Error("a change that was reviewed long ago is recognised")
		}
		reserve(t, a, reservation(t, update, "50"))
		b.Update(m.record, m.current())
		b.Observe(id("x"), "51", true)
		if b.Reviewed(update, calico.GroupV1, at("50")) {
			t.Error("a change that is settled is recognised")
		}
	})
}

func TestTheReservationOfANodeIsSmall(t *testing.T) {
	raw := `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n","uid":"u","labels":{"rack":"a"},"annotations":{"projectcalico.org/IPv4Address":"10.0.0.1/24","other":"` + strings.Repeat("x", 1000) + `"}},
		"spec":{"podCIDR":"10.1.0.0/24"},"status":{"images":[{"names":["` + strings.Repeat("x", 1000) + `"]}],"conditions":[{"type":"Ready","status":"False","message":"down"},{"type":"DiskPressure","status":"False"}]}}`
	node, err := calico.DecodeJSON([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	r := reservation(t, state.Change{Before: node, After: node}, "7")
	const text = `{"apiVersion":"v1","kind":"Node","metadata":{"annotations":{"projectcalico.org/IPv4Address":"10.0.0.1/24"},"labels":{"rack":"a"},"name":"n"},"status":{"conditions":[{"status":"False","type":"Ready"}]}}`
	if string(r.Object) != text {
		t.Errorf("got  %s\nwant %s", r.Object, text)
	}
	again := *r
	again.after = nil
	if err := again.decode(); err != nil || !calico.Equal(again.After(), node) {
		t.Errorf("%v: read as %v", err, again.After())
	}
}

func TestAnObjectThatIsTooLong(t *testing.T) {
	long := calicotest.Object(t, calico.KindBGPPeer, "a", map[string]any{"filters": []any{strings.Repeat("x", maxObject)}})
	if _, err := New(state.Change{After: long}, "", "jane", ""); err == nil || !strings.Contains(err.Error(), "at most 262144 bytes can be reserved") {
		t.Errorf("got %v", err)
	}
	l := ledger(&memory{}, "x")
	var err error
	for i := 0; err == nil && i < 10; i++ {
		name := fmt.Sprintf("peer-%d", i)
		large := calicotest.Object(t, calico.KindBGPPeer, name, map[string]any{"filters": []any{strings.Repeat("x", maxObject-1000)}})
		l.Keep(reservation(t, state.Change{After: large}, ""))
		_, err = l.encode()
	}
	if err == nil || !strings.Contains(err.Error(), "changes are in flight, and their objects have more than 786432 bytes") {
		t.Errorf("got %v", err)
	}
}

// versions are the objects at the API server. They implement Objects.
type versions struct {
	mu      sync.Mutex
	objects map[string]string
	err     error
	reads   int
}

func (v *versions) Current(_ context.Context, id calico.ID) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reads++
	return v.objects[id.Name], v.err
}

// maxAge is the --max-data-age of tests.
const maxAge = 3 * time.Minute

// A watch that is late by more than Lifetime does not make a reservation expire: only the API
// server shows that the change was not persisted.
func TestALateWatchOutlivesNoReservation(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*testing.T) *Reservation
		current map[string]string // at the API server after the change
		err     error
		open    string        // after Lifetime
		show    func(*Ledger) // what the watch shows at last
		after   time.Duration // when the reservation ends without this event
	}{
		"a delete that was persisted": {change: func(t *testing.T) *Reservation { return deletionOf(t, "a") }, open: "DELETE a", show: func(l *Ledger) { l.Observe(id("a"), "51", false) }},
		"a delete that was denied":    {change: func(t *testing.T) *Reservation { return deletionOf(t, "a") }, current: map[string]string{"a": "50"}},
		"an update that was persisted": {change: func(t *testing.T) *Reservation {
			return reservation(t, state.Change{Before: peer(t, "a", 1), After: peer(t, "a", 2)}, "50")
		}, current: map[string]string{"a": "51"}, open: "UPDATE a", show: func(l *Ledger) { l.Observe(id("a"), "51", true) }},
		"a create that was persisted": {change: func(t *testing.T) *Reservation {
			return reservation(t, state.Change{After: peer(t, "b", 1)}, "")
		}, current: map[string]string{"b": "60"}, open: "CREATE b", show: func(l *Ledger) { l.Observe(id("b"), "60", true) }},
		"a create that was denied": {change: func(t *testing.T) *Reservation {
			return reservation(t, state.Change{After: peer(t, "b", 1)}, "")
		}},
		"the API server does not answer": {
			change: func(t *testing.T) *Reservation { return deletionOf(t, "a") }, err: errors.New("timeout"), open: "DELETE a", after: maxAge,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, objects := ledger(&memory{}, "x", "a"), &versions{objects: c.current, err: c.err}
				l.ExpectLateWatches(objects, maxAge)
				reserve(t, l, c.change(t))
				time.Sleep(Lifetime - time.Millisecond)
				l.Sweep(t.Context())
				if objects.reads > 0 {
					t.Error("the object is read although the change can still be persisted")
				}
				time.Sleep(time.Millisecond)
				l.Sweep(t.Context())
				want(t, l, c.open)
				if c.open == "" {
					return
				}
				time.Sleep(maxAge - Lifetime - time.Second)
				l.Sweep(t.Context())
				want(t, l, c.open)
				if c.show != nil {
					time.Sleep(time.Hour) // The API server shows that the watch is late, however late it is.
					want(t, l, c.open)
					c.show(l)
					want(t, l, "")
					return
				}
				time.Sleep(c.after)
				l.Sweep(t.Context())
				want(t, l, "")
			})
		})
	}
}

// A mark, and a reservation that another replica has settled, hold until the watch of this
// replica has reached them, or its data is too old to decide.
func TestALateWatchOutlivesNoMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, objects := &memory{}, &versions{objects: map[string]string{"y": "50"}}
		fast, late := ledger(m, "fast", "x", "y"), ledger(m, "late", "x", "y")
		fast.ExpectLateWatches(objects, maxAge)
		late.ExpectLateWatches(objects, maxAge)
		reserve(t, fast, deletionOf(t, "x"))
		if err := late.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		fast.Observe(id("x"), "51", false)
		time.Sleep(Lifetime + time.Second)
		fast.Sweep(t.Context())
		late.Sweep(t.Context())
		want(t, late, "DELETE x")
		// The next record has a mark in place of the reservation.
		reserve(t, fast, reservation(t, state.Change{Before: peer(t, "y", 1), After: peer(t, "y", 2)}, "50"))
		for range 3 { // In each Lifetime, the fast replica keeps the mark in the record.
			if err := late.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := await(ctx, late, id("z")); !errors.Is(err, ErrBusy) {
				t.Errorf("a replica whose watch is late decides: %v", err)
			}
			cancel()
			time.Sleep(Lifetime)
			fast.Sweep(t.Context())
			reserve(t, fast, reservation(t, state.Change{Before: peer(t, "y", 1), After: peer(t, "y", 2)}, "50"))
		}
		late.Observe(id("x"), "51", false)
		if view, err := await(t.Context(), late, id("z")); err != nil || len(view.Open) != 1 || view.Open[0].Name != "y" {
			t.Errorf("after the watch caught up: %v, %v", view.Open, err)
		}
	})
}
