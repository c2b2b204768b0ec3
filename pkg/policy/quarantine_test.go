package policy

import (
	"context"
	"errors"
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
		"failures within one request": {t.Context(), 0, func(int) error { return errBroken }, 0},
		"a success in between":        {t.Context(), 0, func(i int) error { return []error{errBroken, errBroken, errBroken, nil}[i%4] }, quarantineSpan},
		"too little time":             {late, fairTime - 1, func(int) error { return errBroken }, quarantineSpan},
		"the client has gone":         {done, time.Second, func(int) error { return errBroken }, quarantineSpan},
		"every evaluation succeeds":   {t.Context(), 0, func(int) error { return nil }, quarantineSpan},
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
		_ = q.record(late, fairTime, errBroken)
		*at = at.Add(quarantineSpan)
	}
	if err := q.admit(); !errors.Is(err, ErrQuarantined) {
		t.Errorf("got %v", err)
	}
}
