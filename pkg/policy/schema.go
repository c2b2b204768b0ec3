package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// schema is the JSON schema of a policy's parameters.
type schema struct {
	source   any // as in the METADATA
	compiled *jsonschema.Schema
	defaults map[string]any
}

// newSchema compiles the schema in a policy's METADATA; nil means that the policy has no
// parameters.
func newSchema(name string, v any) (*schema, error) {
	if v == nil {
		v = map[string]any{"type": "object", "additionalProperties": false}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	doc, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	// Without it an invalid value would only fail when a change is evaluated.
	c.AssertFormat()
	c.RegisterFormat(&jsonschema.Format{Name: "time-zone", Validate: timeZone})
	url := "mem:///" + name
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	s := &schema{source: v, defaults: map[string]any{}}
	if s.compiled, err = c.Compile(url); err != nil {
		return nil, err
	}
	properties, _ := doc.(map[string]any)["properties"].(map[string]any)
	for name, p := range properties {
		if p, ok := p.(map[string]any); ok && p["default"] != nil {
			s.defaults[name] = p["default"]
		}
	}
	if err := s.compiled.Validate(s.defaults); err != nil {
		return nil, fmt.Errorf("the defaults do not match the schema: %w", err)
	}
	return s, nil
}

// noLoader rejects every URL. Users who can write policies must not be able to read files of
// the process.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(string) (any, error) {
	return nil, errors.New("a schema can refer only to parts of itself")
}

// timeZone rejects values that are not the name of a time zone, and the process's own time
// zone, which differs between machines.
func timeZone(v any) error {
	name, ok := v.(string)
	if !ok { // The type of the schema rejects it.
		return nil
	}
	if name == "" || name == "Local" {
		return errors.New("must be the name of a time zone, for example Europe/Berlin")
	}
	_, err := time.LoadLocation(name)
	return err
}

// parseJSON keeps numbers as they are written, which jsonschema requires.
func parseJSON(text []byte) (any, error) { return jsonschema.UnmarshalJSON(bytes.NewReader(text)) }

// parameterError is a parameter that does not match its schema.
type parameterError struct {
	field   string // below spec.parameters, "" for the parameters as a whole
	message string
}

// fill returns the parameters in a JSON text, "" for none, with defaults for absent ones, or
// the first one that does not match the schema.
func (s *schema) fill(text []byte) (map[string]any, *parameterError) {
	given := map[string]any{}
	if len(text) > 0 {
		doc, err := parseJSON(text)
		if err != nil {
			return nil, &parameterError{"", err.Error()}
		}
		if doc != nil {
			var ok bool
			if given, ok = doc.(map[string]any); !ok {
				return nil, &parameterError{"", "must be an object"}
			}
		}
	}
	if err := s.compiled.Validate(given); err != nil {
		return nil, s.explain(err)
	}
	out := maps.Clone(s.defaults)
	maps.Copy(out, given)
	return out, nil
}

// explain returns the first cause of a validation error as one sentence.
func (s *schema) explain(err error) *parameterError {
	e, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return &parameterError{"", err.Error()}
	}
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	text := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	field := strings.Join(e.InstanceLocation, ".")
	if strings.HasPrefix(text, "additional properties") && s.compiled.Properties != nil {
		text += "; known are " + strings.Join(slices.Sorted(maps.Keys(s.compiled.Properties)), ", ")
	}
	return &parameterError{field, text}
}
