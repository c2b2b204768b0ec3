package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	k8sjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// FieldError is a field that is unknown or has a wrong type.
type FieldError struct {
	// Field is the path of the field, for example "spec.match.kinds", "" for the object.
	Field   string
	Message string
	// Unknown is true for an unknown field, false for a wrong type.
	Unknown bool
}

// Unmarshal decodes an object of JSON values into v with strict validation: a field that v
// does not have, or that has another type, is an error. kind is the kind of the object in
// messages.
func Unmarshal(object any, kind string, v any) []FieldError {
	raw, err := json.Marshal(object)
	if err != nil {
		return []FieldError{{Message: err.Error()}}
	}
	unknown, err := k8sjson.UnmarshalStrict(raw, v, k8sjson.DisallowUnknownFields)
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return []FieldError{{Field: e.Field, Message: fmt.Sprintf("must be %s, is %s", jsonType(e.Type.Kind()), text.A(e.Value))}}
	}
	if err != nil {
		return []FieldError{{Message: err.Error()}}
	}
	var out []FieldError
	for _, err := range unknown {
		field := ""
		if e, ok := errors.AsType[k8sjson.FieldError](err); ok {
			field = e.FieldPath()
		}
		out = append(out, FieldError{Field: field, Message: "is not a field of " + text.A(kind), Unknown: true})
	}
	return out
}

// ParseObject reads a JSON or YAML object without apiVersion and kind. Integers are int64.
func ParseObject(text string) (map[string]any, error) {
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return nil, err
	}
	var out map[string]any
	err = k8sjson.UnmarshalCaseSensitivePreserveInts(raw, &out)
	return out, err
}

// jsonType describes the JSON type of Go values of a kind.
func jsonType(k reflect.Kind) string {
	switch k {
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	default:
		return "a string"
	}
}
