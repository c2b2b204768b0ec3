//go:build system

package bird

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// filteredStates is the number of random states with BGPFilters; the number of each is its seed.
const filteredStates = 24

// TestRandomFilters compares BIRD with the prediction in random states in which BGPFilters and prefixAdvertisements decide
// which routes pass.
func TestRandomFilters(t *testing.T) {
	t.Parallel()
	compareRandomly(t, filteredStates, 1, filteredState)
}

// TestFilteredStatesCutRoutes verifies that the BGPFilters and prefixAdvertisements of the random states decide routes.
func TestFilteredStatesCutRoutes(t *testing.T) {
	count := func(w *world) int {
		routes := 0
		for _, v := range w.want {
			routes += len(v.Routes)
		}
		return routes
	}
	cut, left := 0, 0
	for seed := range uint64(filteredStates) {
		list := filteredState(rand.New(rand.NewPCG(seed, 1)))
		with := count(newWorld(t, list))
		for i := range list {
			if list[i].kind != calico.KindBGPFilter && list[i].spec != nil {
				list[i].spec = maps.Clone(list[i].spec)
				delete(list[i].spec, "filters")
				delete(list[i].spec, "prefixAdvertisements")
			}
		}
		if without := count(newWorld(t, list)); with < without {
			cut++
		}
		left += with
	}
	if cut < filteredStates/3 || left == 0 {
		t.Errorf("BGPFilters cut routes in %d of %d states, and %d routes are left", cut, filteredStates, left)
	}
}

// filteredState returns a random state without a mesh, in which BGPPeers have BGPFilters. Its version is not set: all
// conditions apply.
func filteredState(r *rand.Rand) []object {
	list := pools()
	stacks := r.IntN(3) == 0
	n := 4 + r.IntN(4)
	if stacks {
		n = 4
	}
	for i := range n {
		list = append(list, randomNode(r, 8+i, stacks))
	}
	settings := spec{"nodeToNodeMeshEnabled": false}
	if r.IntN(3) == 0 {
		settings["prefixAdvertisements"] = []any{spec{
			"cidr": pick(r, "10.244.0.0/16", "10.244.2.0/24", "fd00:244::/32"), "communities": []any{pick(r, "1:1", "1:2:3", "65535:65281", "65535:65282")},
		}}
	}
	list = append(list, configuration(settings))
	for _, name := range []string{"f", "g"} {
		filter := spec{}
		for _, field := range []string{"importV4", "exportV4", "importV6", "exportV6"} {
			var rules []any
			for range r.IntN(4) {
				rules = append(rules, randomRule(r, field))
			}
			if rules != nil {
				filter[field] = rules
			}
		}
		list = append(list, object{kind: calico.KindBGPFilter, name: name, spec: filter})
	}
	for i := range 2 + r.IntN(3) {
		s := randomPeer(r, 8, n)
		if address, ok := s["peerIP"].(string); ok { // With a port, it may be chance which of two sessions comes up.
			s["peerIP"], _, _ = strings.Cut(address, ":")
		}
		if r.IntN(6) > 0 {
			s["filters"] = pick(r, []any{"f"}, []any{"g", "f"}, []any{"f", "missing"})
		}
		list = append(list, peer(fmt.Sprintf("peer-%d", i), s))
	}
	return list
}

// randomRule returns a rule of a BGPFilter. Its interfaces are those of which the objects show whether routes go over them.
func randomRule(r *rand.Rand, field string) spec {
	rule := spec{"action": pick(r, "Accept", "Reject", "Reject")}
	if r.IntN(4) > 0 {
		cidrs, low := []string{"10.244.0.0/16", "10.244.0.0/22", "10.244.4.0/26", "10.0.0.0/8", "10.96.0.0/12"}, 24
		if field == "importV6" || field == "exportV6" {
			cidrs, low = []string{"fd00:244::/32", "fd00:244:2::/48", "fd00:244:3::/122", "fd00::/8"}, 120
		}
		rule["cidr"], rule["matchOperator"] = pick(r, cidrs...), pick(r, "In", "In", "NotIn", "Equal", "NotEqual")
		if r.IntN(4) == 0 && rule["cidr"] != "10.244.4.0/26" && rule["cidr"] != "fd00:244:3::/122" {
			rule["prefixLength"] = spec{"min": low, "max": low + pick(r, 1, 2, 6)}
		}
	}
	for _, c := range []struct {
		key    string
		values []any
	}{
		{"source", []any{"RemotePeers"}},
		{"interface", []any{"*", "vxlan.calico"}},
		{"peerType", []any{"eBGP", "iBGP"}},
		{"communities", []any{spec{"values": []any{"1:1"}}, spec{"values": []any{"1:2:3"}}}},
		{"asPathPrefix", []any{[]any{64512}, []any{65001}, []any{65001, 64512}}},
		{"priority", []any{1024, 5}},
	} {
		if r.IntN(9) == 0 {
			rule[c.key] = pick(r, c.values...)
		}
	}
	if rule["action"] == "Accept" && r.IntN(2) == 0 {
		rule["operations"] = []any{pick(r,
			spec{"addCommunity": spec{"value": pick(r, "1:1", "1:2:3", "65535:65281", "65535:65282")}},
			spec{"prependASPath": spec{"prefix": []any{65001, 65009}}},
			spec{"setPriority": spec{"value": 5}},
		)}
	}
	return rule
}
