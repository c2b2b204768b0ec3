package admission

import (
	"slices"
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	many := make([]string, 100)
	for i := range many {
		many[i] = strings.Repeat(string(rune('a'+i%26)), i+1)
	}
	tests := map[string]struct {
		lines, want []string
	}{
		"none":                                 {nil, nil},
		"a short one stays as it is":           {[]string{"[p] 2 nodes short"}, []string{"[p] 2 nodes short"}},
		"one that is said twice":               {[]string{"a", "a"}, []string{"a"}},
		"empty ones are dropped":               {[]string{"", " \n"}, nil},
		"typographic characters":               {[]string{"“x” – y… →"}, []string{`"x" - y... ->`}},
		"lines and tabs become spaces":         {[]string{"a\nb\tc"}, []string{"a b c"}},
		"what has no ASCII form":               {[]string{"node-ü \x1b[31m\x00"}, []string{"node-? ?[31m?"}},
		"a long one stays where there is room": {[]string{strings.Repeat("x", 2000)}, []string{strings.Repeat("x", 2000)}},
		"long ones are cut at a word": {[]string{strings.Repeat("word ", 60), strings.Repeat("word ", 400)},
			[]string{strings.TrimSpace(strings.Repeat("word ", 50)) + "..."}},
		"a very long one without words is cut, too": {[]string{strings.Repeat("x", 3000)}, []string{strings.Repeat("x", 253) + "..."}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := warnings(test.lines, ""); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}

	const more, see = "and 11 more warnings, see the audit log", "See https://example.com/a"
	for name, test := range map[string]struct {
		last string
		want []string
	}{
		"too many": {"", []string{more}}, "too many, with a last one": {see, []string{more, see}},
	} {
		t.Run(name, func(t *testing.T) {
			got := warnings(many, test.last)
			total := 0
			for _, w := range got {
				total += len(w)
				if len(w) > maxWarning {
					t.Errorf("a warning of %d bytes", len(w))
				}
			}
			if total > maxWarnings {
				t.Errorf("%d bytes of warnings", total)
			}
			if end := got[len(got)-len(test.want):]; !slices.Equal(end, test.want) {
				t.Errorf("they end with %q, want %q", end, test.want)
			}
		})
	}
	if got := warnings([]string{"a"}, see); !slices.Equal(got, []string{"a", see}) {
		t.Errorf("got %q", got)
	}
}
