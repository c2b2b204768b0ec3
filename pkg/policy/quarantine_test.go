package policy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// steps is a quarantine with a clock that the test moves.
func steps() (*quarantine, *time.Time) {
	at := time.Date(2026, 3, 14, 19, 0, 0, 0, time.UTC)
	q := newQuarantine()
	q.now = func() time.Time { return at }
	return q, &at
}

var errBroken = errors.New("division by zero")

func TestAPolicyThatKeepsFailingIsQuarantined(t *testing.T) {
	q, at := steps()
	for i := range quarantineFailures {
		if err := q.admit(); err != nil {
			t.Fatalf("evaluation %d: %v", i, err)
		}
		err := q.record(t.Context(), time.Millisecond, errBroken)
		if last := i == quarantineFailures-1; errors.Is(err, ErrQuarantined) != last || !errors.Is(err, errBroken) {
			t.Fatalf("failure %d: %v", i, err)
		}
		*at = at.Add(quarantineSpan / (quarantineFailures - 1))
	}
	if err := q.admit(); !errors.Is(err, ErrQuarantined) {
		t.Errorf("evaluated while quarantined: %v", err)
	}
	// One trial a minute: the first fails, the second succeeds.
	*at = at.Add(trialInterval)
	if err := q.admit(); err != nil {
		t.Errorf("no trial: %v", err)
	}
	if err := q.admit(); !errors.Is(err, ErrQuarantined) {
		t.Errorf("two trials at the same time: %v", err)
	}
	if err := q.record(t.Context(), time.Millisecond, errBroken); !errors.Is(err, ErrQuarantined) {
		t.Errorf("a failed trial: %v", err)
	}
	*at = at.Add(trialInterval)
	if err := errors.Join(q.admit(), q.record(t.Context(), time.Millisecond, nil), q.admit()); err != nil {
		t.Errorf("after a trial that succeeded: %v", err)
	}
}

func TestAPolicyIsNotQuarantined(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelLate()
	for name, c := range map[string]struct {
		ctx   context.Context
		took  time.Duration
		err   func(i int) error
		pause time.Duration
	}{
		"failures within one request":   {t.Context(), 0, func(int) error { return errBroken }, 0},
		"a success in between":          {t.Context(), 0, func(i int) error { return []error{errBroken, errBroken, errBroken, nil}[i%4] }, quarantineSpan},
		"too little time":               {late, fairShare - 1, func(int) error { return errBroken }, quarantineSpan},
		"the client has gone":           {done, time.Second, func(int) error { return errBroken }, quarantineSpan},
		"earlier evaluations still run": {t.Context(), 0, func(int) error { return errAbandoned }, quarantineSpan},
		"every evaluation succeeds":     {t.Context(), 0, func(int) error { return nil }, quarantineSpan},
	} {
		t.Run(name, func(t *testing.T) {
			q, at := steps()
			for i := range 20 {
				if err := errors.Join(q.admit(), q.record(c.ctx, c.took, c.err(i))); errors.Is(err, ErrQuarantined) {
					t.Fatalf("evaluation %d: %v", i, err)
				}
				*at = at.Add(c.pause)
			}
		})
	}
}

func TestALoopIsAFailureOfThePolicy(t *testing.T) {
	q, at := steps()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for range quarantineFailures {
		_ = q.record(late, fairShare, errBroken)
		*at = at.Add(quarantineSpan)
	}
	if err := q.admit(); !errors.Is(err, ErrQuarantined) {
		t.Errorf("got %v", err)
	}
}

// A quarantined policy denies nothing, whatever the result of a trial is.
func TestATrialWithoutTimeDeniesNothing(t *testing.T) {
	q, at := steps()
	for range quarantineFailures {
		_ = q.record(t.Context(), 0, errBroken)
		*at = at.Add(quarantineSpan)
	}
	*at = at.Add(trialInterval)
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	if err := q.admit(); err != nil {
		t.Fatalf("no trial: %v", err)
	}
	if err := q.record(late, 0, context.DeadlineExceeded); !errors.Is(err, ErrQuarantined) {
		t.Errorf("got %v", err)
	}
}

// What users propose can make a policy fail, and must not end its enforcement.
func TestProposedStatesDoNotQuarantine(t *testing.T) {
	p, err := prepare(t, inline("a.rego", a(strings.Replace(always, `"size": 1`, `"size": 1 / 0`, 1))))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 14, 19, 0, 0, 0, time.UTC)
	p.quarantine.now = func() time.Time { return at }
	for i := range 2 * quarantineFailures {
		if _, err := p.EvaluateProposed(t.Context(), sample(t), nil); err == nil || errors.Is(err, ErrQuarantined) {
			t.Fatalf("evaluation %d: %v", i, err)
		}
		at = at.Add(quarantineSpan)
	}
	for range quarantineFailures {
		_, _ = p.Evaluate(t.Context(), sample(t), nil)
		at = at.Add(quarantineSpan)
	}
	if _, err := p.EvaluateProposed(t.Context(), sample(t), nil); !errors.Is(err, ErrQuarantined) {
		t.Errorf("of a quarantined policy: %v", err)
	}
}

// An evaluation that only waits, as on a busy machine, uses no CPU time. Another thread reads the
// time of one that runs on.
func TestTheCPUTimeOfACall(t *testing.T) {
	m := &cpuMeter{}
	started, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer m.start()()
		close(started)
		<-end
	})
	<-started
	time.Sleep(10 * time.Millisecond)
	if used := m.used(); used >= 10*time.Millisecond {
		t.Errorf("a call that waits used %s", used)
	}
	close(end)
	wg.Wait()
	m = &cpuMeter{}
	var enough atomic.Bool
	wg.Go(func() {
		defer m.start()()
		for !enough.Load() {
		}
	})
	for m.used() < 5*time.Millisecond { // Ends when the clock runs.
		time.Sleep(time.Millisecond)
	}
	enough.Store(true)
	wg.Wait()
	if m.used() < 5*time.Millisecond {
		t.Error("the time is lost when the call ends")
	}
}
