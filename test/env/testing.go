package env

import (
	"testing"
)

// StartForTest starts an environment that ends with the test, and ends the test if it doesn't start. When the test
// has failed, what its processes printed is shown.
func StartForTest(tb testing.TB, options Options) *Environment {
	tb.Helper()
	e, err := Start(tb.Context(), options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			e.mu.Lock()
			for _, process := range e.processes {
				tb.Logf("the end of %s:\n%s", process.LogFile, process.Log())
			}
			e.mu.Unlock()
		}
		if err := e.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return e
}
