package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bgpguard/bgpguard/pkg/words"
)

// number, either and Count are words', under names that read well here.
var (
	number = words.Number
	either = words.Either
	// Count writes "1 node" or "7,140 nodes".
	Count = words.Count
)

// names lists the first few names of total, so that none of them can draw.
func names(sample []string, total int) string {
	cleaned := make([]string, len(sample))
	for i, s := range sample {
		cleaned[i] = clean(s)
	}
	return words.SomeOf(cleaned, total)
}

// nodes counts nodes and names the first few of them.
func nodes(n int, sample []string) string {
	if len(sample) == 0 {
		return Count(n, "node")
	}
	return fmt.Sprintf("%s (%s)", Count(n, "node"), names(sample, n))
}

// clean writes what does not print, such as the escape that begins a terminal's
// control sequence, the way that Go does, so that no name can draw. What is no
// UTF-8 becomes the character that stands for it.
func clean(s string) string {
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

// asn is an AS number as people write it.
func asn(n uint32) string { return "AS " + strconv.FormatUint(uint64(n), 10) }
