package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Result is what became of a scenario.
type Result struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Steps are those that were run: all, up to one that could not be.
	Steps []StepResult `json:"steps"`
}

// StepResult is what became of a step.
type StepResult struct {
	Name string `json:"name"`
	Line int    `json:"line"`
	Outcome
	// Failures say what was expected and is not so; none where the step passed.
	Failures []string `json:"failures"`
}

// Outcome is what a change got.
type Outcome struct {
	Allowed bool `json:"allowed"`
	// Policies are those that deny the change.
	Policies []string `json:"policies"`
	Message  string   `json:"message"`
	Warnings []string `json:"warnings"`
}

// Passed reports whether all steps passed.
func (r *Result) Passed() bool {
	return !slices.ContainsFunc(r.Steps, func(s StepResult) bool { return len(s.Failures) > 0 })
}

// Run runs a scenario with the policies of a library. An error says that it could
// not be run.
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
		d := engine.Decide(ctx, snapshot, validate.Request{Change: change, User: s.Steps[i].User, Groups: validate.ImpersonatedGroups(s.Steps[i].User, s.Steps[i].Groups)})
		o := Outcome{Allowed: d.Allowed, Message: d.Message(), Warnings: d.Warnings}
		for _, v := range d.Violations {
			if v.Action == violation.Deny && !slices.Contains(o.Policies, v.Policy) {
				o.Policies = append(o.Policies, v.Policy)
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

// Documents returns the BGPPolicies that the scenario brings along; none where the
// library's defaults hold.
func (s *Scenario) Documents() []policy.Document { return s.documents }

// Kinds returns the kinds of all objects that the scenario names, some twice.
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
		return state.Change{}, s.fail(at, "there is no %s %s in the state", target.Kind, target.Name)
	}
	if step.Delete != nil {
		return state.Change{Before: before}, nil
	}
	patched, _ := merge(calico.Manifest(before), step.Patch.Merge).(map[string]any)
	after, err := calico.Decode(patched)
	if err != nil {
		return state.Change{}, s.decodeError(at+".merge", err)
	}
	if after.ID() != before.ID() {
		return state.Change{}, s.fail(at+".merge", "makes it %s", after.ID())
	}
	return state.Change{Before: before, After: after}, nil
}

// merge is RFC 7386's MergePatch.
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	old, _ := target.(map[string]any)
	out := maps.Clone(old)
	if out == nil {
		out = map[string]any{}
	}
	for key, v := range changes {
		if v == nil {
			delete(out, key)
			continue
		}
		out[key] = merge(out[key], v)
	}
	return out
}

// Judge compares what step i got with what is expected.
func (s *Scenario) Judge(i int, o Outcome) StepResult {
	step := &s.Steps[i]
	r := StepResult{Name: step.Name, Outcome: o, Failures: []string{}}
	if e, ok := errors.AsType[*manifest.Error](s.source.At(fmt.Sprintf("steps[%d].name", i), errors.New(""))); ok {
		r.Line = e.Line
	}
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	words := map[bool]string{true: "allowed", false: "denied"}
	if want := *step.Expect.Allowed; o.Allowed != want {
		fail("it is %s, expected is %s", words[o.Allowed], words[want])
	}
	if want := step.Expect.Policies; len(want) > 0 {
		got := slices.Sorted(slices.Values(o.Policies))
		if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
			fail("it is denied by %s, expected is %s", orNone(got), orNone(want))
		}
	}
	for _, want := range step.Expect.Message {
		if !strings.Contains(o.Message, want) {
			fail("the message does not hold %q", want)
		}
	}
	for _, want := range step.Expect.Warnings {
		if !slices.ContainsFunc(o.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
			fail("no warning holds %q", want)
		}
	}
	if step.Expect.NoWarnings && len(o.Warnings) > 0 {
		fail("there are warnings, expected are none")
	}
	return r
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "no policy"
	}
	return strings.Join(names, ", ")
}
