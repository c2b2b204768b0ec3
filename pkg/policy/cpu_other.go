//go:build !linux

package policy

import "time"

// threadClock returns a clock of the time that passes, because the webhook runs on Linux only.
func threadClock() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}
