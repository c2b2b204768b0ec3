package env

import (
	"testing"
)

// StartForTest starts an environment that stops at the end of the test. It fails the test if the environment does not
// start, and logs the output of its processes if the test failed.
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
