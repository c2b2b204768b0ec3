package calico_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

func decodeStored(t *testing.T, document map[string]any) calico.Object {
	t.Helper()
	o, err := calico.DecodeStored(document)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// What a user sends is an error, and what is stored is reported and read without the value.
func TestStoredValuesThatCalicoCannotDecode(t *testing.T) {
	for name, test := range map[string]struct {
		kind calico.Kind
		spec calicotest.Spec
		odd  string
		read func(o calico.Object) bool
	}{
		"a duration without a unit": {
			calico.KindBGPConfiguration, calicotest.Spec{"nodeMeshMaxRestartTime": "2 minutes", "nodeToNodeMeshEnabled": false, "asNumber": 65001},
			`spec.nodeMeshMaxRestartTime: must be a duration such as "120s" or "2m", is "2 minutes"`,
			func(o calico.Object) bool {
				c, ok := o.(*calico.BGPConfiguration)
				return ok && !c.MeshEnabled() && c.ClusterASNumber() == 65001 && c.NodeMeshMaxRestartTime == nil
			},
		},
		"a number in place of a duration": {
			calico.KindBGPPeer, calicotest.Spec{"peerIP": "10.0.0.1", "asNumber": 65001, "maxRestartTime": 120},
			`spec.maxRestartTime: must be a string, is 120`,
			func(o calico.Object) bool {
				p, ok := o.(*calico.BGPPeer)
				return ok && p.PeerAddress.IsValid() && p.MaxRestartTime == nil
			},
		},
		"two values": {
			calico.KindBGPPeer, calicotest.Spec{"peerIP": "10.0.0.1", "asNumber": -1, "ttlSecurity": 256, "filters": []any{"a", 7, "b"}},
			`spec.ttlSecurity: must be a whole number from 0 to 255, is 256; spec.filters[1]: must be a string, is 7; spec.asNumber: must be an AS number from 0 to 4294967295, is -1`,
			func(o calico.Object) bool {
				p, ok := o.(*calico.BGPPeer)
				return ok && fmt.Sprint(p.Filters) == "[a b]" && p.TTLSecurity == 0
			},
		},
		"a port out of range":         {calico.KindBGPConfiguration, calicotest.Spec{"listenPort": 65536}, `spec.listenPort: must be a whole number from 0 to 65535, is 65536`, nil},
		"text in place of a flag":     {calico.KindIPPool, calicotest.Spec{"cidr": "10.0.0.0/16", "disabled": "true"}, `spec.disabled: must be true or false, is "true"`, nil},
		"a password that is text":     {calico.KindBGPPeer, calicotest.Spec{"password": "hunter2"}, `spec.password: must be an object with a secretKeyRef`, nil},
		"a setting of Felix":          {calico.KindFelixConfiguration, calicotest.Spec{"programClusterRoutes": true}, `spec.programClusterRoutes: must be a string, is true`, nil},
		"numAllowedLocalASNumbers":    {calico.KindBGPPeer, calicotest.Spec{"numAllowedLocalASNumbers": 2147483648}, `spec.numAllowedLocalASNumbers: must be a whole number from -2147483648 to 2147483647, is 2147483648`, nil},
		"a selector that is a number": {calico.KindBGPPeer, calicotest.Spec{"nodeSelector": 1}, `spec.nodeSelector: must be a string, is 1`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			document := calicotest.Document(t, test.kind, calico.Default, test.spec)
			o := decodeStored(t, document)
			var odd []string
			for _, e := range calico.Odd(o) {
				odd = append(odd, e.Error())
			}
			if got := strings.Join(odd, "; "); got != test.odd {
				t.Errorf("got  %s\nwant %s", got, test.odd)
			}
			for i, e := range odd {
				want := e + "; Calico cannot decode it, and then reads no " + string(test.kind) + " at all: "
				if got := o.Problems()[i].String(); !strings.HasPrefix(got, want) {
					t.Errorf("problem %s, want %s", got, want)
				}
			}
			if test.read != nil && !test.read(o) {
				t.Errorf("read as %+v", o)
			}
			if _, err := calico.Decode(document); err == nil || err.Error() != odd[0] {
				t.Errorf("as a user sends it: %v", err)
			}
			if again := decodeStored(t, calicotest.Document(t, test.kind, calico.Default, test.spec)); !calico.Equal(o, again) || calico.NewlyOdd(o, again) != nil {
				t.Error("the same object is different")
			}
			if e := calico.NewlyOdd(nil, o); e == nil || e.Error() != odd[0] {
				t.Errorf("newly odd: %v", e)
			}
			fixed := calicotest.Object(t, test.kind, calico.Default, nil)
			if e := calico.NewlyOdd(o, fixed); e != nil {
				t.Errorf("once fixed: %v", e)
			}
		})
	}
}

// Calico skips an object whose annotation it cannot decode.
func TestStoredObjectsThatCalicoSkips(t *testing.T) {
	document := calicotest.Document(t, calico.KindBGPConfiguration, calico.Default, nil, calicotest.APIVersion(calico.APIVersionV1), calicotest.Annotation("projectcalico.org/metadata", "{"))
	const want = "metadata.annotations[projectcalico.org/metadata]: is not the JSON that Calico writes: unexpected end of JSON input"
	o := decodeStored(t, document)
	u, ok := o.(*calico.Unparsed)
	if !ok || !u.Skipped() || u.Message != want || u.ID() != (calico.ID{Kind: calico.KindBGPConfiguration, Name: calico.Default}) {
		t.Errorf("got %+v", o)
	}
	if _, err := calico.Decode(document); err == nil || err.Error() != want {
		t.Errorf("as a user sends it: %v", err)
	}
}

func TestObjectsWithoutANameDoNotDecode(t *testing.T) {
	for want, metadata := range map[string]any{
		"metadata.name: is missing":             map[string]any{},
		"metadata.name: must be a string, is 7": map[string]any{"name": int64(7)},
		`metadata: must be an object, is "x"`:   "x",
	} {
		_, err := calico.DecodeStored(map[string]any{"apiVersion": calico.APIVersionV3, "kind": "BGPPeer", "metadata": metadata})
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// calicoctl converts labels without quotes; kubectl does not.
func TestLabelsWithoutQuotes(t *testing.T) {
	labels := map[string]any{"reflector": true, "rack": int64(7), "share": 1.5, "zone": "a"}
	document := func(version string) map[string]any {
		return map[string]any{"apiVersion": version, "kind": "Node", "metadata": map[string]any{"name": "n", "labels": labels}}
	}
	n := calicotest.Decode(t, document(calico.APIVersionV3))
	if got := fmt.Sprint(calico.Labels(n)); got != "map[rack:7 reflector:true share:1.5 zone:a]" {
		t.Errorf("labels %s", got)
	}
	const want = "[metadata.labels.rack: 7 is not in quotes: calicoctl reads it as text, kubectl rejects it" +
		" metadata.labels.reflector: true is not in quotes: calicoctl reads it as text, kubectl rejects it" +
		" metadata.labels.share: 1.5 is not in quotes: calicoctl reads it as text, kubectl rejects it]"
	if got := fmt.Sprint(n.Problems()); got != want {
		t.Errorf("problems %s", got)
	}
	if _, err := calico.Decode(document(calico.APIVersionCore)); err == nil || err.Error() != "metadata.labels.rack: must be a string, is 7" {
		t.Errorf("a Node of kubectl: %v", err)
	}
	labels["list"] = []any{"a"}
	if _, err := calico.Decode(document(calico.APIVersionV3)); err == nil || err.Error() != "metadata.labels.list: must be a string, is a list" {
		t.Errorf("a list: %v", err)
	}
}

func TestFelixConfigurations(t *testing.T) {
	felix := func(name string, spec calicotest.Spec, tweaks ...calicotest.Tweak) *calico.FelixConfiguration {
		t.Helper()
		c, ok := calicotest.Object(t, calico.KindFelixConfiguration, name, spec, tweaks...).(*calico.FelixConfiguration)
		if !ok {
			t.Fatal("no FelixConfiguration")
		}
		return c
	}
	created := func(at string) calicotest.Tweak {
		return func(document map[string]any) {
			meta, _ := document["metadata"].(map[string]any)
			meta["creationTimestamp"] = at
		}
	}
	for name, test := range map[string]struct {
		c                       *calico.FelixConfiguration
		node, selector, problem string
	}{
		"default":                        {felix("default", nil), "", "", ""},
		"default with a selector":        {felix("default", calicotest.Spec{"nodeSelector": "has(a)"}), "", "", "spec.nodeSelector: has no effect"},
		"of a node":                      {felix("node.a", nil), "a", "", ""},
		"with a selector":                {felix("racks", calicotest.Spec{"nodeSelector": "has(a)"}), "", "has(a)", ""},
		"a selector that does not parse": {felix("racks", calicotest.Spec{"nodeSelector": "has(a"}), "", "", "spec.nodeSelector: \"has(a\" does not parse, so Calico ignores the object"},
		"without a selector":             {felix("racks", nil), "", "", `metadata.name: "racks" is neither "default" nor`},
	} {
		t.Run(name, func(t *testing.T) {
			selector := ""
			if test.c.Selects() != nil {
				selector = test.c.NodeSelector
			}
			problems := fmt.Sprint(test.c.Problems())
			if test.c.NodeOf() != test.node || selector != test.selector || !strings.Contains(problems, test.problem) || (test.problem == "") != (problems == "[]") {
				t.Errorf("node %q, selector %q, problems %s", test.c.NodeOf(), selector, problems)
			}
		})
	}
	old, young, other, fresh := felix("z", nil, created("2026-01-01T00:00:00Z")), felix("a", nil, created("2026-02-01T00:00:00Z")), felix("b", nil, created("2026-02-01T00:00:00Z")), felix("0", nil)
	order := []*calico.FelixConfiguration{old, young, other, fresh, felix("1", nil)}
	for i, a := range order {
		for j, b := range order {
			if a.Older(b) != (i < j) {
				t.Errorf("%s is older than %s: %t", a.Name, b.Name, a.Older(b))
			}
		}
	}
	if calico.Equal(old, felix("z", nil)) {
		t.Error("an object that was created again is equal")
	}
}
