package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// violation decodes one element of the rule's set:
// {"id", "size", "msg", "details", "objects": [{"kind", "name", "fields"}], "members", "advisory", "assumption", "setBy"}.
func (p *Policy) violation(item any) (violation.Violation, error) {
	v := violation.Violation{Policy: p.Name, Action: p.Action, Severity: p.Definition.Severity, Details: map[string]any{}, Objects: []violation.Subject{}}
	if related := p.Definition.Related; len(related) > 0 {
		v.Link = related[0].Ref
	}
	m, ok := item.(map[string]any)
	if !ok {
		return v, fmt.Errorf("rule %s contains a %T, must contain objects", ruleName, item)
	}
	if v.ID, ok = m["id"].(string); !ok || v.ID == "" {
		return v, errors.New("a violation has no \"id\", which must be a string")
	}
	if v.Message, ok = m["msg"].(string); !ok || v.Message == "" {
		return v, fmt.Errorf("violation %q has no \"msg\", which must be a string", v.ID)
	}
	size, ok := m["size"].(json.Number)
	if !ok {
		return v, fmt.Errorf("violation %q has no \"size\", which must be a number", v.ID)
	}
	var err error
	if v.Size, err = size.Float64(); err != nil {
		return v, fmt.Errorf("violation %q: size: %w", v.ID, err)
	}
	if d := m["details"]; d != nil {
		if v.Details, ok = d.(map[string]any); !ok {
			return v, fmt.Errorf("violation %q: \"details\" must be an object", v.ID)
		}
	}
	err = optional(&v, m)
	return v, err
}

// optional decodes the keys that a violation may lack.
func optional(v *violation.Violation, m map[string]any) error {
	var ok bool
	if v.Advisory, ok = m["advisory"].(bool); m["advisory"] != nil && !ok {
		return fmt.Errorf("violation %q: \"advisory\" must be true or false", v.ID)
	}
	if v.Assumption, ok = m["assumption"].(string); m["assumption"] != nil && (!ok || v.Assumption == "") {
		return fmt.Errorf("violation %q: \"assumption\" must be a string that is not empty", v.ID)
	}
	if by := m["setBy"]; by != nil {
		o, ok := object(by)
		if !ok {
			return fmt.Errorf("violation %q: \"setBy\" must be {\"kind\", \"name\"}", v.ID)
		}
		v.SetBy = &o
	}
	objects, ok := m["objects"].([]any)
	if m["objects"] != nil && !ok {
		return fmt.Errorf("violation %q: \"objects\" must be a list", v.ID)
	}
	for _, item := range objects {
		s, err := subject(item)
		if err != nil {
			return fmt.Errorf("violation %q: %w", v.ID, err)
		}
		v.Objects = append(v.Objects, s)
	}
	members, ok := m["members"].([]any)
	if m["members"] != nil && !ok {
		return fmt.Errorf("violation %q: \"members\" must be a list", v.ID)
	}
	for _, item := range members {
		name, ok := item.(string)
		if !ok {
			return fmt.Errorf("violation %q: \"members\" must contain strings", v.ID)
		}
		v.Members = append(v.Members, name)
	}
	return nil
}

// subject decodes {"kind", "name", "fields"}, where "fields" is a list of paths and may be absent.
func subject(item any) (violation.Subject, error) {
	o, ok := object(item)
	if !ok {
		return violation.Subject{}, errors.New("\"objects\" must contain {\"kind\", \"name\"}")
	}
	s := violation.Subject{Object: o}
	m, _ := item.(map[string]any)
	fields, ok := m["fields"].([]any)
	if m["fields"] != nil && !ok {
		return s, fmt.Errorf("\"fields\" of %s must be a list", o)
	}
	for _, item := range fields {
		field, ok := item.(string)
		if top, _, _ := strings.Cut(field, "."); !ok || (top != "spec" && top != "metadata") {
			return s, fmt.Errorf("\"fields\" of %s must contain paths such as \"spec.peerSelector\" or \"metadata.labels.rack\", found %v", o, item)
		}
		s.Fields = append(s.Fields, field)
	}
	return s, nil
}

// object decodes {"kind", "name"}.
func object(item any) (violation.Object, bool) {
	o, _ := item.(map[string]any)
	kind, ok := o["kind"].(string)
	name, ok2 := o["name"].(string)
	return violation.Object{Kind: kind, Name: name}, ok && ok2
}
