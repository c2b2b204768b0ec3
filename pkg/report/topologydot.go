package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// writeTopologyDOT writes the graph of t in Graphviz's DOT
// (https://graphviz.org/doc/info/lang.html).
func writeTopologyDOT(w io.Writer, t *Topology) error {
	var b strings.Builder
	b.WriteString("graph topology {\n" +
		"  graph [fontname=\"Helvetica,Arial,sans-serif\", nodesep=0.6, ranksep=1];\n" +
		"  node [fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, style=filled, fontcolor=\"#111111\", margin=\"0.3,0.1\"];\n" +
		"  edge [fontname=\"Helvetica,Arial,sans-serif\", fontsize=11];\n")
	for _, o := range t.Graph.Externals {
		fmt.Fprintf(&b, "  %s [label=%s, %s];\n", dotQuote(o.ID), dotQuote(outsideLines(o)...), lookOf(roles, roleOutside).dot)
	}
	for _, g := range t.Graph.Groups {
		fmt.Fprintf(&b, "  %s [label=%s, %s];\n", dotQuote(g.ID), dotQuote(groupLines(g)...), lookOf(roles, g.Role).dot)
	}
	ends := downwards(t.Graph)
	for _, l := range t.Graph.Links {
		from, to := ends(l)
		fmt.Fprintf(&b, "  %s -- %s [label=%s, tooltip=%s, %s];\n",
			dotQuote(from), dotQuote(to), dotQuote(linkText(l)), dotQuote(linkSources(l)), lookOf(kinds, l.Kind).dot)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// linkSources names the objects behind a link.
func linkSources(l topology.Link) string {
	if len(l.Sources) == 0 {
		return "no object, by default"
	}
	sample := l.Sources[:min(len(l.Sources), topology.SampleSize)]
	return "by " + names(sample, len(l.Sources))
}

// dotQuote writes lines as one quoted string. A backslash begins an escape of
// labels, so it is doubled; what does not print is escaped already.
func dotQuote(lines ...string) string {
	quoted := make([]string, len(lines))
	for i, line := range lines {
		quoted[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean(line))
	}
	return `"` + strings.Join(quoted, `\n`) + `"`
}
