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
)

// changedField is a field of an object before and after a change; nil where it
// is not there.
type changedField struct {
	Field  string `json:"field"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// changedFields lists what an update changes in an object, in order of fields.
// Lists are compared as a whole.
func changedFields(c state.Change) []changedField {
	out := []changedField{}
	if c.Operation() != state.Update {
		return out
	}
	before, after := fieldsOf(c.Before), fieldsOf(c.After)
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if b, a := before[field], after[field]; compact(b) != compact(a) {
			out = append(out, changedField{field, b, a})
		}
	}
	return out
}

// fieldsOf returns the values of the fields of o that can decide BGP, by their
// paths. Those of a Node are named as in core/v1.
func fieldsOf(o calico.Object) map[string]any {
	out := map[string]any{}
	labels := func(of map[string]string, path string) {
		for k, v := range of {
			out[path+"["+k+"]"] = v
		}
	}
	if n, ok := o.(*calico.Node); ok {
		labels(n.Labels, "metadata.labels")
		for f, key := range []string{calico.AnnotationIPv4Address, calico.AnnotationIPv6Address} {
			if n.Address[f].IsValid() {
				out["metadata.annotations["+key+"]"] = n.Address[f].String()
			}
		}
		if n.ASNumber != nil {
			out["metadata.annotations["+calico.AnnotationASNumber+"]"] = int64(*n.ASNumber)
		}
		if n.ClusterID != "" {
			out["metadata.annotations["+calico.AnnotationClusterID+"]"] = n.ClusterID
		}
		if n.NotReady {
			out["status.conditions[Ready]"] = "not True"
		}
		return out
	}
	if m := calico.MetadataOf(o); m != nil {
		labels(m.Labels, "metadata.labels")
		labels(m.Annotations, "metadata.annotations")
		flatten(out, "spec", m.Spec)
	}
	return out
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// flatten puts the values in v that are no objects into out. Null says as much as
// an absent field.
func flatten(out map[string]any, path string, v any) {
	m, ok := v.(map[string]any)
	switch {
	case v == nil:
	case !ok || (len(m) == 0 && path != "spec"):
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

// compact writes v on one line, text without quotes; "" for nil.
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
	if err := e.Encode(v); err != nil { // It came out of JSON.
		return err.Error()
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// A value is shown up to maxValue characters; of two that are the same for longer,
// sameShown of what they have in common stays before the difference.
const (
	maxValue  = 100
	sameShown = 20
)

// shorten cuts two values to what a line holds, so that the first difference
// between them is in it.
func shorten(before, after string) (b, a string) {
	same := 0
	for same < min(len(before), len(after)) && before[same] == after[same] {
		same++
	}
	start := 0
	if same > sameShown && max(utf8.RuneCountInString(before), utf8.RuneCountInString(after)) > maxValue {
		start = same - sameShown
	}
	return cut(before, start), cut(after, start)
}

// cut shows s from about byte start on.
func cut(s string, start int) string {
	for start < len(s) && !utf8.RuneStart(s[start]) {
		start++
	}
	runes := []rune(s[min(start, len(s)):])
	head, tail := "", ""
	if start > 0 {
		head = "…"
	}
	if len(runes) > maxValue {
		runes, tail = runes[:maxValue], "…"
	}
	return head + string(runes) + tail
}
