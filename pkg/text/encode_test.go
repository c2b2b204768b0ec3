package text

import (
	"errors"
	"strings"
	"testing"
)

func TestJSONAndYAMLKeepStrings(t *testing.T) {
	v := struct {
		Zone string `json:"zone"`
		List []int  `json:"list"`
		None any    `json:"none,omitempty"`
	}{"<a> & \u2028 b: # c", []int{1, 2}, nil}
	for name, c := range map[string]struct {
		write func(*strings.Builder) error
		want  string
	}{
		"JSON": {
			func(b *strings.Builder) error { return JSON(b, v) },
			"{\n  \"zone\": \"<a> & \\u2028 b: # c\",\n  \"list\": [\n    1,\n    2\n  ]\n}\n",
		},
		"YAML": {
			func(b *strings.Builder) error { return YAML(b, v) },
			"list:\n- 1\n- 2\nzone: \"<a> & \\L b: # c\"\n",
		},
		"YAML of JSON": {
			func(b *strings.Builder) error { return YAMLOf(b, []byte(`{"b": "true", "a": 12345678901234567}`)) },
			"a: 12345678901234567\nb: \"true\"\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := c.write(&b); err != nil || b.String() != c.want {
				t.Errorf("got %q and %v, want %q", b.String(), err, c.want)
			}
		})
	}
}

// full takes nothing.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestErrorsAreReturned(t *testing.T) {
	for name, err := range map[string]error{"JSON": JSON(full{}, 1), "YAML": YAML(full{}, 1)} {
		t.Run(name, func(t *testing.T) {
			if !errors.Is(err, errFull) {
				t.Errorf("got %v, want %v", err, errFull)
			}
		})
	}
	var b strings.Builder
	for name, err := range map[string]error{"JSON": JSON(&b, func() {}), "YAML": YAML(&b, func() {}), "YAML of invalid JSON": YAMLOf(&b, []byte("{"))} {
		t.Run(name, func(t *testing.T) {
			if err == nil || b.Len() > 0 {
				t.Errorf("got error %v and output %q, want an error and no output", err, b.String())
			}
		})
	}
}
