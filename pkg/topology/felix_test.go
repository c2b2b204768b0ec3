package topology

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// naiveFelix returns the first FelixConfiguration that sets a field for a node, nil if none does.
func naiveFelix(list []*calico.FelixConfiguration, n *calico.Node, selectors bool, sets func(*calico.FelixConfiguration) bool) *calico.FelixConfiguration {
	var oldest *calico.FelixConfiguration
	byName := map[string]*calico.FelixConfiguration{}
	for _, c := range list {
		byName[c.Name] = c
		if selectors && c.Selects() != nil && c.Selects().Matches(n.Labels) && (oldest == nil || c.Older(oldest)) {
			oldest = c
		}
	}
	for _, c := range []*calico.FelixConfiguration{byName["node."+n.Name], oldest, byName[calico.Default]} {
		if c != nil && sets(c) {
			return c
		}
	}
	return nil
}

// The values of FelixConfigurations on nodes are those of a naive model that visits each node.
func TestFelixConfigurationsOfNodes(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 14))
		one := func(in int) bool { return r.IntN(in) == 0 }
		var objects []calico.Object
		for i := range 1 + r.IntN(5) {
			objects = append(objects, calicotest.NumberedNode(t, i, calicotest.Label("rack", fmt.Sprint(r.IntN(3)))))
		}
		version := pick(r, "", "v3.31.0", "v3.32.0", "v3.33.0")
		if version != "" {
			objects = append(objects, calicotest.ClusterInformation(t, version))
		}
		for _, name := range []string{calico.Default, "node." + calicotest.NodeName(0), "node." + calicotest.NodeName(1), "node.nobody", "a", "b", "c"} {
			if one(3) {
				continue
			}
			spec := map[string]any{}
			if one(2) {
				spec["programClusterRoutes"] = pick(r, "Enabled", "Disabled", "EnabledIPIPOnly")
			}
			if one(2) {
				spec["ipv4NormalRoutePriority"] = pick(r, 512, 1024, 2048)
			}
			if len(name) == 1 && !one(5) {
				spec["nodeSelector"] = pick(r, "all()", "rack == '1'", "rack != '1'", "has(")
			}
			objects = append(objects, calicotest.Object(t, calico.KindFelixConfiguration, name, spec, func(document map[string]any) {
				if meta, ok := document["metadata"].(map[string]any); ok && one(2) {
					meta["creationTimestamp"] = pick(r, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
				}
			}))
		}
		s := state.New(objects...)
		topology := compute(t, s, nil)
		scopes := topology.felixScopes()
		selectors := version != "v3.31.0"
		settings, priorities := topology.clusterRoutesValues(scopes), topology.priorityValues(scopes, calico.IPv4)
		for i, n := range s.Nodes() {
			want, set := "", naiveFelix(s.FelixConfigurations(), n, selectors, func(c *calico.FelixConfiguration) bool { return c.ProgramClusterRoutes != "" })
			if set != nil {
				want = set.ProgramClusterRoutes
			}
			got := ""
			if c := s.FelixConfiguration(); c != nil {
				got = c.ProgramClusterRoutes
			}
			v := topology.newProgramming(scopes).version
			want, got = felixSetting(v, want), felixSetting(v, got)
			for _, one := range settings {
				if one.nodes.Test(uint(i)) {
					got = one.value
				}
			}
			if got != want {
				t.Errorf("seed %d: %s has %q, want %q", seed, n.Name, got, want)
			}
			priority, wanted := defaultRoutePriority, defaultRoutePriority
			if c := s.FelixConfiguration(); c != nil {
				priority = cmp.Or(c.NormalRoutePriority[calico.IPv4], defaultRoutePriority)
			}
			if c := naiveFelix(s.FelixConfigurations(), n, selectors, func(c *calico.FelixConfiguration) bool { return c.NormalRoutePriority[calico.IPv4] != 0 }); c != nil {
				wanted = c.NormalRoutePriority[calico.IPv4]
			}
			for _, one := range priorities {
				if one.nodes.Test(uint(i)) {
					priority = one.value
				}
			}
			if priority != wanted {
				t.Errorf("seed %d: %s has priority %d, want %d", seed, n.Name, priority, wanted)
			}
		}
	}
}

func TestNodesWithAFelixConfigurationOfTheirOwn(t *testing.T) {
	felix := func(name string, spec map[string]any) calico.Object {
		return calicotest.Object(t, calico.KindFelixConfiguration, name, spec)
	}
	first, second := calicotest.NodeName(0), calicotest.NodeName(1)
	enabled, disabled := map[string]any{"programClusterRoutes": "Enabled"}, map[string]any{"programClusterRoutes": "Disabled"}
	handedOver := []calico.Object{calicotest.ClusterInformation(t, "v3.32.0"), configuration(t, map[string]any{"programClusterRoutes": "Disabled"}), felix(calico.Default, enabled)}
	for name, c := range map[string]struct {
		objects []calico.Object
		want    string // the setting of Felix, that of other nodes, and whether the IPPool needs BGP
	}{
		"no other":                     {nil, "Enabled, needs BGP false"},
		"one node":                     {[]calico.Object{felix("node."+first, disabled)}, "Enabled, Disabled on [" + first + "] by [node." + first + "], needs BGP true"},
		"the same setting":             {[]calico.Object{felix("node."+first, enabled)}, "Enabled, needs BGP false"},
		"a node that does not exist":   {[]calico.Object{felix("node.nobody", disabled)}, "Enabled, needs BGP false"},
		"a selector for all":           {[]calico.Object{felix("all", map[string]any{"programClusterRoutes": "Disabled", "nodeSelector": "all()"})}, "Disabled, needs BGP true"},
		"a selector and a node of two": {[]calico.Object{felix("all", map[string]any{"programClusterRoutes": "Disabled", "nodeSelector": "all()"}), felix("node."+second, enabled)}, "Enabled, Disabled on [" + first + "] by [all], needs BGP true"},
	} {
		t.Run(name, func(t *testing.T) {
			objects := slices.Concat(calicotest.Nodes(t, 2), handedOver, c.objects, []calico.Object{calicotest.IPPool(t, "pods", map[string]any{"cidr": "192.168.0.0/16"})})
			topology := compute(t, state.New(objects...), nil)
			routes := topology.Summary().ClusterRoutes
			parts := []string{string(routes.Setting.Felix)}
			for _, o := range routes.OtherNodes {
				parts = append(parts, fmt.Sprintf("%s on %v by %v", o.Setting, o.Sample, o.FelixConfigurations))
				if members, err := topology.Members(o.Members); err != nil || !slices.Equal(members, o.Sample) {
					t.Errorf("%s has the members %v, error %v", o.Members, members, err)
				}
			}
			parts = append(parts, fmt.Sprintf("needs BGP %t", topology.Summary().IPPools["pods"].NeedsBGP))
			if got := strings.Join(parts, ", "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A label that moves a node to another FelixConfiguration changes what is reused.
func TestALabelChangesTheFelixConfigurationOfANode(t *testing.T) {
	objects := append(calicotest.Nodes(t, 3), calicotest.ClusterInformation(t, "v3.32.0"), configuration(t, map[string]any{"programClusterRoutes": "Disabled"}),
		calicotest.Object(t, calico.KindFelixConfiguration, calico.Default, map[string]any{"programClusterRoutes": "Enabled"}),
		calicotest.Object(t, calico.KindFelixConfiguration, "old", map[string]any{"programClusterRoutes": "Disabled", "nodeSelector": "has(old)"}),
		calicotest.IPPool(t, "pods", map[string]any{"cidr": "192.168.0.0/16"}))
	s := state.New(objects...)
	before := compute(t, s, nil)
	next := s.Apply(state.Change{After: calicotest.NumberedNode(t, 1, calicotest.Label("old", ""))})
	after := compute(t, next, before)
	if fault := topologiesDiffer(after, compute(t, next, nil)); fault != "" {
		t.Error(fault)
	}
	if before.Summary().IPPools["pods"].NeedsBGP || !after.Summary().IPPools["pods"].NeedsBGP {
		t.Error("the pool does not need BGP after the change only")
	}
	gain, err := after.Gained(before, after.Summary().ClusterRoutes.OtherNodes[0].Members)
	if err != nil || gain.Members != 1 {
		t.Errorf("gained %+v, error %v", gain, err)
	}
}

// A stored value that Calico cannot decode freezes all nodes.
func TestAStoredValueThatCalicoCannotDecodeFreezesAllNodes(t *testing.T) {
	for kind, spec := range map[calico.Kind]map[string]any{
		calico.KindBGPConfiguration: {"nodeMeshMaxRestartTime": "2 minutes"},
		calico.KindBGPPeer:          {"peerIP": "10.9.9.9", "asNumber": 64512, "keepaliveTime": "30"},
		calico.KindIPPool:           {"cidr": 7},
	} {
		o, err := calico.DecodeStored(calicotest.Document(t, kind, calico.Default, spec))
		if err != nil {
			t.Fatal(err)
		}
		got := compute(t, state.New(append(calicotest.Nodes(t, 3), o)...), nil)
		frozen := got.Summary().Sessions.IPv4.FrozenReasons
		if len(frozen) != 1 || frozen[0].Nodes != 3 || frozen[0].Reason != calico.RejectUndecodable.Reason || frozen[0].Objects[0].Kind != string(kind) {
			t.Errorf("%s: %+v", kind, frozen)
		}
		if list := got.Frozen(); len(list) != 3 || list[0].Rejected[0].Field != calico.Odd(o)[0].Field {
			t.Errorf("%s: %+v", kind, list)
		}
		if len(got.Ignored()) != 1 && kind != calico.KindIPPool {
			t.Errorf("%s: %v", kind, got.Ignored())
		}
	}
}
