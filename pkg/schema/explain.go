package schema

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// dropped says what becomes of a field that the schema does not have.
const dropped = "kubectl apply rejects it, and other clients lose it"

// unknown returns the problem of a field that the schema does not have. It is an error in a
// schema of the cluster. A Calico that is newer than the embedded definitions may have the field.
func (c *compiled) unknown(path string) Problem {
	message := "unknown field" + suggestion(path, c.beside(path))
	if c.own {
		return Problem{Field: path, Message: message + "; " + dropped}
	}
	return Problem{
		Field: path, Warning: true,
		Message: fmt.Sprintf("%s; Calico %s does not have it: %s, unless the cluster's Calico has it", message, EmbeddedVersion, dropped),
	}
}

var indexPattern = regexp.MustCompile(`\[\d+\]`)

// beside returns the paths of fields that an unknown one may stand for: those beside it, and
// those of the spec.
func (c *compiled) beside(path string) []string {
	parent := ""
	if i := strings.LastIndex(path, "."); i >= 0 {
		parent = path[:i]
	}
	var out []string
	beside := child(c.fields, parent)
	if beside != nil {
		for name := range beside.Properties {
			out = append(out, strings.TrimPrefix(parent+"."+name, "."))
		}
	}
	if parent != "spec" {
		for name := range c.fields.Properties["spec"].Properties {
			out = append(out, "spec."+name)
		}
	}
	return out
}

// child returns the schema at a path, nil if there is none.
func child(s *apiextensionsv1.JSONSchemaProps, path string) *apiextensionsv1.JSONSchemaProps {
	for step := range strings.SplitSeq(indexPattern.ReplaceAllString(path, ".[]"), ".") {
		switch {
		case step == "":
		case step == "[]":
			if s.Items == nil || s.Items.Schema == nil {
				return nil
			}
			s = s.Items.Schema
		default:
			next, ok := s.Properties[step]
			if !ok {
				return nil
			}
			s = &next
		}
	}
	return s
}

// suggestion returns ", did you mean x" for the known field that is most like the last part of
// path, "" if none is like it.
func suggestion(path string, known []string) string {
	parent, name := "", path
	if i := strings.LastIndex(path, "."); i >= 0 {
		parent, name = path[:i], path[i+1:]
	}
	best, least := "", 0
	for _, candidate := range known {
		differ, meant := text.Letters(name, candidate[strings.LastIndex(candidate, ".")+1:])
		if !meant || !strings.HasPrefix(candidate, parent+".") && differ > 0 { // Elsewhere, only the same name.
			continue
		}
		if best == "" || differ < least || differ == least && candidate < best {
			best, least = candidate, differ
		}
	}
	if best == "" {
		return ""
	}
	if beside, ok := strings.CutPrefix(best, parent+"."); ok {
		best = beside
	}
	return ", did you mean " + best
}

var typePattern = regexp.MustCompile(`must be of type ([a-z0-9-]+)`)

// formatPattern matches the error of a number that its format does not hold, which names the
// field in its text only.
var formatPattern = regexp.MustCompile(`^Checked value must be of type \w+ with format (\w+) in (.+)$`)

// ranges are what formats of numbers hold.
var ranges = map[string]string{
	"int32": "-2147483648 to 2147483647", "int64": "-9223372036854775808 to 9223372036854775807",
}

// explanationPattern matches what Kubernetes adds to the description of a name.
var explanationPattern = regexp.MustCompile(` \(e\.g\. [^)]*regex used for validation is '.*?'\)|, regex used for validation is '[^']*'`)

// explain returns an error of the API server's code as a problem. s is the schema of the object,
// nil if it has none.
func explain(e *field.Error, object map[string]any, s *apiextensionsv1.JSONSchemaProps) Problem {
	path := e.Field
	if path == "<nil>" {
		path = ""
	}
	p := Problem{Field: path}
	if m := formatPattern.FindStringSubmatch(e.Detail); m != nil {
		p.Field = m[2]
		value, _ := at(object, p.Field)
		p.Message = fmt.Sprintf("must be in the range %s of the schema's format %s, is %s", ranges[m[1]], m[1], found(value))
		return p
	}
	value, known := at(object, path)
	if !known {
		value = e.BadValue
	}
	switch e.Type {
	case field.ErrorTypeRequired:
		p.Message = "is missing"
		if e.Detail != "" {
			p.Message += ": " + e.Detail
		}
	case field.ErrorTypeTypeInvalid:
		p.Message = e.Detail
		if m := typePattern.FindStringSubmatch(e.Detail); m != nil {
			accepted := typeNames[m[1]]
			if accepted == "" { // A format, for example date-time.
				accepted = text.A(m[1])
			}
			p.Message = fmt.Sprintf("must be %s, is %s%s", accepted, found(value), wrapped(s, path, value))
		}
	case field.ErrorTypeNotSupported:
		p.Message = fmt.Sprintf("must be one of %s, is %s", strings.TrimPrefix(e.Detail, "supported values: "), found(value))
	case field.ErrorTypeDuplicate:
		p.Message = "is in the list twice: " + found(value)
	case field.ErrorTypeTooLong, field.ErrorTypeTooMany:
		p.Message = e.Detail
	default:
		detail := explanationPattern.ReplaceAllString(strings.TrimPrefix(e.Detail, path+" in body "), "")
		if detail == "" {
			detail = string(e.Type)
		}
		p.Message = detail
		if _, nested := value.(map[string]any); !nested && known && value != nil {
			p.Message += ", is " + found(value)
		}
	}
	return p
}

// wrapped returns how to write a string in place of which an object with one field is accepted,
// such as a CIDR in a list of service ranges.
func wrapped(s *apiextensionsv1.JSONSchemaProps, path string, value any) string {
	text, ok := value.(string)
	if !ok || s == nil {
		return ""
	}
	if s = child(s, path); s == nil || len(s.Properties) != 1 {
		return ""
	}
	for name := range s.Properties {
		return fmt.Sprintf("; write %s: %s", name, text)
	}
	return ""
}

var typeNames = map[string]string{
	"string": "a string", "integer": "an integer", "number": "a number", "boolean": "true or false", "array": "a list", "object": "an object", "cidr": "a CIDR such as 10.0.0.0/16",
}

var stepPattern = regexp.MustCompile(`\[([^\]]*)\]|([^.\[\]]+)`)

// at returns the value of a field.
func at(object map[string]any, path string) (any, bool) {
	var value any = object
	for _, m := range stepPattern.FindAllStringSubmatch(path, -1) {
		step := m[1] + m[2]
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[step]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, object != nil
}
