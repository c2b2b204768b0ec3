// Package scenario runs scenario tests: a state, changes one after the other,
// and what is expected of each. They are YAML, for people who do not write Rego.
// It is pure: no client, and a clock of the scenario's own.
package scenario

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Kind is the kind of a scenario, in the API version of a BGPPolicy.
const Kind = "Scenario"

// Scenario is one scenario, as it is written.
type Scenario struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	// Title is one line, Description says why the scenario is there.
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// OfflineOnly says why the scenario is not run against an API server; "" where
	// it can be.
	OfflineOnly string `json:"offlineOnly,omitempty"`
	// Policies are those that hold: the library's defaults where there are none.
	Policies []map[string]any `json:"policies,omitempty"`
	// State is the cluster before the first step.
	State []map[string]any `json:"state,omitempty"`
	// Now is what the policies take for the time, in RFC 3339; without it, the time
	// at which the scenario runs.
	Now string `json:"now,omitempty"`
	// Steps are changes, each made to what the allowed ones before it left.
	Steps []Step `json:"steps"`

	source    manifest.Document
	objects   []calico.Object
	documents []policy.Document // nil for the library's defaults
	now       func() time.Time
}

// Metadata names a scenario.
type Metadata struct {
	Name string `json:"name"`
}

// Step is one change and what is expected of it.
type Step struct {
	Name string `json:"name"`
	// Apply creates an object, or replaces the one of its kind and name.
	Apply map[string]any `json:"apply,omitempty"`
	// Patch changes an object of the state.
	Patch *Patch `json:"patch,omitempty"`
	// Delete deletes an object of the state.
	Delete *Target `json:"delete,omitempty"`
	// User makes the change, and is in Groups.
	User   string   `json:"user,omitempty"`
	Groups []string `json:"groups,omitempty"`
	Expect Expect   `json:"expect"`
}

// Target names an object.
type Target struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Patch is a JSON merge patch (RFC 7386) of an object.
type Patch struct {
	Target
	Merge map[string]any `json:"merge"`
}

// Expect is what is expected of a change.
type Expect struct {
	Allowed *bool `json:"allowed"`
	// Policies are those that deny the change, exactly.
	Policies []string `json:"policies,omitempty"`
	// Message are parts of what the user is told of a denial.
	Message []string `json:"message,omitempty"`
	// Warnings are parts of warnings, each of another one or of the same.
	Warnings []string `json:"warnings,omitempty"`
	// NoWarnings says that there are none.
	NoWarnings bool `json:"noWarnings,omitempty"`
}

// Load reads the scenarios of all paths, files or directories; documents of
// another kind are passed over where a directory is read. Errors name file, line
// and field; all that can be found are joined.
func Load(paths []string) ([]*Scenario, error) {
	sources, err := manifest.Read(paths, nil)
	if err != nil {
		return nil, err
	}
	var out []*Scenario
	var errs []error
	for _, source := range sources {
		if source.Object["kind"] != Kind && !slices.Contains(paths, source.File) {
			continue
		}
		s, err := read(source)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, s)
	}
	return out, errors.Join(errs...)
}

func read(source manifest.Document) (*Scenario, error) {
	s := &Scenario{source: source, now: time.Now}
	if kind, version := source.Object["kind"], source.Object["apiVersion"]; kind != Kind || version != v1alpha1.APIVersion {
		return nil, source.At("kind", fmt.Errorf("kind: must be %s of %s, is %v of %v", Kind, v1alpha1.APIVersion, kind, version))
	}
	var errs []error
	for _, e := range manifest.Unmarshal(source.Object, Kind, s) {
		errs = append(errs, s.fail(e.Field, "%s", e.Message))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	errs = append(errs, s.check()...)
	if len(errs) == 0 {
		errs = append(errs, s.readState(), s.readPolicies())
	}
	return s, errors.Join(errs...)
}

// fail returns an error at a field.
func (s *Scenario) fail(field, format string, args ...any) error {
	return s.source.At(field, fmt.Errorf(field+": "+format, args...))
}

func (s *Scenario) check() []error {
	var errs []error
	if s.Metadata.Name == "" {
		errs = append(errs, s.fail("metadata.name", "is missing"))
	}
	if s.Now != "" {
		at, err := time.Parse(time.RFC3339, s.Now)
		if err != nil {
			errs = append(errs, s.fail("now", "must be a time such as 2026-01-31T22:00:00Z, is %q", s.Now))
		}
		s.now = func() time.Time { return at }
	}
	if len(s.Steps) == 0 {
		errs = append(errs, s.fail("steps", "is empty, so nothing would be tested"))
	}
	for i := range s.Steps {
		step, at := &s.Steps[i], fmt.Sprintf("steps[%d]", i)
		changes := 0
		for _, there := range []bool{step.Apply != nil, step.Patch != nil, step.Delete != nil} {
			if there {
				changes++
			}
		}
		if step.Name == "" {
			errs = append(errs, s.fail(at+".name", "is missing"))
		}
		if changes != 1 {
			errs = append(errs, s.fail(at, "must hold exactly one of apply, patch and delete"))
		}
		if step.User == "" && len(step.Groups) > 0 {
			errs = append(errs, s.fail(at+".user", "is missing: who is in the groups"))
		}
		switch e := step.Expect; {
		case e.Allowed == nil:
			errs = append(errs, s.fail(at+".expect.allowed", "is missing: true or false"))
		case *e.Allowed && (len(e.Policies) > 0 || len(e.Message) > 0):
			errs = append(errs, s.fail(at+".expect", "an allowed change has no policies that deny it and no message; what policies only warn of is in warnings"))
		case e.NoWarnings && len(e.Warnings) > 0:
			errs = append(errs, s.fail(at+".expect.noWarnings", "excludes warnings"))
		}
	}
	return errs
}

func has(item map[string]any, key string) bool {
	_, ok := item[key]
	return ok
}

// unmarshal reads a part of the scenario, a kind of thing, that stands at a field.
func (s *Scenario) unmarshal(part any, at, kind string, v any) error {
	var errs []error
	for _, e := range manifest.Unmarshal(part, kind, v) {
		errs = append(errs, s.fail(strings.TrimSuffix(at+"."+e.Field, "."), "%s", e.Message))
	}
	return errors.Join(errs...)
}

// file returns the path that an item {file: PATH} names; it is relative to the
// scenario's own.
func (s *Scenario) file(item map[string]any, at string) (string, error) {
	var named struct {
		File string `json:"file"`
	}
	if err := s.unmarshal(item, at, "reference to a file", &named); err != nil {
		return "", err
	}
	if named.File == "" {
		return "", s.fail(at+".file", "must be a path")
	}
	if filepath.IsAbs(named.File) {
		return named.File, nil
	}
	return filepath.Join(filepath.Dir(s.source.File), named.File), nil
}

// within adds to an error where the scenario names what it is about, unless it
// tells of a place in the scenario itself.
func (s *Scenario) within(at string, err error) error {
	if e, ok := errors.AsType[*manifest.Error](err); err == nil || ok && e.File == s.source.File {
		return err
	}
	return s.source.At(at, err)
}

// inside gives the errors of a document that is a part of the scenario the place
// of their field.
func (s *Scenario) inside(at string, err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, s.inside(at, e))
		}
		return errors.Join(errs...)
	}
	if err == nil {
		return nil
	}
	field := at
	if e, ok := errors.AsType[*policy.FieldError](err); ok {
		field += "." + e.Field
	}
	return s.source.At(field, fmt.Errorf("%s: %w", at, err))
}

func (s *Scenario) readState() error {
	var errs []error
	for i, item := range s.State {
		at := fmt.Sprintf("state[%d]", i)
		switch {
		case has(item, "file"):
			path, err := s.file(item, at)
			if err == nil {
				var read []state.Read
				read, err = state.ReadFiles([]string{path}, nil)
				s.objects = append(s.objects, state.Objects(read)...)
			}
			errs = append(errs, s.within(at+".file", err))
		case has(item, "nodes"):
			var group struct {
				Nodes Nodes `json:"nodes"`
			}
			if err := s.unmarshal(item, at, "group of nodes", &group); err != nil {
				errs = append(errs, err)
				continue
			}
			nodes, err := group.Nodes.objects()
			if err != nil {
				errs = append(errs, s.fail(at+".nodes", "%w", err))
			}
			s.objects = append(s.objects, nodes...)
		default:
			o, err := calico.Decode(item)
			if err != nil {
				errs = append(errs, s.decodeError(at, err))
				continue
			}
			s.objects = append(s.objects, o)
		}
	}
	for i := range s.Steps {
		if o := s.Steps[i].Apply; o != nil {
			if _, err := calico.Decode(o); err != nil {
				errs = append(errs, s.decodeError(fmt.Sprintf("steps[%d].apply", i), err))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *Scenario) decodeError(at string, err error) error {
	if e, ok := errors.AsType[*calico.FieldError](err); ok {
		return s.source.At(at+"."+e.Field, fmt.Errorf("%s.%w", at, err))
	}
	return s.fail(at, "%w", err)
}

func (s *Scenario) readPolicies() error {
	var errs []error
	for i, item := range s.Policies {
		at := fmt.Sprintf("policies[%d]", i)
		switch {
		case has(item, "file"):
			path, err := s.file(item, at)
			if err == nil {
				var docs []policy.Document
				docs, err = policy.Load([]string{path})
				s.documents = append(s.documents, docs...)
			}
			errs = append(errs, s.within(at+".file", err))
		case has(item, "library"):
			docs, err := policy.Defaults()
			if err != nil || item["library"] != true || len(item) > 1 {
				errs = append(errs, s.fail(at+".library", "must be true, and stand alone"))
			}
			s.documents = append(s.documents, docs...)
		default:
			doc, err := policy.Decode(item)
			if item["kind"] != v1alpha1.KindBGPPolicy {
				err = errors.New("must be {file: PATH}, {library: true} or a " + v1alpha1.KindBGPPolicy + " of " + v1alpha1.APIVersion)
			}
			errs = append(errs, s.inside(at, err))
			s.documents = append(s.documents, doc)
		}
	}
	return errors.Join(errs...)
}
