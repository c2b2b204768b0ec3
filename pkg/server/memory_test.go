package server

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestLimitMemory(t *testing.T) {
	for name, test := range map[string]struct {
		container, own string
		want           int64 // 0 for an error
	}{
		"the limit of the manifest":   {"268435456", "", 180 << 20},
		"no limit":                    {"", "", math.MaxInt64},
		"the variable of the user":    {"268435456", "100MiB", math.MaxInt64}, // The runtime reads it at the start.
		"less than the reserve":       {"67108864", "", 0},
		"a quantity instead of bytes": {"256Mi", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(memoryVariable, test.container)
			t.Setenv("GOMEMLIMIT", test.own)
			before := debug.SetMemoryLimit(math.MaxInt64)
			defer debug.SetMemoryLimit(before)
			err := limitMemory()
			if got := debug.SetMemoryLimit(-1); (err != nil) != (test.want == 0) || test.want != 0 && got != test.want {
				t.Errorf("the limit is %d, %v, want %d", got, err, test.want)
			}
			bound := test.want
			if bound == math.MaxInt64 {
				bound = 0
			}
			if got := memoryLimit(); got != bound {
				t.Errorf("the process may use %d bytes, want %d", got, bound)
			}
		})
	}
}
