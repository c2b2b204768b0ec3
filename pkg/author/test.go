package author

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/scenario"
	"github.com/bgpguard/bgpguard/policies"
)

// TestOptions select tests and configure how they run.
type TestOptions struct {
	// Filter is a regular expression for the names of tests
	// ("data.policies.NAME_test.test_x") and scenarios.
	Filter string
	// Coverage measures which lines of the policies the Rego tests reach.
	Coverage bool
	// Live skips scenarios that run only on files.
	Live bool
	// Run runs a scenario. scenario.Run runs it without a cluster.
	Run func(ctx context.Context, s *scenario.Scenario, library *policy.Library) (*scenario.Result, error)
}

// testLimit is the longest time for all Rego tests of a source.
const testLimit = time.Minute

// TestResult contains the results of tests.
type TestResult struct {
	Rego      []*tester.Result
	Scenarios []ScenarioResult
	Coverage  []FileCoverage
}

// ScenarioResult is the result of a scenario, or the reason why it was skipped.
type ScenarioResult struct {
	*scenario.Result

	Err      error
	Skipped  string // why it was skipped, "" if it ran
	Duration time.Duration
}

// FileCoverage is the coverage of a module by Rego tests.
type FileCoverage struct {
	File    string  `json:"file"`
	Percent float64 `json:"percent"`
	// Missed are the lines without coverage, as ranges such as "12" and "14-17".
	Missed []string `json:"missed"`
}

// Test runs the Rego tests and the scenarios of all paths: directories, modules and
// scenario files. Scenarios use the built-in policies and those of the directories. It
// returns an error if tests cannot run or do not exist.
func Test(ctx context.Context, paths []string, o TestOptions) (*TestResult, error) {
	filter, err := regexp.Compile(o.Filter)
	if err != nil {
		return nil, fmt.Errorf("invalid pattern of tests: %w", err)
	}
	library, err := policy.Embedded()
	if err != nil {
		return nil, err
	}
	sources, files, err := testFiles(paths, library)
	if err != nil {
		return nil, err
	}
	out := &TestResult{}
	for _, source := range sources {
		if err := out.rego(ctx, source, o); err != nil {
			return nil, err
		}
		if !hasPolicies(source) {
			continue
		}
		own, err := add(library, source)
		if err != nil {
			return nil, err
		}
		library = own.Library
	}
	scenarios, err := loadScenarios(files)
	if err != nil {
		return nil, err
	}
	for _, s := range scenarios {
		if !filter.MatchString(s.Metadata.Name) {
			continue
		}
		if o.Live && s.OfflineOnly != "" {
			out.Scenarios = append(out.Scenarios, ScenarioResult{Result: s.NewResult(), Skipped: s.OfflineOnly})
			continue
		}
		start := time.Now()
		result, err := o.Run(ctx, s, library)
		if err != nil {
			result = s.NewResult()
		}
		out.Scenarios = append(out.Scenarios, ScenarioResult{Result: result, Err: err, Duration: time.Since(start)})
	}
	switch {
	case len(out.Rego)+len(out.Scenarios) > 0:
		return out, nil
	case o.Filter != "":
		return nil, fmt.Errorf("%s: no test or scenario matches %q", strings.Join(paths, ", "), o.Filter)
	default:
		return nil, fmt.Errorf("%s: no tests or scenarios", strings.Join(paths, ", "))
	}
}

// hasPolicies reports whether a source has modules besides tests.
func hasPolicies(s policy.Source) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(s.Modules)), func(file string) bool { return !strings.HasSuffix(file, "_test.rego") })
}

func loadScenarios(files []string) ([]*scenario.Scenario, error) {
	if len(files) == 0 {
		return nil, nil
	}
	return scenario.Load(files)
}

// rego runs the Rego tests of a source, and failed tests again with traces.
func (t *TestResult) rego(ctx context.Context, source policy.Source, o TestOptions) error {
	options := policy.TestOptions{Limit: testLimit, Filter: o.Filter}
	if o.Coverage {
		options.Coverage = cover.New()
	}
	results, err := source.Test(ctx, options)
	if err != nil {
		return err
	}
	var failed []string
	for _, r := range results {
		if r.Fail {
			failed = append(failed, regexp.QuoteMeta(r.Package+"."+r.Name))
		}
	}
	if len(failed) > 0 {
		traced, err := source.Test(ctx, policy.TestOptions{Limit: testLimit, Filter: "^(" + strings.Join(failed, "|") + ")$", Trace: true})
		if err != nil {
			return err
		}
		results = slices.DeleteFunc(results, func(r *tester.Result) bool { return r.Fail })
		results = append(results, traced...)
	}
	slices.SortFunc(results, func(a, b *tester.Result) int {
		return strings.Compare(fmt.Sprintf("%s:%09d", a.Location.File, a.Location.Row), fmt.Sprintf("%s:%09d", b.Location.File, b.Location.Row))
	})
	t.Rego = append(t.Rego, results...)
	if options.Coverage == nil {
		return nil
	}
	modules, err := parse(source.Modules)
	if err != nil {
		return err
	}
	report := options.Coverage.Report(modules)
	for _, file := range slices.Sorted(maps.Keys(report.Files)) {
		if strings.HasSuffix(file, "_test.rego") {
			continue
		}
		f := report.Files[file]
		if len(f.Covered) == 0 && isCopy(source.Modules[file]) { // The tests of the built-in library cover it.
			continue
		}
		t.Coverage = append(t.Coverage, FileCoverage{File: file, Percent: math.Round(f.Coverage*10) / 10, Missed: ranges(f.NotCovered)})
	}
	return nil
}

// isCopy reports whether a module is a copy of a built-in helper, as New makes it.
func isCopy(text string) bool {
	found := false
	err := fs.WalkDir(policies.FS, "lib", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		own, err := policies.FS.ReadFile(file)
		found = found || string(own) == text
		return err
	})
	return err == nil && found
}

// ranges formats line ranges, which are in order and may overlap.
func ranges(list []cover.Range) []string {
	out := []string{}
	for i := 0; i < len(list); {
		first, last := list[i].Start.Row, list[i].End.Row
		for i++; i < len(list) && list[i].Start.Row <= last+1; i++ {
			last = max(last, list[i].End.Row)
		}
		if first == last {
			out = append(out, strconv.Itoa(first))
			continue
		}
		out = append(out, fmt.Sprintf("%d-%d", first, last))
	}
	return out
}

// Failed returns the number of Rego tests and scenarios that failed.
func (t *TestResult) Failed() int {
	n := 0
	for _, r := range t.Rego {
		if r.Fail || r.Error != nil {
			n++
		}
	}
	for _, r := range t.Scenarios {
		if !r.passed() {
			n++
		}
	}
	return n
}

func (r *ScenarioResult) passed() bool { return r.Err == nil && r.Passed() }

// testFiles divides paths into Rego sources and scenario files.
func testFiles(paths []string, library *policy.Library) ([]policy.Source, []string, error) {
	var sources []policy.Source
	var scenarios []string
	modules := policy.Source{Name: "the modules", Modules: map[string]string{}}
	var errs []error
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			err = pathError(path, err)
			if errors.Is(err, fs.ErrNotExist) && library.Definition(path) != nil {
				err = fmt.Errorf("%w: it is a built-in policy, whose tests are part of bgpguard; name a directory or a file with tests", err)
			}
			errs = append(errs, err)
		case info.IsDir():
			source, files, err := testsIn(path)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if len(source.Modules) > 0 {
				sources = append(sources, source)
			}
			scenarios = append(scenarios, files...)
		case filepath.Ext(path) == ".rego":
			text, err := os.ReadFile(path)
			errs = append(errs, err)
			modules.Modules[path] = string(text)
		default:
			scenarios = append(scenarios, path)
		}
	}
	if len(modules.Modules) > 0 {
		sources = append(sources, modules)
	}
	return sources, scenarios, errors.Join(errs...)
}

// isScenario matches the kind of a scenario in YAML and JSON.
var isScenario = regexp.MustCompile(`(?m)^\s*"?kind"?:\s*["']?` + scenario.Kind + `\b`)

// testsIn returns the modules and the scenario files below a directory.
func testsIn(dir string) (policy.Source, []string, error) {
	rego := false
	var scenarios []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(path) {
		case ".rego":
			rego = true
		case ".yaml", ".yml", ".json":
			text, err := os.ReadFile(path) //nolint:gosec // Links are followed: they are the user's own.
			if err != nil {
				return err
			}
			if isScenario.Match(text) {
				scenarios = append(scenarios, path)
			}
		}
		return nil
	})
	if err != nil || !rego {
		return policy.Source{}, scenarios, err
	}
	source, err := policy.SourceFromPath(dir)
	return source, scenarios, err
}

// pathError puts the path before the error, as other messages do.
func pathError(path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
