package topology

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// partlyFiltered returns n nodes with two route reflectors behind a BGPFilter with some export rules, and IPAMBlocks.
func partlyFiltered(t testing.TB, n int, blocks []calico.Object, rules ...map[string]any) *state.Snapshot {
	objects := []calico.Object{
		configuration(t, map[string]any{"nodeToNodeMeshEnabled": false}), rackPeer(t, "reflectors", "has(rr)"),
		calicotest.Object(t, "BGPPeer", "workers", map[string]any{"nodeSelector": "!has(rr)", "peerSelector": "has(rr)", "filters": []any{"part"}}),
		partRules(t, rules...), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16", "ipipMode": "Never", "vxlanMode": "Never"}),
	}
	for i := range n {
		objects = append(objects, clusterNode(t, i))
	}
	return state.New(append(objects, blocks...)...)
}

func partRules(t testing.TB, rules ...map[string]any) calico.Object {
	list := []any{}
	for _, r := range rules {
		list = append(list, r)
	}
	return calicotest.Object(t, "BGPFilter", "part", map[string]any{"exportV4": list})
}

func rejects(cidr string) map[string]any {
	return map[string]any{"action": "Reject", "matchOperator": "In", "cidr": cidr}
}

// podsOf returns a block of a node with an address of a pod on each of some nodes.
func podsOf(t testing.TB, cidr, node string, pods ...string) calico.Object {
	allocations, attributes := []any{}, []any{}
	for i, pod := range pods {
		allocations, attributes = append(allocations, i), append(attributes, map[string]any{"secondary": map[string]any{"node": pod}})
	}
	spec := calicotest.Spec{"cidr": cidr, "allocations": allocations, "attributes": attributes}
	if node != "" {
		spec["affinity"] = "host:" + node
	}
	return calicotest.Object(t, calico.KindIPAMBlock, strings.NewReplacer(".", "-", "/", "-").Replace(cidr), spec)
}

// TestBlocksDecideWhichRoutesExist has 6 nodes, of which node-00000 to node-00002 are route reflectors. Rules apply to
// the routes that the other nodes export to them, and the route reflectors to those nodes.
func TestBlocksDecideWhichRoutesExist(t *testing.T) {
	const a, b, c = "node-00003", "node-00004", "node-00005"
	single := rejects("10.244.0.0/16")
	single["prefixLength"] = map[string]any{"min": int64(32)}
	small := rejects("10.244.0.0/16")
	small["prefixLength"] = map[string]any{"min": int64(28)}
	own := []calico.Object{podsOf(t, "10.244.0.0/26", a, a), podsOf(t, "10.244.1.0/26", b, b)}
	for name, tt := range map[string]struct {
		blocks            []calico.Object
		rule              map[string]any
		existing, new     int
		isolated, missing string // missing is the nodes of pairs
	}{
		"no IPAMBlocks":                      {nil, rejects("10.244.1.0/24"), 12, 12, "[]", a + b + c},
		"a part with pods of a node":         {own, rejects("10.244.1.0/24"), 5, 12, "[]", b},
		"a part without pods":                {own, rejects("10.244.9.0/24"), 0, 12, "[]", ""},
		"a part of the block of a node":      {own, rejects("10.244.1.0/26"), 5, 12, "[]", b},
		"a prefix inside a block":            {own, rejects("10.244.1.0/27"), 0, 0, "[]", ""},
		"all":                                {own, rejects("10.244.0.0/16"), 12, 12, "[" + a + " " + b + " " + c + "]", a + b + c},
		"no pods in the block":               {append([]calico.Object{podsOf(t, "10.244.1.64/26", c)}, own...), rejects("10.244.1.64/26"), 0, 12, "[]", ""},
		"a block without affinity":           {append([]calico.Object{podsOf(t, "10.244.2.0/26", "", c)}, own...), single, 5, 12, "[]", c},
		"a borrowed address":                 {append([]calico.Object{podsOf(t, "10.244.2.0/26", a, a, c)}, own...), single, 5, 12, "[]", c},
		"a borrowed address, blocks pass":    {append([]calico.Object{podsOf(t, "10.244.2.0/26", a, a, c)}, own...), rejects("10.244.1.0/24"), 5, 12, "[]", b},
		"the block of a borrowed address":    {append([]calico.Object{podsOf(t, "10.244.2.0/26", a, a, c)}, own...), rejects("10.244.2.0/26"), 9, 12, "[]", a + c},
		"an owner without a node":            {append([]calico.Object{podsOf(t, "10.244.2.0/26", "", "")}, own...), rejects("10.244.2.0/26"), 12, 12, "[]", a + b + c},
		"a node that is gone":                {append([]calico.Object{podsOf(t, "10.244.2.0/26", "x", "x")}, own...), rejects("10.244.2.0/26"), 0, 12, "[]", ""},
		"a smaller block":                    {append([]calico.Object{podsOf(t, "10.244.2.0/28", c, c)}, own...), small, 5, 12, "[]", c},
		"single addresses, none is borrowed": {own, single, 0, 0, "[]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := partlyFiltered(t, 6, tt.blocks, tt.rule)
			topology := compute(t, s, nil)
			reach := topology.Summary().Routes.IPv4.WithoutTransit
			if reach.WithoutRoute.Pairs != tt.existing || reach.NewBlocks.Pairs != tt.new || fmt.Sprint(reach.Isolated.Sample) != tt.isolated {
				t.Errorf("got %d pairs, %d to new blocks, isolated %v, want %d, %d, %s", reach.WithoutRoute.Pairs, reach.NewBlocks.Pairs, reach.Isolated.Sample, tt.existing, tt.new, tt.isolated)
			}
			if fault := summaryDiffers(topology.Summary(), newNaive(s)); fault != "" {
				t.Error(fault)
			}
			// What a change of the rule does.
			free := s.Apply(state.Change{After: partRules(t)})
			before := compute(t, free, nil)
			after := compute(t, s, before)
			missing := ""
			in := pairsWithoutRoute{calico.IPv4, nameWithoutTransit, false}.nodes(after)
			for i, n := range s.Nodes()[3:] {
				if in(i+3) && !in(0) || in(0) && slices.ContainsFunc([]int{0, 1, 2}, func(r int) bool { return !after.HasRoute(calico.IPv4, n.Name, s.Nodes()[r].Name, false) }) {
					missing += n.Name
				}
			}
			if missing != tt.missing {
				t.Errorf("routes of %s are missing, want %s", missing, tt.missing)
			}
			if got := after.Impact(before).Routes.IPv4.WithoutTransit.LostPairs; (got > 0) != (tt.existing > 0) {
				t.Errorf("the change loses %d pairs", got)
			}
			gained := func(members string) int {
				out, err := after.Gained(before, members)
				if err != nil {
					t.Error(err)
				}
				return out.Members
			}
			if a, b := gained(reach.WithoutRoute.Members), gained(reach.NewBlocks.Members); a != tt.existing || b != tt.new {
				t.Errorf("the sets gain %d and %d pairs", a, b)
			}
			if again := compute(t, free, after); topologiesDiffer(again, before) != "" {
				t.Error("the state before differs if it is computed from the state after it")
			}
		})
	}
}

// A change of IPAMBlocks alone follows no routes again.
func TestANewBlockFollowsNoRoutes(t *testing.T) {
	const a, b = "node-00003", "node-00004"
	s := partlyFiltered(t, 6, []calico.Object{podsOf(t, "10.244.0.0/26", a, a)}, rejects("10.244.1.0/24"))
	before := compute(t, s, nil)
	next := s.Apply(state.Change{After: podsOf(t, "10.244.1.0/26", b, b)})
	after := compute(t, next, before)
	was, is := before.routings[calico.IPv4], after.routings[calico.IPv4]
	if !slices.EqualFunc(routes.Groups(was.results), routes.Groups(is.results), func(a, b int) bool { return a == b }) {
		t.Error("the groups of prefixes differ")
	}
	if got := after.Summary().Routes.IPv4.WithoutTransit.WithoutRoute.Pairs; got != 5 {
		t.Errorf("%d pairs without a route", got)
	}
	if fault := topologiesDiffer(after, compute(t, next, nil)); fault != "" {
		t.Error(fault)
	}
	// Without BGPFilters, a new block is no other topology.
	plain := s.Apply(state.Change{After: partRules(t)}).Apply(state.Change{After: calicotest.Object(t, "BGPPeer", "workers", map[string]any{"nodeSelector": "!has(rr)", "peerSelector": "has(rr)"})})
	before = compute(t, plain, nil)
	after = compute(t, plain.Apply(state.Change{After: podsOf(t, "10.244.1.0/26", b, b)}), before)
	if before.routings != after.routings {
		t.Error("routes are computed again though no rule distinguishes prefixes")
	}
}

// Nodes with blocks in more combinations of parts than are followed need all parts.
func TestTooManyKindsOfNodesAreNotDivided(t *testing.T) {
	for n, divided := range map[int]bool{100: true, 700: false} {
		const parts = 10 // Nodes of rack k do not export part k.
		objects := []calico.Object{
			configuration(t, map[string]any{"nodeToNodeMeshEnabled": false}), rackPeer(t, "reflectors", "has(rr)"),
			calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.96.0.0/11", "ipipMode": "Never", "vxlanMode": "Never"}),
		}
		for k := range 16 {
			rack := map[string]any{"nodeSelector": fmt.Sprintf("rack == 'r%d' && !has(rr)", k), "peerSelector": "has(rr)"}
			if k < parts {
				rack["filters"] = []any{fmt.Sprintf("f%d", k)}
				objects = append(objects, calicotest.Object(t, "BGPFilter", fmt.Sprintf("f%d", k), map[string]any{"exportV4": []any{rejects(fmt.Sprintf("10.%d.0.0/16", 100+k))}}))
			}
			objects = append(objects, calicotest.Object(t, "BGPPeer", fmt.Sprintf("rack-%d", k), rack))
		}
		for i := range n {
			node := clusterNode(t, i)
			objects = append(objects, node)
			for k := range parts {
				if (i+1)&(1<<k) != 0 {
					objects = append(objects, podsOf(t, fmt.Sprintf("10.%d.%d.%d/26", 100+k, i/4, i%4*64), node.ID().Name, node.ID().Name))
				}
			}
		}
		topology := compute(t, state.New(objects...), nil)
		reach := topology.Summary().Routes.IPv4.WithoutTransit
		if is := topology.routings[calico.IPv4].division != nil; is != divided || divided != (reach.NewBlocks.Pairs > reach.WithoutRoute.Pairs) || reach.WithoutRoute.Pairs == 0 {
			t.Errorf("%d nodes: divided %t, %d pairs without routes, %d to new blocks", n, is, reach.WithoutRoute.Pairs, reach.NewBlocks.Pairs)
		}
	}
}

// forDividedStates calls check with random states in which BGPFilters on the sessions of all nodes reject parts of
// IPPools, and with the IPAMBlocks of these states.
func forDividedStates(t *testing.T, stream, seeds uint64, check func(r *rand.Rand, objects []calico.Object) string) {
	t.Helper()
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, stream))
		g := newGenerator(t, r)
		g.odd, g.filtered = pick(r, 0, 1), true
		objects := slices.DeleteFunc(g.state(), func(o calico.Object) bool {
			return o.ID().Kind == calico.KindBGPFilter || o.ID().Kind == calico.KindIPPool
		})
		for i := range pools {
			if !g.one(4) {
				objects = append(objects, g.pool(i))
			}
		}
		for _, name := range []string{"f", "g"} {
			spec := map[string]any{}
			for _, field := range []string{"importV4", "exportV4", "importV6", "exportV6"} {
				if g.one(2) {
					rule := g.rule(field).(map[string]any)
					if g.one(2) {
						rule = map[string]any{"action": "Reject", "cidr": rule["cidr"], "matchOperator": rule["matchOperator"]}
					}
					if rule["cidr"] == nil {
						rule = map[string]any{"action": "Reject", "cidr": pick(r, ipamBlocks...), "matchOperator": "In"}
						if strings.Contains(rule["cidr"].(string), ":") != strings.HasSuffix(field, "V6") {
							continue
						}
					}
					spec[field] = []any{rule}
				}
			}
			objects = append(objects, calicotest.Object(t, "BGPFilter", name, spec))
		}
		all := map[string]any{"nodeSelector": "all()", "peerSelector": "all()", "filters": []any{pick(r, "f", "g")}}
		if g.one(3) {
			all["nodeSelector"], all["peerSelector"] = "!has(rr)", "has(rr)"
		}
		objects = append(objects, calicotest.Object(t, "BGPPeer", "all", all))
		for _, cidr := range ipamBlocks {
			if !g.one(4) {
				objects = append(objects, g.ipamBlock(cidr))
			}
		}
		if first := state.New(slices.Clone(objects)...); onTwoPorts(first) || underTwoNumbers(first) {
			continue
		}
		if fault := check(r, slices.Clone(objects)); fault != "" {
			t.Fatalf("seed %d of stream %d: %s\nstate:\n%s", seed, stream, fault, show(state.New(objects...)))
		}
	}
}

// TestRoutesToBlocksAgreeWithTheNaiveModel compares the summary and all routes of states in which IPAMBlocks divide nodes,
// also after changes of rules and blocks.
func TestRoutesToBlocksAgreeWithTheNaiveModel(t *testing.T) {
	states, divided := 0, 0
	forDividedStates(t, 41, seeds/6, func(r *rand.Rand, objects []calico.Object) string {
		var s *state.Snapshot
		var before *Topology
		for step := range 3 {
			switch g := newGenerator(t, r); {
			case step == 0:
				s = state.New(objects...)
			case g.one(2):
				s = s.Apply(state.Change{After: g.ipamBlock(pick(r, ipamBlocks...))})
			default:
				field := pick(r, "importV4", "exportV4", "importV6", "exportV6")
				s = s.Apply(state.Change{After: calicotest.Object(t, "BGPFilter", pick(r, "f", "g"), map[string]any{field: []any{g.rule(field)}})})
			}
			topology, err := Compute(t.Context(), s, before, transitLists(r)...)
			if err != nil {
				return err.Error()
			}
			m := newNaive(s)
			if fault := summaryDiffers(topology.Summary(), m); fault != "" {
				return fmt.Sprintf("step %d: %s\nnow:\n%s", step, fault, show(s))
			}
			model := m.view()
			for _, f := range calico.Families {
				states++
				reach := topology.Summary().Routes.In(f).WithTransit
				if reach.NewBlocks.Pairs > reach.WithoutRoute.Pairs {
					divided++
				}
				for _, from := range s.Nodes() {
					for _, to := range s.Nodes() {
						if from != to && topology.HasRoute(f, from.Name, to.Name, true) != model.hasRoute(f, from.Name, to.Name, true) {
							return fmt.Sprintf("step %d: %s route from %s to %s: want %t\nnow:\n%s", step, f, from.Name, to.Name, model.hasRoute(f, from.Name, to.Name, true), show(s))
						}
					}
				}
			}
			before = topology
		}
		return ""
	})
	if divided < states/20 {
		t.Errorf("IPAMBlocks make a difference in %d of %d states", divided, states)
	}
}

// TestTablesByBlocksAgreeWithTheNaiveModel is TestRouteTablesAgreeWithTheNaiveModel for states with IPAMBlocks.
func TestTablesByBlocksAgreeWithTheNaiveModel(t *testing.T) {
	forDividedStates(t, 42, seeds/10, func(r *rand.Rand, objects []calico.Object) string { return tablesDiffer(t, r, objects) })
}

// TestImpactByBlocksAgreesWithTheNaiveModel is the tests of Impact for states with IPAMBlocks.
func TestImpactByBlocksAgreesWithTheNaiveModel(t *testing.T) {
	forDividedStates(t, 43, seeds/10, func(r *rand.Rand, objects []calico.Object) string {
		s := state.New(objects...)
		g := newGenerator(t, r)
		field := pick(r, "importV4", "exportV4", "importV6", "exportV6")
		next := s.Apply(state.Change{After: calicotest.Object(t, "BGPFilter", pick(r, "f", "g"), map[string]any{field: []any{g.rule(field)}})})
		before := compute(t, s, nil)
		after := compute(t, next, before)
		got := after.Impact(before)
		for _, f := range calico.Families {
			want := RoutesImpact{naiveRoutes(after, before, f, true), naiveRoutes(after, before, f, false)}
			if *got.Routes.In(f) != want {
				return fmt.Sprintf("%s: got %+v, want %+v\nnow:\n%s", f, *got.Routes.In(f), want, show(next))
			}
		}
		fault, _ := peerRoutesDiffer(t, s, next)
		return fault
	})
}
