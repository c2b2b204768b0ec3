package calico

import (
	"errors"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"
	"github.com/projectcalico/calico/libcalico-go/lib/selector/parser"
)

// Selector is a parsed Calico selector.
type Selector struct {
	root   parser.Selector
	labels []string
}

// ParseSelector parses text with Calico's parser. It rejects newlines outside strings, as
// Calico's current parser does; the parser of v3.23, which this package uses, accepts some.
func ParseSelector(text string) (*Selector, error) {
	if newlineOutsideString(text) {
		return nil, errors.New("a newline is not allowed in a selector")
	}
	root, err := parser.Parse(text)
	if err != nil {
		// Some of the parser's messages end with a dump of its token.
		reason, _, _ := strings.Cut(err.Error(), " not {")
		return nil, errors.New(reason)
	}
	v := &labelNames{[]string{}}
	root.AcceptVisitor(v)
	slices.Sort(v.names)
	return &Selector{root, slices.Compact(v.names)}, nil
}

// Labels returns the names of the labels that the selector reads, sorted. The slice must not
// be changed.
func (s *Selector) Labels() []string { return s.labels }

// labelNames collects the labels that a selector reads.
type labelNames struct{ names []string }

// Visit implements parser.Visitor.
func (v *labelNames) Visit(n any) {
	if label := labelOf(n); label != "" {
		v.names = append(v.names, label)
	}
}

func newlineOutsideString(text string) bool {
	quote := byte(0)
	for i := range len(text) {
		switch c := text[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '\n' || c == '\r':
			return true
		}
	}
	return false
}

// Matches reports whether the selector matches labels.
func (s *Selector) Matches(labels map[string]string) bool { return s.root.Evaluate(labels) }

// Universe is a set of numbered items with labels. The caller may change the sets that its
// methods return.
type Universe interface {
	// Len returns the number of items. Items are numbered from 0.
	Len() uint
	// Having returns the items whose label has one of the values.
	Having(label string, values ...string) *bitset.BitSet
	// Where returns the items for which match returns true. match receives the value of
	// the label, or "" and present false for items without the label. Where calls match
	// once for each distinct value.
	Where(label string, match func(value string, present bool) bool) *bitset.BitSet
}

// Select returns the items in u that the selector matches. It needs a few set operations for
// each condition in the selector. Select looks up equality and set membership, and evaluates
// other conditions once for each distinct value.
func (s *Selector) Select(u Universe) *bitset.BitSet {
	v := &firstNode{}
	s.root.AcceptVisitor(v)
	return selectNode(v.node, u)
}

// firstNode records the first visited node, which is the root.
type firstNode struct{ node any }

// Visit implements parser.Visitor.
func (v *firstNode) Visit(n any) {
	if v.node == nil {
		v.node = n
	}
}

func selectNode(n any, u Universe) *bitset.BitSet {
	switch n := n.(type) {
	case *parser.AndNode:
		set := selectNode(n.Operands[0], u)
		for _, o := range n.Operands[1:] {
			set.InPlaceIntersection(selectNode(o, u))
		}
		return set
	case *parser.OrNode:
		set := selectNode(n.Operands[0], u)
		for _, o := range n.Operands[1:] {
			set.InPlaceUnion(selectNode(o, u))
		}
		return set
	case *parser.NotNode:
		return complement(selectNode(n.Operand, u), u.Len())
	case *parser.AllNode, *parser.GlobalNode:
		return complement(bitset.New(u.Len()), u.Len())
	case *parser.LabelEqValueNode:
		return u.Having(n.LabelName, n.Value)
	case *parser.LabelNeValueNode: // Also matches items without the label.
		return complement(u.Having(n.LabelName, n.Value), u.Len())
	case *parser.LabelInSetNode:
		return u.Having(n.LabelName, n.Value...)
	case *parser.LabelNotInSetNode:
		return complement(u.Having(n.LabelName, n.Value...), u.Len())
	}
	// All other nodes are conditions on one label. Calico's own code evaluates them.
	label := labelOf(n)
	leaf := n.(interface{ Evaluate(parser.Labels) bool })
	return u.Where(label, func(value string, present bool) bool {
		return leaf.Evaluate(oneLabel{label, value, present})
	})
}

func complement(s *bitset.BitSet, n uint) *bitset.BitSet {
	out := bitset.New(n)
	out.FlipRange(0, n)
	return out.Difference(s)
}

func labelOf(n any) string {
	switch n := n.(type) {
	case *parser.LabelEqValueNode:
		return n.LabelName
	case *parser.LabelNeValueNode:
		return n.LabelName
	case *parser.LabelContainsValueNode:
		return n.LabelName
	case *parser.LabelStartsWithValueNode:
		return n.LabelName
	case *parser.LabelEndsWithValueNode:
		return n.LabelName
	case *parser.LabelInSetNode:
		return n.LabelName
	case *parser.LabelNotInSetNode:
		return n.LabelName
	case *parser.HasNode:
		return n.LabelName
	}
	return "" // The pinned parser has no other node.
}

// oneLabel is a parser.Labels with one label, present or not.
type oneLabel struct {
	name, value string
	present     bool
}

// Get implements parser.Labels.
func (l oneLabel) Get(name string) (string, bool) {
	if name != l.name {
		return "", false
	}
	return l.value, l.present
}
