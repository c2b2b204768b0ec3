// Package policy compiles and evaluates policies written in Rego. It knows
// neither Kubernetes clients nor Calico.
package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Document is a BGPPolicy and where it was read.
type Document struct {
	v1alpha1.BGPPolicy
	source *manifest.Document
}

// Load reads the BGPPolicy documents of all paths, files or directories.
// Errors name file, line and field; all that can be found are joined.
func Load(paths []string) ([]Document, error) {
	sources, err := manifest.Read(paths, nil)
	if err != nil {
		return nil, err
	}
	var docs []Document
	var errs []error
	for _, source := range sources {
		d := Document{source: &source}
		if err := d.decode(); err != nil {
			errs = append(errs, err)
			continue
		}
		docs = append(docs, d)
	}
	if len(sources) == 0 {
		errs = append(errs, fmt.Errorf("%s: no BGPPolicy document, so nothing would be enforced", strings.Join(paths, ", ")))
	}
	return docs, errors.Join(errs...)
}

func (d *Document) decode() error {
	o := d.source.Object
	if o["apiVersion"] != v1alpha1.GroupVersion || o["kind"] != v1alpha1.KindBGPPolicy {
		return d.errorf("kind", "must be %s of %s, is %v of %v", v1alpha1.KindBGPPolicy, v1alpha1.GroupVersion, o["kind"], o["apiVersion"])
	}
	text, err := json.Marshal(o)
	if err != nil {
		return d.errorf("", "%v", err)
	}
	spec, _ := o["spec"].(map[string]any)
	for field := range spec {
		if !slices.Contains([]string{"policy", "parameters", "validationActions"}, field) {
			return d.errorf("spec."+field, "is not a field of a BGPPolicy")
		}
	}
	if err := json.Unmarshal(text, &d.BGPPolicy); err != nil {
		field := ""
		if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			field = e.Field
			err = fmt.Errorf("must be %s, is a %s", jsonType(e.Type.Kind()), e.Value)
		}
		return d.errorf(field, "%v", err)
	}
	if d.Name == "" {
		return d.errorf("metadata.name", "is missing")
	}
	return d.checkActions()
}

// jsonType names what a Go value of a kind is in JSON.
func jsonType(k reflect.Kind) string {
	switch k {
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	default: // A BGPPolicy has no numbers and no flags.
		return "a string"
	}
}

func (d *Document) checkActions() error {
	actions := d.Spec.ValidationActions
	const field = "spec.validationActions"
	if len(actions) == 0 {
		return d.errorf(field, "must name at least one of Deny, Warn, Audit")
	}
	for i, a := range actions {
		at := fmt.Sprintf("%s[%d]", field, i)
		if !slices.Contains(violation.Actions, a) {
			return d.errorf(at, "must be Deny, Warn or Audit, is %q", a)
		}
		if slices.Contains(actions[:i], a) {
			return d.errorf(at, "names %s twice", a)
		}
	}
	if slices.Contains(actions, violation.Deny) && slices.Contains(actions, violation.Warn) {
		return d.errorf(field, "must not name both Deny and Warn: a denial already tells the user")
	}
	return nil
}

// errorf returns an error at a field; with file and line where the document
// was read from a file.
func (d *Document) errorf(field, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if field != "" {
		err = fmt.Errorf("%s: %w", field, err)
	}
	if d.Name != "" {
		err = fmt.Errorf("%s %s: %w", v1alpha1.KindBGPPolicy, d.Name, err)
	}
	if d.source == nil {
		return err
	}
	return d.source.At(field, err)
}

// strongest returns the strongest of the document's actions.
func (d *Document) strongest() violation.Action {
	for _, a := range violation.Actions {
		if slices.Contains(d.Spec.ValidationActions, a) {
			return a
		}
	}
	return violation.Audit
}
