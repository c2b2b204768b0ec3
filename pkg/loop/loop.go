// Package loop holds what the long-running loops of a process share: a signal
// that wakes one, a pause that ends with the context, a call at each interval, and
// a memory of the last error that keeps a retry from filling the log.
package loop

import (
	"context"
	"time"
)

// Signal wakes one loop. It carries no data: the loop looks at the current state
// whenever it wakes, so any number of sends before it wakes count as one.
// Receive from it in a select statement.
type Signal chan struct{}

// NewSignal returns a signal that was not sent.
func NewSignal() Signal { return make(Signal, 1) }

// Send wakes the loop, now or when it next receives. It never blocks, and is
// safe for concurrent use.
func (s Signal) Send() {
	select {
	case s <- struct{}{}:
	default: // The signal is already set.
	}
}

// Clear removes a signal that was not received yet: the loop is about to look at
// the current state anyway.
func (s Signal) Clear() {
	select {
	case <-s:
	default:
	}
}

// Pause waits for d or until ctx is done.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// Every calls f at each interval until ctx is done, for the first time after one
// interval. The intervals that pass while f runs count as one.
func Every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f()
		}
	}
}

// Failure is the last error of an operation that is retried. With it an error is
// logged once, and not at each attempt. The zero value is an operation that has
// not failed. It is not safe for concurrent use.
type Failure struct{ text string }

// Changed records err and reports whether it differs from the last error, or is
// the first one since Clear.
func (f *Failure) Changed(err error) bool {
	text := err.Error()
	changed := text != f.text
	f.text = text
	return changed
}

// Clear records that the operation succeeded: the next error is a new one.
func (f *Failure) Clear() { f.text = "" }

// String returns the text of the last error, "" since Clear.
func (f *Failure) String() string { return f.text }
