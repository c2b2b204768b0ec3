package sessions

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions/bgpfilter"
)

// filters are the rules of the BGPFilters of a snapshot.
type filters struct {
	// known reports that there are no others. old reports a Calico before v3.32.
	known, old bool
	// rules are those of each family and direction, by the name of the BGPFilter.
	rules map[string][2][2]bgpfilter.Rules
	// parsed are the same by object.
	parsed map[*calico.BGPFilter]*parsed
	// paths are the AS numbers in the rules.
	paths []uint32
	// all is the text of everything above, for comparing filters. shape is the part of it that decides
	// which half-sessions there are: names, families and AS numbers.
	all, shape string

	mu sync.Mutex
	// same holds the results of comparisons, and effects those of Network.FilterRules, at most maxCompared each.
	same    map[compared]bool
	effects map[listed][2]bgpfilter.Rules
}

// listed is a list of BGPFilters by name, separated by commas, in a family.
type listed struct {
	family calico.Family
	names  string
}

// compared are two lists of BGPFilters by name, separated by commas, in a family.
type compared struct {
	family calico.Family
	a, b   string
}

// maxCompared bounds the comparisons and the effects that are cached.
const maxCompared = 1024

// filterFields are the fields of a BGPFilter by family and direction.
var filterFields = [2][2]string{
	calico.IPv4: {bgpfilter.Import: "importV4", bgpfilter.Export: "exportV4"},
	calico.IPv6: {bgpfilter.Import: "importV6", bgpfilter.Export: "exportV6"},
}

// addressBits is the length of addresses by family.
var addressBits = [2]int{calico.IPv4: 32, calico.IPv6: 128}

// newFilters returns the filters of s. It reuses those of before, the sessions of an
// earlier snapshot or nil, if they are the same.
func newFilters(s *state.Snapshot, before *Sessions) *filters {
	list := s.BGPFilters()
	known, old := s.Knows(calico.KindBGPFilter), !calico.FiltersByAttributes.In(CalicoVersion(s))
	if before != nil && before.filters.known == known && before.filters.old == old && slices.Equal(list, before.snapshot.BGPFilters()) {
		return before.filters
	}
	f := &filters{known: known, old: old, rules: map[string][2][2]bgpfilter.Rules{}, parsed: map[*calico.BGPFilter]*parsed{}, same: map[compared]bool{}, effects: map[listed][2]bgpfilter.Rules{}}
	var all, shape strings.Builder
	for _, one := range list {
		var p *parsed
		if before != nil && before.filters.old == old {
			p = before.filters.parsed[one]
		}
		if p == nil {
			p = parse(one, old)
		}
		f.parsed[one], f.rules[one.Name] = p, p.rules
		f.paths = append(f.paths, p.paths...)
		all.WriteString(p.text)
		shape.WriteString(p.shape)
	}
	end := fmt.Sprint(known, old)
	f.all, f.shape = all.String()+end, shape.String()+end
	return f
}

// parsed is the rules of a BGPFilter, by family and direction, and the AS numbers in them. text and
// shape are its part of filters.all and filters.shape.
type parsed struct {
	rules       [2][2]bgpfilter.Rules
	paths       []uint32
	text, shape string
}

// applies reports whether there are rules for a family.
func applies(rules [2][2]bgpfilter.Rules, family calico.Family) bool {
	return slices.ContainsFunc(rules[family][:], func(r bgpfilter.Rules) bool { return r.Text() != "" })
}

func parse(one *calico.BGPFilter, old bool) *parsed {
	out := &parsed{}
	var texts []string
	for family, fields := range filterFields {
		for d, field := range fields {
			rules := bgpfilter.Parse(bgpfilter.Direction(d), addressBits[family], one.Spec[field], old).Named(one.Name)
			out.rules[family][d] = rules
			texts = append(texts, rules.Text())
			out.paths = append(out.paths, rules.Paths()...)
		}
	}
	out.text = fmt.Sprintf("%s %q\n", one.Name, texts)
	out.shape = fmt.Sprintln(one.Name, applies(out.rules, calico.IPv4), applies(out.rules, calico.IPv6), out.paths)
	return out
}

// in returns the names, separated by commas, of the BGPFilters in a list that Calico writes into
// the half-sessions of a family. It skips BGPFilters that do not exist, and those without rules
// for the family (confd/pkg/backends/calico/bgp_processor.go, buildImportFilter and
// buildExportFilter).
func (f *filters) in(family calico.Family, names string) string {
	if names == "" {
		return ""
	}
	list := strings.Split(names, ",")
	return strings.Join(slices.DeleteFunc(list, func(name string) bool {
		rules, ok := f.rules[name]
		if !ok {
			return f.known
		}
		return !applies(rules, family)
	}), ",")
}

// Filters returns the names, separated by commas, of the BGPFilters that apply to the
// half-sessions that a BGPPeer configures in the family: those that have rules for the family, or
// may have them because they are not known.
func (n *Network) Filters(p *calico.BGPPeer) string {
	return n.filters.in(n.Family, strings.Join(p.Filters, ","))
}

// FilterRules returns the rules that BGPFilters have together, by direction. names are separated
// by commas, and unknown BGPFilters have rules without a known meaning.
func (n *Network) FilterRules(names string) [2]bgpfilter.Rules {
	f, list := n.filters, listed{n.Family, names}
	f.mu.Lock()
	defer f.mu.Unlock()
	rules, ok := f.effects[list]
	if !ok {
		rules = f.effect(n.Family, names)
		if len(f.effects) >= maxCompared {
			clear(f.effects)
		}
		f.effects[list] = rules
	}
	return rules
}

// normalise unsets the settings that have no effect on the bird.cfg of a node of class g. A
// difference in these settings does not make a half-session ambiguous.
func (n *Network) normalise(s *Settings, g *nodes.Class) {
	s.normalise(g)
	s.filters = n.filters.in(n.Family, s.filters)
}

// samePass reports whether two lists of BGPFilters let the same routes pass. a and b are
// names, separated by commas.
func (f *filters) samePass(family calico.Family, a, b string) bool {
	if a == b {
		return true
	}
	pair := compared{family, min(a, b), max(a, b)}
	f.mu.Lock()
	defer f.mu.Unlock()
	same, ok := f.same[pair]
	if !ok {
		left, right := f.effect(family, a), f.effect(family, b)
		same = bgpfilter.Same(left[0], right[0]) && bgpfilter.Same(left[1], right[1])
		if len(f.same) >= maxCompared {
			clear(f.same)
		}
		f.same[pair] = same
	}
	return same
}

// effect returns the rules that BGPFilters have together in a family, by direction: Calico
// applies them one after the other and skips missing ones (bird.cfg.template). names are
// separated by commas.
func (f *filters) effect(family calico.Family, names string) [2]bgpfilter.Rules {
	var out [2]bgpfilter.Rules
	for d := range out {
		out[d] = bgpfilter.Parse(bgpfilter.Direction(d), addressBits[family], nil, false)
		for name := range strings.SplitSeq(names, ",") {
			rules, ok := f.rules[name]
			switch {
			case ok:
				out[d] = out[d].Join(rules[family][d])
			case name != "" && !f.known:
				out[d] = out[d].Join(bgpfilter.Unknown(bgpfilter.Direction(d), addressBits[family], name))
			}
		}
	}
	return out
}

// AddDifferences adds to fields the JSON names of the fields of HalfSession in which
// settings differ on a node of class g. It adds to conflicts those that decide whether the
// session comes up, or which routes it carries: not timers, the port number of a protocol's
// name, and BGPFilters that let the same routes pass. A half-session without conflicts is reset when
// Calico chooses other settings, and comes up again.
func (n *Network) AddDifferences(fields, conflicts map[string]bool, g uint32, p Prefix, list ...*Settings) (conflict bool) {
	found := map[string]bool{}
	addDifferences(found, &n.Classes.List[g], p, list...)
	for field := range found {
		fields[field] = true
		switch field {
		case "gracefulRestartTime", "keepaliveTime", "protocol":
			continue
		case "filters":
			if !slices.ContainsFunc(list[1:], func(s *Settings) bool { return !n.filters.samePass(n.Family, list[0].filters, s.filters) }) {
				continue
			}
		}
		conflicts[field] = true
		conflict = true
	}
	return conflict
}

// FilterField returns the field of a BGPFilter with the rules of a family and direction.
func FilterField(f calico.Family, d bgpfilter.Direction) string { return filterFields[f][d] }
