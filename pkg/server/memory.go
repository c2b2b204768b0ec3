package server

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
)

// gcPercent keeps the process small. Most of its memory holds the cluster's nodes and the policies, which stay: 28 MiB at 5,000
// nodes. A heap that grows by 40 % before a collection, instead of 100 %, saves about 17 MiB, and costs CPU: with 30 %, a third of
// all that requests use was collection (make bench).
const gcPercent = 40

// limitGarbage sets the garbage collector's target unless $GOGC does.
func limitGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

const (
	// memoryVariable has the memory limit of the container, in bytes.
	memoryVariable = "MEMORY_LIMIT"
	// reservedMemory is what the process leaves of it, in bytes: to the trial of a policy, which
	// is a process of its own with a heap of 64 MiB, and to what the runtime does not count.
	reservedMemory = 76 << 20
)

// memoryLimit returns the memory in bytes that the process may use, 0 for no limit. Call it after limitMemory.
func memoryLimit() int64 {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// limitMemory makes the garbage collector keep the memory of the process below the limit of its
// container, less reservedMemory, unless $GOMEMLIMIT sets a limit: near the limit, the process
// spends more time on collection instead of being killed. Without a limit, it does nothing.
func limitMemory() error {
	value := os.Getenv(memoryVariable)
	if value == "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	limit, err := strconv.ParseInt(value, 10, 64)
	if err != nil || limit <= reservedMemory {
		return fmt.Errorf("$%s is %q, must be more than %d: the memory limit of the container in bytes", memoryVariable, value, reservedMemory)
	}
	debug.SetMemoryLimit(limit - reservedMemory)
	return nil
}
