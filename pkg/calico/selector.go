package calico

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bits-and-blooms/bitset"
	"github.com/projectcalico/calico/libcalico-go/lib/selector/parser"
)

// Selector is a parsed Calico selector.
type Selector struct {
	root   parser.Selector
	labels []string
	// onlyHas are those of labels that the selector reads by has() and by no other operator.
	onlyHas []string
}

// The bounds of a selector. Calico's parser keeps many times the length in memory, and calls
// itself for each level of nesting, so that a long selector exhausts the memory or the stack
// of the process.
const (
	// MaxSelectorLength is in bytes.
	MaxSelectorLength = 64 << 10
	// MaxSelectorDepth is in levels. Each open parenthesis is one, and so is each "!" in
	// front of what it negates. Conditions joined by && or || are on one level.
	MaxSelectorDepth = 64
)

// SelectorBoundError means that a selector is too long or nested too deep. What it selects is
// not known.
type SelectorBoundError struct {
	// Found and Limit are the number that was found and the largest accepted one.
	Found, Limit int
	// Unit is what they count, in the plural.
	Unit string
}

// Error returns both numbers. It does not contain the selector.
func (e *SelectorBoundError) Error() string {
	return fmt.Sprintf("has %d %s, and a selector can have at most %d", e.Found, e.Unit, e.Limit)
}

// checkBounds returns a *SelectorBoundError if text exceeds a bound. O(length), without
// recursion. ParseSelector calls it before the parser reads text.
func checkBounds(text string) error {
	if len(text) > MaxSelectorLength {
		return &SelectorBoundError{len(text), MaxSelectorLength, "bytes"}
	}
	if depth := selectorDepth(text); depth > MaxSelectorDepth {
		return &SelectorBoundError{depth, MaxSelectorDepth, "levels of nesting"}
	}
	return nil
}

// selectorDepth returns the largest number of levels around any part of a selector, which need
// not parse.
func selectorDepth(text string) int {
	deepest, depth := 0, 0
	negations := 0   // directly before the present position
	var opened []int // the levels of each open parenthesis, with the negations before it
	for i, quote := 0, byte(0); i < len(text); i++ {
		c := text[i]
		if quote != 0 {
			if c == quote {
				quote = 0
			}
			continue
		}
		switch c {
		case ' ', '\t':
		case '!':
			if i+1 < len(text) && text[i+1] == '=' {
				i++
				negations = 0
				continue
			}
			negations++
		case '(':
			opened = append(opened, negations+1)
			depth += negations + 1
			negations = 0
		case ')':
			if n := len(opened); n > 0 {
				depth -= opened[n-1]
				opened = opened[:n-1]
			}
			negations = 0
		default:
			if c == '\'' || c == '"' {
				quote = c
			}
			negations = 0
		}
		deepest = max(deepest, depth+negations)
	}
	return deepest
}

// ParseSelector parses text with Calico's parser. It rejects newlines outside strings, as
// Calico's current parser does; the parser of v3.23, which this package uses, accepts some.
// The error is a *SelectorBoundError if text exceeds MaxSelectorLength or MaxSelectorDepth.
func ParseSelector(text string) (*Selector, error) {
	if err := checkBounds(text); err != nil {
		return nil, err
	}
	if newlineOutsideString(text) {
		return nil, errors.New("a newline is not allowed in a selector")
	}
	root, err := parser.Parse(text)
	if err != nil {
		// Some of the parser's messages end with a dump of its token.
		reason, _, _ := strings.Cut(err.Error(), " not {")
		return nil, errors.New(reason)
	}
	v := &labelNames{names: []string{}}
	root.AcceptVisitor(v)
	slices.Sort(v.names)
	s := &Selector{root: root, labels: slices.Compact(v.names)}
	for _, label := range s.labels {
		if slices.Contains(v.has, label) && !slices.Contains(v.compared, label) {
			s.onlyHas = append(s.onlyHas, label)
		}
	}
	return s, nil
}

// Labels returns the names of the labels that the selector reads, sorted. The slice must not
// be changed.
func (s *Selector) Labels() []string { return s.labels }

// labelNames collects the labels that a selector reads: all, those that it reads by has(),
// and those that it reads by other operators.
type labelNames struct{ names, has, compared []string }

// Visit implements parser.Visitor.
func (v *labelNames) Visit(n any) {
	label := labelOf(n)
	if label == "" {
		return
	}
	v.names = append(v.names, label)
	if _, ok := n.(*parser.HasNode); ok {
		v.has = append(v.has, label)
	} else {
		v.compared = append(v.compared, label)
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

// negative are the values of a label that a user sets to state that an item does not have a
// property. has() matches them like all other values.
var negative = []string{"false", "off", "disabled"}

// isNegative reports whether value is one of negative, in any case.
func isNegative(value string) bool {
	return slices.ContainsFunc(negative, func(n string) bool { return strings.EqualFold(n, value) })
}

// ReadsHas reports whether Unintended can match labels.
func (s *Selector) ReadsHas() bool { return len(s.onlyHas) > 0 }

// Unintended reports whether the selector matches labels only because has() also matches a
// label with the value "false", "off" or "disabled".
func (s *Selector) Unintended(labels map[string]string) bool {
	if !s.ReadsHas() || !s.Matches(labels) {
		return false
	}
	return !s.root.EvaluateLabels(meant{parser.MapAsLabels(labels), s.onlyHas})
}

// meant is labels without those whose value is negative, of the labels in names.
type meant struct {
	parser.Labels
	names []string
}

// Get implements parser.Labels.
func (m meant) Get(name string) (string, bool) {
	value, ok := m.Labels.Get(name)
	if ok && slices.Contains(m.names, name) && isNegative(value) {
		return "", false
	}
	return value, ok
}

// SelectUnintended returns the items in u whose labels Unintended matches, of the items that
// Select returned. It costs the same as Select.
func (s *Selector) SelectUnintended(u Universe, selected *bitset.BitSet) *bitset.BitSet {
	if !s.ReadsHas() {
		return bitset.New(u.Len())
	}
	return selected.Difference(s.Select(meantUniverse{u, s.onlyHas}))
}

// meantUniverse is a Universe without the labels whose value is negative, of the labels in
// names. A selector reads these labels by has() only, so Having needs no change.
type meantUniverse struct {
	Universe
	names []string
}

// Where implements Universe.
func (u meantUniverse) Where(label string, match func(value string, present bool) bool) *bitset.BitSet {
	if !slices.Contains(u.names, label) {
		return u.Universe.Where(label, match)
	}
	return u.Universe.Where(label, func(value string, present bool) bool {
		if isNegative(value) {
			return match("", false)
		}
		return match(value, present)
	})
}

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
