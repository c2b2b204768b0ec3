//go:build system

package bird

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// routedStates is the number of random states with routers and addresses of Services; the number of each is its seed.
const routedStates = 24

// excluded excludes a node from the advertisement of Services.
var excluded = label("node.kubernetes.io/exclude-from-external-load-balancers", "true")

// TestRouters compares what routers and nodes receive with the prediction in usual states of a cluster.
func TestRouters(t *testing.T) {
	t.Parallel()
	ranges := func(cidrs ...string) []any {
		var out []any
		for _, cidr := range cidrs {
			out = append(out, spec{"cidr": cidr})
		}
		return out
	}
	services := spec{
		"nodeToNodeMeshEnabled": false, "serviceClusterIPs": ranges("10.96.0.0/12", "fd00:96::/112"), "serviceLoadBalancerIPs": ranges("10.1.0.0/24"),
	}
	router := func(name, selector, address string, more spec) object {
		s := spec{"nodeSelector": selector, "peerIP": address, "asNumber": 65009}
		maps.Copy(s, more)
		return peer(name, s)
	}
	filter := func(rules ...any) object {
		return object{kind: calico.KindBGPFilter, name: "f", spec: spec{"exportV4": rules}}
	}
	filters := spec{"filters": []any{"f"}}
	unexported := func(name, cidr string) object {
		return object{kind: calico.KindIPPool, name: name, spec: spec{"cidr": cidr, "ipipMode": "Never", "vxlanMode": "Never", "disableBGPExport": true}}
	}
	vxlan := func(cidr string) object {
		return object{kind: calico.KindIPPool, name: "vxlan", spec: spec{"cidr": cidr, "ipipMode": "Never", "vxlanMode": "Always"}}
	}
	tests := map[string][]object{
		"a router of all nodes": objects(nodes(1, 3), router("tor", "all()", "10.192.9.9", nil)),
		"a route reflector with a router": objects(configuration(services), toReflectors(), router("tor", "has(reflector)", "10.192.9.9", nil),
			node(1, reflector, clusterID("244.0.0.1")), nodes(2, 4)),
		"an excluded route reflector": objects(configuration(services), toReflectors(), router("tor", "has(reflector)", "10.192.9.9", nil),
			node(1, reflector, clusterID("244.0.0.1"), excluded), nodes(2, 4)),
		"excluded nodes": objects(configuration(services), nodes(1, 2, excluded), node(3), router("tor", "all()", "10.192.9.9", nil),
			between("all", "all()", "all()")),
		"a router in the AS of the nodes": objects(configuration(services), nodes(1, 3), router("tor", "all()", "10.192.9.9", spec{"asNumber": 64512}),
			between("all", "all()", "all()")),
		"two routers of a dual-stack cluster": objects(configuration(services), nodes(1, 3, dualStack),
			router("tor", "all()", "10.192.9.9", nil), router("tor-6", "all()", "fd00:192::99", nil)),
		"routers that expect another AS number": objects(noMesh(), nodes(1, 2), router("tor", "all()", "10.192.9.9", spec{"localASNumber": 65010})),
		"communities for a router": objects(nodes(1, 2), router("tor", "all()", "10.192.9.9", nil), configuration(spec{
			"prefixAdvertisements": []any{spec{"cidr": "10.244.0.0/16", "communities": []any{"65001:7", "1:2:3"}}},
		})),
		"a filter of pods": objects(configuration(services), nodes(1, 3), router("tor", "all()", "10.192.9.9", filters),
			filter(spec{"action": "Reject", "matchOperator": "In", "cidr": "10.244.0.0/16"})),
		"a filter that changes attributes": objects(configuration(services), nodes(1, 3), router("tor", "all()", "10.192.9.9", filters),
			filter(spec{"action": "Accept", "operations": []any{
				spec{"prependASPath": spec{"prefix": []any{65001, 65002}}}, spec{"addCommunity": spec{"value": "65001:1"}},
			}})),
		"a filter of learned routes": objects(configuration(services), toReflectors(), router("tor", "has(reflector)", "10.192.9.9", filters),
			node(1, reflector, clusterID("244.0.0.1")), nodes(2, 4), filter(spec{"action": "Reject", "source": "RemotePeers"})),
		"a reflector that sets the next hop": objects(noMesh(), node(1, reflector, clusterID("244.0.0.1")), nodes(2, 4),
			between("self", "all()", "has(reflector)", spec{"nextHopMode": "Self"}), router("tor", "all()", "10.192.9.9", nil)),
		"addresses of nodes in a range of addresses of Services": objects(nodes(1, 3), router("tor", "all()", "10.192.9.9", nil),
			configuration(spec{"serviceClusterIPs": ranges("10.192.0.0/24")})),
		"addresses of some nodes in it, of which one is excluded": objects(toReflectors(), node(1, reflector, clusterID("244.0.0.1")), node(2), node(9),
			node(3, excluded), configuration(spec{"nodeToNodeMeshEnabled": false, "serviceClusterIPs": ranges("10.192.0.0/29")})),
		"a range around the network of the nodes":  objects(nodes(1, 3), configuration(spec{"serviceClusterIPs": ranges("10.0.0.0/8")})),
		"a range that is the network of the nodes": objects(nodes(1, 3), configuration(spec{"serviceClusterIPs": ranges("10.192.0.0/16")})),
		"a range that contains the pods of some nodes": objects(nodes(1, 4), router("tor", "all()", "10.192.9.9", nil),
			configuration(spec{"serviceClusterIPs": ranges("10.244.2.0/23")})),
		"an external range around all pods": objects(nodes(1, 2, excluded), node(3), configuration(spec{"serviceExternalIPs": ranges("10.244.0.0/15")})),
		"an IPPool without export, with pods that a filter accepts": objects(noMesh(), node(1, reflector, clusterID("244.0.0.1")), nodes(2, 4),
			between("to-reflectors", "all()", "has(reflector)", filters), router("tor", "all()", "10.192.9.9", nil),
			unexported("outer", "10.244.0.0/15"), filter(spec{"action": "Accept", "matchOperator": "In", "cidr": "10.244.2.0/23"})),
		"an IPPool without export, with pods that a filter for a router accepts": objects(nodes(1, 3), router("tor", "all()", "10.192.9.9", filters),
			unexported("outer", "10.244.0.0/15"), filter(spec{"action": "Accept"})),
		"an IPPool without export inside another":                      objects(nodes(1, 4), router("tor", "all()", "10.192.9.9", nil), unexported("inner", "10.244.2.0/23")),
		"an IPPool without export that contains another":               objects(nodes(1, 3), router("tor", "all()", "10.192.9.9", nil), unexported("outer", "10.244.0.0/15")),
		"an IPPool with VXLAN, whose routes every node has from Felix": objects(noMesh(), nodes(1, 3), router("tor", "all()", "10.192.9.9", nil), vxlan("10.244.0.0/17")),
		"an IPPool with VXLAN for a part of the pods":                  objects(noMesh(), nodes(1, 4), router("tor", "all()", "10.192.9.9", nil), vxlan("10.244.2.0/23")),
		"an IPPool with VXLAN and a router in the AS of the nodes": objects(noMesh(), nodes(1, 3), router("tor", "all()", "10.192.9.9", spec{"asNumber": 64512}),
			vxlan("10.244.0.0/17")),
		"an IPPool with VXLAN and a filter of its interface": objects(noMesh(), nodes(1, 3), router("tor", "all()", "10.192.9.9", filters), vxlan("10.244.0.0/17"),
			filter(spec{"action": "Reject", "interface": "vxlan.calico"})),
		"an IPPool with VXLAN without export": objects(noMesh(), nodes(1, 3), router("tor", "all()", "10.192.9.9", nil), object{kind: calico.KindIPPool, name: "vxlan", spec: spec{
			"cidr": "10.244.0.0/17", "ipipMode": "Never", "vxlanMode": "Always", "disableBGPExport": true,
		}}),
		"an IPPool with VXLAN and a router of some nodes": objects(noMesh(), node(1, label("edge", "")), nodes(2, 4), router("tor", "has(edge)", "10.192.9.9", nil), vxlan("10.244.0.0/17")),
		"racks with an AS number each, and a router that learns their next hops": objects(noMesh(),
			node(1, label("rack", "a"), asNumber(65001)), node(2, label("rack", "b"), asNumber(65002)),
			between("ab", "rack == 'a'", "rack == 'b'"), router("tor", "rack == 'b'", "10.192.9.9", spec{"nextHopMode": "Keep"})),
	}
	for name, list := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, objects(pools(), list))
			w.addRouters(t)
			c := start(t, w.nodes, Options{})
			w.await(t, c)
			w.awaitRoutes(t, c)
		})
	}
}

// TestRandomRouters compares BIRD with the prediction in random states with routers, ranges of addresses of Services, both
// address families, BGPFilters and communities.
func TestRandomRouters(t *testing.T) {
	t.Parallel()
	compareRandomly(t, routedStates, 2, routedState)
}

// TestRoutedStatesHaveEverythingInThem verifies that routers receive routes to pods and to ranges of addresses of Services in
// the random states, with different attributes, and that something keeps others back.
func TestRoutedStatesHaveEverythingInThem(t *testing.T) {
	services, ranges, pods, sessions, routers := 0, 0, 0, 0, map[calico.Family]int{}
	paths, communities, hops := map[string]bool{}, map[string]bool{}, 0
	for seed := range uint64(routedStates) {
		w := newWorld(t, routedState(rand.New(rand.NewPCG(seed, 2))))
		w.addRouters(t)
		want, err := Expect(t.Context(), w.snapshot, w.topology, w.nodes)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range w.nodes {
			for _, f := range calico.Families {
				one := want[Speaker{n.Name, f}]
				if n.Router == nil || one == nil {
					continue
				}
				routers[f]++
				services += len(one.Services)
				ranges += len(n.Router) * len(*w.topology.Summary().ServiceRanges.In(f))
				pods += len(one.Routes)
				sessions += len(n.Router)
				for _, r := range one.Routes {
					paths[fmt.Sprint(r.Path)], communities[fmt.Sprint(r.Communities)] = true, true
					if r.NextHop.IsValid() && !slices.ContainsFunc(w.nodes, func(o Node) bool { return o.Name == r.Sender && o.Address[f] == r.NextHop }) {
						hops++
					}
				}
			}
		}
	}
	if services < ranges/4 || ranges-services < ranges/8 || pods < sessions || len(paths) < 6 || len(communities) < 3 || hops == 0 ||
		routers[calico.IPv4] < routedStates/2 || routers[calico.IPv6] < routedStates/8 {
		t.Errorf("%v routers receive %d of %d routes to Services, and %d to pods over %d sessions, with the AS paths %v, the communities %v, and %d with the next hop of another node than the sender",
			routers, services, ranges, pods, sessions, paths, communities, hops)
	}
}

// routedState returns a state of filteredState, or a mesh, with one or two routers and ranges of addresses of Services.
func routedState(r *rand.Rand) []object {
	list := filteredState(r)
	i := slices.IndexFunc(list, func(o object) bool { return o.name == "default" })
	settings := list[i].spec
	if r.IntN(3) == 0 {
		settings["nodeToNodeMeshEnabled"] = true
	}
	for _, field := range []string{"serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"} {
		if r.IntN(2) == 0 {
			settings[field] = []any{spec{"cidr": pick(r, "10.96.0.0/12", "10.1.0.0/24", "10.192.0.0/24")}, spec{"cidr": "fd00:96::/112"}}
		}
	}
	for i := range list {
		if list[i].spec == nil && r.IntN(3) == 0 {
			list[i].tweaks = append(slices.Clone(list[i].tweaks), excluded)
		}
	}
	for i, address := range []string{"10.192.9.7", "10.192.9.8", "fd00:192::99"} {
		if r.IntN(3) == 0 {
			continue
		}
		s := spec{"nodeSelector": pick(r, "all()", "rack == 'a'", "role == 'reflector'"), "peerIP": address, "asNumber": pick(r, 65009, 65009, 64512)}
		if r.IntN(2) == 0 {
			s["filters"] = pick(r, []any{"f"}, []any{"g"})
		}
		if r.IntN(4) == 0 {
			s["nextHopMode"] = pick(r, "Self", "Keep")
		}
		list = append(list, peer(fmt.Sprintf("router-%d", i), s))
	}
	return list
}
