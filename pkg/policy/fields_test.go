package policy

import (
	"slices"
	"strings"
	"testing"
)

func withFields(t *testing.T, fields string) (*Policy, error) {
	t.Helper()
	text := strings.Replace(a(always), "judges: state", "judges: change\n#   fields: "+fields, 1)
	l, err := libraryOf(t, map[string]string{"a/a.rego": strings.Replace(text, "schema.input", "schema.change", 1)})
	if err != nil {
		return nil, err
	}
	d := Default(l.Definition("a"))
	return l.Prepare(&d)
}

func TestAPolicyIgnoresUpdatesOfOtherFields(t *testing.T) {
	p, err := withFields(t, `{BGPPeer: [spec.asNumber, spec.list], Node: ["metadata.labels[example.com/a.b].c", metadata.name]}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind    string
		changed []string
		want    bool
	}{
		"another field":     {"BGPPeer", []string{"spec peerIP"}, true},
		"nothing":           {"BGPPeer", nil, true},
		"the first field":   {"BGPPeer", []string{"spec asNumber"}, false},
		"the second field":  {"BGPPeer", []string{"spec peerIP", "spec list"}, false},
		"another kind":      {"IPPool", nil, false},
		"a key in brackets": {"Node", []string{"metadata labels example.com/a.b c"}, false},
		"a key without":     {"Node", []string{"metadata labels example.com/a.b"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			differs := func(path []string) bool { return slices.Contains(c.changed, strings.Join(path, " ")) }
			if got := p.Ignores(c.kind, differs); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestFieldsOfAPolicyThatAreInvalid(t *testing.T) {
	const path = " must be a path such as spec.asNumber or metadata.labels[topology.kubernetes.io/zone]"
	for fields, want := range map[string]string{
		"[spec.asNumber]":                    "must be an object of kinds, is [spec.asNumber]",
		"{Node: spec.asNumber}":              "Node must be a list of fields, is spec.asNumber",
		"{Node: []}":                         "Node must be a list of fields, is []",
		"{Node: [spec]}":                     "Node: spec" + path,
		"{Node: [status.phase]}":             "Node: status.phase" + path,
		"{Node: [spec.]}":                    "Node: spec." + path,
		"{Node: [spec..a]}":                  "Node: spec..a" + path,
		"{Node: [7]}":                        "Node: 7" + path,
		`{Node: ["metadata.labels[a"]}`:      "Node: metadata.labels[a" + path,
		`{Node: ["metadata.annotations[]"]}`: "Node: metadata.annotations[]" + path,
	} {
		t.Run(fields, func(t *testing.T) {
			_, err := withFields(t, fields)
			if want := "a/a.rego: METADATA custom.fields: " + want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
	_, err := libraryOf(t, map[string]string{"a/a.rego": strings.Replace(a(always), "judges: state", "judges: state\n#   fields: {Node: [spec.a]}", 1)})
	if want := "a/a.rego: METADATA custom.fields: is only for policies with judges: change"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
