package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"

	"github.com/bgpguard/bgpguard/pkg/manifest"
)

// Problem is a field that the API server rejects or drops.
type Problem struct {
	// Field is the path of the field, for example "spec.filters[0]". It is "" for the object.
	Field string
	// Message says what was found and what is accepted.
	Message string
	// Warning is true if the API server of the cluster may accept the field, or drops it.
	// It is false if the API server rejects the object.
	Warning bool
}

// String returns "field: message".
func (p Problem) String() string {
	if p.Field == "" {
		return p.Message
	}
	return p.Field + ": " + p.Message
}

// Set contains the schemas of kinds. It is safe for concurrent use. A definition is compiled
// when the first object of its kind is validated.
type Set struct {
	definitions map[form]*definition
}

// form is an API version of a kind.
type form struct{ apiVersion, kind string }

// definition is one version of a CustomResourceDefinition.
type definition struct {
	// own is true for a definition of the user or the cluster, false for an embedded one.
	own      bool
	schema   *apiextensionsv1.JSONSchemaProps
	preserve bool // unknown fields
	status   bool // is a subresource

	compiled func() (*compiled, error)
}

// compiled is a definition in the forms that the libraries use.
type compiled struct {
	structural *structural.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator // nil if there are none
}

// New returns the schemas of definitions, and the embedded ones for kinds that definitions does
// not have.
func New(definitions []apiextensionsv1.CustomResourceDefinition) (*Set, error) {
	out := &Set{definitions: map[form]*definition{}}
	builtIn, err := Embedded()
	if err != nil {
		return nil, err
	}
	out.add(builtIn, false)
	out.add(definitions, true)
	return out, nil
}

func (s *Set) add(definitions []apiextensionsv1.CustomResourceDefinition, own bool) {
	for i := range definitions {
		spec := &definitions[i].Spec
		for j := range spec.Versions {
			v := &spec.Versions[j]
			if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
				continue
			}
			d := &definition{
				own: own, schema: v.Schema.OpenAPIV3Schema, preserve: spec.PreserveUnknownFields,
				status: v.Subresources != nil && v.Subresources.Status != nil,
			}
			d.compiled = sync.OnceValues(d.compile)
			s.definitions[form{spec.Group + "/" + v.Name, spec.Names.Kind}] = d
		}
	}
}

func (d *definition) compile() (*compiled, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(d.schema, &internal, nil); err != nil {
		return nil, err
	}
	s, err := structural.NewStructural(&internal)
	if err != nil {
		return nil, err
	}
	if errs := structural.ValidateStructural(nil, s); len(errs) > 0 {
		return nil, fmt.Errorf("the schema is not structural: %w", errs.ToAggregate())
	}
	validator, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return nil, err
	}
	return &compiled{s, validator, cel.NewValidator(s, true, celconfig.PerCallLimit)}, nil
}

// Validate returns the problems of an object, sorted by field. old is the object before an
// update, nil for a new object. Both are JSON as pkg/manifest reads it, and are not changed. An
// object of a kind without a schema has no problems, unless its metadata is malformed. The error
// is about the schema.
func (s *Set) Validate(ctx context.Context, object, old map[string]any) ([]Problem, error) {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	out := metadata(object)
	if d := s.definitions[form{version, kind}]; d != nil {
		more, err := d.validate(ctx, object, old)
		if err != nil {
			return nil, fmt.Errorf("the schema of %s in %s: %w", kind, version, err)
		}
		out = append(out, more...)
	} else if version == "v1" && kind == "Node" {
		out = append(out, node(object)...)
	}
	slices.SortStableFunc(out, func(a, b Problem) int { return strings.Compare(a.Field, b.Field) })
	return slices.CompactFunc(out, func(a, b Problem) bool { return a == b }), nil
}

func (d *definition) validate(ctx context.Context, object, old map[string]any) ([]Problem, error) {
	c, err := d.compiled()
	if err != nil {
		return nil, err
	}
	object, unknown := d.stored(c, object)
	if old != nil {
		var before []string
		if old, before = d.stored(c, old); len(before) > 0 {
			// The cluster has stored them already: its schema is newer.
			unknown = slices.DeleteFunc(unknown, func(path string) bool { return slices.Contains(before, path) })
		}
	}
	var out []Problem
	for _, path := range unknown {
		out = append(out, d.unknown(path))
	}
	for _, e := range c.errors(ctx, object, old) {
		out = append(out, explain(e, object, d.schema))
	}
	return out, nil
}

// stored returns an object as an API server stores it, before validation, and the fields that it
// drops.
func (d *definition) stored(c *compiled, object map[string]any) (out map[string]any, unknown []string) {
	out = runtime.DeepCopyJSON(object)
	delete(out, "metadata") // Its fields are not in the schema.
	if d.status {
		delete(out, "status")
	}
	if !d.preserve {
		unknown = pruning.PruneWithOptions(out, c.structural, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
		defaulting.PruneNonNullableNullsWithoutDefaults(out, c.structural)
	}
	defaulting.Default(out, c.structural)
	if meta, ok := object["metadata"].(map[string]any); ok {
		out["metadata"] = runtime.DeepCopyJSON(meta)
	}
	return out, unknown
}

// errors validates an object as an API server does. Without old it is new.
func (c *compiled) errors(ctx context.Context, object, old map[string]any) field.ErrorList {
	var errs field.ErrorList
	var options []cel.Option
	if old == nil {
		errs = validation.ValidateCustomResource(nil, object, c.schema)
	} else {
		correlated := common.NewCorrelatedObject(object, old, &model.Structural{Structural: c.structural})
		options = append(options, cel.WithRatcheting(correlated))
		errs = validation.ValidateCustomResourceUpdate(nil, object, old, c.schema, validation.WithRatcheting(correlated))
	}
	errs = append(errs, objectmeta.Validate(ctx, nil, object, c.structural, false)...)
	if old == nil || len(listtype.ValidateListSetsAndMaps(nil, c.structural, old)) == 0 {
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, c.structural, object)...)
	}
	if c.rules == nil || slices.ContainsFunc(errs, blocks) {
		return errs
	}
	var before any // An untyped nil: there is no old object.
	if old != nil {
		before = old
	}
	broken, _ := c.rules.Validate(ctx, nil, c.structural, object, before, celconfig.RuntimeCELCostBudget, options...)
	return append(errs, broken...)
}

// blocks reports whether an API server evaluates no CEL rule because of an error.
func blocks(e *field.Error) bool {
	switch e.Type {
	case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
		return true
	}
	return false
}

// Definitions returns the CustomResourceDefinitions in files and directories. It is an error if
// there are none.
func Definitions(documents []manifest.Document) ([]apiextensionsv1.CustomResourceDefinition, error) {
	var out []apiextensionsv1.CustomResourceDefinition
	for i := range documents {
		d := &documents[i]
		if d.Object["kind"] != "CustomResourceDefinition" {
			continue
		}
		if version := d.Object["apiVersion"]; version != apiextensionsv1.SchemeGroupVersion.String() {
			return nil, d.At("apiVersion", fmt.Errorf("apiVersion: must be %s, is %v", apiextensionsv1.SchemeGroupVersion, version))
		}
		text, err := json.Marshal(d.Object)
		if err != nil {
			return nil, d.At("", err)
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := json.Unmarshal(text, &definition); err != nil {
			return nil, d.At("", err)
		}
		out = append(out, definition)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no CustomResourceDefinition of %s", apiextensionsv1.SchemeGroupVersion)
	}
	return out, nil
}
