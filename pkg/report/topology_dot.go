package report

import (
	"fmt"
	"io"
	"strings"
)

// writeTopologyDOT writes the graph of t in Graphviz's DOT
// (https://graphviz.org/doc/info/lang.html).
func writeTopologyDOT(w io.Writer, t *Topology) error {
	p := newPicture(t.Graph)
	var b strings.Builder
	b.WriteString("graph topology {\n" +
		"  graph [fontname=\"Helvetica,Arial,sans-serif\", nodesep=0.6, ranksep=1];\n" +
		"  node [fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, style=filled, fontcolor=\"#111111\", margin=\"0.3,0.1\"];\n" +
		"  edge [fontname=\"Helvetica,Arial,sans-serif\", fontsize=11];\n")
	if p.sideways() {
		b.WriteString("  rankdir=LR;\n")
	}
	for _, s := range p.shapes {
		fmt.Fprintf(&b, "  %s [label=%s, %s];\n", dotQuote(s.id), dotQuote(s.lines()...), lookOf(roles, s.role).dot)
	}
	ends := p.downwards()
	for _, l := range p.links {
		from, to := ends(l)
		fmt.Fprintf(&b, "  %s -- %s [label=%s, tooltip=%s, %s];\n",
			dotQuote(from), dotQuote(to), dotQuote(linkText(l)), dotQuote(linkSources(l)), lookOf(kinds, l.Kind).dot)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
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
