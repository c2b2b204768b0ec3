// Package trial runs Rego that nobody has run before in a process of its own. Compiling it,
// its tests and its first evaluation can take any amount of memory, and a Go process cannot
// limit the memory of one of its goroutines. The process of a trial has limits of memory and
// time, and if it exceeds them, only the trial fails.
package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Argument is the argument with which a program calls Main instead of what it does otherwise.
const Argument = "try-policy"

const (
	// startTime is the CPU time for the start of the process and for compiling, in addition to that
	// of the tests or of the evaluation.
	startTime = time.Second
	// evaluationTime is the CPU time of an evaluation.
	evaluationTime = time.Second
	// maxTime bounds a trial. A busy machine may take much longer than the CPU time.
	maxTime = 30 * time.Second
	// maxResult bounds the result of a trial, in bytes.
	maxResult = 8 << 20
	// maxErrors bounds what is read of the process's standard error, in bytes.
	maxErrors = 64 << 10
)

// ErrMemory means that a trial exceeded its limit of memory, ErrTime that it exceeded its limit
// of CPU time.
var (
	ErrMemory = fmt.Errorf("it needs more than %d MiB of memory", maxHeap>>20)
	ErrTime   = errors.New("it needs too much CPU time")
)

// request is what the process of a trial reads from its standard input.
type request struct {
	// Document is a BGPPolicy with Rego.
	Document json.RawMessage `json:"document"`
	// Limit is the time limit of its tests. Without an input, the tests are run.
	Limit time.Duration `json:"limit,omitempty"`
	// Time is the CPU time of the trial. The kernel ends the process then.
	Time time.Duration `json:"time"`
	// Input is the input of an evaluation, without parameters, and State is data.state.
	Input json.RawMessage `json:"input,omitempty"`
	State json.RawMessage `json:"state,omitempty"`
}

// result is what the process writes to its standard output.
type result struct {
	// Error is why the trial failed, "" if it did not.
	Error string `json:"error,omitempty"`
	// Unusable means that the document does not compile; TooSlow that its tests did not finish.
	Unusable bool `json:"unusable,omitempty"`
	TooSlow  bool `json:"tooSlow,omitempty"`

	Violations []violation.Violation `json:"violations,omitempty"`
}

// Runner runs trials, one at a time. It is safe for concurrent use.
type Runner struct{ turn chan struct{} }

// NewRunner returns a runner of trials. The program must call Main if its only argument is
// Argument.
func NewRunner() *Runner { return &Runner{turn: make(chan struct{}, 1)} }

// Check compiles a document with Rego, and runs its tests for at most limit. Tests that take
// longer are a *policy.LimitError. The error of a trial without a result is ErrMemory, wraps
// ErrTime, or wraps policy.ErrNotChecked. The error of a document that does not compile is that of
// Library.Prepare.
func (r *Runner) Check(ctx context.Context, library *policy.Library, d *policy.Document, limit time.Duration) (*policy.Policy, error) {
	out, err := r.run(ctx, d, request{Limit: limit}, limit+startTime)
	switch {
	case err != nil:
		return nil, d.Errorf("spec.rego.modules", "%w", err)
	case out.TooSlow:
		return nil, d.Errorf("spec.rego.modules", "%w", &policy.LimitError{Limit: limit})
	case out.Error != "" && !out.Unusable:
		return nil, d.Errorf("spec.rego.modules", "%s", out.Error)
	}
	// The process has compiled it, or has found why it does not compile, within its limits.
	p, err := library.Prepare(d)
	if err == nil && out.Unusable {
		return nil, errors.New(out.Error)
	}
	return p, err
}

// Evaluate evaluates the policy of a document with Rego on an input. state returns data.state,
// and is called if the policy reads it.
func (r *Runner) Evaluate(ctx context.Context, d *policy.Document, p *policy.Policy, input ast.Object, state func() ast.Value) ([]violation.Violation, error) {
	var q request
	var err error
	if q.Input, err = marshal(input); err != nil {
		return nil, err
	}
	if p.ReadsData() {
		if q.State, err = marshal(state()); err != nil {
			return nil, err
		}
	}
	out, err := r.run(ctx, d, q, startTime+evaluationTime)
	if err != nil {
		return nil, err
	}
	if out.Error != "" {
		return nil, errors.New(out.Error)
	}
	return out.Violations, nil
}

// marshal returns a value of Rego as JSON.
func marshal(v ast.Value) (json.RawMessage, error) {
	plain, err := ast.JSON(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(plain)
}

// run runs one trial, which may use some CPU time.
func (r *Runner) run(ctx context.Context, d *policy.Document, q request, cpu time.Duration) (*result, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: waiting for the trial of another policy: %w", policy.ErrNotChecked, ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	document := d.BGPPolicy
	document.APIVersion, document.Kind = v1alpha1.APIVersion, v1alpha1.KindBGPPolicy // An informer drops them.
	var err error
	if q.Document, err = json.Marshal(&document); err != nil {
		return nil, err
	}
	q.Time = cpu
	input, err := json.Marshal(&q)
	if err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("%w: finding the program of the trial: %w", policy.ErrNotChecked, err)
	}
	output, problems := &bounded{left: maxResult}, &bounded{left: maxErrors}
	process := exec.CommandContext(ctx, executable, Argument)
	// Garbage is collected long before it counts as memory that the policy needs.
	process.Env = []string{"GOMAXPROCS=1", "GOTRACEBACK=none", fmt.Sprintf("GOMEMLIMIT=%d", maxHeap*3/4)}
	process.Stdin, process.Stdout, process.Stderr = bytes.NewReader(input), output, problems
	err = process.Run()
	switch code := process.ProcessState.ExitCode(); {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: stopped before it finished: %w", policy.ErrNotChecked, ctx.Err())
	case code == codeMemory, err != nil && strings.Contains(problems.String(), "out of memory"), err != nil && strings.Contains(problems.String(), "cannot allocate memory"):
		return nil, ErrMemory
	case err != nil && process.ProcessState.UserTime()+process.ProcessState.SystemTime() >= cpu:
		return nil, fmt.Errorf("%w: more than %s", ErrTime, cpu)
	case err != nil:
		return nil, fmt.Errorf("%w: the process of the trial failed: %w: %s", policy.ErrNotChecked, err, firstLine(problems.String()))
	}
	out := &result{}
	if err := json.Unmarshal(output.Bytes(), out); err != nil {
		return nil, fmt.Errorf("%w: reading the result of the trial: %w", policy.ErrNotChecked, err)
	}
	return out, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// bounded keeps the first bytes that are written to it.
type bounded struct {
	bytes.Buffer
	left int
}

// Write implements io.Writer. It never fails, so that the process is not blocked.
func (b *bounded) Write(p []byte) (int, error) {
	kept := p[:min(len(p), b.left)]
	b.left -= len(kept)
	_, err := b.Buffer.Write(kept)
	return len(p), err
}

var _ io.Writer = &bounded{}
