package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// readFields reads METADATA custom.fields.
func (d *Definition) readFields(v any) error {
	if v == nil {
		return nil
	}
	if d.Judges != JudgesChange {
		return fmt.Errorf("is only for policies with judges: %s", JudgesChange)
	}
	given, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("must be an object of kinds, is %v", v)
	}
	d.fields = map[string][][]string{}
	for _, kind := range slices.Sorted(maps.Keys(given)) {
		paths, _ := given[kind].([]any)
		if len(paths) == 0 {
			return fmt.Errorf("%s must be a list of fields, is %v", kind, given[kind])
		}
		for _, path := range paths {
			keys, err := keysOf(path)
			if err != nil {
				return fmt.Errorf("%s: %v %w", kind, path, err)
			}
			d.fields[kind] = append(d.fields[kind], keys)
		}
	}
	return nil
}

// errPath says what the path of a field looks like.
var errPath = errors.New("must be a path such as spec.asNumber or metadata.labels[topology.kubernetes.io/zone]")

// keysOf returns the keys of the path of a field; see violation.Subject.
func keysOf(path any) ([]string, error) {
	rest, _ := path.(string)
	var keys []string
	for rest != "" {
		var key string
		if inner, ok := strings.CutPrefix(rest, "["); ok {
			if key, rest, ok = strings.Cut(inner, "]"); !ok {
				return nil, errPath
			}
		} else {
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			key, rest = rest[:end], rest[end:]
		}
		if key == "" {
			return nil, errPath
		}
		keys = append(keys, key)
		if after, ok := strings.CutPrefix(rest, "."); ok {
			if rest = after; rest == "" {
				return nil, errPath
			}
		}
	}
	if len(keys) < 2 || keys[0] != "spec" && keys[0] != "metadata" {
		return nil, errPath
	}
	return keys, nil
}

// Ignores reports whether the policy, which evaluates changes, finds nothing in an update of an
// object of this kind, because METADATA custom.fields has the kind and the update changes none
// of its fields. differs reports whether the update changes the field at a path. O(fields).
func (p *Policy) Ignores(kind string, differs func(path []string) bool) bool {
	fields, ok := p.Definition.fields[kind]
	return ok && !slices.ContainsFunc(fields, differs)
}
