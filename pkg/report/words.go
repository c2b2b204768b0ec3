package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

var english = message.NewPrinter(language.English)

// number writes n with thousands separators: "7,140".
func number(n int) string { return english.Sprintf("%d", n) }

// Count writes "1 node" or "7,140 nodes"; many is the plural where an "s" does
// not make it.
func Count(n int, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return number(n) + " " + many[0]
	default:
		return number(n) + " " + one + "s"
	}
}

// either is one for 1 and many for all other numbers.
func either(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// names lists the first few names of total: "a, b and 4,977 more".
func names(sample []string, total int) string {
	cleaned := make([]string, len(sample))
	for i, s := range sample {
		cleaned[i] = clean(s)
	}
	text := strings.Join(cleaned, ", ")
	switch rest := total - len(sample); {
	case rest <= 0:
		return text
	case text == "":
		return number(total)
	default:
		return text + " and " + number(rest) + " more"
	}
}

// nodes counts nodes and names the first few of them.
func nodes(n int, sample []string) string {
	if len(sample) == 0 {
		return Count(n, "node")
	}
	return fmt.Sprintf("%s (%s)", Count(n, "node"), names(sample, n))
}

// clean writes what does not print, such as the escape that begins a terminal's
// control sequence, the way that Go does, so that no name can draw.
func clean(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// asn is an AS number as people write it.
func asn(n uint32) string { return "AS " + strconv.FormatUint(uint64(n), 10) }
