package validate

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// denying returns the library with the action Deny for each policy.
func denying(t *testing.T) *policy.Set {
	t.Helper()
	docs, err := policy.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	for i := range docs {
		docs[i].Spec.ValidationActions = []violation.Action{violation.Deny}
	}
	set, err := policy.Compile(docs)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// installation is the steps by which tigera-operator and calico-node install a cluster, and
// then make it dual-stack: an IPPool comes before the addresses of its family, and nodes get
// addresses one by one.
func installation(t *testing.T, pool calicotest.Spec, reflectors bool) []calico.Object {
	node := func(i int, six bool, tweaks ...calicotest.Tweak) calico.Object {
		if reflectors && i > 2 { // Workers come first.
			tweaks = append(tweaks, calicotest.RouteReflector("244.0.0.1"), calicotest.Label("rr", ""))
		}
		if six {
			tweaks = append(tweaks, calicotest.IPv6(fmt.Sprintf("fd00::%d/64", i+1)))
		}
		return calicotest.NumberedNode(t, i, tweaks...)
	}
	var out []calico.Object
	add := func(objects ...calico.Object) { out = append(out, objects...) }
	poolOf := func(name, cidr string) calico.Object {
		spec := calicotest.Spec{"cidr": cidr}
		maps.Copy(spec, pool)
		return calicotest.IPPool(t, name, spec)
	}
	const count = 5
	for i := range count { // kubelets
		var labels []calicotest.Tweak
		if reflectors && i > 2 {
			labels = append(labels, calicotest.Label("rr", ""))
		}
		add(calicotest.Node(t, calicotest.NodeName(i), labels...))
	}
	add(calicotest.Object(t, "FelixConfiguration", calico.Default, calicotest.Spec{"bpfEnabled": false}), poolOf("four", "10.244.0.0/16"))
	if reflectors {
		add(calicotest.Mesh(t, false), calicotest.BGPPeer(t, "workers", calicotest.Spec{"nodeSelector": "all()", "peerSelector": "has(rr)"}))
	}
	for i := range count {
		add(node(i, false))
	}
	add(poolOf("six", "fd01::/64"))
	for i := range count {
		add(node(i, true))
	}
	return out
}

func TestAnInstallationIsAllowed(t *testing.T) {
	set := denying(t)
	for encapsulation, pool := range map[string]calicotest.Spec{
		"no encapsulation": {}, "VXLAN": {"vxlanMode": "Always"}, "VXLAN across subnets": {"vxlanMode": "CrossSubnet"},
	} {
		for _, reflectors := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reflectors %v", encapsulation, reflectors), func(t *testing.T) {
				engine, s := NewEngine(set), state.New()
				for i, o := range installation(t, pool, reflectors) {
					c := state.Change{Before: s.Get(o.ID()), After: o}
					d := engine.Decide(t.Context(), s, Request{Change: c})
					if !d.Allowed || len(d.Failures) > 0 {
						t.Errorf("step %d, %s %s: %s", i, c.Operation(), o.ID(), d.Message())
					}
					s = s.Apply(c)
				}
				if found := engine.Evaluate(t.Context(), s).Violations(); len(found) > 0 {
					t.Errorf("afterwards: %v", found)
				}
			})
		}
	}
}

// TestDisabledPools creates and disables IPPools in clusters that do and do not need BGP.
func TestDisabledPools(t *testing.T) {
	set := denying(t)
	pool := func(name string, spec calicotest.Spec) calico.Object {
		merged := calicotest.Spec{"cidr": "10.244.0.0/16"}
		maps.Copy(merged, spec)
		return calicotest.IPPool(t, name, merged)
	}
	vxlan, exempt := pool("pods", calicotest.Spec{"vxlanMode": "Always"}), pool("exempt", calicotest.Spec{"cidr": "192.168.50.0/24", "disabled": true})
	plain, disabled := pool("pods", nil), pool("pods", calicotest.Spec{"disabled": true})
	router := calicotest.BGPPeer(t, "tor", calicotest.Spec{"peerIP": "192.0.2.1", "asNumber": int64(64800), "password": map[string]any{"secretKeyRef": map[string]any{"name": "s", "key": "k"}}})
	mesh, off := calicotest.Mesh(t, true), calicotest.Mesh(t, false)
	for name, c := range map[string]struct {
		before  []calico.Object
		change  state.Change
		allowed bool
	}{
		"one is created beside VXLAN":                           {[]calico.Object{vxlan, off}, state.Change{After: exempt}, true},
		"a node joins beside it":                                {[]calico.Object{vxlan, off, exempt}, state.Change{After: calicotest.NumberedNode(t, 9)}, true},
		"a router is peered with beside it":                     {[]calico.Object{vxlan, off, exempt}, state.Change{After: router}, true},
		"one is deleted":                                        {[]calico.Object{vxlan, off, exempt}, state.Change{Before: exempt}, true},
		"the only pool is disabled":                             {[]calico.Object{plain, mesh}, state.Change{Before: plain, After: disabled}, true},
		"the only pool is disabled, and has no routes":          {[]calico.Object{plain, off}, state.Change{Before: plain, After: disabled}, true},
		"the mesh ends while pods may have addresses of one":    {[]calico.Object{vxlan, pool("old", calicotest.Spec{"cidr": "10.1.0.0/16", "disabled": true}), mesh}, state.Change{Before: mesh, After: off}, false},
		"the last sessions end after the only pool is disabled": {[]calico.Object{disabled, mesh}, state.Change{Before: mesh, After: off}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewEngine(set).Decide(t.Context(), state.New(append(calicotest.Nodes(t, 4), c.before...)...), Request{Change: c.change})
			if d.Allowed != c.allowed {
				t.Errorf("allowed %v: %s", d.Allowed, d.Message())
			}
		})
	}
}

// TestTransitPeers turns the mesh off where only external peers are left.
func TestTransitPeers(t *testing.T) {
	mesh, off := calicotest.Mesh(t, true), calicotest.Mesh(t, false)
	tor := func(address string) calico.Object {
		return calicotest.BGPPeer(t, "tor", calicotest.Spec{"peerIP": address, "asNumber": int64(64800)})
	}
	pool := calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"})
	for name, c := range map[string]struct {
		peer         calico.Object
		transitPeers string
		change       state.Change
		denies       string
	}{
		"a router":                          {tor("192.0.2.1"), "[]", state.Change{Before: mesh, After: off}, "external peers do not pass routes on between nodes"},
		"another is known":                  {tor("192.0.2.1"), "[192.0.2.2]", state.Change{Before: mesh, After: off}, "only the external peers in transitPeers pass routes on between nodes"},
		"it is known by address":            {tor("192.0.2.1"), "[192.0.2.1]", state.Change{Before: mesh, After: off}, ""},
		"by name":                           {tor("192.0.2.1"), "[tor]", state.Change{Before: mesh, After: off}, ""},
		"by CIDR":                           {tor("192.0.2.1"), "[192.0.2.0/24]", state.Change{Before: mesh, After: off}, ""},
		"by AS number":                      {tor("192.0.2.1"), `["64800"]`, state.Change{Before: mesh, After: off}, ""},
		"localhost is no router":            {tor("127.0.0.1"), "[tor]", state.Change{Before: mesh, After: off}, "isolated nodes"},
		"the mesh is off without a router":  {off, "[]", state.Change{After: calicotest.NumberedNode(t, 9)}, ""},
		"the last router of routers alone":  {off, "[tor]", state.Change{Before: tor("192.0.2.1")}, "isolated nodes"},
		"with routers alone, another comes": {off, "[]", state.Change{After: calicotest.BGPPeer(t, "other", calicotest.Spec{"peerIP": "192.0.2.9", "asNumber": int64(64800)})}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			before := append(calicotest.Nodes(t, 4), pool, c.peer)
			if c.peer == off {
				before = append(before, tor("192.0.2.1"))
			} else {
				before = append(before, mesh)
			}
			set := compiled(t, document("reach", "reachability-preserved", "Deny", "transitPeers: "+c.transitPeers)+document("pools", "encapsulation-change", "Deny", "transitPeers: "+c.transitPeers))
			d := NewEngine(set).Decide(t.Context(), state.New(before...), Request{Change: c.change})
			if d.Allowed != (c.denies == "") || !strings.Contains(d.Message(), c.denies) {
				t.Errorf("allowed %v: %s", d.Allowed, d.Message())
			}
		})
	}
}
