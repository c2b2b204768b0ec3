package text

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
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
		A("Node"):                          "a Node",
		A("IPPool"):                        "an IPPool",
		A("array"):                         "an array",
		A(""):                              "a ",
		SomeOf([]string{"a", "b"}, 2):      "a, b",
		SomeOf([]string{"a", "b"}, 4979):   "a, b and 4,977 more",
		SomeOf(nil, 1500):                  "1,500",
		SomeOf(nil, 0):                     "",
		Names([]string{"a\x1b"}, 2):        `a\x1b and 1 more`,
		"one: " + SomeOf([]string{"a"}, 1): "one: a",
	} {
		t.Run(cmp.Or(want, "nothing"), func(t *testing.T) {
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestCut(t *testing.T) {
	for name, c := range map[string]struct {
		in    string
		limit int
		want  string
	}{
		"a short text stays":                     {"two words", 9, "two words"},
		"a long one is cut at a word":            {"one two three four", 16, "one two three..."},
		"not inside a word, where that is short": {"one two three four", 17, "one two three..."},
		"not at a space in the first half":       {"a bcdefghijklmnop", 10, "a bcdef..."},
		"without the punctuation before the cut": {"first part; second part", 15, "first part..."},
		"between characters":                     {strings.Repeat("ü", 10), 10, "üüü..."},
		"an invalid byte is replaced":            {"a\xffb", 10, "a\ufffdb"},
		"and counts with its replacement":        {"abcdefgh\xff", 10, "abcdefg..."},
		"no room for more than the dots":         {"abcdef", 3, "..."},
		"less room than that":                    {"abcdef", 2, ".."},
		"none":                                   {"abcdef", 0, ""},
		"a limit that makes no sense":            {"abcdef", -1, ""},
		"the empty text":                         {"", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Cut(c.in, c.limit); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzCut(f *testing.F) {
	f.Add("some words, and more", 8)
	f.Add("\xff\xfe…", 4)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		got := Cut(s, limit)
		if !utf8.ValidString(got) || len(got) > max(limit, 0) {
			t.Errorf("%q, limit %d: got %q", s, limit, got)
		}
	})
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
