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

// Test runs the tests that come with the policy's source and returns an error
// that names each one that fails, with file and line. It is over within limit;
// what then has not been run has failed.
func (p *Policy) Test(ctx context.Context, limit time.Duration) error {
	source := p.Definition.unit.source
	if !slices.ContainsFunc(slices.Collect(maps.Keys(source.Modules)), isTest) {
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

// LimitError is that tests were not over in time, which can be the machine's
// fault.
type LimitError struct {
	Limit time.Duration
	// ended is closed when tests that did not stop have ended; nil for those that did.
	ended <-chan struct{}
}

// Error names the limit.
func (e *LimitError) Error() string { return fmt.Sprintf("the tests were not over after %s", e.Limit) }

// Running reports whether the tests are running still: one is in a builtin that takes
// long and heeds nothing. To run them again would leave one more behind.
func (e *LimitError) Running() bool {
	if e.ended == nil {
		return false
	}
	select {
	case <-e.ended:
		return false
	default:
		return true
	}
}

// failure says that and where a test failed, "" for one that passed.
func failure(r *tester.Result) string {
	name := strings.TrimPrefix(r.Package, "data.") + "." + r.Name
	switch {
	case r.Error != nil:
		return fmt.Sprintf("%s: test %s could not be run: %v", r.Location, name, r.Error)
	case r.Fail:
		return fmt.Sprintf("%s: test %s fails", r.Location, name)
	default: // Those that are left to be done (todo_) do not fail, as with opa test.
		return ""
	}
}

// TestOptions says how tests are run.
type TestOptions struct {
	// Limit is how long all tests together may take.
	Limit time.Duration
	// Filter is a regular expression that the names of the tests have to match,
	// "data.policies.NAME_test.test_x"; all match "".
	Filter string
	// Coverage, if it is not nil, is told which expressions were evaluated.
	Coverage *cover.Cover
	// Trace has results hold how each test was evaluated. It excludes Coverage.
	Trace bool
}

// Test runs the tests of a source, with the built-in helpers that it does not
// bring along. An error says that they could not be run, or were not over in
// time; a test that fails is a result.
func (s *Source) Test(ctx context.Context, o TestOptions) ([]*tester.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	out, ended, err := untilEnd(ctx, func() ([]*tester.Result, error) { return s.test(ctx, o) })
	if ended != nil || (err == nil && ctx.Err() != nil) {
		return out, &LimitError{o.Limit, ended}
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
	for file, m := range modules { // The runner changes what it is given.
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
