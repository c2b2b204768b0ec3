// Package text formats numbers, lists and other parts of messages for people, and
// values as JSON and YAML. It imports no other package of bgpguard.
package text

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

var english = message.NewPrinter(language.English)

// Number writes n with thousands separators: "7,140".
func Number(n int) string { return english.Sprintf("%d", n) }

// Count writes "1 node" or "7,140 nodes". many is the plural; the default is one with
// an "s".
func Count(n int, one string, many ...string) string {
	switch {
	case n == 1:
		return "1 " + one
	case len(many) > 0:
		return Number(n) + " " + many[0]
	default:
		return Number(n) + " " + one + "s"
	}
}

// Either returns one if n is 1, else many.
func Either(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// A returns a noun with its indefinite article: "a Node", "an IPPool". It decides by the first letter, which fits all kinds of
// objects and types of JSON.
func A(noun string) string {
	if noun != "" && strings.ContainsRune("AEIOUaeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

// SomeOf lists names and counts the rest of total: "a, b and 4,977 more". Without names,
// it returns only the number.
func SomeOf(names []string, total int) string {
	text := strings.Join(names, ", ")
	switch rest := total - len(names); {
	case rest <= 0:
		return text
	case text == "":
		return Number(total)
	default:
		return text + " and " + Number(rest) + " more"
	}
}

// Cut shortens s to at most limit bytes and ends a shortened text with "...". It cuts
// at a space if the second half has one, and never inside a character. The result is valid UTF-8: invalid bytes of s become U+FFFD.
func Cut(s string, limit int) string {
	const dots = "..."
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= limit {
		return s
	}
	if limit <= len(dots) {
		return dots[:max(limit, 0)]
	}
	end := limit - len(dots)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	short := s[:end]
	if i := strings.LastIndexByte(s[:end+1], ' '); i > limit/2 {
		short = s[:i]
	}
	return strings.TrimRight(short, " ,;:") + dots
}

// Names returns SomeOf of the names, each escaped by Clean.
func Names(sample []string, total int) string {
	cleaned := make([]string, len(sample))
	for i, name := range sample {
		cleaned[i] = Clean(name)
	}
	return SomeOf(cleaned, total)
}

// Clean escapes nonprintable characters as Go does, so that a name cannot contain a
// control sequence of a terminal. Invalid UTF-8 becomes the replacement character U+FFFD.
func Clean(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
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

// Wrap splits s into lines of at most width characters at white space. A longer word
// has its own line.
func Wrap(s string, width int) []string {
	var lines []string
	line, length := "", 0
	for word := range strings.FieldsSeq(s) {
		n := utf8.RuneCountInString(word)
		switch {
		case line == "":
			line, length = word, n
		case length+1+n > width:
			lines = append(lines, line)
			line, length = word, n
		default:
			line += " " + word
			length += 1 + n
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
