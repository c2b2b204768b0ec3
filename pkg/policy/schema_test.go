package policy

import (
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/policies"
)

// TestTheInputSchemaSaysWhatTheTypesOfTheSummarySay checks all types, including those that no
// small cluster has an example of.
func TestTheInputSchemaSaysWhatTheTypesOfTheSummarySay(t *testing.T) {
	text, err := fs.ReadFile(policies.FS, stateSchema)
	if err != nil {
		t.Fatal(err)
	}
	document, err := parseJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	root := document.(map[string]any)
	c := schemaComparison{t: t, definitions: root["definitions"].(map[string]any)}
	c.compare("state", root["properties"].(map[string]any)["state"], reflect.TypeFor[topology.Summary]())
}

var jsonTypes = map[reflect.Kind]string{
	reflect.Bool: "boolean", reflect.Int: "integer", reflect.Float64: "number", reflect.String: "string",
	reflect.Slice: "array", reflect.Array: "array", reflect.Map: "object", reflect.Struct: "object",
}

type schemaComparison struct {
	t           *testing.T
	definitions map[string]any
}

// compare reports differences between a schema and the JSON form of a type that Value returns.
func (c *schemaComparison) compare(at string, schema any, is reflect.Type) {
	s := schema.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		s = c.definitions[path.Base(ref)].(map[string]any)
	}
	pointer := is.Kind() == reflect.Pointer
	if pointer {
		is = is.Elem()
	}
	if either, ok := s["anyOf"].([]any); ok { // A value that may be null.
		null := len(either) == 2 && reflect.DeepEqual(either[1], map[string]any{"type": "null"})
		if nullable := pointer || is.Implements(reflect.TypeFor[interface{ Null() bool }]()); !null || !nullable {
			c.t.Errorf("%s must be one of a type and null, and the type in Go one that can be null", at)
			return
		}
		s = either[0].(map[string]any)
	}
	if types, ok := s["type"].([]any); ok { // Labels and specs may also be null.
		s = maps.Clone(s)
		s["type"] = types[0]
	}
	if want := jsonTypes[is.Kind()]; s["type"] != want {
		c.t.Errorf("%s is of type %v, want %s", at, s["type"], want)
		return
	}
	switch is.Kind() {
	case reflect.Struct:
		c.compareFields(at, s, is)
	case reflect.Slice, reflect.Array:
		c.compare(at+"[]", s["items"], is.Elem())
	case reflect.Map:
		if is.Elem().Kind() == reflect.Interface {
			if s["additionalProperties"] != true {
				c.t.Errorf("%s may not hold anything", at)
			}
			return
		}
		c.compare(at+".*", s["additionalProperties"], is.Elem())
	default:
	}
}

func (c *schemaComparison) compareFields(at string, s map[string]any, is reflect.Type) {
	properties := s["properties"].(map[string]any)
	var fields, required []string
	for _, f := range reflect.VisibleFields(is) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields = append(fields, name)
		if properties[name] == nil {
			c.t.Errorf("%s has no %s", at, name)
			continue
		}
		c.compare(at+"."+name, properties[name], f.Type)
	}
	for _, name := range s["required"].([]any) {
		required = append(required, name.(string))
	}
	slices.Sort(fields)
	slices.Sort(required)
	if known := slices.Sorted(maps.Keys(properties)); !slices.Equal(known, fields) || !slices.Equal(required, fields) {
		c.t.Errorf("%s has %q and requires %q, want %q", at, known, required, fields)
	}
	if s["additionalProperties"] != false {
		c.t.Errorf("%s may hold other fields", at)
	}
}

// The image has no time zone database, so the program contains it.
func TestTimeZonesComeAlong(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, deps)
	}
	if !slices.Contains(strings.Fields(string(deps)), "time/tzdata") {
		t.Error("time/tzdata is not linked in")
	}
}
