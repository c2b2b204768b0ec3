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

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// node is a Node with annotations in JSON.
func node(t *testing.T, name, annotations string) calico.Object {
	t.Helper()
	o, err := calico.DecodeJSON(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Node","metadata":{"name":%q,"annotations":{%s}}}`, name, annotations))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// join is the reservation of a Node with an address that is created.
func join(t *testing.T, number int) *Reservation {
	t.Helper()
	address := fmt.Sprintf(`"projectcalico.org/IPv4Address":"10.0.%d.%d/16"`, number/250, number%250+1)
	return reservation(t, state.Change{After: node(t, fmt.Sprintf("node-%03d", number), address)}, "")
}

// reserveAll reserves all at once and returns the errors that differ from want.
func reserveAll(t *testing.T, l *Ledger, want error, all ...*Reservation) {
	t.Helper()
	var group sync.WaitGroup
	for _, r := range all {
		group.Go(func() {
			view, end, err := l.Await(t.Context(), r.ID(), time.Now().Add(Lifetime))
			if err != nil {
				t.Error(err)
				return
			}
			defer end()
			if err := l.Reserve(t.Context(), view, r); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", r.ID(), err, want)
			}
		})
	}
	group.Wait()
}

// What is reserved while the record is being written is in the next write, all of it.
func TestOneWriteHoldsAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{delay: 10 * time.Millisecond}
		l, other := ledger(m, "x"), ledger(m, "y")
		var all []*Reservation
		for i := range 50 {
			all = append(all, join(t, i))
		}
		start := time.Now()
		reserveAll(t, l, nil, all...)
		if took := time.Since(start); m.writes > 2 || took > 2*m.delay {
			t.Errorf("%d writes in %s for %d reservations, want 2", m.writes, took, len(all))
		}
		if err := other.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, own := len(other.Peek().Open), len(l.Peek().Open); got != len(all) || own != len(all) {
			t.Errorf("%d and %d are open, want %d", own, got, len(all))
		}
	})
}

// All that was decided without the reservation of another replica is decided again.
func TestAConflictFailsAllThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{delay: 10 * time.Millisecond}
		a, b := ledger(m, "a"), ledger(m, "b")
		if err := b.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		reserveAll(t, a, nil, join(t, 0))
		reserveAll(t, b, ErrConflict, join(t, 1), join(t, 2), join(t, 3))
		want(t, b, "CREATE node-000")
		reserveAll(t, b, nil, join(t, 1), join(t, 2), join(t, 3))
		if open := len(b.Peek().Open); m.writes > 3 || open != 4 {
			t.Errorf("%d open after %d writes, want 4 after 3", open, m.writes)
		}
	})
}

// A change is decided with those that are being written, whether the write then succeeds or not.
func TestWhatIsBeingWrittenIsInTheView(t *testing.T) {
	for name, failure := range map[string]error{"succeeds": nil, "fails": errors.New("no quota")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &memory{delay: 10 * time.Millisecond}
				l := ledger(m, "x", "a", "b")
				if err := l.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
				m.err = failure
				go reserveAll(t, l, failure, deletionOf(t, "a"))
				time.Sleep(time.Millisecond)
				view, end, err := l.Await(t.Context(), id("b"), time.Now())
				if err != nil || len(view.Open) != 1 {
					t.Fatalf("%v, open %v", err, view.Open)
				}
				end()
				start := time.Now()
				view, err = await(t.Context(), l, id("b"))
				if waited := time.Since(start); err != nil || failure == nil && (len(view.Open) != 1 || waited < Landing) || failure != nil && (len(view.Open) != 0 || waited > m.delay) {
					t.Errorf("%v, open %v after %s", err, view.Open, waited)
				}
			})
		})
	}
}

// The watch can show a record before the answer to its write arrives: it is not the record of another replica.
func TestTheWatchShowsARecordFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		l := ledger(m, "x", "a", "b")
		var during View
		m.written = func() {
			during = l.Peek()
			l.Update(m.record, m.current())
			m.written = nil
		}
		reserve(t, l, deletionOf(t, "a"))
		want(t, l, "DELETE a")
		if len(during.Open) != 1 {
			t.Errorf("open was %v", during.Open)
		}
		if err := l.Reserve(t.Context(), during, deletionOf(t, "b")); err != nil {
			t.Error(err)
		}
		want(t, l, "DELETE a, DELETE b")
	})
}

// A change whose request ended before its reservation was written is not reserved.
func TestARequestThatEndsBeforeTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{delay: time.Second}
		l := ledger(m, "x")
		go reserveAll(t, l, nil, join(t, 0))
		time.Sleep(time.Millisecond)
		view, _, err := l.Await(t.Context(), id("a"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := l.Reserve(ctx, view, deletionOf(t, "a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		time.Sleep(2 * time.Second)
		want(t, l, "CREATE node-000")
		if m.writes != 1 || strings.Contains(string(m.record), "DELETE") {
			t.Errorf("%d writes: %s", m.writes, m.record)
		}
	})
}

// Other changes do not wait for nodes that join, unless there are very many.
func TestNodesThatJoinDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := ledger(nil, "x", "a")
		start := time.Now()
		for i := range maxJoins {
			reserve(t, l, join(t, i))
		}
		view, err := await(t.Context(), l, id("a"))
		if waited := time.Since(start); err != nil || len(view.Open) != maxJoins || waited > 0 {
			t.Errorf("%v, %d open after %s, want %d at once", err, len(view.Open), waited, maxJoins)
		}
		reserve(t, l, join(t, maxJoins))
		if _, err := await(t.Context(), l, id("a")); err != nil || time.Since(start) != Landing {
			t.Errorf("%v after %s, want %s", err, time.Since(start), Landing)
		}
	})
}

func TestJoins(t *testing.T) {
	const address = `"projectcalico.org/IPv4Address":"10.0.0.1/24"`
	bare, v4, both := node(t, "n", ""), node(t, "n", address), node(t, "n", address+`,"projectcalico.org/IPv6Address":"fd00::1/64"`)
	for name, c := range map[string]struct {
		change  state.Change
		version string
		want    bool
	}{
		"a Node with an address is created":    {state.Change{After: v4}, "", true},
		"a Node without an address is created": {state.Change{After: bare}, "", false},
		"a Node gets its first address":        {state.Change{Before: bare, After: v4}, "50", true},
		"a Node gets another address":          {state.Change{Before: v4, After: both}, "50", false},
		"a Node loses its addresses":           {state.Change{Before: v4, After: bare}, "50", false},
		"a Node is deleted":                    {state.Change{Before: v4}, "50", false},
		"the Node before did not decode":       {state.Change{After: v4}, "50", false},
		"a BGPPeer is created":                 {state.Change{After: peer(t, "a", 1)}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reservation(t, c.change, c.version).Joins; got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}
