package topology

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// receives returns the names of the nodes whose routes to a block an external peer receives.
func (m *naive) receives(f calico.Family, block netip.Prefix, peer string) []string {
	var out []string
	for _, origin := range m.nodes {
		if !origin.SpeaksBGP(f) {
			continue
		}
		has := map[*calico.Node][]naiveRoute{}
		w := &naiveFlood{model: m, family: f, block: block, reading: m.reading(false)}
		w.run(origin, func(r naiveRoute) { has[r.at] = append(has[r.at], r) })
		if slices.ContainsFunc(m.slots, func(s *naiveSlot) bool {
			return s.family == f && s.peer.IsValid() && s.peer.String() == peer && s.status == External && m.reading(true).passes(s) &&
				(!slices.ContainsFunc(s.candidates, func(h HalfSession) bool { return !w.carries(s, h, has[s.node]) }) || w.carriesKernel(s, origin, has))
		}) {
			out = append(out, origin.Name)
		}
	}
	return out
}

// carriesKernel reports whether a session with an external peer carries a route of the kernel to a block of origin. has are
// the routes that nodes have by BGP.
func (w *naiveFlood) carriesKernel(s *naiveSlot, origin *calico.Node, has map[*calico.Node][]naiveRoute) bool {
	if s.node == origin || len(has[s.node]) > 0 {
		return false
	}
	_, ok := w.kernelRoute(s)
	return ok
}

// countOf returns the number of nodes whose routes to a block are in a list.
func countOf(list []PrefixImpact, block netip.Prefix) int {
	for i := range list {
		if list[i].Field == "" && holds(list[i].Prefixes, block) {
			return list[i].Nodes
		}
	}
	return 0
}

// peerRoutesDiffer compares the routes that external peers lose and gain with the naive model. seen counts those that are lost
// and gained, the routes to Services that differ, and the families in which nodes send the same routes.
func peerRoutesDiffer(t *testing.T, s, next *state.Snapshot) (fault string, seen [4]int) {
	t.Helper()
	before := compute(t, s, nil)
	c := newComparison(compute(t, next, before), before)
	was, is := newNaive(s), newNaive(next)
	for _, f := range calico.Families {
		if c.now.networks[f] != c.before.networks[f] && c.sendsAlike(f) && len(c.now.networks[f].Externals) > 0 {
			seen[3]++
		}
		p, complete := c.comparePeers(f)
		if !complete {
			return "incomplete", seen
		}
		find := func(peer string) *comparedPeer {
			if k := slices.IndexFunc(p.peers, func(o comparedPeer) bool { return slices.Contains(o.sample, peer) }); k >= 0 {
				return &p.peers[k]
			}
			return &comparedPeer{}
		}
		blocks := []netip.Prefix{}
		for _, b := range was.allBlocks(f) {
			if slices.ContainsFunc(is.allBlocks(f), func(o naiveBlock) bool { return o.prefix == b.prefix && o.pool.Name == b.pool.Name }) {
				blocks = append(blocks, b.prefix)
			}
		}
		if len(was.allBlocks(f))+len(is.allBlocks(f)) == 0 {
			blocks = append(blocks, netip.Prefix{})
		}
		peers := map[string]bool{}
		for _, m := range []*naive{was, is} {
			for _, s := range m.slots {
				if s.family == f && s.status == External && !s.workload() {
					peers[s.peer.String()] = true
				}
			}
		}
		for peer := range peers {
			one := find(peer)
			for _, block := range blocks {
				both := func(n string) bool {
					return slices.ContainsFunc(was.nodes, func(o *calico.Node) bool { return o.Name == n }) && slices.ContainsFunc(is.nodes, func(o *calico.Node) bool { return o.Name == n })
				}
				a, b := was.receives(f, block, peer), is.receives(f, block, peer)
				// By IPAMBlocks, the numbers are those of nodes with pods in some prefix of the same kind: those of the
				// first range that holds the block. Without such a range, no node with pods in the block loses or gains.
				counts := func(n string, list []PrefixImpact) bool {
					if len(next.IPAMBlocks()) == 0 || !block.IsValid() {
						return true
					}
					node := is.nodes[slices.IndexFunc(is.nodes, func(o *calico.Node) bool { return o.Name == n })]
					k := slices.IndexFunc(list, func(i PrefixImpact) bool { return i.Field == "" && holds(i.Prefixes, block) })
					if k < 0 {
						return is.originates(f, node, block)
					}
					return is.originatesIn(f, node, list[k].Prefixes)
				}
				var want [2]int
				for _, n := range a {
					if both(n) && !slices.Contains(b, n) && counts(n, one.lost) {
						want[0]++
					}
				}
				for _, n := range b {
					if both(n) && !slices.Contains(a, n) && counts(n, one.gained) {
						want[1]++
					}
				}
				if got := [2]int{countOf(one.lost, block), countOf(one.gained, block)}; got != want {
					return fmt.Sprintf("%s, routes to %s: got %v lost and gained, want %v (%v, then %v)\nnow:\n%s", peer, block, got, want, a, b, show(next)), seen
				}
				seen[0], seen[1] = seen[0]+want[0], seen[1]+want[1]
			}
			for _, m := range []*naive{was, is} {
				for _, rng := range m.ranges(f) {
					for _, prefix := range rng.prefixes() {
						receives := func(m *naive) bool {
							return slices.Contains(m.ranges(f), rng) && slices.ContainsFunc(m.carrying(f, prefix), func(s *naiveSlot) bool { return s.peer.String() == peer })
						}
						has := func(list []PrefixImpact) bool {
							return slices.ContainsFunc(list, func(i PrefixImpact) bool { return string(i.Field) == rng.field && holds(i.Prefixes, prefix) })
						}
						a, b := receives(was), receives(is)
						if has(one.lost) != (a && !b) || has(one.gained) != (b && !a) {
							return fmt.Sprintf("%s, %s %s: before %v, now %v, got lost %v, gained %v\nnow:\n%s", peer, rng.field, prefix, a, b, one.lost, one.gained, show(next)), seen
						}
						if a != b {
							seen[2]++
						}
					}
				}
			}
		}
	}
	return "", seen
}

func TestRoutesOfExternalPeersInAnImpactAgreeWithTheNaiveModel(t *testing.T) {
	lost, gained, services, alike := 0, 0, 0, 0
	forRandomStates(t, 32, seeds/2, func(r *rand.Rand, objects []calico.Object) string {
		s := state.New(objects...)
		next := s
		g := newGenerator(t, r)
		for range 1 + r.IntN(2) {
			next = next.Apply(g.change())
		}
		if onTwoPorts(next) || underTwoNumbers(next) {
			return ""
		}
		fault, one := peerRoutesDiffer(t, s, next)
		lost, gained, services, alike = lost+one[0], gained+one[1], services+one[2], alike+one[3]
		return fault
	})
	if lost < 100 || gained < 100 || services < 20 || alike < 20 {
		t.Errorf("only %d routes are lost and %d gained, %d routes to Services differ, and nodes send the same routes in %d states", lost, gained, services, alike)
	}
}

// A router of each node receives the routes of its node. One BGPFilter and one range of addresses of Services
// then change what all routers receive.
func TestAnImpactNamesWhatExternalPeersLose(t *testing.T) {
	var objects []calico.Object
	for i := range 6 {
		name := calicotest.NodeName(i)
		objects = append(objects, calicotest.NumberedNode(t, i, calicotest.IPv4(fmt.Sprintf("10.0.%d.1/24", i))),
			calicotest.BGPPeer(t, name, map[string]any{"node": name, "peerIP": fmt.Sprintf("10.0.%d.254", i), "asNumber": int64(65000), "filters": []any{"f"}}))
	}
	filter := func(rules ...any) calico.Object {
		return calicotest.Object(t, "BGPFilter", "f", map[string]any{"exportV4": rules})
	}
	config := func(ranges ...any) calico.Object {
		return calicotest.BGPConfiguration(t, calico.Default, map[string]any{"nodeToNodeMeshEnabled": false, "serviceClusterIPs": ranges})
	}
	pool := func(disabled bool) calico.Object {
		return calicotest.IPPool(t, "pool", map[string]any{"cidr": "10.244.0.0/16", "vxlanMode": "Never", "ipipMode": "Never", "disableBGPExport": disabled})
	}
	// Every node has the routes to the pods of an IPPool with VXLAN from Felix, and sends them to its router.
	tunnelled := func(disabled bool) calico.Object {
		return calicotest.IPPool(t, "vxlan", map[string]any{"cidr": "10.245.0.0/16", "vxlanMode": "Always", "ipipMode": "Never", "disableBGPExport": disabled})
	}
	cidr := map[string]any{"cidr": "10.96.0.0/12"}
	objects = append(objects, filter(), config(cidr), pool(false), tunnelled(false))
	for name, c := range map[string]struct {
		change state.Change
		want   string
	}{
		"a BGPFilter that rejects a part of the pool": {
			state.Change{Before: filter(), After: filter(map[string]any{"action": "Reject", "cidr": "10.244.128.0/17", "matchOperator": "In"})},
			"6 external peers (10.0.0.254, 10.0.1.254, 10.0.2.254 and 3 more) lose routes to 10.244.128.0/17 of 1 node",
		},
		"disableBGPExport": {
			state.Change{Before: pool(false), After: pool(true)},
			"6 external peers (10.0.0.254, 10.0.1.254, 10.0.2.254 and 3 more) lose routes to 10.244.0.0/16 of 1 node",
		},
		"disableBGPExport of an IPPool with VXLAN": {
			state.Change{Before: tunnelled(false), After: tunnelled(true)},
			"6 external peers (10.0.0.254, 10.0.1.254, 10.0.2.254 and 3 more) lose routes to 10.245.0.0/16 of 6 nodes",
		},
		"a BGPFilter for the interface of VXLAN": {
			state.Change{Before: filter(), After: filter(map[string]any{"action": "Reject", "interface": "vxlan.calico"})},
			"6 external peers (10.0.0.254, 10.0.1.254, 10.0.2.254 and 3 more) lose routes to 10.245.0.0/16 of 5 nodes",
		},
		"a range that is removed": {
			state.Change{Before: config(cidr), After: config()},
			"6 external peers (10.0.0.254, 10.0.1.254, 10.0.2.254 and 3 more) lose routes to 10.96.0.0/12 (serviceClusterIPs)",
		},
		"one session": {
			state.Change{Before: objects[1]},
			"1 external peer (10.0.0.254) loses routes to 10.244.0.0/16 of 1 node, 10.245.0.0/16 of 6 nodes, 10.96.0.0/12 (serviceClusterIPs)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := state.New(objects...)
			before := compute(t, s, nil)
			now := compute(t, s.Apply(c.change), before)
			if got := now.Impact(before); !strings.Contains(got.String(), c.want) || got.Empty() {
				t.Errorf("got %q, want it to contain %q", got, c.want)
			}
			if got := before.Impact(now).String(); !strings.Contains(got, strings.NewReplacer("lose", "gain", "loses", "gains").Replace(c.want)) {
				t.Errorf("back: got %q", got)
			}
		})
	}
}
