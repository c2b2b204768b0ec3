// Package bgpfilter evaluates BGPFilter rules: what they do with routes to a prefix, which
// prefixes they distinguish, and whether two lists of rules let the same routes pass.
//
// A route gets the action of the first rule whose conditions all hold
// (confd/pkg/resource/template/template_funcs.go). Conditions on the prefix divide the prefixes
// of a family into finitely many classes, of which one prefix each is evaluated. For Same, all
// other conditions count as independent: each may hold or not. Lists with a rule that is not
// understood, or with too many classes, are the same only if their rules are equal.
package bgpfilter

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
)

// Direction is that of the routes that rules act on.
type Direction int

// The directions.
const (
	Import Direction = iota
	Export
)

// maxWork bounds the steps of one comparison: about 10 ms.
const maxWork = 1 << 20

// work counts the steps of a comparison.
type work int

// add adds steps, and reports whether the comparison may go on.
func (w *work) add(steps int) bool {
	*w += work(steps)
	return *w <= maxWork
}

// maxConditions bounds the conditions that are not on the prefix, in one class of prefixes.
const maxConditions = 12

// Rules are the rules of BGPFilters for one family and one direction, in order.
type Rules struct {
	direction Direction
	bits      int // of an address
	list      []rule
	// opaque reports that the meaning of a rule is not known.
	opaque bool
	text   string
}

// rule is a rule as far as its meaning is known.
type rule struct {
	match   prefixes
	needs   []condition // all must hold
	outcome string      // "" for an import rule that does what happens without it
	effect  Effect
}

// Effect is the conditions of a rule that are not on the prefix, and what the rule does. A
// field that is not set is no condition.
type Effect struct {
	// Learned means that only routes that BGP peers sent match.
	Learned bool
	// EBGP and IBGP mean that only sessions of that kind match.
	EBGP, IBGP bool
	// Interface is a pattern for the name of the outgoing interface. It is never "*", which
	// every route matches.
	Interface string
	Community string
	// Path is the start of the AS path, the nearest AS number first.
	Path     []uint32
	Priority *uint32
	// Accept is false for a rule that rejects routes. The operations below change accepted
	// ones: Add are communities, Prepend AS numbers, the nearest first.
	Accept  bool
	Add     []string
	Prepend []uint32
	Set     *uint32 // the priority
	// Filter is the name of the BGPFilter, Index that of the rule in its field. See Named.
	Filter string
	Index  int
}

// condition is a condition that is not on the prefix.
type condition struct {
	what   string
	absent bool // it must not hold
}

// Parse returns the rules of a field of a BGPFilter, such as spec.exportV4. bits is the
// length of an address of the field's family, 32 or 128. old means a Calico before v3.32,
// which ignores the conditions and operations that v3.32 added: such a rule matches more
// routes than it says. Parse accepts any value: rules that BIRD or Calico do not accept, or
// that are newer than this package, have no known meaning.
func Parse(d Direction, bits int, field any, old bool) Rules {
	out := Rules{direction: d, bits: bits}
	if field == nil {
		return out
	}
	list, ok := field.([]any)
	if !ok {
		return Unknown(d, bits, fmt.Sprint(field))
	}
	var text bytes.Buffer
	for i, one := range list {
		sent, err := json.Marshal(one)
		if err != nil { // It was decoded from JSON.
			sent, out.opaque = fmt.Append(nil, one), true
		}
		text.Write(sent)
		text.WriteByte('\n')
		if parsed, ok := parseRule(d, bits, sent, old); ok {
			parsed.effect.Index = i
			out.list = append(out.list, parsed)
		} else {
			out.opaque = true
		}
	}
	out.text = text.String()
	if old && out.text != "" {
		out.text = "old " + out.text
	}
	return out
}

// Unknown returns rules that are not known, and equal only to others with the same name.
func Unknown(d Direction, bits int, name string) Rules {
	return Rules{direction: d, bits: bits, opaque: true, text: "unknown " + name + "\n"}
}

// Named returns the rules as those of a BGPFilter of a name, which is in their Effects.
func (r Rules) Named(name string) Rules {
	r.list = slices.Clone(r.list)
	for i := range r.list {
		r.list[i].effect.Filter = name
	}
	return r
}

// Join returns the rules of several BGPFilters, one after the other. All must have the
// direction and family of r.
func (r Rules) Join(next Rules) Rules {
	return Rules{
		direction: r.direction, bits: r.bits, list: slices.Concat(r.list, next.list),
		opaque: r.opaque || next.opaque, text: r.text + next.text,
	}
}

// Text returns the rules as JSON, one a line. Equal texts have equal meanings.
func (r Rules) Text() string { return r.text }

// Understood reports whether the meaning of all rules is known.
func (r Rules) Understood() bool { return !r.opaque }

// For returns the effects of the rules that match a prefix, in order: the first one whose
// conditions hold decides. It skips rules whose meaning is not known. O(rules).
func (r Rules) For(p netip.Prefix) []Effect {
	var out []Effect
	for _, one := range r.list {
		if one.match.has(p) {
			out = append(out, one.effect)
		}
	}
	return out
}

// AppendMatches appends to key which rules match a prefix. The effects of rules on two prefixes are
// equal if their keys are. Without accepts, the key has no rules at the end that only accept: it is
// for directions in which routes that no rule matches pass too. O(rules).
func (r Rules) AppendMatches(key []byte, p netip.Prefix, accepts bool) []byte {
	end := len(key)
	for i := range r.list {
		if one := &r.list[i]; one.match.has(p) {
			key = binary.AppendUvarint(key, uint64(i)+1)
			if accepts || !one.effect.onlyAccepts() {
				end = len(key)
			}
		}
	}
	return append(key[:end], 0)
}

// onlyAccepts reports whether the rule accepts routes without changing them.
func (e *Effect) onlyAccepts() bool {
	return e.Accept && len(e.Add) == 0 && len(e.Prepend) == 0 && e.Set == nil
}

// Paths returns the AS numbers in the conditions and operations of the rules.
func (r Rules) Paths() []uint32 {
	var out []uint32
	for _, one := range r.list {
		out = append(append(out, one.effect.Path...), one.effect.Prepend...)
	}
	return out
}

// Region is the prefixes inside CIDR that are in none of Except, which are sorted and do not
// overlap. Prefix is one of them.
type Region struct {
	CIDR   netip.Prefix
	Except []netip.Prefix
	Prefix netip.Prefix
}

// Regions returns the prefixes of a length inside a prefix, divided so that no CIDR of the rules
// and no further CIDR contains a part of a Region, and false if there are too many. The prefix must
// not be longer than length. O(CIDRs squared) at worst.
func Regions(within netip.Prefix, length int, further []netip.Prefix, lists ...Rules) ([]Region, bool) {
	cidrs := []netip.Prefix{within}
	add := func(c netip.Prefix) {
		if c.IsValid() && c.Bits() > within.Bits() && c.Bits() <= length && within.Contains(c.Addr()) {
			cidrs = append(cidrs, c)
		}
	}
	for _, c := range further {
		add(c)
	}
	for _, r := range lists {
		for _, one := range r.list {
			add(one.match.cidr)
		}
	}
	var w work
	var out []Region
	for i, c := range sorted(&cidrs) {
		within := inside(cidrs, i)
		if p, ok := free(c, length, within, &w); ok {
			out = append(out, Region{c, outermost(within), p})
		}
	}
	return out, w.add(0)
}

// outermost returns the CIDRs of a sorted list that no other contains.
func outermost(cidrs []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, c := range cidrs {
		if len(out) == 0 || !out[len(out)-1].Overlaps(c) {
			out = append(out, c)
		}
	}
	return out
}

// Same reports whether a and b, of one direction and family, let the same routes pass with
// the same changes. It returns false if this cannot be decided. O(CIDRs x lengths of prefixes
// in the rules x rules), at most about a million steps.
func Same(a, b Rules) bool {
	switch {
	case a.text == b.text:
		return true
	case a.opaque || b.opaque:
		return false
	}
	var w work
	for p := range representatives(a.bits, slices.Concat(a.list, b.list), &w) {
		if !w.add(len(a.list) + len(b.list)) {
			return false
		}
		left, right := a.live(p), b.live(p)
		if slices.EqualFunc(left, right, rule.equal) {
			continue
		}
		conditions := conditionsOf(left, right)
		if len(conditions) > maxConditions || !w.add((len(left)+len(right))<<len(conditions)) || !sameOutcomes(left, right, conditions) {
			return false
		}
	}
	return w.add(0)
}

// live returns the rules that routes to a prefix can reach and match. The last one of them
// is without conditions, if there is one.
func (r Rules) live(p netip.Prefix) []rule {
	var out []rule
	for _, one := range r.list {
		if !one.match.has(p) {
			continue
		}
		if len(one.needs) == 0 {
			if one.outcome != "" {
				out = append(out, one)
			}
			break
		}
		out = append(out, one)
	}
	// A rule that does what happens without it decides only for rules after it.
	for len(out) > 0 && out[len(out)-1].outcome == "" {
		out = out[:len(out)-1]
	}
	return out
}

// equal reports whether two rules that match the same prefix do the same.
func (r rule) equal(other rule) bool {
	return r.outcome == other.outcome && slices.Equal(r.needs, other.needs)
}

// conditionsOf returns what the rules depend on, without repetitions.
func conditionsOf(lists ...[]rule) []string {
	var out []string
	for _, list := range lists {
		for _, r := range list {
			for _, c := range r.needs {
				if !slices.Contains(out, c.what) {
					out = append(out, c.what)
				}
			}
		}
	}
	return out
}

// sameOutcomes reports whether both lists decide alike whichever conditions hold.
func sameOutcomes(a, b []rule, conditions []string) bool {
	for mask := range 1 << len(conditions) {
		holds := func(c condition) bool {
			return (mask&(1<<slices.Index(conditions, c.what)) != 0) != c.absent
		}
		if outcome(a, holds) != outcome(b, holds) {
			return false
		}
	}
	return true
}

func outcome(list []rule, holds func(condition) bool) string {
	for _, r := range list {
		if !slices.ContainsFunc(r.needs, func(c condition) bool { return !holds(c) }) {
			return r.outcome
		}
	}
	return ""
}

// document is a rule as it is in a BGPFilter.
type document struct {
	Action        string `json:"action"`
	MatchOperator string `json:"matchOperator"`
	CIDR          string `json:"cidr"`
	PrefixLength  *struct {
		Min *int `json:"min"`
		Max *int `json:"max"`
	} `json:"prefixLength"`
	Source      string `json:"source"`
	Interface   string `json:"interface"`
	PeerType    string `json:"peerType"`
	Communities *struct {
		Values []string `json:"values"`
	} `json:"communities"`
	ASPathPrefix []json.Number     `json:"asPathPrefix"`
	Priority     *int              `json:"priority"`
	Operations   []json.RawMessage `json:"operations"`
}

// operation is an entry of the operations of a rule.
type operation struct {
	AddCommunity *struct {
		Value string `json:"value"`
	} `json:"addCommunity"`
	PrependASPath *struct {
		Prefix []uint32 `json:"prefix"`
	} `json:"prependASPath"`
	SetPriority *struct {
		Value uint32 `json:"value"`
	} `json:"setPriority"`
}

// parseRule returns a rule, and false if its meaning is not known.
func parseRule(d Direction, bits int, sent []byte, old bool) (rule, bool) {
	var doc document
	decoder := json.NewDecoder(bytes.NewReader(sent))
	decoder.DisallowUnknownFields()
	if decoder.Decode(&doc) != nil {
		return rule{}, false
	}
	if old {
		doc.PeerType, doc.Communities, doc.ASPathPrefix, doc.Priority, doc.Operations = "", nil, nil, nil, nil
	}
	var out rule
	var ok bool
	if out.match, ok = parsePrefixes(bits, &doc); !ok {
		return rule{}, false
	}
	if out.needs, ok = out.effect.parse(d, &doc); !ok {
		return rule{}, false
	}
	if failing(bits, &doc) { // The condition on the prefix is the first.
		out.needs, out.effect = nil, Effect{}
	}
	operations, err := json.Marshal(doc.Operations)
	switch {
	case err != nil:
		return rule{}, false
	case doc.Action == "Reject" && len(doc.Operations) == 0:
		out.outcome = "Reject"
	case doc.Action == "Accept" && len(doc.Operations) > 0:
		out.outcome = "Accept " + string(operations)
	case doc.Action == "Accept" && d == Export:
		out.outcome = "Accept"
	case doc.Action != "Accept":
		return rule{}, false
	}
	out.effect.Accept = doc.Action == "Accept"
	return out, out.effect.operate(doc.Operations)
}

// operate sets the operations of an effect. It returns false if one is not understood.
func (e *Effect) operate(list []json.RawMessage) bool {
	for _, sent := range list {
		var one operation
		decoder := json.NewDecoder(bytes.NewReader(sent))
		decoder.DisallowUnknownFields()
		if decoder.Decode(&one) != nil {
			return false
		}
		switch {
		case one.AddCommunity != nil:
			e.Add = append(e.Add, one.AddCommunity.Value)
		case one.PrependASPath != nil:
			e.Prepend = slices.Concat(one.PrependASPath.Prefix, e.Prepend)
		case one.SetPriority != nil:
			e.Set = &one.SetPriority.Value
		default:
			return false
		}
	}
	return true
}

// parse sets the conditions of an effect, and returns them for comparisons.
func (e *Effect) parse(d Direction, doc *document) (out []condition, ok bool) {
	switch doc.Source {
	case "":
	case "RemotePeers":
		if d == Export { // All imported routes come from peers.
			e.Learned = true
			out = append(out, condition{what: "source"})
		}
	default:
		return nil, false
	}
	if doc.Interface != "" && doc.Interface != "*" {
		e.Interface = doc.Interface
		out = append(out, condition{what: "interface " + doc.Interface})
	}
	switch doc.PeerType { // Calico ignores other values.
	case "eBGP":
		e.EBGP = true
		out = append(out, condition{what: "eBGP"})
	case "iBGP":
		e.IBGP = true
		out = append(out, condition{what: "eBGP", absent: true})
	}
	if doc.Communities != nil {
		if len(doc.Communities.Values) != 1 || doc.Communities.Values[0] == "" {
			return nil, false
		}
		e.Community = doc.Communities.Values[0]
		out = append(out, condition{what: "community " + e.Community})
	}
	for _, text := range doc.ASPathPrefix {
		asn, err := strconv.ParseUint(text.String(), 10, 32)
		if err != nil {
			return nil, false
		}
		e.Path = append(e.Path, uint32(asn))
	}
	if len(e.Path) > 0 {
		out = append(out, condition{what: fmt.Sprint("AS path ", e.Path)})
	}
	if doc.Priority != nil {
		if *doc.Priority < 0 || *doc.Priority > math.MaxInt32 {
			return nil, false
		}
		priority := uint32(*doc.Priority)
		e.Priority = &priority
		out = append(out, condition{what: "priority " + strconv.Itoa(*doc.Priority)})
	}
	return out, true
}
