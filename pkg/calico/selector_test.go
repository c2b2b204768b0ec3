package calico

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/projectcalico/calico/libcalico-go/lib/selector/parser"
)

// nested returns a selector with a number of levels.
func nested(levels int) string {
	return strings.Repeat("(", levels) + "a == 'b'" + strings.Repeat(")", levels)
}

// sized returns a selector of a length in bytes.
func sized(length int) string {
	const around = "a == ''"
	return "a == '" + strings.Repeat("x", length-len(around)) + "'"
}

func TestBoundsOfASelector(t *testing.T) {
	const bytes, levels = "has %d bytes, and a selector can have at most 65536", "has %d levels of nesting, and a selector can have at most 64"
	for name, test := range map[string]struct {
		text, unit string
		found      int // 0 if the selector is in the bounds
	}{
		"the longest":                       {text: sized(65536)},
		"one byte more":                     {text: sized(65537), unit: bytes, found: 65537},
		"a megabyte of conditions":          {text: strings.Repeat("a == 'b' || ", 100_000) + "has(c)", unit: bytes, found: 1_200_006},
		"the deepest":                       {text: nested(64)},
		"one level more":                    {text: nested(65), unit: levels, found: 65},
		"a function is a level":             {text: strings.Repeat("(", 64) + "has(a)" + strings.Repeat(")", 64), unit: levels, found: 65},
		"negations":                         {text: strings.Repeat("!", 64) + "a == 'b'"},
		"one negation more":                 {text: strings.Repeat("! ", 65) + "a == 'b'", unit: levels, found: 65},
		"negated parentheses":               {text: strings.Repeat("!(", 33) + "a == 'b'" + strings.Repeat(")", 33), unit: levels, found: 66},
		"parentheses that are never closed": {text: strings.Repeat("(", 30_000), unit: levels, found: 30_000},
		"the deepest part decides":          {text: "has(a) && " + nested(65) + " && has(b)", unit: levels, found: 65},
		"levels that are closed":            {text: strings.Repeat("(has(a)) && ", 1000) + "has(a)"},
		"a chain on one level":              {text: strings.Repeat("a == 'b' || ", 5000) + "has(a) && has(b)"},
		"what is in strings":                {text: "a == '" + strings.Repeat("(", 100) + "' && b == \"" + strings.Repeat("!'(", 100) + "\""},
		"unequal is no negation":            {text: strings.Repeat("a != 'b' && ", 100) + "a != 'c'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSelector(test.text)
			if test.found == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			want := fmt.Sprintf(test.unit, test.found)
			if bound, ok := errors.AsType[*SelectorBoundError](err); !ok || err.Error() != want || bound.Found <= bound.Limit {
				t.Errorf("got %.200v, want %s", err, want)
			}
		})
	}
}

// A bound is an error of the field: what the selector selects is not known.
func TestASelectorOutOfBoundsDoesNotParse(t *testing.T) {
	for _, field := range []string{"nodeSelector", "peerSelector", "localWorkloadSelector"} {
		for _, version := range APIVersions {
			o, err := Decode(map[string]any{
				"apiVersion": version, "kind": "BGPPeer", "metadata": map[string]any{"name": "deep"},
				"spec": map[string]any{field: nested(200_000/2 - 4)},
			})
			want := "spec." + field + ": has 200000 bytes, and a selector can have at most 65536"
			if failed, ok := errors.AsType[*FieldError](err); !ok || failed.Error() != want {
				t.Errorf("%s in %s: %v, %.200v, want %s", field, version, o, err, want)
			}
		}
	}
}

// Any text ends in a selector or an error, and what the parser returns is nested no deeper than the bound.
func FuzzSelectorBounds(f *testing.F) {
	f.Add("!(", "has(a)", ")", uint16(40))
	f.Add("(", "a in {'x'}", ")", uint16(64))
	f.Add("a == '(' || ", "has(b)", "", uint16(4000))
	f.Fuzz(func(t *testing.T, before, inner, after string, times uint16) {
		text := strings.Repeat(before, int(times)) + inner + strings.Repeat(after, int(times))
		s, err := ParseSelector(text)
		if bound, ok := errors.AsType[*SelectorBoundError](err); ok && bound.Found <= bound.Limit {
			t.Errorf("%.200q is rejected by a bound that it does not exceed: %v", text, err)
		}
		if err != nil {
			return
		}
		root := &firstNode{}
		s.root.AcceptVisitor(root)
		// Between two parentheses are at most one ||, one && and one negation.
		if found := deepest(root.node); found > 3*(MaxSelectorDepth+1) {
			t.Errorf("%.200q has %d nodes inside each other", text, found)
		}
	})
}

// deepest returns the largest number of nodes of a selector inside each other.
func deepest(n any) int {
	found := 0
	switch n := n.(type) {
	case *parser.AndNode:
		for _, o := range n.Operands {
			found = max(found, deepest(o))
		}
	case *parser.OrNode:
		for _, o := range n.Operands {
			found = max(found, deepest(o))
		}
	case *parser.NotNode:
		found = deepest(n.Operand)
	}
	return found + 1
}
