package main

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
)

// reader calls seen after each write, with all text since the last reset.
type reader struct {
	text bytes.Buffer
	seen func(text string)
}

func (r *reader) Write(p []byte) (int, error) {
	r.text.Write(p)
	r.seen(r.text.String())
	return len(p), nil
}

// TestPolicyTestWatches edits a test: each saved version is run or reported as an error, until
// an interrupt.
func TestPolicyTestWatches(t *testing.T) {
	t.Chdir(t.TempDir())
	const test = "package policies.a_test\n\ntest_a if "
	save := func(body string) {
		if err := os.WriteFile("a_test.rego", []byte(test+body+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
	save("1 == 1")
	// Each step waits for the result of the version that the previous step saved.
	steps := []struct {
		output string // on stdout or stderr
		then   func()
	}{
		{"\nPASS: 1/1\n", func() { save("1 == 22") }},
		{"\nFAIL: 1/1\n", func() { save("1 ==") }},
		{"error: a_test.rego:4: rego_parse_error: ", func() { save("333 == 333") }},
		{"\nPASS: 1/1\n", func() {
			if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
				t.Error(err)
			}
		}},
	}
	stdout, stderr := &reader{}, &reader{}
	step := func(text string) {
		if len(steps) > 0 && strings.Contains(text, steps[0].output) {
			then := steps[0].then
			steps = steps[1:]
			stdout.text.Reset()
			stderr.text.Reset()
			then()
		}
	}
	stdout.seen, stderr.seen = step, step
	code := run([]string{"policy", "test", "--watch", "."}, strings.NewReader(""), stdout, stderr)
	if code != exitSignal+int(syscall.SIGINT) || len(steps) > 0 {
		t.Errorf("exit code %d, and %d steps are left", code, len(steps))
	}
}
