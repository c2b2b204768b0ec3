package text

import (
	"slices"
	"testing"
)

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		Number(7140):                       "7,140",
		Count(1, "node"):                   "1 node",
		Count(0, "node"):                   "0 nodes",
		Count(12497500, "node"):            "12,497,500 nodes",
		Count(2, "half", "halves"):         "2 halves",
		Either(1, "is", "are"):             "is",
		Either(0, "is", "are"):             "are",
		SomeOf([]string{"a", "b"}, 2):      "a, b",
		SomeOf([]string{"a", "b"}, 4979):   "a, b and 4,977 more",
		SomeOf(nil, 1500):                  "1,500",
		SomeOf(nil, 0):                     "",
		"one: " + SomeOf([]string{"a"}, 1): "one: a",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		width int
		want  []string
	}{
		"nothing":                  {" \n", 5, nil},
		"one line":                 {"a  b\nc", 5, []string{"a b c"}},
		"exactly the width":        {"ab cd ef", 5, []string{"ab cd", "ef"}},
		"a longer word":            {"a toolong b", 5, []string{"a", "toolong", "b"}},
		"characters are not bytes": {"ää öö ü", 5, []string{"ää öö", "ü"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Wrap(c.text, c.width); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
