package loop

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// received reports whether s was set, and unsets it.
func received(s Signal) bool {
	select {
	case <-s:
		return true
	default:
		return false
	}
}

func TestSignalsBeforeTheLoopWakesAreOne(t *testing.T) {
	s := NewSignal()
	if received(s) {
		t.Error("a new signal is set")
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(s.Send)
	}
	wg.Wait()
	if !received(s) {
		t.Error("sent and not received")
	}
	if received(s) {
		t.Error("received twice")
	}
	s.Send()
	if !received(s) {
		t.Error("a signal after the loop woke is lost")
	}
}

func TestASignalIsCleared(t *testing.T) {
	s := NewSignal()
	s.Clear() // Does not block.
	s.Send()
	s.Clear()
	if received(s) {
		t.Error("received after Clear")
	}
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		Pause(t.Context(), time.Hour)
		if paused := time.Since(start); paused != time.Hour {
			t.Errorf("paused for %s", paused)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		Pause(ctx, time.Hour)
		if paused := time.Since(start); paused != time.Second {
			t.Errorf("paused for %s after the context ended", paused)
		}
	})
}

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour+time.Minute)
		defer cancel()
		start, calls := time.Now(), 0
		Every(ctx, time.Hour, func() {
			calls++
			if at := time.Since(start); at != time.Duration(calls)*time.Hour {
				t.Errorf("call %d after %s", calls, at)
			}
		})
		if ended := time.Since(start); calls != 3 || ended != 3*time.Hour+time.Minute {
			t.Errorf("%d calls until %s, want 3 until the context ended", calls, ended)
		}
	})
}

func TestFailure(t *testing.T) {
	var f Failure
	one, two := errors.New("one"), errors.New("two")
	for i, step := range []struct {
		err  error // nil for success
		want bool
	}{
		{one, true}, {one, false}, {errors.New("one"), false}, {two, true}, {one, true}, {nil, false}, {one, true},
	} {
		if step.err == nil {
			f.Clear()
			if f.String() != "" {
				t.Errorf("step %d: %q after Clear", i, f.String())
			}
			continue
		}
		if got := f.Changed(step.err); got != step.want {
			t.Errorf("step %d: Changed(%v) = %t", i, step.err, got)
		}
		if f.String() != step.err.Error() {
			t.Errorf("step %d: the last error is %q", i, f.String())
		}
	}
}
