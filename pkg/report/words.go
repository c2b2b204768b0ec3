package report

import (
	"fmt"
	"slices"
	"strings"

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

// nodesInText is the number of nodes that a line of text names, unless all are asked for.
const nodesInText = 10

// named reports whether a message has the names of all nodes that it is about.
func named(message string, nodes []string) bool {
	return len(nodes) <= nodesInText && !slices.ContainsFunc(nodes, func(n string) bool { return !strings.Contains(message, n) })
}

// nodesText returns a line with the names of the nodes that a message is about: all, or at
// most nodesInText. It is "" if the message has them.
func nodesText(message string, nodes []string, all bool) string {
	if named(message, nodes) {
		return ""
	}
	shown := nodes
	if !all {
		shown = nodes[:min(len(nodes), nodesInText)]
	}
	line := Count(len(nodes), "node") + ": " + clean(strings.Join(shown, ", "))
	if more := len(nodes) - len(shown); more > 0 {
		line += fmt.Sprintf(" and %s more (--all names them)", number(more))
	}
	return line
}
