package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Result is the result of a scenario.
type Result struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Steps are the steps that were run.
	Steps []StepResult `json:"steps"`
}

// StepResult is the result of a step.
type StepResult struct {
	Name string `json:"name"`
	Line int    `json:"line"`
	Outcome
	// Failures lists the expectations that were not met; empty if the step passed.
	Failures []string `json:"failures"`
}

// Outcome is the answer to a change.
type Outcome struct {
	Allowed bool `json:"allowed"`
	// Policies are the names of the policies that deny the change.
	Policies []string `json:"policies"`
	Message  string   `json:"message"`
	Warnings []string `json:"warnings"`
}

// Passed reports whether all steps passed.
func (r *Result) Passed() bool {
	return !slices.ContainsFunc(r.Steps, func(s StepResult) bool { return len(s.Failures) > 0 })
}

// Run runs a scenario with the policies of a library. It returns an error if the scenario
// cannot run.
func Run(ctx context.Context, s *Scenario, library *policy.Library) (*Result, error) {
	documents := s.documents
	if len(s.Policies) == 0 {
		for _, d := range library.Definitions() {
			documents = append(documents, policy.Default(d))
		}
	}
	set, err := library.Compile(documents)
	if err != nil {
		return nil, s.source.At("policies", err)
	}
	engine := validate.NewEngine(set)
	engine.SetClock(s.now)
	snapshot := state.New(s.objects...)
	result := s.NewResult()
	for i := range s.Steps {
		change, err := s.Change(i, snapshot)
		if err != nil {
			return nil, err
		}
		d := engine.Decide(ctx, snapshot, validate.Request{Change: change, User: s.Steps[i].User, Groups: s.Groups(i)})
		o := Outcome{Allowed: d.Allowed, Message: d.Message(), Warnings: d.Warnings()}
		for v := range d.Worse() {
			if name := v.Violation.Policy; v.Applied() == violation.Deny && !slices.Contains(o.Policies, name) {
				o.Policies = append(o.Policies, name)
			}
		}
		result.Steps = append(result.Steps, s.Judge(i, o))
		if d.Allowed {
			snapshot = snapshot.Apply(change)
		}
	}
	return result, nil
}

// NewResult returns a result without steps.
func (s *Scenario) NewResult() *Result {
	return &Result{Name: s.Metadata.Name, File: s.source.File, Line: s.source.Line}
}

// Documents returns the BGPPolicies of the scenario, none if it uses the library's
// defaults.
func (s *Scenario) Documents() []policy.Document { return s.documents }

// Kinds returns the kind of each object that the scenario names, with duplicates.
func (s *Scenario) Kinds() []string {
	var out []string
	for _, o := range s.objects {
		out = append(out, string(o.ID().Kind))
	}
	for i := range s.Steps {
		switch step := &s.Steps[i]; {
		case step.Patch != nil:
			out = append(out, step.Patch.Kind)
		case step.Delete != nil:
			out = append(out, step.Delete.Kind)
		default:
			kind, _ := step.Apply["kind"].(string)
			out = append(out, kind)
		}
	}
	return out
}

// Objects returns the objects of the state before the first step.
func (s *Scenario) Objects() []calico.Object { return s.objects }

// Groups returns the groups of the user of step i, including those that the API server adds.
func (s *Scenario) Groups(i int) []string {
	return validate.ImpersonatedGroups(s.Steps[i].User, s.Steps[i].Groups)
}

// Change returns the change of step i to a snapshot.
func (s *Scenario) Change(i int, snapshot *state.Snapshot) (state.Change, error) {
	step, at := &s.Steps[i], fmt.Sprintf("steps[%d]", i)
	var target Target
	switch {
	case step.Apply != nil:
		after, err := calico.Decode(step.Apply)
		if err != nil {
			return state.Change{}, s.decodeError(at+".apply", err)
		}
		return state.Change{Before: snapshot.Get(after.ID()), After: after}, nil
	case step.Patch != nil:
		at, target = at+".patch", step.Patch.Target
	default:
		at, target = at+".delete", *step.Delete
	}
	before := snapshot.Get(calico.ID{Kind: calico.Kind(target.Kind), Name: target.Name})
	if before == nil {
		return state.Change{}, s.fail(at, "the state has no %s %s", target.Kind, target.Name)
	}
	if step.Delete != nil {
		return state.Change{Before: before}, nil
	}
	after, err := patched(before, step.Patch.Merge)
	if err != nil {
		return state.Change{}, s.decodeError(at+".merge", err)
	}
	if after.ID() != before.ID() {
		return state.Change{}, s.fail(at+".merge", "must not change the kind or the name, gives %s", after.ID())
	}
	return state.Change{Before: before, After: after}, nil
}

// patched applies a JSON merge patch (RFC 7386) to an object.
func patched(o calico.Object, patch map[string]any) (calico.Object, error) {
	before, err := json.Marshal(calico.Manifest(o))
	if err != nil {
		return nil, err
	}
	changes, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	after, err := jsonpatch.MergePatch(before, changes)
	if err != nil {
		return nil, err
	}
	return calico.DecodeJSON(after)
}

// Judge compares the outcome of step i with the expected outcome.
func (s *Scenario) Judge(i int, o Outcome) StepResult {
	step := &s.Steps[i]
	r := StepResult{Name: step.Name, Outcome: o, Failures: []string{}}
	if e, ok := errors.AsType[*manifest.Error](s.source.At(fmt.Sprintf("steps[%d].name", i), errors.New(""))); ok {
		r.Line = e.Line
	}
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	words := map[bool]string{true: "allowed", false: "denied"}
	if want := *step.Expect.Allowed; o.Allowed != want {
		fail("the change is %s, want %s", words[o.Allowed], words[want])
	}
	if want := step.Expect.Policies; len(want) > 0 {
		got := slices.Sorted(slices.Values(o.Policies))
		if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
			fail("the change is denied by %s, want %s", orNone(got), orNone(want))
		}
	}
	for _, want := range step.Expect.Message {
		if !strings.Contains(o.Message, want) {
			fail("the message does not contain %q", want)
		}
	}
	for _, want := range step.Expect.Warnings {
		if !slices.ContainsFunc(o.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
			fail("no warning contains %q", want)
		}
	}
	if step.Expect.NoWarnings && len(o.Warnings) > 0 {
		fail("got %s, want none", text.Count(len(o.Warnings), "warning"))
	}
	return r
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "no policy"
	}
	return strings.Join(names, ", ")
}
