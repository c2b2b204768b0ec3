// Package scenario runs scenario tests: a state, a sequence of changes, and the expected
// answer to each. Scenarios are YAML, for people who do not write Rego. The package is
// pure: it has no client, and a scenario has its own clock.
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

// Kind is the kind of a scenario. Its API version is that of a BGPPolicy.
const Kind = "Scenario"

// Scenario is one scenario document.
type Scenario struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   Metadata `json:"metadata"`
	// Title is one line. Description is the purpose of the scenario.
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// OfflineOnly is the reason why the scenario cannot be run against an API server, ""
	// if it can.
	OfflineOnly string `json:"offlineOnly,omitempty"`
	// Policies are the BGPPolicies to enforce. If it is empty, the library's defaults apply.
	Policies []map[string]any `json:"policies,omitempty"`
	// State is the cluster before the first step.
	State []map[string]any `json:"state,omitempty"`
	// Now is the time that policies see, in RFC 3339; "" for the actual time.
	Now string `json:"now,omitempty"`
	// Steps are the changes. Each one is made to the state after the allowed changes
	// before it.
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

// Step is one change and the expected answer.
type Step struct {
	Name string `json:"name"`
	// Apply creates an object, or merges it with the one of its kind and name as "kubectl
	// apply" does: it need not be whole. It has the forms of an item of State: with a file or a
	// group of Nodes, the step applies several objects, one after the other.
	Apply map[string]any `json:"apply,omitempty"`
	// Patch changes an object of the state.
	Patch *Patch `json:"patch,omitempty"`
	// Delete deletes an object of the state.
	Delete *Deletion `json:"delete,omitempty"`
	// User makes the change. Groups are the user's groups, without those that the API
	// server adds.
	User   string   `json:"user,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Expect is the expected answer. It is nil if admission does not review the change, for
	// example of a Node that becomes not ready.
	Expect *Expect `json:"expect,omitempty"`

	// documents are the objects that Apply applies.
	documents []map[string]any
}

// Target names an object.
type Target struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Deletion is the deletion of an object. As with an API server, an object that has finalizers
// is terminating until a step removes them.
type Deletion struct {
	Target
	// Cascade is CascadeForeground or "". As with "kubectl delete --cascade=foreground", the
	// object then gets the finalizer foregroundDeletion.
	Cascade string `json:"cascade,omitempty"`
}

// CascadeForeground is a value of Deletion.Cascade.
const CascadeForeground = "foreground"

// Patch is a JSON merge patch (RFC 7386) of an object.
type Patch struct {
	Target
	Merge map[string]any `json:"merge"`
}

// Expect is the expected answer to a change.
type Expect struct {
	Allowed *bool `json:"allowed"`
	// Policies are the names of all policies that deny the change.
	Policies []string `json:"policies,omitempty"`
	// Message lists texts that the denial contains.
	Message []string `json:"message,omitempty"`
	// Warnings lists texts. At least one warning contains each text.
	Warnings []string `json:"warnings,omitempty"`
	// NoWarnings means that there is no warning.
	NoWarnings bool `json:"noWarnings,omitempty"`
}

// Load reads the scenarios of all paths, files or directories. It skips documents of other
// kinds in directories. Errors name file, line and field, and are joined.
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
		errs = append(errs, s.fail("steps", "is empty, so the scenario tests nothing"))
	}
	for i := range s.Steps {
		errs = append(errs, s.checkStep(&s.Steps[i], fmt.Sprintf("steps[%d]", i))...)
	}
	return errs
}

func (s *Scenario) checkStep(step *Step, at string) []error {
	var errs []error
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
		errs = append(errs, s.fail(at, "must have exactly one of apply, patch and delete"))
	}
	if step.User == "" && len(step.Groups) > 0 {
		errs = append(errs, s.fail(at+".user", "is missing: groups need a user"))
	}
	if d := step.Delete; d != nil && d.Cascade != "" && d.Cascade != CascadeForeground {
		errs = append(errs, s.fail(at+".delete.cascade", "must be %s, is %q", CascadeForeground, d.Cascade))
	}
	switch e := step.Expect; {
	case e == nil:
	case e.Allowed == nil:
		errs = append(errs, s.fail(at+".expect.allowed", "is missing: true or false"))
	case *e.Allowed && (len(e.Policies) > 0 || len(e.Message) > 0):
		errs = append(errs, s.fail(at+".expect", "must not have policies or message if allowed is true; expect warnings instead"))
	case e.NoWarnings && len(e.Warnings) > 0:
		errs = append(errs, s.fail(at+".expect.noWarnings", "must not be true if there are warnings"))
	}
	return errs
}

func has(item map[string]any, key string) bool {
	_, ok := item[key]
	return ok
}

// unmarshal decodes the part of the scenario at a field; kind describes it in errors.
func (s *Scenario) unmarshal(part any, at, kind string, v any) error {
	var errs []error
	for _, e := range manifest.Unmarshal(part, kind, v) {
		errs = append(errs, s.fail(strings.TrimSuffix(at+"."+e.Field, "."), "%s", e.Message))
	}
	return errors.Join(errs...)
}

// file returns the path of an item {file: PATH}, which is relative to the directory of the
// scenario.
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

// within adds the place of a field in the scenario to an error of a file that the field
// names. It returns errors that already have a place in the scenario as they are.
func (s *Scenario) within(at string, err error) error {
	if e, ok := errors.AsType[*manifest.Error](err); err == nil || ok && e.File == s.source.File {
		return err
	}
	return s.source.At(at, err)
}

// inside adds the place in the scenario to the errors of a document that is part of it.
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

// item is an object of the state or of a step, with the document that it was read from.
type item struct {
	calico.Object

	document map[string]any
}

func (s *Scenario) readState() error {
	var errs []error
	for i, v := range s.State {
		items, err := s.readItem(v, fmt.Sprintf("state[%d]", i))
		errs = append(errs, err)
		for _, o := range items {
			if metadata(o.Object)["generation"] == nil {
				o.Object, err = first(o.Object)
				errs = append(errs, err)
			}
			s.objects = append(s.objects, o.Object)
			if meta := metadata(o.Object); meta["deletionTimestamp"] != nil && len(finalizers(meta)) == 0 {
				errs = append(errs, s.fail(fmt.Sprintf("state[%d]", i), "%s has a deletionTimestamp and no finalizers: an API server does not keep such an object", o.ID()))
			}
		}
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		if step.Apply == nil {
			continue
		}
		items, err := s.readItem(step.Apply, fmt.Sprintf("steps[%d].apply", i))
		errs = append(errs, err)
		for _, o := range items {
			step.documents = append(step.documents, o.document)
		}
	}
	return errors.Join(errs...)
}

// readItem reads the objects of an item: the objects in a file, a group of Nodes, or a single
// object.
func (s *Scenario) readItem(v map[string]any, at string) ([]item, error) {
	var out []item
	switch {
	case has(v, "file"):
		path, err := s.file(v, at)
		if err != nil {
			return nil, s.within(at+".file", err)
		}
		read, err := state.ReadFiles([]string{path}, nil)
		for _, r := range read {
			out = append(out, item{r.Object, r.Document.Object})
		}
		return out, s.within(at+".file", err)
	case has(v, "nodes"):
		var group struct {
			Nodes Nodes `json:"nodes"`
		}
		if err := s.unmarshal(v, at, "group of nodes", &group); err != nil {
			return nil, err
		}
		nodes, err := group.Nodes.objects()
		if err != nil {
			return nil, s.fail(at+".nodes", "%w", err)
		}
		for _, o := range nodes {
			out = append(out, item{o, calico.Manifest(o)})
		}
		return out, nil
	default:
		o, err := calico.Decode(v)
		if err != nil {
			return nil, s.decodeError(at, err)
		}
		return []item{{o, v}}, nil
	}
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
				errs = append(errs, s.fail(at+".library", "must be true and the only field"))
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
