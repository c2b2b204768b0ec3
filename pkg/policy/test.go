package policy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
)

// Test runs the tests in the policy's source. The error names each test that fails, with
// file and line. Tests that do not finish within limit are a *LimitError.
func (p *Policy) Test(ctx context.Context, limit time.Duration) error {
	source := p.Definition.unit.source
	if !slices.ContainsFunc(slices.Collect(maps.Keys(source.Modules)), IsTest) {
		return nil
	}
	results, err := source.Test(ctx, TestOptions{Limit: limit})
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range results {
		if text := failure(r); text != "" {
			errs = append(errs, errors.New(text))
		}
	}
	return errors.Join(errs...)
}

// ErrNotChecked is wrapped by the error of a check that ended without a result for a reason that
// is not in the policy, such as a busy machine.
var ErrNotChecked = errors.New("not checked")

// LimitError means that tests did not finish in time. A slow machine can cause it.
type LimitError struct {
	Limit time.Duration
	// running is closed when tests that did not stop at the limit return, nil if they
	// stopped.
	running <-chan struct{}
}

// Error names the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("the tests did not finish within %s", e.Limit)
}

// Running reports whether a test still runs, in a slow builtin that ignores the context. Each
// further run of the tests would then leave another goroutine behind.
func (e *LimitError) Running() bool {
	if e.running == nil {
		return false
	}
	select {
	case <-e.running:
		return false
	default:
		return true
	}
}

// failure returns the place and the kind of a failure, "" for a test that passed.
func failure(r *tester.Result) string {
	name := strings.TrimPrefix(r.Package, "data.") + "." + r.Name
	switch {
	case r.Error != nil:
		return fmt.Sprintf("%s: test %s could not be run: %v", r.Location, name, r.Error)
	case r.Fail:
		return fmt.Sprintf("%s: test %s fails", r.Location, name)
	default: // As in opa test, tests whose name starts with todo_ do not fail.
		return ""
	}
}

// TestOptions are the options of a run of tests.
type TestOptions struct {
	// Limit is the time limit for all tests together.
	Limit time.Duration
	// Filter is a regular expression; only tests whose name,
	// "data.policies.NAME_test.test_x", matches it are run.
	Filter string
	// Coverage records the expressions that were evaluated, unless it is nil.
	Coverage *cover.Cover
	// Trace adds the trace of each test to its result. It cannot be combined with Coverage.
	Trace bool
}

// Test runs the tests of a source, with the built-in helpers that it does not contain. A
// test that fails is a result. An error means that the tests could not be run, or did not
// finish in time.
func (s *Source) Test(ctx context.Context, o TestOptions) ([]*tester.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	out, running, err := untilDone(ctx, func() ([]*tester.Result, error) { return s.test(ctx, o) })
	if running != nil || (err == nil && ctx.Err() != nil) {
		return out, &LimitError{o.Limit, running}
	}
	return out, err
}

func (s *Source) test(ctx context.Context, o TestOptions) ([]*tester.Result, error) {
	modules, err := parse(s.Modules)
	if err != nil {
		return nil, err
	}
	if modules, err = withShared(modules, true); err != nil {
		return nil, err
	}
	for file, m := range modules { // The runner changes them.
		modules[file] = m.Copy()
	}
	compiler, err := newCompiler()
	if err != nil {
		return nil, err
	}
	store := s.store()
	runner := tester.NewRunner().SetCompiler(compiler.WithEnablePrintStatements(true)).SetStore(store).SetModules(modules).
		CapturePrintOutput(true).RaiseBuiltinErrors(true).SetTimeout(o.Limit).Filter(o.Filter).EnableTracing(o.Trace)
	if o.Coverage != nil {
		runner.SetCoverageQueryTracer(o.Coverage)
	}
	var out []*tester.Result
	err = storage.Txn(ctx, store, storage.WriteParams, func(txn storage.Transaction) error {
		results, err := runner.RunTests(ctx, txn)
		if err != nil {
			return plain(err)
		}
		for r := range results {
			out = append(out, r)
		}
		return nil
	})
	return out, err
}
