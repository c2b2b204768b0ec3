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

	"github.com/bgpguard/bgpguard/pkg/calico"
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
	compiled func() (*compiled, error)
}

// compiled is a definition in the forms that the libraries use.
type compiled struct {
	own      bool
	fields   *apiextensionsv1.JSONSchemaProps
	preserve bool // unknown fields
	status   bool // is a subresource

	structural *structural.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator // nil if there are none
}

// New returns the schemas of definitions, and the embedded ones for kinds that definitions does
// not have.
func New(definitions ...apiextensionsv1.CustomResourceDefinition) *Set {
	out := &Set{definitions: map[form]*definition{}}
	for _, info := range calico.Kinds() {
		if !info.Calico {
			continue
		}
		kind := info.Kind
		out.add(form{calico.APIVersionV3, string(kind)}, false, func() (*compiled, error) {
			d, err := embedded(kind)
			if err != nil {
				return nil, err
			}
			return compile(&d.Spec, &d.Spec.Versions[0])
		})
		out.add(form{calico.APIVersionV1, string(kind)}, false, func() (*compiled, error) {
			d, err := embedded(kind)
			if err != nil {
				return nil, err
			}
			v1 := inV1(d)
			return compile(&v1.Spec, &v1.Spec.Versions[0])
		})
	}
	for i := range definitions {
		spec := &definitions[i].Spec
		for j := range spec.Versions {
			if v := &spec.Versions[j]; v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
				out.add(form{spec.Group + "/" + v.Name, spec.Names.Kind}, true, func() (*compiled, error) { return compile(spec, v) })
			}
		}
	}
	out.addAggregated()
	return out
}

func (s *Set) add(f form, own bool, compile func() (*compiled, error)) {
	s.definitions[f] = &definition{own, sync.OnceValues(func() (*compiled, error) {
		c, err := compile()
		if err != nil {
			return nil, err
		}
		c.own = own
		return c, nil
	})}
}

// addAggregated adds the schemas of projectcalico.org/v3 where only crd.projectcalico.org/v1 has
// definitions: Calico's own API server stores the objects in these.
func (s *Set) addAggregated() {
	for _, kind := range calico.Kinds() {
		v1, v3 := s.definitions[form{calico.APIVersionV1, string(kind.Kind)}], form{calico.APIVersionV3, string(kind.Kind)}
		if v1 != nil && v1.own && !s.definitions[v3].own {
			s.definitions[v3] = v1
		}
	}
}

// compile compiles one version of a definition.
func compile(spec *apiextensionsv1.CustomResourceDefinitionSpec, v *apiextensionsv1.CustomResourceDefinitionVersion) (*compiled, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &internal, nil); err != nil {
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
	return &compiled{
		fields: v.Schema.OpenAPIV3Schema, preserve: spec.PreserveUnknownFields,
		status:     v.Subresources != nil && v.Subresources.Status != nil,
		structural: s, schema: validator, rules: cel.NewValidator(s, true, celconfig.PerCallLimit),
	}, nil
}

// Validate returns the problems of an object, sorted by field. old is the object before an
// update, nil for a new object. Both are JSON as pkg/manifest reads it, and are not changed. An
// object that is neither Calico's nor a Node has no problems. The error is about the schema.
func (s *Set) Validate(ctx context.Context, object, old map[string]any) ([]Problem, error) {
	version, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	d, isNode := s.definitions[form{version, kind}], kind == string(calico.KindNode)
	if d == nil && !isNode {
		return nil, nil
	}
	out := without(metadata, object, old)
	if d != nil {
		c, err := d.compiled()
		if err != nil {
			return nil, fmt.Errorf("the schema of %s in %s: %w", kind, version, err)
		}
		out = append(out, c.validate(ctx, object, old)...)
	} else if version == calico.APIVersionCore {
		out = append(out, without(node, object, old)...)
	}
	slices.SortStableFunc(out, func(a, b Problem) int { return strings.Compare(a.Field, b.Field) })
	return slices.CompactFunc(out, func(a, b Problem) bool { return a == b }), nil
}

// without returns the problems of an object that the object before an update does not have.
func without(problems func(map[string]any) []Problem, object, old map[string]any) []Problem {
	out := problems(object)
	if len(out) == 0 || old == nil {
		return out
	}
	before := problems(old)
	return slices.DeleteFunc(out, func(p Problem) bool { return slices.Contains(before, p) })
}

func (c *compiled) validate(ctx context.Context, object, old map[string]any) []Problem {
	object, unknown := c.stored(object)
	if old != nil {
		var before []string
		if old, before = c.stored(old); len(before) > 0 {
			// The cluster has stored them already: its schema is newer.
			unknown = slices.DeleteFunc(unknown, func(path string) bool { return slices.Contains(before, path) })
		}
	}
	var out []Problem
	for _, path := range unknown {
		out = append(out, c.unknown(path))
	}
	for _, e := range c.errors(ctx, object, old) {
		out = append(out, explain(e, object, c.fields))
	}
	return out
}

// stored returns an object as an API server stores it, before validation, and the fields that it
// drops.
func (c *compiled) stored(object map[string]any) (out map[string]any, unknown []string) {
	out = runtime.DeepCopyJSON(object)
	delete(out, "metadata") // Its fields are not in the schema.
	if c.status {
		delete(out, "status")
	}
	if !c.preserve {
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

// blocking are the types of errors after which an API server evaluates no CEL rule.
var blocking = []field.ErrorType{
	field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid,
}

func blocks(e *field.Error) bool { return slices.Contains(blocking, e.Type) }

// Definition decodes a CustomResourceDefinition.
func Definition(object map[string]any) (*apiextensionsv1.CustomResourceDefinition, error) {
	if version := object["apiVersion"]; version != apiextensionsv1.SchemeGroupVersion.String() {
		return nil, fmt.Errorf("apiVersion: must be %s, is %s", apiextensionsv1.SchemeGroupVersion, found(version))
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	out := &apiextensionsv1.CustomResourceDefinition{}
	if err := json.Unmarshal(text, out); err != nil {
		return nil, err
	}
	return out, nil
}
