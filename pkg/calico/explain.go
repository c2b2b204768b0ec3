package calico

import (
	"fmt"
	"strings"

	"github.com/projectcalico/calico/libcalico-go/lib/selector/parser"
)

// Clause is a condition of a selector, and the value that decides it.
type Clause struct {
	// Text is the condition, for example "rack == 'a'" or "!has(off)".
	Text string `json:"text"`
	// Label is the label that it reads, "" for all() and global(). Value is the value of the
	// label, nil if the labels do not have it.
	Label string  `json:"label"`
	Value *string `json:"value"`
}

// String returns the condition and what decides it.
func (c Clause) String() string {
	switch {
	case c.Label == "":
		return c.Text
	case c.Value == nil:
		return fmt.Sprintf("%s (no label %s)", c.Text, c.Label)
	default:
		return fmt.Sprintf("%s (%s is %q)", c.Text, c.Label, *c.Value)
	}
}

// Explain reports whether the selector matches some labels, and the clauses that decide
// this, in the order of the selector: of a selector that does not match, the clauses that
// fail, and of one that matches, those that hold. O(clauses).
func (s *Selector) Explain(labels map[string]string) (matches bool, clauses []Clause) {
	v := &firstNode{}
	s.root.AcceptVisitor(v)
	return explain(v.node, labels, false)
}

// explain explains a part of a selector. negated reports that it is below a negation.
func explain(n any, labels map[string]string, negated bool) (matches bool, clauses []Clause) {
	switch n := n.(type) {
	case *parser.AndNode:
		return explainAll(len(n.Operands), func(i int) (bool, []Clause) { return explain(n.Operands[i], labels, negated) }, true)
	case *parser.OrNode:
		return explainAll(len(n.Operands), func(i int) (bool, []Clause) { return explain(n.Operands[i], labels, negated) }, false)
	case *parser.NotNode:
		matches, clauses = explain(n.Operand, labels, !negated)
		return !matches, clauses
	}
	c := Clause{Text: clauseText(n), Label: labelOf(n)}
	if negated {
		c.Text = "!" + c.Text
		if strings.Contains(c.Text, " ") {
			c.Text = "!(" + c.Text[1:] + ")"
		}
	}
	if value, ok := labels[c.Label]; ok && c.Label != "" {
		c.Value = &value
	}
	return n.(interface{ Evaluate(parser.Labels) bool }).Evaluate(parser.MapAsLabels(labels)), []Clause{c}
}

// explainAll explains an AND or an OR of parts. The parts that decide the result are
// those with this result.
func explainAll(parts int, explain func(i int) (bool, []Clause), and bool) (matches bool, clauses []Clause) {
	matches = and
	found := map[bool][]Clause{}
	for i := range parts {
		one, of := explain(i)
		found[one] = append(found[one], of...)
		if one != and {
			matches = one
		}
	}
	return matches, found[matches]
}

// clauseText returns the text of a condition on one label.
func clauseText(n any) string {
	set := func(values []string) string {
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = "'" + v + "'"
		}
		return "{" + strings.Join(quoted, ", ") + "}"
	}
	switch n := n.(type) {
	case *parser.LabelEqValueNode:
		return fmt.Sprintf("%s == '%s'", n.LabelName, n.Value)
	case *parser.LabelNeValueNode:
		return fmt.Sprintf("%s != '%s'", n.LabelName, n.Value)
	case *parser.LabelContainsValueNode:
		return fmt.Sprintf("%s contains '%s'", n.LabelName, n.Value)
	case *parser.LabelStartsWithValueNode:
		return fmt.Sprintf("%s starts with '%s'", n.LabelName, n.Value)
	case *parser.LabelEndsWithValueNode:
		return fmt.Sprintf("%s ends with '%s'", n.LabelName, n.Value)
	case *parser.LabelInSetNode:
		return fmt.Sprintf("%s in %s", n.LabelName, set(n.Value))
	case *parser.LabelNotInSetNode:
		return fmt.Sprintf("%s not in %s", n.LabelName, set(n.Value))
	case *parser.HasNode:
		return fmt.Sprintf("has(%s)", n.LabelName)
	case *parser.GlobalNode:
		return "global()"
	default:
		return "all()"
	}
}
