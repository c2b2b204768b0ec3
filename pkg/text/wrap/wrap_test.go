package wrap

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	const url = "https://docs.tigera.io/calico/latest/networking/configuring/bgp"
	for name, test := range map[string]struct {
		line  string
		width int
		want  string
	}{
		"a short line":                             {"one two", 20, "one two"},
		"a line of exactly the width":              {"aaaaaaaaa bbbbbbbbbb", 20, "aaaaaaaaa bbbbbbbbbb"},
		"one column more":                          {"aaaaaaaaa bbbbbbbbbbb", 20, "aaaaaaaaa\n  bbbbbbbbbbb"},
		"an empty line":                            {"", 20, ""},
		"an indented line":                         {"    aaaa bbbb cccc dddd eeee", 20, "    aaaa bbbb cccc\n      dddd eeee"},
		"an indentation of more than the terminal": {strings.Repeat(" ", 30) + "aaaa bbbb", 20, strings.Repeat(" ", 30) + "aaaa\n          bbbb"},
		"a word of more than the width":            {"see " + url + " for more", 20, "see\n  " + url + "\n  for more"},
		"nothing but a long word":                  {"  " + url, 20, "  " + url},
		"words with hyphens":                       {"worker-1 worker-2 worker-3", 20, "worker-1 worker-2\n  worker-3"},
		"a row of a table":                         {"  IPv4  Node_10_0_0_2  10.0.0.2 (worker-1)", 20, "  IPv4  Node_10_0_0_2  10.0.0.2 (worker-1)"},
		"wide characters":                          {"节点一节点二 节点三节点四", 20, "节点一节点二\n  节点三节点四"},
		"wide characters that fit":                 {"节点一节点 节点三节", 20, "节点一节点 节点三节"},
		"an emoji of several runes":                {"aaaaaaaaaaaaaaa 👩‍👩‍👧 b", 20, "aaaaaaaaaaaaaaa 👩‍👩‍👧 b"},
		"combining characters":                     {"e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301", 20, "e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301 e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301e\u0301"},
		"colors":                                   {"  \x1b[31maaaa bbbb cccc dddd eeee\x1b[0m", 20, "  \x1b[31maaaa bbbb cccc\n    dddd eeee\x1b[0m"},
		"colors that fit":                          {"\x1b[31maaaa bbbb\x1b[0m \x1b[1;33mcccc dddd\x1b[0m", 20, "\x1b[31maaaa bbbb\x1b[0m \x1b[1;33mcccc dddd\x1b[0m"},
		"a color before the indentation":           {"\x1b[31m  aaaa bbbb cccc dddd\x1b[0m", 20, "\x1b[31m  aaaa bbbb cccc\n    dddd\x1b[0m"},
		"no UTF-8":                                 {"\xff\xfe aaaaaaaaaa bbbbbbbbbb", 20, "\xff\xfe aaaaaaaaaa\n  bbbbbbbbbb"},
		"a terminal with room for a word":          {"aaaa bbbb cccc dddd eeee", 19, "aaaa bbbb cccc dddd eeee"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Line(test.line, test.width); got != test.want {
				t.Errorf("got\n%q\nwant\n%q", got, test.want)
			}
		})
	}
}

func TestWriter(t *testing.T) {
	const (
		in   = "first aaaa bbbb cccc dddd\n\n  节点一节点二 节点三节点四\nlast aaaa bbbb cccc dddd"
		want = "first aaaa bbbb cccc\n  dddd\n\n  节点一节点二\n    节点三节点四\nlast aaaa bbbb cccc\n  dddd"
	)
	var b strings.Builder
	w := NewWriter(&b, 20)
	if n, err := io.Copy(struct{ io.Writer }{w}, iotest.OneByteReader(strings.NewReader(in))); err != nil || n != int64(len(in)) {
		t.Fatalf("%d bytes, error %v", n, err)
	}
	if err := w.Flush(); err != nil || b.String() != want {
		t.Errorf("error %v, got\n%s\nwant\n%s", err, b.String(), want)
	}
	if err := w.Flush(); err != nil || b.String() != want {
		t.Errorf("a second Flush wrote: error %v\n%s", err, b.String())
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriterReturnsErrors(t *testing.T) {
	w := NewWriter(full{}, 20)
	if _, err := io.WriteString(w, "a\n"); !errors.Is(err, errFull) {
		t.Errorf("Write: error %v", err)
	}
	if _, err := io.WriteString(w, "a"); err != nil {
		t.Errorf("Write of an incomplete line: error %v", err)
	}
	if err := w.Flush(); !errors.Is(err, errFull) {
		t.Errorf("Flush: error %v", err)
	}
}

// FuzzLine checks that breaking changes nothing but spaces, and that every part with more
// than one word fits.
func FuzzLine(f *testing.F) {
	const red = "R" // stands for a color: random escape characters are not control sequences
	f.Add("  a line of some words, 节点 e\u0301 RredR", 20)
	f.Add(strings.Repeat("ab ", 40), 33)
	f.Fuzz(func(t *testing.T, line string, width int) {
		if width > 1000 || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return // Texts for terminals have no such characters; see text.Clean.
		}
		line = strings.ReplaceAll(line, red, "\x1b[31m")
		got := Line(line, width)
		if strings.ReplaceAll(strings.ReplaceAll(got, "\n", ""), " ", "") != strings.ReplaceAll(line, " ", "") {
			t.Errorf("%q became %q", line, got)
		}
		if got == line {
			return
		}
		for part := range strings.SplitSeq(got, "\n") {
			// A color is no word.
			if words := strings.Fields(colors.ReplaceAllString(part, "")); len(words) > 1 && columnsOf.String(part) > width {
				t.Errorf("%q has %d columns, the terminal %d", part, columnsOf.String(part), width)
			}
		}
	})
}
