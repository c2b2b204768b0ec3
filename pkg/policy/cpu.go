package policy

import (
	"runtime"
	"sync"
	"time"
)

// cpuMeter measures the CPU time of a call, which can still run when it is read.
type cpuMeter struct {
	mu    sync.Mutex
	clock func() time.Duration // nil unless the call runs
	begin time.Duration
	total time.Duration
}

// start begins the measurement of the calling goroutine. stop, called by the same goroutine, ends it.
func (m *cpuMeter) start() (stop func()) {
	runtime.LockOSThread() // The system has the CPU time of a thread.
	clock := threadClock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock, m.begin = clock, clock()
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.clock, m.total = nil, m.clock()-m.begin
		runtime.UnlockOSThread()
	}
}

// used returns the CPU time so far.
func (m *cpuMeter) used() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clock == nil {
		return m.total
	}
	return m.clock() - m.begin
}
