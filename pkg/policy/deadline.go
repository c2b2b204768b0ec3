package policy

import (
	"context"
	"time"
)

// grace is the time that OPA has to stop an evaluation. It stops within a millisecond
// between two expressions and in most builtins that can be slow.
const grace = 50 * time.Millisecond

// maxAbandoned is the number of evaluations of one policy that may run on after their deadline.
// The policy is not evaluated again until one of them ends: each request would leave another one
// running, until memory or CPUs are exhausted. One is not enough to conclude this: on a busy CPU,
// OPA can need longer than grace.
const maxAbandoned = 2

// untilDone calls f and returns its result, or its panic as an error. If ctx is done and f
// does not return, as in a builtin that ignores the context, untilDone returns the error of
// ctx and a channel that is closed when f returns. Otherwise the channel is nil.
func untilDone[T any](ctx context.Context, f func() (T, error)) (result T, running <-chan struct{}, err error) {
	done := make(chan struct{})
	var got T
	var failed error
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				failed = recovered(r)
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
