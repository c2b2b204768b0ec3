package admission

import (
	"fmt"
	"slices"
	"strings"
)

// The API server shortens the warnings of a request once they have more than
// 4,096 runes in all, and each of them then to 256
// (k8s.io/apiserver/pkg/endpoints/filters/warning.go). Keeping below both
// keeps what was written, also next to another webhook's warnings.
const (
	maxWarning  = 256
	maxWarnings = 4096
	// maxMore is room for the line that tells how many were left out.
	maxMore = len("and 1234567890 more warnings, see the audit log")
)

// warnings returns texts as they may be sent: ASCII, each once, within the
// API server's limits, with a last one that counts those left out. They are
// shortened only where all of them take more than half of what the API server
// lets pass, so that the end, which says what to do, is usually there.
func warnings(texts []string) []string {
	var out []string
	total, longest := 0, maxWarning
	for _, text := range texts {
		total += len(text)
	}
	if total <= maxWarnings/2 {
		longest = maxWarnings / 2
	}
	total = 0
	for i, text := range texts {
		text = cut(ascii(text), longest)
		if text == "" || slices.Contains(out, text) {
			continue
		}
		if total+len(text) > maxWarnings-maxMore {
			return append(out, fmt.Sprintf("and %d more warnings, see the audit log", len(texts)-i))
		}
		total += len(text)
		out = append(out, text)
	}
	return out
}

// typographic gives the ASCII form of what people paste into YAML files.
var typographic = strings.NewReplacer(
	"…", "...", "–", "-", "—", "-", "‘", "'", "’", "'", "“", `"`, "”", `"`, "\u00a0", " ", "→", "->",
)

// ascii returns text without anything that a Warning header may not carry or
// a terminal may not show.
func ascii(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		default:
			return r
		}
	}, typographic.Replace(text))
	return strings.TrimSpace(text)
}

// cut shortens text to limit bytes, at a word where there is one in its second
// half, and shows that it did.
func cut(text string, limit int) string {
	const dots = "..."
	if len(text) <= limit {
		return text
	}
	short := text[:limit-len(dots)]
	if i := strings.LastIndexByte(short, ' '); i > limit/2 {
		short = short[:i]
	}
	// A rune that the cut went through is dropped.
	return strings.ToValidUTF8(strings.TrimRight(short, " ,;:"), "") + dots
}
