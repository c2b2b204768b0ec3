package policy

import (
	"context"
	"fmt"
	"time"
)

// grace is how long OPA may take to stop an evaluation. Between two expressions, and
// in most builtins that can be slow, it notices within a millisecond.
const grace = 50 * time.Millisecond

// untilEnd calls f and gives its result, a panic as an error. Where ctx ends and f
// does not, as in a builtin that heeds nothing, f is left behind: the error is that
// of ctx, and ended is closed when f has ended after all. Else ended is nil.
func untilEnd[T any](ctx context.Context, f func() (T, error)) (result T, ended <-chan struct{}, err error) {
	done := make(chan struct{})
	var got T
	var failed error
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				failed = fmt.Errorf("panicked: %v", r)
			}
		}()
		got, failed = f()
	}()
	select {
	case <-done:
		return got, nil, failed
	case <-ctx.Done():
	}
	select {
	case <-done:
		return got, nil, failed
	case <-time.After(grace):
		return result, done, context.Cause(ctx)
	}
}
