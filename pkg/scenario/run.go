package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	snapshot, present := state.New(s.objects...), s.present()
	result := s.NewResult()
	for i := range s.Steps {
		all := Outcome{Allowed: true}
		for j := range max(1, len(s.Steps[i].documents)) {
			change, err := s.change(i, j, present)
			if err != nil {
				return nil, err
			}
			if s.Steps[i].Expect != nil {
				d := engine.Decide(ctx, snapshot, validate.Request{Change: change, User: s.Steps[i].User, Groups: s.Groups(i)})
				all.Add(outcome(d))
				if !d.Allowed {
					continue
				}
			} else if reviewed(change) {
				return nil, s.fail(fmt.Sprintf("steps[%d].expect", i), "is missing, and admission reviews the change of %s", change.ID())
			}
			if change, err = s.stored(i, change); err != nil {
				return nil, err
			}
			snapshot = snapshot.Apply(change.Informed())
			present.apply(change)
		}
		result.Steps = append(result.Steps, s.Judge(i, all))
	}
	return result, nil
}

// present returns the objects of the state before the first step.
func (s *Scenario) present() objects {
	out := make(objects, len(s.objects))
	for _, o := range s.objects {
		out[o.ID()] = o
	}
	return out
}

// outcome returns the answer that a decision gives.
func outcome(d *validate.Decision) Outcome {
	o := Outcome{Allowed: d.Allowed, Warnings: d.Warnings()}
	if d.Allowed {
		return o
	}
	o.Message = d.Message()
	for v := range d.Worse() {
		if name := v.Violation.Policy; v.Applied() == violation.Deny && !slices.Contains(o.Policies, name) {
			o.Policies = append(o.Policies, name)
		}
	}
	return o
}

// Add adds the answer to a further change of the same step. The step is allowed if all its
// changes are. The message is that of the first denial.
func (o *Outcome) Add(p Outcome) {
	if o.Allowed {
		o.Allowed, o.Message = p.Allowed, p.Message
	}
	for _, name := range p.Policies {
		if !slices.Contains(o.Policies, name) {
			o.Policies = append(o.Policies, name)
		}
	}
	for _, warning := range p.Warnings {
		if !slices.Contains(o.Warnings, warning) {
			o.Warnings = append(o.Warnings, warning)
		}
	}
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
			for _, document := range step.documents {
				kind, _ := document["kind"].(string)
				out = append(out, kind)
			}
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

// Applied returns the documents of the objects that step i applies, in order; none if the step
// does not apply objects.
func (s *Scenario) Applied(i int) []map[string]any { return s.Steps[i].documents }

// Judge compares the outcome of step i with the expected outcome.
func (s *Scenario) Judge(i int, o Outcome) StepResult {
	step := &s.Steps[i]
	r := StepResult{Name: step.Name, Outcome: o, Failures: []string{}}
	if e, ok := errors.AsType[*manifest.Error](s.source.At(fmt.Sprintf("steps[%d].name", i), errors.New(""))); ok {
		r.Line = e.Line
	}
	fail := func(format string, args ...any) { r.Failures = append(r.Failures, fmt.Sprintf(format, args...)) }
	if step.Expect == nil {
		return r
	}
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
