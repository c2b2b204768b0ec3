package author

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

const (
	// checkTrial is the check that evaluates policies on sample states.
	checkTrial = "trial"
	// checkFields is the check of METADATA custom.fields.
	checkFields = "fields"
)

// trialLimit bounds one evaluation in a trial run.
const trialLimit = 5 * time.Second

// trialTime is the time of a trial run: a Wednesday.
var trialTime = time.Date(2025, time.January, 15, 12, 0, 0, 0, time.UTC)

// misprinted matches what sprintf writes for an argument that does not fit its verb.
var misprinted = regexp.MustCompile(`%!(\w?\(|\(EXTRA |\(BADINDEX\)|\(NOVERB\))`)

// trial evaluates policies on the samples, with their defaults, with the parameters of their
// examples, and with the lowest and the highest numbers that their schemas accept. It returns at
// most one finding per policy and check.
func trial(ctx context.Context, own *Loaded, place func(*policy.Definition) *ast.Location) ([]Finding, error) {
	list, err := samples()
	if err != nil {
		return nil, err
	}
	var out []Finding
	add := func(d *policy.Definition, check string, at *ast.Location, format string, args ...any) {
		if at == nil || at.File == "" {
			at = place(d)
		}
		f := Finding{Severity: Error, Check: check, Policy: d.Name, File: at.File, Line: at.Row, Column: at.Col, Message: fmt.Sprintf(format, args...)}
		if !slices.ContainsFunc(out, func(other Finding) bool { return other.Policy == f.Policy && other.Check == check }) {
			out = append(out, f)
		}
	}
	sets := trialSets(own)
	var all []*policy.Policy
	for _, set := range sets {
		all = append(all, set.Policies()...)
	}
	// One engine makes the input for all parameters. It reads of them only transitPeers.
	engine := validate.NewEngine(policy.NewSet(all))
	engine.SetClock(func() time.Time { return trialTime })
	for _, s := range list {
		input, data, err := engine.Input(ctx, s.snapshot, validate.Request{Change: s.change, User: "alice", Groups: []string{"system:authenticated"}})
		if err != nil {
			return nil, err
		}
		for _, set := range sets {
			changes := s.change.Before != nil || s.change.After != nil
			for _, p := range set.Policies() {
				d := p.Definition
				if d.Judges == policy.JudgesChange && !changes {
					continue
				}
				found, err := evaluate(ctx, p, input, data)
				if err != nil && ctx.Err() != nil {
					return nil, ctx.Err()
				}
				add := func(check string, at *ast.Location, format string, args ...any) {
					add(d, check, at, format, args...)
				}
				report(add, s, p, found, err)
			}
		}
	}
	return out, nil
}

// report adds the findings about what a policy found on a sample.
func report(add func(check string, at *ast.Location, format string, args ...any), s sample, p *policy.Policy, found []violation.Violation, err error) {
	if err != nil {
		var at *ast.Location
		if e, ok := errors.AsType[*topdown.Error](err); ok {
			at = e.Location
			err = errors.New(e.Message)
		}
		add(checkTrial, at, "the trial run on %s failed: %v%s", s.name, err, parametersText(p, p.Definition))
	}
	if of := string(s.kind()); len(found) > 0 && p.Ignores(of, s.change.Differs) {
		add(checkFields, nil, "it finds violation %q on %s, which changes no field of %s in METADATA custom.fields", found[0].ID, s.name, of)
	}
	for _, v := range found {
		if misprinted.MatchString(v.Message) {
			add(checkSprintf, nil, "an argument of sprintf does not fit its verb, in the message of violation %q on %s: %s", v.ID, s.name, v.Message)
		}
	}
}

func evaluate(ctx context.Context, p *policy.Policy, input ast.Object, data ast.Value) ([]violation.Violation, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, trialLimit, fmt.Errorf("it takes longer than %s on a cluster with a few nodes", trialLimit))
	defer cancel()
	return p.Evaluate(ctx, input, func() ast.Value { return data })
}

// parametersText names the parameters of a policy that are not its defaults.
func parametersText(p *policy.Policy, d *policy.Definition) string {
	other := map[string]any{}
	defaults := d.Defaults()
	for name, value := range p.Parameters() {
		if fmt.Sprint(value) != fmt.Sprint(defaults[name]) {
			other[name] = value
		}
	}
	if len(other) == 0 {
		return ""
	}
	text, err := json.Marshal(other)
	if err != nil {
		return ""
	}
	return " (with parameters " + string(text) + ")"
}

// trialSets returns the policies with several parameters. Parameters that a policy does not accept
// are left out.
func trialSets(own *Loaded) []*policy.Set {
	variants := [][]policy.Document{nil, nil, nil}
	for _, d := range own.Definitions {
		variants[0] = append(variants[0], policy.Default(d))
		for i, bound := range []string{"minimum", "maximum"} {
			if doc, ok := extreme(d, bound); ok {
				variants[i+1] = append(variants[i+1], doc)
			}
		}
		if docs, err := policy.Load([]string{filepath.Join(filepath.Dir(d.File), exampleFile)}); err == nil {
			variants = append(variants, slices.DeleteFunc(docs, func(doc policy.Document) bool { return doc.Spec.Policy != d.Name }))
		}
	}
	var out []*policy.Set
	for _, docs := range variants {
		var policies []*policy.Policy
		for _, doc := range docs {
			if p, err := own.Library.Prepare(&doc); err == nil {
				policies = append(policies, p)
			}
		}
		if len(policies) > 0 {
			out = append(out, policy.NewSet(policies))
		}
	}
	return out
}

// extreme returns a document in which each number has a bound of its schema, or one that no sample
// reaches. It returns false if the policy has no number.
func extreme(d *policy.Definition, bound string) (policy.Document, bool) {
	const none, many = 0, 1_000_000
	schema, _ := d.Parameters().(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	parameters := map[string]any{}
	for name, property := range properties {
		p, _ := property.(map[string]any)
		if p["type"] != "integer" && p["type"] != "number" {
			continue
		}
		switch {
		case p[bound] != nil:
			parameters[name] = p[bound]
		case bound == "minimum":
			parameters[name] = none
		default:
			parameters[name] = many
		}
	}
	doc := policy.Default(d)
	raw, err := json.Marshal(parameters)
	if err != nil || len(parameters) == 0 {
		return doc, false
	}
	doc.Spec.Parameters = &apiextensionsv1.JSON{Raw: raw}
	return doc, true
}

// violationPlace returns the first rule of a policy that finds violations.
func violationPlace(d *policy.Definition, modules map[string]*ast.Module) *ast.Location {
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		if policyOf(modules[file]) != d.Name {
			continue
		}
		for _, r := range modules[file].Rules {
			if r.Head.Name == violationRule {
				return r.Location
			}
		}
	}
	return &ast.Location{File: d.File}
}
