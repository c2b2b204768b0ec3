package operator_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/operator"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// spec is a short name for the specs of the tables below.
type spec = calicotest.Spec

// installation returns an Installation.
func installation(t *testing.T, name string, content spec, tweaks ...calicotest.Tweak) calico.Object {
	t.Helper()
	return calicotest.Object(t, calico.KindInstallation, name, content, tweaks...)
}

// network returns the spec of an Installation with calicoNetwork.
func network(fields spec) spec { return spec{"calicoNetwork": fields} }

// managed is the label of the IPPools of the operator.
var managed = calicotest.Label("app.kubernetes.io/managed-by", "tigera-operator")

// described returns a change with the values that a write sets.
func described(c state.Change) string {
	m := calico.MetadataOf(c.After)
	if m == nil {
		return fmt.Sprintf("%s %s", c.Operation(), c.ID())
	}
	out := fmt.Sprintf("%s %s", c.Operation(), c.ID())
	for _, field := range []string{"programClusterRoutes", "cidr", "ipipMode", "vxlanMode", "natOutgoing", "blockSize", "disabled", "disableBGPExport", "nodeSelector", "allowedUses"} {
		if v := m.Spec[field]; v != nil {
			out += fmt.Sprintf(" %s=%v", field, v)
		}
	}
	return out
}

func TestWrites(t *testing.T) {
	pool := func(name string, content spec, tweaks ...calicotest.Tweak) calico.Object {
		return calicotest.IPPool(t, name, content, tweaks...)
	}
	four := spec{"cidr": "10.244.0.0/16", "encapsulation": "VXLAN"}
	vxlan := spec{"cidr": "10.244.0.0/16", "ipipMode": "Never", "vxlanMode": "Always", "natOutgoing": true}
	tests := map[string]struct {
		objects []calico.Object
		want    []string
	}{
		"no Installation":                 {[]calico.Object{pool("a", vxlan, managed)}, nil},
		"an Installation of another name": {[]calico.Object{installation(t, "other", network(spec{"clusterRoutingMode": "Felix"}))}, nil},
		"a terminating Installation":      {[]calico.Object{installation(t, "default", network(spec{"clusterRoutingMode": "Felix"}), calicotest.DeletionTimestamp)}, nil},
		"no mode keeps what is there": {[]calico.Object{
			installation(t, "default", network(spec{"bgp": "Enabled"})), calicotest.Object(t, calico.KindFelixConfiguration, "default", spec{"programClusterRoutes": "Enabled"}),
		}, nil},
		"an unknown mode": {[]calico.Object{installation(t, "default", network(spec{"clusterRoutingMode": "Other"}))}, nil},
		"mode Felix": {[]calico.Object{installation(t, "default", network(spec{"clusterRoutingMode": "Felix"}))}, []string{
			"CREATE FelixConfiguration default programClusterRoutes=Enabled", "CREATE BGPConfiguration default programClusterRoutes=Disabled",
		}},
		"mode BIRD": {[]calico.Object{installation(t, "default", network(spec{"clusterRoutingMode": "BIRD"})), calicotest.Mesh(t, false)}, []string{
			"CREATE FelixConfiguration default programClusterRoutes=Disabled", "UPDATE BGPConfiguration default programClusterRoutes=Enabled",
		}},
		"mode FelixIPIPOnly of the overlay": {[]calico.Object{
			installation(t, "default", network(spec{"clusterRoutingMode": "BIRD"})), installation(t, "overlay", network(spec{"clusterRoutingMode": "FelixIPIPOnly"})),
			calicotest.Object(t, calico.KindFelixConfiguration, "default", spec{"programClusterRoutes": "EnabledIPIPOnly"}),
		}, []string{"CREATE BGPConfiguration default programClusterRoutes=EnabledNoEncapOnly"}},
		"no ipPools, and those of a user": {[]calico.Object{installation(t, "default", network(spec{})), pool("a", vxlan, managed)}, nil},
		"an empty list":                   {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{}})), pool("a", vxlan, managed), pool("b", spec{"cidr": "10.1.0.0/16"})}, []string{"DELETE IPPool a"}},
		"an IPPool as it is":              {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{four}})), pool("a", vxlan, managed)}, nil},
		"with Calico's defaults written out": {[]calico.Object{
			installation(t, "default", network(spec{"ipPools": []any{four}})),
			pool("a", spec{
				"cidr": "10.244.0.0/16", "ipipMode": "Never", "vxlanMode": "Always", "natOutgoing": true, "blockSize": 26, "nodeSelector": "all()",
				"allowedUses": []any{"Workload", "Tunnel"}, "assignmentMode": "Automatic", "disabled": false, "disableBGPExport": false,
			}, managed),
		}, nil},
		"a new IPPool": {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{spec{"cidr": "10.244.1.2/16"}}}))}, []string{
			"CREATE IPPool default-ipv4-ippool cidr=10.244.0.0/16 ipipMode=Always vxlanMode=Never natOutgoing=true blockSize=26 nodeSelector=all() allowedUses=[Workload Tunnel]",
		}},
		"without encapsulation for another CNI plugin": {[]calico.Object{installation(t, "default", spec{"cni": spec{"type": "AmazonVPC"}, "calicoNetwork": spec{"ipPools": []any{spec{"cidr": "10.244.0.0/16"}}}})}, []string{
			"CREATE IPPool default-ipv4-ippool cidr=10.244.0.0/16 natOutgoing=true blockSize=26 nodeSelector=all() allowedUses=[Workload Tunnel]",
		}},
		"dual stack": {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{spec{"cidr": "10.244.0.0/16", "encapsulation": "IPIPCrossSubnet"}, spec{"cidr": "fd00::/48"}}}))}, []string{
			"CREATE IPPool default-ipv4-ippool cidr=10.244.0.0/16 ipipMode=CrossSubnet vxlanMode=Never natOutgoing=true blockSize=26 nodeSelector=all() allowedUses=[Workload Tunnel]",
			"CREATE IPPool default-ipv6-ippool cidr=fd00::/48 blockSize=122 nodeSelector=all() allowedUses=[Workload Tunnel]",
		}},
		"names by CIDR": {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{four, spec{"cidr": "fd00::/48", "name": "six"}, spec{"cidr": "fd01::/48"}}}))}, []string{
			"CREATE IPPool 10.244.0.0-16 cidr=10.244.0.0/16 ipipMode=Never vxlanMode=Always natOutgoing=true blockSize=26 nodeSelector=all() allowedUses=[Workload Tunnel]",
			"CREATE IPPool six cidr=fd00::/48 blockSize=122 nodeSelector=all() allowedUses=[Workload Tunnel]",
			"CREATE IPPool fd01.0000.0000.0000.0000.0000.0000.0000-48 cidr=fd01::/48 blockSize=122 nodeSelector=all() allowedUses=[Workload Tunnel]",
		}},
		"all fields": {[]calico.Object{
			installation(t, "default", network(spec{"ipPools": []any{spec{
				"name": "a", "cidr": "10.244.0.0/16", "encapsulation": "VXLANCrossSubnet", "natOutgoing": "Disabled", "blockSize": 27, "nodeSelector": "has(a)",
				"disableNewAllocations": true, "disableBGPExport": true, "allowedUses": []any{"Tunnel"},
			}}})),
			pool("a", vxlan, managed),
		}, []string{"UPDATE IPPool a cidr=10.244.0.0/16 ipipMode=Never vxlanMode=CrossSubnet blockSize=27 disabled=true disableBGPExport=true nodeSelector=has(a) allowedUses=[Tunnel]"}},
		"an IPPool of a user of the same CIDR": {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{four}})), pool("a", spec{"cidr": "10.244.0.0/16"})}, nil},
		"one IPPool replaces another": {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{spec{"cidr": "10.245.0.0/16", "encapsulation": "None"}}})), pool("a", vxlan, managed)}, []string{
			"CREATE IPPool default-ipv4-ippool cidr=10.245.0.0/16 natOutgoing=true blockSize=26 nodeSelector=all() allowedUses=[Workload Tunnel]", "DELETE IPPool a",
		}},
		"another CIDR for the same name": {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{spec{"name": "a", "cidr": "10.245.0.0/16", "encapsulation": "VXLAN"}}})), pool("a", vxlan, managed)}, []string{
			"UPDATE IPPool a cidr=10.245.0.0/16 ipipMode=Never vxlanMode=Always natOutgoing=true blockSize=26 nodeSelector=all() allowedUses=[Workload Tunnel]",
		}},
		"a CIDR that does not parse": {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{spec{"cidr": "10.244.0.0/40"}}})), pool("a", vxlan, managed)}, nil},
		"a CIDR twice":               {[]calico.Object{installation(t, "default", network(spec{"ipPools": []any{four, four}})), pool("a", vxlan, managed)}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := state.New(test.objects...)
			var got []string
			for _, c := range operator.Writes(s) {
				got = append(got, described(c))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("the operator writes\n%q\nwant\n%q", got, test.want)
			}
			after := operator.Reconciled(s)
			if left := operator.Writes(after); len(left) > 0 {
				t.Errorf("after all writes, the operator still has to make %d", len(left))
			}
			if len(test.want) == 0 && after != s {
				t.Error("without writes, the state is another one")
			}
		})
	}
}

// The objects that the operator writes have the API version of the cluster.
func TestWritesAreInTheAPIVersionOfTheCluster(t *testing.T) {
	s := state.New(installation(t, "default", network(spec{"clusterRoutingMode": "Felix"}))).ReadFrom(calico.APIVersionV1, nil)
	for _, c := range operator.Writes(s) {
		if got := calico.APIVersionOf(c.After); got != calico.APIVersionV1 {
			t.Errorf("%s is written in %s", c.ID(), got)
		}
	}
}

func TestAsks(t *testing.T) {
	routes := func(value string, more spec) calico.Object {
		content := spec{"programClusterRoutes": value}
		maps.Copy(content, more)
		return calicotest.Object(t, calico.KindFelixConfiguration, "default", content)
	}
	pool := func(content spec) calico.Object { return calicotest.IPPool(t, "a", content, managed) }
	used := spec{"cidr": "10.244.0.0/16"}
	disabled := spec{"cidr": "10.244.0.0/16", "disabled": true}
	s := state.New(
		installation(t, "default", network(spec{"clusterRoutingMode": "BIRD", "ipPools": []any{spec{"name": "b", "cidr": "10.245.0.0/16"}}})),
		routes("Enabled", nil), pool(used),
	)
	for name, test := range map[string]struct {
		change state.Change
		want   bool
		// rest is the field of the spec that the change sets besides.
		rest string
	}{
		"the value":                      {state.Change{Before: routes("Enabled", nil), After: routes("Disabled", nil)}, true, ""},
		"with defaults":                  {state.Change{Before: routes("Enabled", nil), After: routes("Disabled", spec{"healthPort": 9099})}, true, "healthPort"},
		"another value":                  {state.Change{Before: routes("Enabled", nil), After: routes("EnabledIPIPOnly", nil)}, false, ""},
		"the value is there":             {state.Change{Before: routes("Disabled", nil), After: routes("Disabled", spec{"healthPort": 9099})}, false, ""},
		"a FelixConfiguration of a node": {state.Change{After: calicotest.Object(t, calico.KindFelixConfiguration, "node.a", spec{"programClusterRoutes": "Disabled"})}, false, ""},
		"the delete of an IPPool":        {state.Change{Before: pool(used)}, true, ""},
		"its first step":                 {state.Change{Before: pool(used), After: pool(disabled)}, true, ""},
		"more than its first step":       {state.Change{Before: pool(used), After: pool(spec{"cidr": "10.244.0.0/16", "disabled": true, "disableBGPExport": true})}, false, ""},
		"its second step":                {state.Change{Before: pool(disabled)}, true, ""},
		"a new IPPool":                   {state.Change{After: calicotest.IPPool(t, "b", spec{"cidr": "10.245.0.0/16", "ipipMode": "Always", "natOutgoing": true}, managed)}, true, ""},
		"another new IPPool":             {state.Change{After: calicotest.IPPool(t, "c", spec{"cidr": "10.246.0.0/16"}, managed)}, false, ""},
		"a new IPPool without IP-in-IP":  {state.Change{After: calicotest.IPPool(t, "b", spec{"cidr": "10.245.0.0/16", "natOutgoing": true}, managed)}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rest, got := operator.Asks(s, test.change)
			if got != test.want {
				t.Errorf("the Installation asks for it: %v, want %v", got, test.want)
			}
			var sets []string
			if rest.After != nil {
				before := calico.Manifest(rest.Before)["spec"].(map[string]any)
				for field, value := range calico.Manifest(rest.After)["spec"].(map[string]any) {
					if !reflect.DeepEqual(before[field], value) {
						sets = append(sets, field)
					}
				}
			}
			if strings.Join(sets, ",") != test.rest {
				t.Errorf("it also sets %v, want %q", sets, test.rest)
			}
		})
	}
}

func TestEffect(t *testing.T) {
	was := installation(t, "default", network(spec{"bgp": "Enabled"}))
	overlay := installation(t, "overlay", network(spec{"bgp": "Enabled"}))
	peer := calicotest.BGPPeer(t, "a", nil)
	runs := func(c state.Change) bool { return state.New(was).Apply(operator.Effect(c)).RunsBIRD() }
	if runs(state.Change{Before: was}) {
		t.Error("calico-node outlives its Installation")
	}
	if !runs(state.Change{Before: overlay}) || !runs(state.Change{Before: peer}) {
		t.Error("other deletes end BIRD")
	}
	if c := operator.Effect(state.Change{Before: peer}); c.After != nil {
		t.Error("a deleted BGPPeer is terminating")
	}
}
