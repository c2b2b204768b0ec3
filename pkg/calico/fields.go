package calico

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/projectcalico/api/pkg/lib/numorstring"
)

// fields reads the values of a JSON object. A field that is absent or null, or that has an
// error, reads as the zero value.
type fields struct {
	path   string
	values map[string]any
	// odd collects the errors. If it is nil, err is the first error.
	odd *[]FieldError
	err *FieldError
}

func (f *fields) fail(name, format string, args ...any) {
	e := FieldError{f.at(name), fmt.Sprintf(format, args...)}
	switch {
	case f.odd != nil:
		if !slices.Contains(*f.odd, e) { // A field may be read twice.
			*f.odd = append(*f.odd, e)
		}
	case f.err == nil:
		f.err = &e
	}
}

func (f *fields) at(name string) string {
	if f.path == "" {
		return name
	}
	return f.path + "." + name
}

// get reads a field as a T. Errors describe the accepted values as want.
func get[T any](f *fields, name, want string) T {
	var zero T
	v, ok := f.values[name]
	if !ok || v == nil {
		return zero
	}
	t, ok := v.(T)
	if !ok {
		f.fail(name, "must be %s, is %s", want, describe(v))
	}
	return t
}

func (f *fields) has(name string) bool { return f.values[name] != nil }

func (f *fields) text(name string) string { return get[string](f, name, "a string") }

// selector reads the text of a selector, and fails if it exceeds a bound: bgpguard does not
// evaluate such a selector, and Calico may.
func (f *fields) selector(name string) string {
	text := f.text(name)
	if err := checkBounds(text); err != nil {
		f.fail(name, "%v", err)
		return ""
	}
	return text
}

func (f *fields) flag(name string) bool { return get[bool](f, name, "true or false") }

func (f *fields) object(name string) *fields {
	return &fields{path: f.at(name), values: get[map[string]any](f, name, "an object"), odd: f.odd}
}

// objects reads a list of objects.
func (f *fields) objects(name string) []*fields {
	var out []*fields
	for i, v := range get[[]any](f, name, "a list") {
		at := fmt.Sprintf("%s[%d]", name, i)
		values, ok := v.(map[string]any)
		if !ok {
			f.fail(at, "must be an object, is %s", describe(v))
			continue
		}
		out = append(out, &fields{path: f.at(at), values: values, odd: f.odd})
	}
	return out
}

// secret reads a BGPPassword and returns its secretKeyRef as "name/key", "" if it is unset.
func (f *fields) secret(name string) string {
	if v := f.values[name]; v != nil {
		if _, ok := v.(map[string]any); !ok {
			// The error must not contain the value, which may be a password.
			f.fail(name, "must be an object with a secretKeyRef")
			return ""
		}
	}
	password := f.object(name)
	ref := password.object("secretKeyRef")
	secret, key := ref.text("name"), ref.text("key")
	f.adopt(password, ref)
	if secret == "" && key == "" {
		return ""
	}
	return secret + "/" + key
}

// adopt copies the first error of inner to f, unless f has an error.
func (f *fields) adopt(inner ...*fields) {
	for _, i := range inner {
		if f.err == nil {
			f.err = i.err
		}
	}
}

func (f *fields) texts(name string) []string {
	var out []string
	for i, v := range get[[]any](f, name, "a list") {
		s, ok := v.(string)
		if !ok {
			f.fail(fmt.Sprintf("%s[%d]", name, i), "must be a string, is %s", describe(v))
			continue
		}
		out = append(out, s)
	}
	return out
}

func (f *fields) textMap(name string) map[string]string {
	m := get[map[string]any](f, name, "an object")
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := m[k]
		s, ok := v.(string)
		if !ok {
			f.fail(name+"."+k, "must be a string, is %s", describe(v))
			continue
		}
		out[k] = s
	}
	return out
}

// number reads an integer from low to high, 0 if it is absent.
func (f *fields) number(name string, low, high int64) int64 {
	v, ok := f.values[name]
	if !ok || v == nil {
		return 0
	}
	n, ok := integer(v)
	if !ok || n < low || n > high {
		f.fail(name, "must be a whole number from %d to %d, is %s", low, high, describe(v))
		return 0
	}
	return n
}

// duration reads a metav1.Duration, nil if it is absent.
func (f *fields) duration(name string) *time.Duration {
	if !f.has(name) {
		return nil
	}
	s := f.text(name)
	if _, ok := f.values[name].(string); !ok {
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		f.fail(name, "must be a duration such as \"120s\" or \"2m\", is %q", s)
		return nil
	}
	return &d
}

// asNumber reads an AS number (numorstring.ASNumber): a number, or a string in asplain or
// "high.low" notation. It returns nil if the field is absent.
func (f *fields) asNumber(name string) *uint32 {
	v := f.values[name]
	if v == nil {
		return nil
	}
	s, ok := v.(string)
	if n, isInt := integer(v); isInt {
		s, ok = strconv.FormatInt(n, 10), true
	}
	asn, err := numorstring.ASNumberFromString(s)
	if !ok || err != nil {
		f.fail(name, "must be an AS number from 0 to 4294967295, is %s", describe(v))
		return nil
	}
	n := uint32(asn)
	return &n
}

// integer converts a number as encoding/json, sigs.k8s.io/json and unstructured objects
// represent it. It returns false if v is neither an int64 nor a whole float64 below 2^53.
func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), n == math.Trunc(n) && math.Abs(n) < 1<<53
	default:
		return 0, false
	}
}

func describe(v any) string {
	switch t := v.(type) {
	case string:
		return strconv.Quote(t)
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	default:
		return fmt.Sprint(t)
	}
}

// jsonEqual compares JSON values; 1 and 1.0 are equal.
func jsonEqual(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k, v := range x {
			if w, ok := y[k]; !ok || !jsonEqual(v, w) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !jsonEqual(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	if x, ok := integer(a); ok {
		y, ok := integer(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}
