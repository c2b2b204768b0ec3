package report

import (
	"fmt"
	"strconv"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// clean, number, either and Count are words', under names that read well here.
var (
	clean  = text.Clean
	number = text.Number
	either = text.Either
	// Count writes "1 node" or "7,140 nodes".
	Count = text.Count
)

// names lists the first few names of total, so that none of them can draw.
func names(sample []string, total int) string {
	cleaned := make([]string, len(sample))
	for i, s := range sample {
		cleaned[i] = clean(s)
	}
	return text.SomeOf(cleaned, total)
}

// nodes counts nodes and names the first few of them.
func nodes(n int, sample []string) string {
	if len(sample) == 0 {
		return Count(n, "node")
	}
	return fmt.Sprintf("%s (%s)", Count(n, "node"), names(sample, n))
}

// asn is an AS number as people write it.
func asn(n uint32) string { return "AS " + strconv.FormatUint(uint64(n), 10) }
