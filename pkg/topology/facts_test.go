package topology

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// namedSet is a set of nodes in the JSON of a summary.
type namedSet struct {
	members string
	nodes   int
	sample  string
}

// namedSets appends all sets of nodes in the JSON of a summary. In a list of loads or
// levels, the set of an entry includes all entries before it, so only the number of nodes
// is compared.
func namedSets(v any, out *[]namedSet) {
	switch v := v.(type) {
	case map[string]any:
		if reflecting, ok := v["reflecting"].([]any); ok {
			addReflecting(v["levels"], reflecting)
			delete(v, "reflecting")
		}
		members, isSet := v["members"].(string)
		if nodes, ok := v["nodes"].(json.Number); ok && isSet {
			n, _ := nodes.Int64()
			*out = append(*out, namedSet{members, int(n), fmt.Sprint(v["sample"])})
		}
		for _, value := range v {
			namedSets(value, out)
		}
	case []any:
		total := 0
		for _, value := range v {
			var inner []namedSet
			namedSets(value, &inner)
			for i := range inner {
				if h := &inner[i]; strings.Contains(h.members, "/load/") || strings.Contains(h.members, "/atMost/") {
					total += h.nodes
					h.nodes, h.sample = total, ""
				}
			}
			*out = append(*out, inner...)
		}
	}
}

// addReflecting adds the route reflectors to the numbers of nodes in the levels: the sets
// contain them too.
func addReflecting(levels any, reflecting []any) {
	number := func(v any, field string) int64 {
		n, _ := v.(map[string]any)[field].(json.Number).Int64()
		return n
	}
	added := int64(0)
	for _, level := range levels.([]any) {
		n := number(level, "nodes") - added
		for _, r := range reflecting {
			if number(r, "reflectors") <= number(level, "reflectors") {
				n += number(r, "nodes")
			}
		}
		added += n - number(level, "nodes")
		level.(map[string]any)["nodes"] = json.Number(strconv.FormatInt(n, 10))
	}
}

// Against a state in which no node has an address, all that a set holds has joined.
func TestEveryNameInASummaryStandsForItsSet(t *testing.T) {
	kinds := map[string]int{}
	forRandomStates(t, 8, seeds/3, func(r *rand.Rand, objects []calico.Object) string {
		topology, err := Compute(t.Context(), state.New(objects...), nil, transitLists(r)...)
		if err != nil {
			return err.Error()
		}
		nothing := compute(t, state.New(), nil)
		text, err := json.Marshal(topology.Summary())
		if err != nil {
			return err.Error()
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		var summary any
		if err := decoder.Decode(&summary); err != nil {
			return err.Error()
		}
		var sets []namedSet
		namedSets(summary, &sets)
		for _, s := range sets {
			gain, err := topology.Gained(nothing, s.members)
			n := gain.Joined
			if err != nil {
				return err.Error()
			}
			if n != s.nodes || gain.Members != 0 || len(gain.Sample) > 0 {
				return fmt.Sprintf("%s stands for %d nodes and %d others, the summary has %d", s.members, n, gain.Members, s.nodes)
			}
			set, ok := topology.measure(s.members).(nodesOf)
			if isolated, is := topology.measure(s.members).(isolatedNodes); is {
				set, ok = nodesIn(isolated.family, isolated.members), true
			}
			if ok && s.sample != "" {
				names, is := []string{}, set.members(topology)
				for i, node := range topology.index.Nodes {
					if is(i) && len(names) < SampleSize {
						names = append(names, node.Name)
					}
				}
				if fmt.Sprint(names) != s.sample {
					return fmt.Sprintf("%s stands for %v, the summary has %s", s.members, names, s.sample)
				}
			}
			if n > 0 {
				for _, part := range []string{"mesh/notReady", "/ambiguous", "/broken/", "/load/", "/singlePoint/node/", "/singlePoint/zone/", "/singlePoint/externalPeer/", "frozen/IPv4/", "frozen/IPv6/"} {
					if strings.Contains(s.members, part) {
						kinds[part]++
					}
				}
			}
		}
		return ""
	})
	if len(kinds) != 8 || kinds["/singlePoint/zone/"] != 0 { // Random nodes have no zones.
		t.Errorf("some kinds of sets are missing: %v", kinds)
	}
}

func TestNamesThatAreNoSets(t *testing.T) {
	a, b := compute(t, state.New(makeNodes(t, 2)...), nil), compute(t, state.New(), nil)
	for _, members := range []string{
		"", "mesh", "mesh/ready", "sessions/IPv4", "sessions/IPv5/ambiguous", "sessions/IPv4/load/many", "reflectors/IPv5/load/1",
		"routes/IPv4/perhaps/singlePoint/node/a", "routes/IPv4/withTransit/singlePoint/node", "frozen/IPv5/x", "sessions/IPv4/broken",
		// Names of sets that neither summary has.
		"sessions/IPv4/broken/NoReturn", "sessions/IPv4/load/7", "routes/IPv4/withTransit/singlePoint/node/n00",
	} {
		t.Run(members, func(t *testing.T) {
			if _, err := a.Gained(b, members); err == nil || err.Error() != fmt.Sprintf("members %q is not a set of the summary", members) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Gained compares node by node, even if the size of the set does not change.
func TestGained(t *testing.T) {
	at := func(name, address, zone string) calico.Object {
		return calicotest.Node(t, name, calicotest.BGP("ipv4Address", address), calicotest.Label("topology.kubernetes.io/zone", zone))
	}
	rr := func(name, address string) calico.Object {
		return calicotest.Node(t, name, calicotest.BGP("ipv4Address", address), calicotest.BGP("routeReflectorClusterID", "244.0.0.1"), calicotest.Label("rr", ""), calicotest.Label("topology.kubernetes.io/zone", "z"))
	}
	peering := calicotest.Object(t, "BGPPeer", "to", map[string]any{"nodeSelector": "all()", "peerSelector": "has(rr)"})
	before := compute(t, state.New(meshOff(t), rr("rr", "10.0.0.9"), at("a", "10.0.0.1", "y"), at("b", "10.0.0.2", "y"), peering), nil)
	after := compute(t, state.New(meshOff(t), rr("rr", "10.0.0.9"), rr("rs", "10.0.0.8"), at("b", "10.0.0.2", "y"), at("c", "10.0.0.3", "y"), peering,
		calicotest.Object(t, "BGPPeer", "one-way", map[string]any{"node": "b", "peerIP": "10.0.0.3", "asNumber": int64(64513)}),
		calicotest.Object(t, "BGPPeer", "twice", map[string]any{"node": "b", "peerSelector": "has(rr)", "keepaliveTime": "20s"})), before)
	for members, want := range map[string]string{
		"reflectors/IPv4/load/3":                        "1 [rr] 1",
		"reflectors/IPv4/load/2":                        "0 [] 1",
		"sessions/IPv4/load/1":                          "0 [] 1",
		"sessions/IPv4/broken/NoReturn":                 "1 [b] 0",
		"sessions/IPv4/ambiguous":                       "2 [b rr] 1",
		"routes/IPv4/withTransit/singlePoint/node/rr":   "0 [] 0",
		"routes/IPv4/withTransit/singlePoint/zone/z":    "1 [b] 1",
		"routes/IPv4/withoutTransit/singlePoint/zone/z": "1 [b] 1",
	} {
		t.Run(members, func(t *testing.T) {
			gain, err := after.Gained(before, members)
			if got := fmt.Sprint(gain.Members, " ", gain.Sample, " ", gain.Joined); err != nil || got != want {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
		})
	}
}

// TestGainAgreesWithTheNaiveModel compares what sets of routes gained by a random change.
func TestGainAgreesWithTheNaiveModel(t *testing.T) {
	members, joined, withoutLinks := 0, 0, 0
	forRandomStates(t, 9, seeds/2, func(r *rand.Rand, objects []calico.Object) string {
		old := state.New(objects...)
		now := old.Apply(newGenerator(t, r).change())
		list := NewTransitPeers([]string{"192.0.2.1"})
		before, err := Compute(t.Context(), old, nil, list)
		if err != nil {
			return err.Error()
		}
		after, err := Compute(t.Context(), now, before, list)
		if err != nil {
			return err.Error()
		}
		a, b := newNaive(old), newNaive(now)
		gained := func(f calico.Family, got *Readings, a, b *naive) string {
			for _, c := range []struct {
				reach    *Reach
				was, now naiveReading
			}{
				{got.WithoutTransit, a.reading(false), b.reading(false)},
				{got.WithTransit, a.reading(true), b.reading(true)},
				{got.WithASPaths, a.withASPaths(), b.withASPaths()},
				{got.KnownTransit[0].Reach, a.known(list.Entries()), b.known(list.Entries())},
			} {
				isolated, pairs := naiveGains(a, b, f, c.was, c.now)
				for set, want := range map[string][2]int{c.reach.Isolated.Members: isolated, c.reach.WithoutRoute.Members: pairs} {
					gain, err := after.Gained(before, set)
					if got := [2]int{gain.Members, gain.Joined}; before != after && (err != nil || got != want) {
						return fmt.Sprintf("%s gained %v, %v, want %v\nafter:\n%s", set, got, err, want, show(now))
					}
					members, joined = members+gain.Members, joined+gain.Joined
				}
			}
			return ""
		}
		for _, f := range calico.Families {
			routes := after.Summary().Routes.In(f)
			if fault := gained(f, readingsOf(routes), a, b); fault != "" {
				return fault
			}
			if routes.WithoutLinks != nil {
				withoutLinks++
				if fault := gained(f, routes.WithoutLinks, newNaiveOf(old, true), newNaiveOf(now, true)); fault != "" {
					return fault
				}
			}
			if gain, err := after.Gained(before, routes.NoAddress.Members); err != nil {
				return err.Error()
			} else if got, want := [2]int{gain.Members, gain.Joined}, naiveWithoutAddress(a, b, f); before != after && got != want {
				return fmt.Sprintf("%s without an address: gained %v, want %v", f, got, want)
			}
		}
		return ""
	})
	if members == 0 || joined == 0 || withoutLinks == 0 {
		t.Errorf("%d members, %d joined and %d readings without links: the test does not test much", members, joined, withoutLinks)
	}
}

// naiveGains counts the isolated nodes and the pairs without routes that were none: those
// of nodes that had an address before, and others.
func naiveGains(before, after *naive, f calico.Family, was, now naiveReading) (isolated, pairs [2]int) {
	var had []bool
	var old, fresh []*calico.Node
	for _, n := range after.nodes {
		if n.SpeaksBGP(f) {
			o := before.node(n.Name)
			fresh, old, had = append(fresh, n), append(old, o), append(had, o != nil && o.SpeaksBGP(f))
		}
	}
	several := func(m *naive) bool {
		count := 0
		for _, n := range m.nodes {
			if n.SpeaksBGP(f) {
				count++
			}
		}
		return count > 1
	}
	mutual := func(m *naive, a, b *calico.Node, reading naiveReading) bool {
		return m.reached(f, a, reading)[b] && m.reached(f, b, reading)[a]
	}
	for i, n := range fresh {
		if several(after) && after.alone(n, f, now) {
			switch {
			case !had[i] || !several(before):
				isolated[1]++
			case !before.alone(old[i], f, was):
				isolated[0]++
			}
		}
		for j := range i {
			switch {
			case mutual(after, n, fresh[j], now):
			case !had[i] || !had[j]:
				pairs[1]++
			case mutual(before, old[i], old[j], was):
				pairs[0]++
			}
		}
	}
	return isolated, pairs
}

func naiveWithoutAddress(before, after *naive, f calico.Family) [2]int {
	out := [2]int{}
	for _, n := range after.nodes {
		if n.SpeaksBGP(f) {
			continue
		}
		if o := before.node(n.Name); o != nil && o.SpeaksBGP(f) {
			out[0]++
		} else {
			out[1]++
		}
	}
	return out
}

func (m *naive) node(name string) *calico.Node {
	for _, n := range m.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

func TestWhoProgramsClusterRoutes(t *testing.T) {
	felix := func(v string) calico.Object {
		return calicotest.Object(t, "FelixConfiguration", calico.Default, map[string]any{"programClusterRoutes": v})
	}
	bird := func(v string) calico.Object { return configuration(t, map[string]any{"programClusterRoutes": v}) }
	for name, c := range map[string]struct {
		objects []calico.Object
		want    string // setting of Felix and BIRD, the programs for IPIP and no encapsulation, and the version
	}{
		"the version is not known":                {nil, ` / ipip bird noEncap bird ""`},
		"a version of another product":            {[]calico.Object{calicotest.Object(t, "ClusterInformation", calico.Default, map[string]any{"calicoVersion": "v3.21.0", "variant": "TigeraSecureEnterprise"})}, ` / ipip bird noEncap bird ""`},
		"both are set and the version is unknown": {[]calico.Object{felix("EnabledIPIPOnly"), bird("EnabledNoEncapOnly")}, `EnabledIPIPOnly/EnabledNoEncapOnly ipip felix noEncap bird ""`},
		"v3.30 has no such field":                 {[]calico.Object{calicotest.ClusterInformation(t, "v3.30.3"), felix("Enabled"), bird("Disabled")}, `Disabled/Enabled ipip bird noEncap bird "3.30"`},
		"v3.31 has it for Felix and IPIP":         {[]calico.Object{calicotest.ClusterInformation(t, "v3.31.2"), felix("Enabled"), bird("Disabled")}, `Enabled/Enabled ipip felix+bird noEncap bird "3.31"`},
		"v3.32 by default":                        {[]calico.Object{calicotest.ClusterInformation(t, "v3.32.0")}, `Disabled/Enabled ipip bird noEncap bird "3.32"`},
		"v3.32 has two values":                    {[]calico.Object{calicotest.ClusterInformation(t, "v3.32.0"), felix("EnabledIPIPOnly"), bird("EnabledNoEncapOnly")}, `Disabled/Enabled ipip bird noEncap bird "3.32"`},
		"v3.32 handed over":                       {[]calico.Object{calicotest.ClusterInformation(t, "v3.32.0"), felix("Enabled"), bird("Disabled")}, `Enabled/Disabled ipip felix noEncap felix "3.32"`},
		"v3.32 with nobody":                       {[]calico.Object{calicotest.ClusterInformation(t, "v3.32.0"), bird("Disabled")}, `Disabled/Disabled ipip nobody noEncap nobody "3.32"`},
		"v3.33 by default":                        {[]calico.Object{calicotest.ClusterInformation(t, "v3.33.0")}, `EnabledIPIPOnly/EnabledNoEncapOnly ipip felix noEncap bird "3.33"`},
		"v3.33 as it was before":                  {[]calico.Object{calicotest.ClusterInformation(t, "v3.33.0"), felix("Disabled"), bird("Enabled")}, `Disabled/Enabled ipip bird noEncap bird "3.33"`},
		"v3.33 with only one side changed":        {[]calico.Object{calicotest.ClusterInformation(t, "v3.33.0"), felix("Disabled")}, `Disabled/EnabledNoEncapOnly ipip nobody noEncap bird "3.33"`},
		"v3.33 with both at everything":           {[]calico.Object{calicotest.ClusterInformation(t, "v3.33.0"), felix("Enabled"), bird("Enabled")}, `Enabled/Enabled ipip felix+bird noEncap felix+bird "3.33"`},
		"v3.33 the other way round":               {[]calico.Object{calicotest.ClusterInformation(t, "v3.33.0"), felix("EnabledNoEncapOnly"), bird("EnabledIPIPOnly")}, `EnabledNoEncapOnly/EnabledIPIPOnly ipip bird noEncap felix "3.33"`},
		"v4.0 with values of another version":     {[]calico.Object{calicotest.ClusterInformation(t, "v4.0.1"), felix("Someday"), bird("Never")}, `EnabledIPIPOnly/EnabledNoEncapOnly ipip felix noEncap bird "4.0"`},
		"a FelixConfiguration of a node":          {[]calico.Object{calicotest.ClusterInformation(t, "v3.33.0"), calicotest.Object(t, "FelixConfiguration", "node.a", map[string]any{"programClusterRoutes": "Disabled"})}, `EnabledIPIPOnly/EnabledNoEncapOnly ipip felix noEncap bird "3.33"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := compute(t, state.New(c.objects...), nil).Summary().ClusterRoutes
			by := func(p PoolClass) string {
				switch {
				case p.Felix && p.BIRD:
					return "felix+bird"
				case p.Felix:
					return "felix"
				case p.BIRD:
					return "bird"
				}
				return "nobody"
			}
			setting := got.Setting.Felix + "/" + got.Setting.BIRD
			if setting == "/" {
				setting = " /"
			}
			if text := fmt.Sprintf("%s ipip %s noEncap %s %q", setting, by(got.IPIP), by(got.NoEncap), got.Version); text != c.want {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
}

func TestPoolsWhoseRoutesSomebodyProgramsByChoice(t *testing.T) {
	pool := func(name string, spec map[string]any) calico.Object {
		return calicotest.Object(t, "IPPool", name, spec)
	}
	got := compute(t, state.New(
		pool("vxlan", map[string]any{"cidr": "10.0.0.0/16", "vxlanMode": "Always"}), pool("plain", map[string]any{"cidr": "10.1.0.0/16"}),
		pool("six", map[string]any{"cidr": "fd00::/64"}), pool("ipip", map[string]any{"cidr": "10.2.0.0/16", "ipipMode": "CrossSubnet"}),
		pool("tunnel", map[string]any{"cidr": "10.3.0.0/16", "allowedUses": []any{"Tunnel"}}),
	), nil).Summary().ClusterRoutes
	if fmt.Sprint(got.IPIP.Pools, got.NoEncap.Pools) != "[ipip] [plain six]" {
		t.Errorf("got %v and %v", got.IPIP.Pools, got.NoEncap.Pools)
	}
}

func TestSelectorsOfBGPPeers(t *testing.T) {
	objects := append(makeNodes(t, 3, calicotest.Label("rack", "a")), calicotest.Node(t, "bare", calicotest.Label("rack", "a")), calicotest.Node(t, "rr", calicotest.BGP("ipv4Address", "10.2.0.1/16"), calicotest.Label("rr", "")))
	none := sessions.Unintended{Sample: []string{}}
	for name, c := range map[string]struct {
		spec map[string]any
		want []Selector
	}{
		"none is set":      {map[string]any{"peerIP": "172.16.0.1", "asNumber": int64(1)}, []Selector{}},
		"both are set":     {map[string]any{"nodeSelector": "rack == 'a' && !has(rr)", "peerSelector": "has(rr)"}, []Selector{{Field: "spec.nodeSelector", Text: "rack == 'a' && !has(rr)", Error: "", Labels: []string{"rack", "rr"}, Nodes: 4, Unintended: none}, {Field: "spec.peerSelector", Text: "has(rr)", Error: "", Labels: []string{"rr"}, Nodes: 1, Unintended: none}}},
		"it reads nothing": {map[string]any{"peerSelector": "all()"}, []Selector{{Field: "spec.peerSelector", Text: "all()", Error: "", Labels: []string{}, Nodes: 5, Unintended: none}}},
		"one does not parse": {map[string]any{"nodeSelector": "has(x)", "peerSelector": "has(rr"}, []Selector{{Field: "spec.nodeSelector", Text: "has(x)", Error: "", Labels: []string{"x"}, Nodes: 0, Unintended: none},
			{Field: "spec.peerSelector", Text: "has(rr", Error: "Expected == or !=", Labels: []string{}, Nodes: 0, Unintended: none}}},
		"the peers are pods": {map[string]any{"nodeSelector": "has(rr)", "localWorkloadSelector": "has(x)", "peerSelector": "rack == 'a'", "asNumber": int64(1)},
			[]Selector{{Field: "spec.nodeSelector", Text: "has(rr)", Error: "", Labels: []string{"rr"}, Nodes: 1, Unintended: none}, {Field: "spec.peerSelector", Text: "rack == 'a'", Error: "", Labels: []string{"rack"}, Nodes: 4, Unintended: none}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := state.New(append(objects, calicotest.Object(t, "BGPPeer", "p", c.spec))...)
			topology := compute(t, s, nil)
			got := topology.Summary().BGPPeers["p"].Selectors
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			// The selectors match one more Node, which has no BGP address.
			s = s.Apply(state.Change{After: calicotest.Node(t, "more", calicotest.Label("rack", "a"), calicotest.Label("x", ""), calicotest.Label("rr", ""))})
			if fault := topologiesDiffer(compute(t, s, topology), compute(t, s, nil)); fault != "" {
				t.Error(fault)
			}
		})
	}
}

func TestBGPFiltersAndSecretsOfAState(t *testing.T) {
	filter := calicotest.Object(t, "BGPFilter", "f", map[string]any{"exportV4": []any{}})
	secret := &calico.Secret{Name: "bgp", Namespace: "calico-system", Keys: []string{"a", "b"}}
	for name, c := range map[string]struct {
		snapshot *state.Snapshot
		want     string
	}{
		"nobody asked for them": {state.New(), "false [] false map[]"},
		"there are some":        {state.New(filter, secret), "true [f] true map[bgp:[a b]]"},
		"there are none":        {state.New().Knowing(calico.KindBGPFilter, calico.KindSecret), "true [] true map[]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := compute(t, c.snapshot, nil).Summary()
			if got := fmt.Sprint(s.BGPFilters.Known, s.BGPFilters.Names, s.Secrets.Known, s.Secrets.Keys); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	s := state.New(filter, secret)
	before := compute(t, s, nil)
	after := compute(t, s.Apply(state.Change{Before: filter}), before).Summary()
	if !after.BGPFilters.Known || len(after.BGPFilters.Names) != 0 || after.Secrets != before.Summary().Secrets || after.Sessions != before.Summary().Sessions {
		t.Errorf("after the delete of the BGPFilter: %+v", after.BGPFilters)
	}
}

func TestACalicoNodeStatusChangesNothing(t *testing.T) {
	status := calicotest.Object(t, "CalicoNodeStatus", "a", map[string]any{"node": "node-00001", "updatePeriodSeconds": int64(0)})
	s := cluster(t, 20, false)
	before := compute(t, s, nil)
	next := s.Apply(state.Change{After: status})
	after := compute(t, next, before)
	if after == before || after.snapshot != next || after.Summary() != before.Summary() || after.sessions.Classes != before.sessions.Classes {
		t.Error("a part was recomputed, or the snapshot is the old one")
	}
	if again := compute(t, next.Apply(changes["peer-delete"](t, next)), after).Summary(); again.Sessions == before.Summary().Sessions {
		t.Error("what changes later is not seen")
	}
}
