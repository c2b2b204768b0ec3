package report

import (
	"fmt"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// Short names for functions of pkg/text.
var (
	clean  = text.Clean
	names  = text.Names
	number = text.Number
	either = text.Either
	// Count writes "1 node" or "7,140 nodes".
	Count = text.Count
)

// nodes counts nodes and names the first few: "3 nodes (a, b, c)".
func nodes(n int, sample []string) string {
	if len(sample) == 0 {
		return Count(n, "node")
	}
	return fmt.Sprintf("%s (%s)", Count(n, "node"), names(sample, n))
}
