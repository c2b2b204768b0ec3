// Package policy compiles and evaluates policies written in Rego. It does not depend on
// Kubernetes clients or on Calico.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Document is a BGPPolicy with its file and line, if it was read from a file.
type Document struct {
	v1alpha1.BGPPolicy
	source *manifest.Document
}

// Load reads the BGPPolicy documents of all paths, files or directories. Errors name file,
// line and field, and are joined.
func Load(paths []string) ([]Document, error) {
	sources, err := manifest.Read(paths, nil)
	if err != nil {
		return nil, err
	}
	var docs []Document
	var errs []error
	seen := map[string]bool{}
	for _, source := range sources {
		d := Document{source: &source}
		if err := d.decode(source.Object); err != nil {
			errs = append(errs, err)
			continue
		}
		if seen[d.Name] {
			errs = append(errs, d.Errorf("metadata.name", "is used by two documents"))
			continue
		}
		seen[d.Name] = true
		docs = append(docs, d)
	}
	if len(sources) == 0 {
		errs = append(errs, fmt.Errorf("%s: no BGPPolicy document, so nothing would be enforced", strings.Join(paths, ", ")))
	}
	return docs, errors.Join(errs...)
}

// Decode reads a BGPPolicy from JSON values, with the checks of Load. Errors are
// *FieldError.
func Decode(object map[string]any) (Document, error) {
	var d Document
	err := d.decode(object)
	return d, err
}

func (d *Document) decode(o map[string]any) error {
	if o["apiVersion"] != v1alpha1.APIVersion || o["kind"] != v1alpha1.KindBGPPolicy {
		return d.Errorf("kind", "must be %s of %s, is %s of %s", v1alpha1.KindBGPPolicy, v1alpha1.APIVersion, orNothing(o["kind"]), orNothing(o["apiVersion"]))
	}
	var errs []error
	for _, e := range manifest.Unmarshal(o, v1alpha1.KindBGPPolicy, &d.BGPPolicy) {
		if strings.HasPrefix(e.Field, "spec.rego.") && !strings.HasPrefix(e.Field, "spec.rego.modules") {
			e.Message += "; spec.rego has one field: modules, a list of {name: FILE.rego, text: REGO}"
		}
		errs = append(errs, d.Errorf(e.Field, "%s", e.Message))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return d.check()
}

// orNothing formats a value, nil as "nothing".
func orNothing(v any) string {
	if v == nil {
		return "nothing"
	}
	return fmt.Sprint(v)
}

// check validates what the schema of the CRD validates, for documents that do not come from
// an API server.
func (d *Document) check() error {
	if d.Name == "" {
		return d.Errorf("metadata.name", "is missing")
	}
	var errs []error
	fail := func(field, format string, args ...any) { errs = append(errs, d.Errorf(field, format, args...)) }
	switch {
	case d.Spec.Policy == "" && d.Spec.Rego == nil:
		fail("spec.policy", "is missing: set it to the name of a policy of the library, or write your own policy in spec.rego")
	case d.Spec.Policy != "" && d.Spec.Rego != nil:
		fail("spec.rego", "must not be set together with spec.policy")
	case d.Spec.Rego != nil && len(d.Spec.Rego.Modules) == 0:
		fail("spec.rego.modules", "must have at least one module")
	}
	if problem := checkActions(d.Spec.ValidationActions); problem != nil {
		fail("spec."+problem.field, "%s", problem.message)
	}
	if m := d.Spec.Match; m != nil {
		for field, set := range map[string]struct{ got, known []string }{
			"kinds":      {m.Kinds, Kinds},
			"operations": {m.Operations, Operations},
		} {
			for i, v := range set.got {
				if !slices.Contains(set.known, v) {
					fail(fmt.Sprintf("spec.match.%s[%d]", field, i), "must be one of %s, is %q", strings.Join(set.known, ", "), v)
				}
			}
		}
		if _, err := metav1.LabelSelectorAsSelector(m.LabelSelector); err != nil {
			fail("spec.match.labelSelector", "%v", err)
		}
	}
	if e := d.Spec.Exempt; e != nil {
		for i, a := range e.ServiceAccounts {
			if a.Namespace == "" || a.Name == "" {
				fail(fmt.Sprintf("spec.exempt.serviceAccounts[%d]", i), "must have a namespace and a name")
			}
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// fieldError is an invalid field.
type fieldError struct{ field, message string }

// Error returns "field: message".
func (p *fieldError) Error() string { return p.field + ": " + p.message }

// checkActions validates validation actions; nil means that they are valid.
func checkActions(actions []violation.Action) *fieldError {
	const field = "validationActions"
	if len(actions) == 0 {
		return &fieldError{field, "must have at least one of Deny, Warn, Audit"}
	}
	for i, a := range actions {
		at := fmt.Sprintf("%s[%d]", field, i)
		if !slices.Contains(violation.Actions, a) {
			return &fieldError{at, fmt.Sprintf("must be Deny, Warn or Audit, is %q", a)}
		}
		if slices.Contains(actions[:i], a) {
			return &fieldError{at, fmt.Sprintf("repeats %s", a)}
		}
	}
	if slices.Contains(actions, violation.Deny) && slices.Contains(actions, violation.Warn) {
		return &fieldError{field, "must not have both Deny and Warn: a denial already shows the message to the user"}
	}
	return nil
}

// FieldError is an invalid field of a document. Every error about a field wraps it.
type FieldError struct {
	// Field is, for example, "spec.parameters.maxNodes".
	Field string
	Err   error
}

// Error returns "field: error".
func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the error without its field.
func (e *FieldError) Unwrap() error { return e.Err }

// Errorf returns an error at a field, with file and line if the document was read from a
// file.
func (d *Document) Errorf(field, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if field != "" {
		err = &FieldError{field, err}
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
