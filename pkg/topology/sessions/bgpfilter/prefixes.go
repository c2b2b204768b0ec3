package bgpfilter

import (
	"iter"
	"net/netip"
	"slices"
)

// prefixes is a set of prefixes: those inside cidr whose length is in a range, or all others.
type prefixes struct {
	cidr     netip.Prefix
	min, max int // lengths; the set is empty if min > max
	negated  bool
}

// all is the set of all prefixes.
var all = prefixes{min: 1, negated: true}

// has reports whether the set contains a prefix.
func (s prefixes) has(p netip.Prefix) bool {
	inside := s.min <= p.Bits() && p.Bits() <= s.max && p.Bits() >= s.cidr.Bits() && s.cidr.Contains(p.Addr())
	return inside != s.negated
}

// parsePrefixes returns the prefixes that a rule matches, and false if BIRD or Calico reject
// the rule, or if it is an error for every route that reaches it.
func parsePrefixes(bits int, doc *document) (prefixes, bool) {
	if doc.CIDR == "" {
		// Calico ignores matchOperator and prefixLength without a CIDR.
		return all, true
	}
	if failing(bits, doc) {
		doc.Action, doc.Operations = "Reject", nil
		return all, true
	}
	cidr, err := netip.ParsePrefix(doc.CIDR)
	if err != nil || cidr != cidr.Masked() || cidr.Addr().BitLen() != bits {
		return prefixes{}, false
	}
	out := prefixes{cidr: cidr, min: cidr.Bits(), max: bits}
	lengths := doc.PrefixLength
	if lengths != nil {
		if lengths.Min != nil {
			out.min = max(out.min, *lengths.Min)
		}
		if lengths.Max != nil {
			out.max = min(out.max, *lengths.Max)
		}
		if out.min > out.max || out.min > bits || out.max < cidr.Bits() {
			return prefixes{}, false
		}
	}
	switch doc.MatchOperator {
	case "In":
	case "NotIn":
		out.negated = true
	case "Equal", "NotEqual":
		out.min, out.max = cidr.Bits(), cidr.Bits()
		if lengths != nil { // BIRD compares a prefix with a set: they are never equal.
			out.min, out.max = 1, 0
		}
		out.negated = doc.MatchOperator == "NotEqual"
	default:
		return prefixes{}, false
	}
	return out, true
}

// failing reports whether BIRD accepts the condition on the prefix and fails to evaluate it. It
// then rejects every route that reaches the rule (filter/filter.c).
func failing(bits int, doc *document) bool {
	if address, err := netip.ParseAddr(doc.CIDR); err == nil {
		return address.BitLen() == bits && doc.PrefixLength == nil && (doc.MatchOperator == "In" || doc.MatchOperator == "NotIn")
	}
	cidr, err := netip.ParsePrefix(doc.CIDR)
	return err == nil && bits == 128 && cidr.Addr().Is4() && cidr == cidr.Masked() && doc.PrefixLength == nil &&
		(doc.MatchOperator == "In" || doc.MatchOperator == "NotIn")
}

// representatives returns at least one prefix of each class of prefixes that the rules
// distinguish, as far as w permits. Two prefixes are in one class if the same CIDR is the
// smallest one that contains them, and the same ranges contain their lengths.
func representatives(bits int, list []rule, w *work) iter.Seq[netip.Prefix] {
	root := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if bits == 128 {
		root = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	cidrs, lengths := []netip.Prefix{root}, []int{0}
	for _, r := range list {
		if !r.match.cidr.IsValid() {
			continue
		}
		cidrs = append(cidrs, r.match.cidr)
		lengths = append(lengths, r.match.cidr.Bits(), r.match.cidr.Bits()+1, r.match.min, r.match.max+1)
	}
	slices.Sort(lengths)
	lengths = slices.Compact(lengths)
	return func(yield func(netip.Prefix) bool) {
		for i, c := range sorted(&cidrs) {
			taken := inside(cidrs, i)
			for _, length := range lengths {
				if length < c.Bits() || length > bits {
					continue
				}
				if p, ok := free(c, length, taken, w); ok && !yield(p) {
					return
				}
			}
		}
	}
}

// sorted sorts CIDRs and removes repetitions. A CIDR comes before those inside it.
func sorted(cidrs *[]netip.Prefix) []netip.Prefix {
	slices.SortFunc(*cidrs, netip.Prefix.Compare)
	*cidrs = slices.Compact(*cidrs)
	return *cidrs
}

// inside returns the CIDRs inside the one of a number, which follow it.
func inside(cidrs []netip.Prefix, i int) []netip.Prefix {
	end := i + 1
	for end < len(cidrs) && cidrs[i].Overlaps(cidrs[end]) {
		end++
	}
	return cidrs[i+1 : end]
}

// free returns a prefix of a length inside p that none of taken contains, and false if there
// is none, or if w permits no further steps. taken is sorted and inside p or around it.
func free(p netip.Prefix, length int, taken []netip.Prefix, w *work) (netip.Prefix, bool) {
	if !w.add(1 + len(taken)) {
		return netip.Prefix{}, false
	}
	relevant := false
	for _, t := range taken {
		if t.Bits() <= length && t.Overlaps(p) {
			if t.Bits() <= p.Bits() {
				return netip.Prefix{}, false
			}
			relevant = true
		}
	}
	if !relevant {
		return netip.PrefixFrom(p.Addr(), length), true
	}
	for _, half := range halves(p) {
		var within []netip.Prefix
		for _, t := range taken {
			if t.Overlaps(half) {
				within = append(within, t)
			}
		}
		if found, ok := free(half, length, within, w); ok {
			return found, true
		}
	}
	return netip.Prefix{}, false
}

// halves returns the two prefixes that p consists of. p must be longer than one address.
func halves(p netip.Prefix) [2]netip.Prefix {
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	high, _ := netip.AddrFromSlice(bytes)
	return [2]netip.Prefix{low, netip.PrefixFrom(high, p.Bits()+1)}
}
