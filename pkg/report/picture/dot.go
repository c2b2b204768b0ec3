package picture

import (
	"fmt"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// DOT returns p in Graphviz's DOT (https://graphviz.org/doc/info/lang.html).
func (p *Picture) DOT() string {
	var b strings.Builder
	b.WriteString("graph topology {\n" +
		"  graph [fontname=\"Helvetica,Arial,sans-serif\", nodesep=0.6, ranksep=1];\n" +
		"  node [fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, style=filled, fontcolor=\"#111111\", margin=\"0.3,0.1\"];\n" +
		"  edge [fontname=\"Helvetica,Arial,sans-serif\", fontsize=11];\n")
	if p.leftToRight() {
		b.WriteString("  rankdir=LR;\n")
	}
	for _, s := range p.Shapes {
		fmt.Fprintf(&b, "  %s [label=%s, %s];\n", dotQuote(s.ID), dotQuote(s.Lines()...), lookOf(roles, s.Role).dot+p.dotState(s.State, Same))
	}
	ends := p.ends()
	for _, l := range p.Links {
		from, to := ends(l)
		fmt.Fprintf(&b, "  %s -- %s [label=%s, tooltip=%s, %s];\n",
			dotQuote(from), dotQuote(to), dotQuote(LinkText(l)), dotQuote(LinkSources(l)), lookOf(kinds, l.Kind).dot+p.dotState(LinkState(l), ""))
	}
	b.WriteString("}\n")
	return b.String()
}

// dotState returns the attributes of a state in a picture of a change, "" for the state
// of most parts. Of two attributes with one name, Graphviz uses the last.
func (p *Picture) dotState(s, most State) string {
	if !p.Compares || s == most {
		return ""
	}
	return ", " + lookOf(states, string(s)).dot
}

// dotQuote returns lines as one quoted string. Backslashes are doubled, because they
// begin escape sequences of labels.
func dotQuote(lines ...string) string {
	quoted := make([]string, len(lines))
	for i, line := range lines {
		quoted[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text.Clean(line))
	}
	return `"` + strings.Join(quoted, `\n`) + `"`
}
