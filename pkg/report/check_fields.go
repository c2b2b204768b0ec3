package report

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// field is a field of an object before and after a change; nil if absent.
type field struct {
	Field  string `json:"field"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// differs reports whether the change changes the field.
func (f *field) differs() bool { return compact(f.Before) != compact(f.After) }

// fields lists the fields of the changed object in order. A list is one field.
func (c *Checked) fields() []field {
	before, after := fieldsOf(c.Change.Before), fieldsOf(c.Change.After)
	all := maps.Clone(before)
	maps.Copy(all, after)
	var out []field
	for _, path := range slices.Sorted(maps.Keys(all)) {
		out = append(out, field{path, before[path], after[path]})
	}
	return out
}

// changed lists the fields that an update changes; none for create and delete, which
// change all.
func (c *Checked) changed() []field {
	if c.Change.Operation() != state.Update {
		return nil
	}
	return slices.DeleteFunc(c.fields(), func(f field) bool { return !f.differs() })
}

// lastApplied is the annotation with kubectl's copy of the object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// fieldsOf returns the values of the fields of o that can affect BGP, by path. Nodes have
// the fields of core/v1.
func fieldsOf(o calico.Object) map[string]any {
	out := map[string]any{}
	manifest := calico.Manifest(o)
	metadata, _ := manifest["metadata"].(map[string]any)
	if labels, _ := metadata["labels"].(map[string]any); len(labels) > 0 {
		flatten(out, "metadata.labels", labels)
	}
	_, isNode := o.(*calico.Node)
	annotations, _ := metadata["annotations"].(map[string]any)
	annotations = maps.Clone(annotations)
	maps.DeleteFunc(annotations, func(k string, _ any) bool {
		return k == lastApplied || (isNode && !slices.Contains(calico.NodeAnnotations, k))
	})
	if len(annotations) > 0 {
		flatten(out, "metadata.annotations", annotations)
	}
	if spec, _ := manifest["spec"].(map[string]any); len(spec) > 0 && !isNode {
		flatten(out, "spec", spec)
	}
	return out
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// flatten puts the values in v that are not objects into out. Null is the same as an
// absent field.
func flatten(out map[string]any, path string, v any) {
	m, ok := v.(map[string]any)
	switch {
	case v == nil:
	case !ok || len(m) == 0:
		out[path] = v
	default:
		for k, v := range m {
			if plainKey.MatchString(k) {
				flatten(out, path+"."+k, v)
			} else {
				flatten(out, path+"["+k+"]", v)
			}
		}
	}
}

// compact returns v on one line, strings without quotes; "" for nil.
func compact(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil { // v was decoded from JSON, so it can be encoded.
		return err.Error()
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// The text shows at most maxValue bytes of a value. Of a longer common prefix of two
// values it shows the last sameShown bytes.
const (
	maxValue  = 100
	sameShown = 20
)

// shorten shortens two values so that the first difference between them is shown.
func shorten(before, after string) (b, a string) {
	same := 0
	for same < min(len(before), len(after)) && before[same] == after[same] {
		same++
	}
	start := 0
	if same > sameShown && max(len(before), len(after)) > maxValue {
		start = same - sameShown
	}
	return cut(before, start), cut(after, start)
}

// cut returns s from about byte start on, shortened to maxValue bytes.
func cut(s string, start int) string {
	for start < len(s) && !utf8.RuneStart(s[start]) {
		start++
	}
	head := ""
	if start > 0 {
		head = "..."
	}
	return head + text.Cut(s[min(start, len(s)):], maxValue)
}
