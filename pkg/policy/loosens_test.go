package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// Each parameter of the library has a direction, or is listed as unknown on purpose.
func TestEachParameterOfTheLibraryHasADirection(t *testing.T) {
	l, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range l.Definitions() {
		t.Run(d.Name, func(t *testing.T) {
			schema, _ := d.Parameters().(map[string]any)
			properties, _ := schema["properties"].(map[string]any)
			want, got := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(d.Loosens))
			if !slices.Equal(got, want) {
				t.Errorf("METADATA custom.loosens has %q, want %q", got, want)
			}
		})
	}
}

func TestLoosened(t *testing.T) {
	l, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	const window = `{"schedule":"0 22 * * *","duration":"2h"}`
	for name, test := range map[string]struct{ policy, old, parameters, loosened, unknown string }{
		"nothing":                {"mesh-node-limit", `{"maxNodes":100}`, ``, "", ""},
		"a higher maximum":       {"mesh-node-limit", ``, `{"maxNodes":200}`, "parameter maxNodes is 200, was 100", ""},
		"a lower maximum":        {"mesh-node-limit", ``, `{"maxNodes":99}`, "", ""},
		"a lower minimum":        {"route-reflectors-required", `{"minReflectors":3}`, ``, "parameter minReflectors is 2, was 3", ""},
		"a maximum is unset":     {"session-budget", `{"maxSessions":10}`, ``, "parameter maxSessions is unset, was 10", ""},
		"a maximum is set":       {"session-budget", ``, `{"maxSessions":10}`, "", ""},
		"a shorter minimum time": {"timer-safety", ``, `{"minRestartTime":"500ms"}`, `parameter minRestartTime is "500ms", was "30s"`, ""},
		"a longer minimum time":  {"timer-safety", ``, `{"minRestartTime":"1m"}`, "", ""},
		"the same time":          {"timer-safety", `{"minRestartTime":"60s"}`, `{"minRestartTime":"1m"}`, "", ""},
		"another exception":      {"timer-safety", `{"fastPeers":["a"]}`, `{"fastPeers":["b"]}`, `parameter fastPeers is ["b"], was ["a"]`, ""},
		"an exception is gone":   {"timer-safety", `{"fastPeers":["a","b"]}`, `{"fastPeers":["b"]}`, "", ""},
		"a check less":           {"felix-agreement", ``, `{"agreements":["somebody"]}`, `parameter agreements is ["somebody"], was ["somebody","one","priorities"]`, ""},
		"a switch is off":        {"external-peer-hygiene", ``, `{"requirePassword":false}`, "parameter requirePassword is false, was true", ""},
		"a switch is on":         {"external-peer-hygiene", `{"requirePassword":false}`, ``, "", ""},
		"another window":         {"change-window", ``, `{"windows":[` + window + `]}`, `parameter windows is [{"duration":"2h","schedule":"0 22 * * *"}], was []`, ""},
		"a window is gone":       {"change-window", `{"windows":[` + window + `]}`, ``, "", ""},
		"an unknown effect":      {"change-window", ``, `{"approval":{"annotation":"a"}}`, "", `parameter approval is {"annotation":"a"}, was {}`},
		"two parameters":         {"session-budget", ``, `{"maxSessionsPerNode":201,"maxSessions":7}`, "parameter maxSessionsPerNode is 201, was 200", ""},
	} {
		t.Run(name, func(t *testing.T) {
			loosened, unknown, err := l.Definition(test.policy).Loosened([]byte(test.old), []byte(test.parameters))
			if got := strings.Join(loosened, "; "); err != nil || got != test.loosened {
				t.Errorf("loosened: %q, %v, want %q", got, err, test.loosened)
			}
			if got := strings.Join(unknown, "; "); got != test.unknown {
				t.Errorf("unknown: %q, want %q", got, test.unknown)
			}
		})
	}
	if _, _, err := l.Definition("mesh-node-limit").Loosened([]byte(`{"maxNodes":"x"}`), nil); err == nil {
		t.Error("old parameters that do not match the schema are not an error")
	}
}

// A parameter without a direction has an unknown effect.
func TestAPolicyWithoutDirections(t *testing.T) {
	p, err := check(t, inline("a.rego", a(always)))
	if err != nil {
		t.Fatal(err)
	}
	_, unknown, err := p.Definition.Loosened([]byte(`{"name":"x"}`), []byte(`{"name":"y"}`))
	if want := []string{`parameter name is "y", was "x"`}; err != nil || !slices.Equal(unknown, want) {
		t.Errorf("got %q, %v, want %q", unknown, err, want)
	}
}

func TestInvalidDirections(t *testing.T) {
	for name, test := range map[string]struct{ loosens, want string }{
		"no object":           {"higher", "METADATA custom.loosens: must be an object of parameters, is higher"},
		"another parameter":   {"{size: higher}", "METADATA custom.loosens: size is not a parameter; known are limit, name"},
		"of another type":     {"{name: more}", "METADATA custom.loosens: name must be one of higher, lower, unknown for a parameter of type string, is more"},
		"an unknown word":     {"{name: up}", "METADATA custom.loosens: name must be one of higher, lower, unknown for a parameter of type string, is up"},
		"a known direction":   {"{name: higher}", ""},
		"an unknown effect":   {"{name: unknown}", ""},
		"none of a parameter": {"{}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(a(always), "#   judges:", "#   loosens: "+test.loosens+"\n#   judges:", 1)
			if text == a(always) {
				t.Fatal("the text has no judges")
			}
			_, err := check(t, inline("a.rego", text))
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}
