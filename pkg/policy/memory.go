package policy

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"time"
)

const (
	// memoryInterval is the time from the start of an evaluation to the first look at the memory of
	// the process, and between two looks. Most evaluations are shorter.
	memoryInterval = 5 * time.Millisecond
	// memoryShare divides the memory that is left at the first look: an evaluation may use one share.
	// The rest is for garbage that the collector has not found yet, and for requests. minMemory is
	// what it may use in any case, in bytes.
	memoryShare = 3
	minMemory   = 1 << 20
)

// MemoryError is the evaluation error of a policy that needs more memory than the process has.
type MemoryError struct {
	// Used is the memory that it used, Limit that of the process, in bytes.
	Used, Limit int64
}

// Error says how much memory the policy used.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("stopped: it used %d MiB of memory, and the process may use %d MiB in all; raise the memory limit of the container", e.Used>>20, e.Limit>>20)
}

// memoryWatch stops evaluations that use too much memory. The runtime counts the memory of the whole
// process, so the evaluation that has run for the longest time is stopped: one that uses too much
// runs for longer than others.
type memoryWatch struct {
	// live returns the memory of the live objects of the process, limit the limit of its memory, in
	// bytes; math.MaxInt64 for none.
	live, limit func() int64

	mu sync.Mutex
	// running are the evaluations that have run for memoryInterval, in order of their start.
	running []*watched
}

// watched is an evaluation that a memoryWatch watches.
type watched struct {
	stop  context.CancelCauseFunc
	timer *time.Timer
	base  int64 // live memory at the first look
	ended bool
}

// memory watches the evaluations of this process. It does nothing before LimitMemory.
var memory = &memoryWatch{live: liveHeap, limit: func() int64 { return math.MaxInt64 }}

// LimitMemory makes evaluations fail with a *MemoryError that use too much of the memory that
// this process may use, by its soft limit (see debug.SetMemoryLimit). It must be called before the first evaluation.
func LimitMemory() {
	limit := debug.SetMemoryLimit(-1)
	memory.limit = func() int64 { return limit }
}

// liveHeap returns the memory of the objects that the last garbage collection found live.
func liveHeap() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// watch returns a context for an evaluation, which is cancelled with a *MemoryError if the
// evaluation uses too much memory. The caller calls end. Without a limit of the process, it
// returns ctx.
func (m *memoryWatch) watch(ctx context.Context) (watching context.Context, end func()) {
	if m.limit() == math.MaxInt64 {
		return ctx, func() {}
	}
	watching, stop := context.WithCancelCause(ctx)
	w := &watched{stop: stop}
	m.mu.Lock()
	defer m.mu.Unlock()
	w.timer = time.AfterFunc(memoryInterval, func() { m.look(w) })
	return watching, func() { m.end(w) }
}

// look stops w if it is the first of those that run and uses too much.
func (m *memoryWatch) look(w *watched) {
	live, limit := m.live(), m.limit()
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.ended {
		return
	}
	if w.base == 0 {
		w.base = max(live, 1)
		m.running = append(m.running, w)
	}
	used, allowed := live-w.base, max(minMemory, (limit-w.base)/memoryShare)
	if w == m.running[0] && used > allowed {
		w.stop(&MemoryError{Used: used, Limit: limit})
		return
	}
	w.timer.Reset(memoryInterval)
}

// end forgets an evaluation that has ended.
func (m *memoryWatch) end(w *watched) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w.ended = true
	w.timer.Stop()
	m.running = slices.DeleteFunc(m.running, func(other *watched) bool { return other == w })
	w.stop(nil)
}
