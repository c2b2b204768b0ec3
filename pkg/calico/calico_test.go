package calico_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

func decode(t *testing.T, text string) calico.Object {
	t.Helper()
	o, err := calico.DecodeJSON([]byte(text))
	if err != nil {
		t.Fatalf("DecodeJSON(%s): %v", text, err)
	}
	return o
}

func TestBothGroupsFormsOfAnObjectAreEqual(t *testing.T) {
	v3 := decode(t, `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p","labels":{"team":"net"},
		"annotations":{"bgpguard.io/note":"x","kubectl.kubernetes.io/last-applied-configuration":"{}"}},"spec":{"peerIP":"10.0.0.1","asNumber":64512}}`)
	v1 := decode(t, `{"apiVersion":"crd.projectcalico.org/v1","kind":"BGPPeer","metadata":{"name":"p","annotations":
		{"projectcalico.org/metadata":"{\"labels\":{\"team\":\"net\"},\"annotations\":{\"bgpguard.io/note\":\"x\"}}"}},"spec":{"peerIP":"10.0.0.1","asNumber":64512.0}}`)
	if !calico.Equal(v1, v3) {
		t.Errorf("the forms differ:\n%+v\n%+v", v1, v3)
	}
	if got := calico.MetadataOf(v1).Annotations["bgpguard.io/note"]; got != "x" {
		t.Errorf("annotation = %q, want x", got)
	}
	if calico.Equal(v1, calicotest.BGPPeer(t, "p", calicotest.Spec{"peerIP": "10.0.0.1", "asNumber": 64512})) {
		t.Error("objects with other labels are equal")
	}
}

func TestUnknownFieldsStayInTheSpec(t *testing.T) {
	p := calicotest.BGPPeer(t, "p", calicotest.Spec{"peerIP": "10.0.0.1", "asNumber": 1, "fromTheFuture": []int{1}})
	if _, ok := p.Spec["fromTheFuture"]; !ok {
		t.Errorf("spec = %v, lost fromTheFuture", p.Spec)
	}
}

func TestDecodeErrorsNameTheField(t *testing.T) {
	for want, text := range map[string]string{
		`spec.maxRestartTime: must be a duration such as "120s" or "2m", is "soon"`: `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p"},"spec":{"maxRestartTime":"soon"}}`,
		`spec.nodeToNodeMeshEnabled: must be true or false, is "off"`:               `{"apiVersion":"crd.projectcalico.org/v1","kind":"BGPConfiguration","metadata":{"name":"default"},"spec":{"nodeToNodeMeshEnabled":"off"}}`,
		`spec.asNumber: must be an AS number from 0 to 4294967295, is 4294967296`:   `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p"},"spec":{"asNumber":4294967296}}`,
		`spec.listenPort: must be a whole number from 0 to 65535, is 70000`:         `{"apiVersion":"projectcalico.org/v3","kind":"BGPConfiguration","metadata":{"name":"default"},"spec":{"listenPort":70000}}`,
		`metadata.name: is missing`:                                            `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{},"spec":{}}`,
		`spec: must be an object, is "x"`:                                      `{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p"},"spec":"x"}`,
		`spec.bgp.asNumber: must be an AS number from 0 to 4294967295, is "x"`: `{"apiVersion":"projectcalico.org/v3","kind":"Node","metadata":{"name":"n"},"spec":{"bgp":{"asNumber":"x"}}}`,
		`metadata.labels.a: must be a string, is 1`:                            `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n","labels":{"a":1}}}`,
		`spec.allowedUses[1]: must be a string, is 2`:                          `{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"p"},"spec":{"allowedUses":["Workload",2]}}`,
		"Pod of v1 does not decide BGP; known are Node of v1 and projectcalico.org/v3, Secret of v1, BGPConfiguration, BGPFilter, BGPPeer, CalicoNodeStatus, ClusterInformation, FelixConfiguration, IPAMBlock, IPPool of crd.projectcalico.org/v1 and projectcalico.org/v3, and Installation of operator.tigera.io/v1": `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}`,
	} {
		t.Run(want, func(t *testing.T) {
			_, err := calico.DecodeJSON([]byte(text))
			if err == nil || err.Error() != want {
				t.Errorf("%s\n got %v\nwant %s", text, err, want)
			}
		})
	}
	_, err := calico.DecodeJSON([]byte(`{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p"},"spec":{"node":1}}`))
	if e, ok := errors.AsType[*calico.FieldError](err); !ok || e.Field != "spec.node" {
		t.Errorf("got %v, want a FieldError at spec.node", err)
	}
}

// coreNode returns a core/v1 Node with annotations.
func coreNode(t *testing.T, annotations map[string]string, tweaks ...calicotest.Tweak) *calico.Node {
	t.Helper()
	tweaks = append(tweaks, calicotest.APIVersion(calico.APIVersionCore))
	for key, value := range annotations {
		tweaks = append(tweaks, calicotest.Annotation(key, value))
	}
	return calicotest.Node(t, "n", tweaks...)
}

func TestNodeReadsWhatCalicoAccepts(t *testing.T) {
	n := coreNode(t, map[string]string{
		calico.AnnotationIPv4Address: "10.0.0.1/24", calico.AnnotationIPv6Address: "FD00::A1/64", calico.AnnotationASNumber: "1.2",
		calico.AnnotationClusterID: "244.0.0.1", calico.AnnotationLabels: `{"a":"calico","b":"calico"}`,
	}, calicotest.Label("a", "kubernetes"))
	if n.Address[calico.IPv4] != netip.MustParsePrefix("10.0.0.1/24") || n.Address[calico.IPv6].Addr().String() != "fd00::a1" {
		t.Errorf("addresses = %v", n.Address)
	}
	if *n.ASNumber != 65538 || !n.RouteReflector() || len(n.Problems()) != 0 {
		t.Errorf("node = %+v", n)
	}
	if n.Labels["a"] != "kubernetes" || n.Labels["b"] != "calico" {
		t.Errorf("labels = %v: Kubernetes' own must win", n.Labels)
	}
}

func TestAddressesOfNodes(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.1":              "10.0.0.1/32",
		"10.0.0.1/024":          "10.0.0.1/24",
		"10.0.0.1/0":            "10.0.0.1/0",
		"::ffff:10.0.0.1":       "10.0.0.1/32",
		"::ffff:10.0.0.1/120":   "10.0.0.1/24",
		"::ffff:10.0.0.1/64":    "10.0.0.1/32",
		"10.0.0.1/33":           "",
		"10.0.0.1/255.255.0.0":  "",
		"010.0.0.1/24":          "",
		"10.0.0.1 /24":          "",
		"autodetect":            "",
		"fd00::1/64":            "",
		"fe80::1%eth0/64":       "",
		"::ffff:10.0.0.1/120 ":  "",
		"0.0.0.0":               "0.0.0.0/32",
		"::ffff:10.0.0.1/00128": "10.0.0.1/32",
	} {
		t.Run(text, func(t *testing.T) {
			n := coreNode(t, map[string]string{calico.AnnotationIPv4Address: text})
			got := ""
			if n.SpeaksBGP(calico.IPv4) {
				got = n.Address[calico.IPv4].String()
			}
			if got != want || (want == "") != (len(n.Problems()) > 0) {
				t.Errorf("got %q, problems %v, want %q", got, n.Problems(), want)
			}
		})
	}
}

func TestClusterIDs(t *testing.T) {
	for text, problem := range map[string]string{
		"244.0.0.1":            "",
		"::ffff:244.0.0.1":     "the form of IPv6",
		"244.0.0.1/32":         "a mask",
		"244.0.0.0/08":         "a mask",
		"::ffff:244.0.0.0/104": "a mask",
		"244.0.0.1/8":          "does not make",
		"::ffff:244.0.0.0/90":  "does not make",
		"fd00::1":              "does not make",
		"1":                    "does not make",
		"244.0.0.1" + " ":      "does not make",
		"244.000.000.001":      "does not make",
	} {
		t.Run(text, func(t *testing.T) {
			n := coreNode(t, map[string]string{calico.AnnotationClusterID: text})
			problems := fmt.Sprint(n.Problems())
			if !strings.Contains(problems, problem) || n.RouteReflector() == (problem == "does not make") || problem == "" && len(n.Problems()) > 0 {
				t.Errorf("reflector %v, problems %s", n.RouteReflector(), problems)
			}
		})
	}
}

func TestNodeNamesWhatCalicoRefuses(t *testing.T) {
	n := coreNode(t, map[string]string{
		calico.AnnotationIPv4Address: "fd00::1", calico.AnnotationIPv6Address: "x", calico.AnnotationASNumber: " 1",
		calico.AnnotationClusterID: "244.0.0.1/8", calico.AnnotationLabels: `{`,
	})
	var fields []string
	for _, p := range n.Problems() {
		fields = append(fields, p.Field)
	}
	want := []string{"metadata.annotations[projectcalico.org/labels]", "metadata.annotations[projectcalico.org/IPv4Address]",
		"metadata.annotations[projectcalico.org/IPv6Address]", "metadata.annotations[projectcalico.org/ASNumber]",
		"metadata.annotations[projectcalico.org/RouteReflectorClusterID]"}
	if !slices.Equal(fields, want) {
		t.Errorf("problems at %v, want %v", fields, want)
	}
	if n.SpeaksBGP(calico.IPv4) || n.SpeaksBGP(calico.IPv6) || n.RouteReflector() || n.ASNumber != nil {
		t.Errorf("node = %+v, want nothing of it taken", n)
	}
	if masked := coreNode(t, map[string]string{calico.AnnotationClusterID: "244.0.0.0/8"}); !masked.RouteReflector() || len(masked.Problems()) != 1 {
		t.Errorf("a masked cluster ID makes a reflector whose configuration BIRD refuses, got %+v", masked)
	}
}

func TestPeerIP(t *testing.T) {
	for text, want := range map[string]struct {
		address   string
		port      uint16
		canonical bool
	}{
		"10.0.0.1":        {"10.0.0.1", 0, true},
		"10.0.0.1:1790":   {"10.0.0.1", 1790, true},
		"fd00::1":         {"fd00::1", 0, true},
		"[fd00::1]:179":   {"fd00::1", 179, true},
		"fd00:0:0::1":     {"fd00::1", 0, false},
		"[fd00:0::1]:179": {"fd00::1", 179, false},
		"[10.0.0.1]:179":  {"10.0.0.1", 179, true},
		"10.0.0.1:0263":   {"10.0.0.1", 179, true},
		"10.0.0.1:0o263":  {"10.0.0.1", 179, true},
		"10.0.0.1:0xb3":   {"10.0.0.1", 179, true},
		"10.0.0.1:1_79":   {"10.0.0.1", 179, true},
		"10.0.0.1:0":      {"10.0.0.1", 0, true},
		"fd00::1:179":     {"fd00::1:179", 0, true},
		"::ffff:10.0.0.1": {"10.0.0.1", 0, false},
	} {
		t.Run(text, func(t *testing.T) {
			p := calicotest.BGPPeer(t, "p", calicotest.Spec{"asNumber": 1, "peerIP": text})
			if p.PeerAddress.String() != want.address || p.PeerPort != want.port || p.Canonical() != want.canonical || len(p.Problems()) > 0 {
				t.Errorf("address %v port %d canonical %v problems %v", p.PeerAddress, p.PeerPort, p.Canonical(), p.Problems())
			}
		})
	}
	for _, text := range []string{
		"10.0.0", "10.0.0.1:x", "10.0.0.1:08", "10.0.0.1:65536", "10.0.0.1:", "[10.0.0.1]", "010.0.0.1", "10.0.0.1/32", "fe80::1%eth0", " 10.0.0.1", "host", ":179", "[]:179",
	} {
		t.Run(text, func(t *testing.T) {
			p := calicotest.BGPPeer(t, "p", calicotest.Spec{"peerIP": text})
			if p.PeerAddress.IsValid() || len(p.Problems()) != 1 {
				t.Errorf("address %v problems %v, want none and one", p.PeerAddress, p.Problems())
			}
		})
	}
}

// labelled is a naive Universe of label maps.
type labelled []map[string]string

func (l labelled) Len() uint { return uint(len(l)) }

func (l labelled) Having(label string, values ...string) *bitset.BitSet {
	return l.Where(label, func(v string, present bool) bool { return present && slices.Contains(values, v) })
}

func (l labelled) Where(label string, match func(string, bool) bool) *bitset.BitSet {
	set := bitset.New(l.Len())
	for i, m := range l {
		if v, ok := m[label]; match(v, ok) {
			set.Set(uint(i))
		}
	}
	return set
}

func TestSelectAgreesWithCalicosOwnEvaluation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	leaves := []string{"has(a)", "!has(b)", "a == 'x'", "a != 'x'", "b in {'x','y'}", "b not in {'x'}", "a in {}", "b in {\"y\", ''}", "a not in {'x', \"xy\"}", `b != "y"`, "b != ''", "a contains 'x'",
		"a starts with 'x'", "b ends with 'y'", "all()", "global()", "a == ''"}
	var random func(depth int) string
	random = func(depth int) string {
		if depth == 0 || r.IntN(3) == 0 {
			return leaves[r.IntN(len(leaves))]
		}
		switch r.IntN(3) {
		case 0:
			return "(" + random(depth-1) + " && " + random(depth-1) + ")"
		case 1:
			return "(" + random(depth-1) + " || " + random(depth-1) + ")"
		default:
			return "!(" + random(depth-1) + ")"
		}
	}
	values := []string{"", "x", "y", "xy"}
	things := labelled{}
	for range 40 {
		m := map[string]string{}
		for _, k := range []string{"a", "b"} {
			if r.IntN(3) > 0 {
				m[k] = values[r.IntN(len(values))]
			}
		}
		things = append(things, m)
	}
	for range 2000 {
		text := random(4)
		s, err := calico.ParseSelector(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		set := s.Select(things)
		for i, m := range things {
			if set.Test(uint(i)) != s.Matches(m) {
				t.Fatalf("%s on %v: Select says %v, Calico says %v", text, m, set.Test(uint(i)), s.Matches(m))
			}
		}
	}
}

func TestInvalidSelectors(t *testing.T) {
	for _, text := range []string{"a = 'b'", "has (a)", "a == b", "()", "has(\na)", "has(a)\n"} {
		if _, err := calico.ParseSelector(text); err == nil {
			t.Errorf("%q parses", text)
		}
	}
	if _, err := calico.ParseSelector("has(a"); err == nil || strings.Contains(err.Error(), "{") {
		t.Errorf("got %v, want a reason without the parser's tokens", err)
	}
	if _, err := calico.ParseSelector("a == 'x\ny'"); err != nil {
		t.Errorf("a newline in a string: %v", err)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"apiVersion":"projectcalico.org/v3","kind":"BGPPeer","metadata":{"name":"p"},"spec":{"nodeSelector":"has(a)","peerIP":"[fd00::1]:179","asNumber":"1.2","maxRestartTime":"2m"}}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"Node","metadata":{"name":"n","annotations":{"projectcalico.org/IPv4Address":"10.0.0.1/24","projectcalico.org/labels":"{}"}}}`))
	f.Add([]byte(`{"apiVersion":"projectcalico.org/v3",` + statusMeta + wholeStatus + `}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := calico.DecodeJSON(raw)
		if err == nil && !calico.Equal(o, o) {
			t.Errorf("%s decodes to an object that is not equal to itself", raw)
		}
	})
}

func FuzzParseSelector(f *testing.F) {
	f.Add("has(a) && b in {'x', \"y\"} || !(c contains 'z')", "a", "x")
	f.Fuzz(func(t *testing.T, text, label, value string) {
		s, err := calico.ParseSelector(text)
		if bound, ok := errors.AsType[*calico.SelectorBoundError](err); ok && bound.Found <= bound.Limit {
			t.Errorf("%q is rejected by a bound that it does not exceed: %v", text, err)
		}
		if err != nil {
			return
		}
		things := labelled{{label: value}, {}}
		set := s.Select(things)
		for i, m := range things {
			if set.Test(uint(i)) != s.Matches(m) {
				t.Errorf("%q on %v: Select and Calico differ", text, m)
			}
		}
	})
}

func TestTimersThatCannotBeMeant(t *testing.T) {
	p := calicotest.BGPPeer(t, "p", calicotest.Spec{"peerSelector": "all()", "maxRestartTime": "2h", "keepaliveTime": "-5s"})
	want := []calico.Problem{
		{Field: "spec.maxRestartTime", Message: "2h0m0s is longer than the maximum of BGP, 1h8m15s, and wraps"},
		{Field: "spec.keepaliveTime", Message: "-5s: -5 seconds is negative, which BIRD rejects: nodes with this half-session keep their old BGP configuration"},
	}
	if !slices.Equal(p.Problems(), want) || *p.KeepaliveTime != -5*time.Second || *p.MaxRestartTime != 2*time.Hour {
		t.Errorf("got %v, %v, %v", p.Problems(), p.KeepaliveTime, p.MaxRestartTime)
	}
}
