package policy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
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

// Workers are goroutines that make evaluations and are kept for later ones: a new one would grow its stack again each time, which
// takes a fifth of the time of a short evaluation. They end when they are not needed for idleTime. Safe for concurrent use.
type Workers struct {
	mu   sync.Mutex
	idle []*worker
}

// idleTime is how long a worker is kept that makes no calls.
const idleTime = 10 * time.Second

// Together returns a context for evaluations that follow each other, until end is called. They run on one worker.
func (ws *Workers) Together(ctx context.Context) (together context.Context, end func()) {
	w := ws.take()
	return context.WithValue(ctx, workerKey{}, w), func() { ws.release(w) }
}

// take returns a worker that is idle, or a new one.
func (ws *Workers) take() *worker {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if last := len(ws.idle) - 1; last >= 0 {
		w := ws.idle[last]
		ws.idle = ws.idle[:last]
		return w
	}
	w := &worker{calls: make(chan func(), 1)}
	go w.run(ws)
	return w
}

// release keeps a worker for later calls. One that still makes a call, which was abandoned, ends after it.
func (ws *Workers) release(w *worker) {
	if w.busy.Load() {
		close(w.calls)
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.idle = append(ws.idle, w)
}

// remove removes a worker from those that are idle. It reports whether it was one of them.
func (ws *Workers) remove(w *worker) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	i := slices.Index(ws.idle, w)
	if i < 0 {
		return false
	}
	ws.idle = slices.Delete(ws.idle, i, i+1)
	return true
}

type workerKey struct{}

// worker is a goroutine that makes one call after the other.
type worker struct {
	calls chan func()
	busy  atomic.Bool
}

// run makes calls until no more can follow.
func (w *worker) run(ws *Workers) {
	unused := time.NewTimer(idleTime)
	defer unused.Stop()
	for {
		select {
		case call, more := <-w.calls:
			if !more {
				return
			}
			call()
		case <-unused.C:
			if ws.remove(w) {
				return
			}
		}
		unused.Reset(idleTime)
	}
}

// start makes a call on the worker of ctx, or on a new goroutine if ctx has none or it makes another call: one that was abandoned.
// done is closed when the call has returned.
func start(ctx context.Context, call func()) (done <-chan struct{}) {
	closed := make(chan struct{})
	w, _ := ctx.Value(workerKey{}).(*worker)
	if w == nil || !w.busy.CompareAndSwap(false, true) {
		go func() {
			defer close(closed)
			call()
		}()
		return closed
	}
	w.calls <- func() {
		defer close(closed)
		defer w.busy.Store(false)
		call()
	}
	return closed
}

// untilDone calls f and returns its result, or its panic as an error. If ctx is done and f
// does not return, as in a builtin that ignores the context, untilDone returns the error of
// ctx and a channel that is closed when f returns. Otherwise the channel is nil.
func untilDone[T any](ctx context.Context, f func() (T, error)) (result T, running <-chan struct{}, err error) {
	var got T
	var failed error
	done := start(ctx, func() {
		defer func() {
			if r := recover(); r != nil {
				failed = recovered(r)
			}
		}()
		got, failed = f()
	})
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
