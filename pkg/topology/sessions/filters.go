package sessions

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// filters are the rules of the BGPFilters of a snapshot, as text.
type filters struct {
	// known reports that there are no others.
	known bool
	// rules are the import and the export rules of each family, by the name of the BGPFilter.
	rules map[string][2][2]string
	// all is the text of everything above, for comparing filters.
	all string
}

// newFilters returns the filters of s. It reuses those of before, the sessions of an
// earlier snapshot or nil, if they are the same.
func newFilters(s *state.Snapshot, before *Sessions) *filters {
	list := s.BGPFilters()
	known := s.Knows(calico.KindBGPFilter)
	if before != nil && before.filters.known == known && slices.Equal(list, before.snapshot.BGPFilters()) {
		return before.filters
	}
	f := &filters{known: known, rules: map[string][2][2]string{}}
	for _, one := range list {
		var rules [2][2]string
		for i, fields := range [2][2]string{{"importV4", "exportV4"}, {"importV6", "exportV6"}} {
			for k, field := range fields {
				rules[i][k] = rulesText(one.Spec[field])
			}
		}
		f.rules[one.Name] = rules
		f.all += fmt.Sprintf("%s %q\n", one.Name, rules)
	}
	f.all += strconv.FormatBool(known)
	return f
}

// rulesText returns a list of rules as text, one rule a line.
func rulesText(list any) string {
	rules, _ := list.([]any)
	var out strings.Builder
	for _, rule := range rules {
		text, err := json.Marshal(rule)
		if err != nil { // It was decoded from JSON.
			text = fmt.Append(nil, rule)
		}
		out.Write(text)
		out.WriteByte('\n')
	}
	return out.String()
}

// effect returns the rules that BGPFilters have together in a family: Calico applies them
// one after the other and skips missing ones (bird.cfg.template). names are joined by commas.
func (f *filters) effect(family calico.Family, names string) string {
	var imports, exports strings.Builder
	for name := range strings.SplitSeq(names, ",") {
		rules, ok := f.rules[name]
		switch {
		case ok:
			imports.WriteString(rules[family][0])
			exports.WriteString(rules[family][1])
		case name != "" && !f.known:
			fmt.Fprintf(&imports, "unknown %s\n", name)
		}
	}
	return imports.String() + "\n" + exports.String()
}

// AddDifferences adds to fields the JSON names of the fields of HalfSession in which
// settings differ on a node of class g. It adds to conflicts those that decide whether the
// session comes up, or which routes it carries: not timers, the port number of a protocol's
// name, and BGPFilters with the same rules. A half-session without conflicts is reset when
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
			first := n.filters.effect(n.Family, list[0].filters)
			if !slices.ContainsFunc(list[1:], func(s *Settings) bool { return n.filters.effect(n.Family, s.filters) != first }) {
				continue
			}
		}
		conflicts[field] = true
		conflict = true
	}
	return conflict
}
