package validate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
)

const operatorAccount = "system:serviceaccount:tigera-operator:tigera-operator"

// byFelix returns a cluster in which Felix programs the routes to pods, with or without the mesh, its Installation, and the
// Installation that hands the routes over to BIRD.
func byFelix(t *testing.T, mesh bool) (s *state.Snapshot, was, is calico.Object) {
	t.Helper()
	installation := func(mode string) calico.Object {
		return calicotest.Object(t, calico.KindInstallation, calico.Default, calicotest.Spec{"calicoNetwork": calicotest.Spec{"clusterRoutingMode": mode}})
	}
	was, is = installation("Felix"), installation("BIRD")
	return state.New(append(nodes(t, 4, 0), was, calicotest.ClusterInformation(t, "v3.33.0"), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"}),
		calicotest.BGPConfiguration(t, calico.Default, calicotest.Spec{"nodeToNodeMeshEnabled": mesh, "programClusterRoutes": "Disabled"}), felix(t, "Enabled"))...), was, is
}

func felix(t *testing.T, value string) calico.Object {
	t.Helper()
	return calicotest.Object(t, calico.KindFelixConfiguration, calico.Default, calicotest.Spec{"programClusterRoutes": value})
}

// The operator may see the new Installation before the watch of bgpguard shows it. A reservation has it then.
func TestAStepThatAPendingInstallationAsksFor(t *testing.T) {
	s, was, is := byFelix(t, true)
	step := state.Change{Before: felix(t, "Enabled"), After: felix(t, "Disabled")}
	pending := []Pending{{Change: state.Change{Before: was, After: is}, User: "jane"}}
	for name, test := range map[string]struct {
		user    string
		pending []Pending
		allowed bool
	}{
		"without the Installation":    {operatorAccount, nil, false},
		"with it":                     {operatorAccount, pending, true},
		"by another user":             {"jane", pending, false},
		"with another pending change": {operatorAccount, []Pending{{Change: state.Change{After: peer(t, "p", "has(x)", "has(x)")}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewEngine(defaults(t, "encapsulation-change")).Decide(t.Context(), s, Request{Change: step, User: test.user, Pending: test.pending})
			if d.Allowed != test.allowed {
				t.Errorf("allowed %t: %s", d.Allowed, d.Message())
			}
		})
	}
}

// While the operator has not written all, a change must also fit what it will write. The mesh is not needed in either
// state alone: today by Felix, and before by the Installation.
func TestChangesAreDecidedInTheStateThatAnInstallationAsksFor(t *testing.T) {
	s, was, is := byFelix(t, true)
	off := Request{Change: state.Change{Before: s.BGPConfiguration(calico.Default), After: calicotest.BGPConfiguration(t, calico.Default, calicotest.Spec{"nodeToNodeMeshEnabled": false, "programClusterRoutes": "Disabled"})}}
	e := NewEngine(defaults(t, "reachability-preserved"))
	if d := e.Decide(t.Context(), s, off); !d.Allowed {
		t.Errorf("Felix needs no mesh: %s", d.Message())
	}
	for name, decide := range map[string]func() *Decision{
		"stored": func() *Decision { return e.Decide(t.Context(), s.Apply(state.Change{Before: was, After: is}), off) },
		"pending": func() *Decision {
			r := off
			r.Pending = []Pending{{Change: state.Change{Before: was, After: is}, User: "jane"}}
			return e.Decide(t.Context(), s, r)
		},
	} {
		if d := decide(); d.Allowed || !strings.Contains(d.Message(), "Installation") {
			t.Errorf("%s: allowed %t: %s", name, d.Allowed, d.Message())
		}
	}
	// If the change of the other user comes first, the Installation is denied.
	r := Request{Change: state.Change{Before: was, After: is}, Pending: []Pending{{Change: off.Change, User: "joe"}}}
	if d := e.Decide(t.Context(), s, r); d.Allowed || !strings.Contains(d.Message(), "BGPConfiguration default by joe") {
		t.Errorf("allowed %t: %s", d.Allowed, d.Message())
	}
}

// An exception for the Installation covers what the operator writes, and its steps pass afterwards.
func TestAnExceptionForAnInstallation(t *testing.T) {
	s, was, is := byFelix(t, false)
	for kinds, want := range map[string]bool{"Installation": true, "FelixConfiguration": false, "IPPool": false} {
		t.Run(kinds, func(t *testing.T) {
			e := NewEngine(defaults(t, "reachability-preserved", "encapsulation-change"))
			e.SetExceptions([]*policy.Exception{exception(t, "a", v1alpha1.BGPExceptionSpec{Policies: []string{"*"}, Match: v1alpha1.Match{Kinds: []string{kinds}}})})
			e.SetClock(func() time.Time { return exceptionStart })
			if d := e.Decide(t.Context(), s, Request{Change: state.Change{Before: was, After: is}, User: "jane"}); d.Allowed != want {
				t.Errorf("allowed %t: %s", d.Allowed, d.Message())
			}
		})
	}
	asked := s.Apply(state.Change{Before: was, After: is})
	step := Request{Change: state.Change{Before: felix(t, "Enabled"), After: felix(t, "Disabled")}, User: operatorAccount}
	if d := NewEngine(defaults(t, "reachability-preserved", "encapsulation-change")).Decide(t.Context(), asked, step); !d.Allowed {
		t.Errorf("the step is denied: %s", d.Message())
	}
}

// Changes that are made at once contain what the operator writes for an Installation among them.
func TestAnInstallationInASet(t *testing.T) {
	s, was, is := byFelix(t, false)
	e := NewEngine(defaults(t, "reachability-preserved", "encapsulation-change"))
	requests := []Request{{Change: state.Change{Before: was, After: is}}}
	if d := e.DecideSet(t.Context(), s, requests); d.Allowed {
		t.Error("BIRD without sessions is allowed")
	}
	mesh := calicotest.BGPConfiguration(t, calico.Default, calicotest.Spec{"nodeToNodeMeshEnabled": true, "programClusterRoutes": "Disabled"})
	requests = append(requests, Request{Change: state.Change{Before: s.BGPConfiguration(calico.Default), After: mesh}})
	d := e.DecideSet(t.Context(), s, requests)
	if !d.Allowed || !strings.Contains(d.Written, "updates FelixConfiguration default (programClusterRoutes: Disabled)") {
		t.Errorf("allowed %t, writes %q: %s", d.Allowed, d.Written, d.Message())
	}
}

func TestWhatTheOperatorDoesIsSaid(t *testing.T) {
	s, was, is := byFelix(t, true)
	installation := func(fields calicotest.Spec) calico.Object {
		fields["clusterRoutingMode"] = "Felix"
		return calicotest.Object(t, calico.KindInstallation, calico.Default, calicotest.Spec{"calicoNetwork": fields})
	}
	pools := make([]any, 7)
	for i := range pools {
		pools[i] = calicotest.Spec{"cidr": fmt.Sprintf("10.%d.0.0/16", i), "name": fmt.Sprint("p", i)}
	}
	e := NewEngine(defaults(t, "reachability-preserved"))
	for name, test := range map[string]struct {
		after calico.Object
		want  string
	}{
		"routes":                {is, "tigera-operator updates FelixConfiguration default (programClusterRoutes: Disabled), updates BGPConfiguration default (programClusterRoutes: Enabled)"},
		"no BGP":                {installation(calicotest.Spec{"bgp": "Disabled"}), "tigera-operator restarts every calico-node"},
		"the default of bgp":    {installation(calicotest.Spec{"bgp": "Enabled", "linuxDataplane": "Iptables"}), ""},
		"another dataplane":     {installation(calicotest.Spec{"linuxDataplane": "BPF"}), "tigera-operator restarts every calico-node"},
		"IPPools, and no BGP":   {installation(calicotest.Spec{"bgp": "Disabled", "ipPools": pools[:1]}), "tigera-operator creates IPPool p0 (cidr: 10.0.0.0/16), and restarts every calico-node"},
		"more than are named":   {installation(calicotest.Spec{"ipPools": pools}), "creates IPPool p4 (cidr: 10.4.0.0/16) and 2 more"},
		"a delete says nothing": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := e.Decide(t.Context(), s, Request{Change: state.Change{Before: was, After: test.after}})
			if !strings.Contains(d.Written, test.want) || test.want == "" && d.Written != "" {
				t.Errorf("got %q, want %q", d.Written, test.want)
			}
			if d.Written != "" && !strings.HasPrefix(d.Effect(), EffectPrefix+d.Written) {
				t.Errorf("the line is %q", d.Effect())
			}
		})
	}
}
