package admission

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// The API server shortens the warnings of a request to 256 runes each once they have more
// than 4,096 runes in all (k8s.io/apiserver/pkg/endpoints/filters/warning.go). Staying
// below both leaves room for the warnings of another webhook.
const (
	maxWarning  = 256
	maxWarnings = 4096
	// maxMore is room for the line that counts the omitted warnings.
	maxMore = len("and 1234567890 more warnings, see the audit log")
)

// warnings returns lines in the form that is sent: ASCII, without duplicates, within the
// limits of the API server. A last line counts the omitted ones. Lines are shortened only if
// all lines together take more than half of the limit. Their ends, which describe what to do,
// are therefore usually complete. last, "" for none, follows them and is never omitted.
func warnings(lines []string, last string) []string {
	var out []string
	total, longest := len(last), maxWarning
	for _, line := range lines {
		total += len(line)
	}
	if total <= maxWarnings/2 {
		longest = maxWarnings / 2
	}
	last = text.Cut(ascii(last), longest)
	total = len(last)
	for i, line := range lines {
		line = text.Cut(ascii(line), longest)
		if line == "" || slices.Contains(out, line) {
			continue
		}
		if total+len(line) > maxWarnings-maxMore {
			out = append(out, fmt.Sprintf("and %d more warnings, see the audit log", len(lines)-i))
			break
		}
		total += len(line)
		out = append(out, line)
	}
	if last != "" {
		out = append(out, last)
	}
	return out
}

// typographic replaces characters that people paste into YAML files by ASCII.
var typographic = strings.NewReplacer(
	"…", "...", "–", "-", "—", "-", "‘", "'", "’", "'", "“", `"`, "”", `"`, "\u00a0", " ", "→", "->",
)

// ascii replaces the characters that a Warning header cannot carry or a terminal should
// not show.
func ascii(line string) string {
	line = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		default:
			return r
		}
	}, typographic.Replace(line))
	return strings.TrimSpace(line)
}
