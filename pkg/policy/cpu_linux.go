package policy

import (
	"time"

	"golang.org/x/sys/unix"
)

// threadClock returns the clock of the CPU time of the calling thread. Every thread of the process
// can read it while the thread exists. It returns 0 if the system does not have it.
func threadClock() func() time.Duration {
	const perThread, scheduled = 4, 2 // CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED of the kernel
	id := int32(^unix.Gettid()<<3 | perThread | scheduled)
	return func() time.Duration {
		var now unix.Timespec
		if unix.ClockGettime(id, &now) != nil {
			return 0
		}
		return time.Duration(now.Nano())
	}
}
