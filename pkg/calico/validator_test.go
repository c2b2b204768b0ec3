package calico_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

// The versions before and since which Calico's validator leaves rules to the CRDs.
var (
	v332 = version.MustParseGeneric("3.32.1")
	v333 = version.MustParseGeneric("3.33.0")
)

// rejectedFields returns the fields of o that the validator of a version rejects.
func rejectedFields(o calico.Object, v *version.Version) string {
	var fields []string
	for _, p := range calico.ValidatorRejections(o, v) {
		fields = append(fields, p.Field)
	}
	return strings.Join(fields, " ")
}

func TestWhatCalicosValidatorRejects(t *testing.T) {
	rule := func(family string, spec calicotest.Spec) calicotest.Spec {
		if spec["action"] == nil {
			spec["action"] = "Accept"
		}
		return calicotest.Spec{"export" + family: []any{spec}}
	}
	services := func(cidr string) calicotest.Spec {
		return calicotest.Spec{"serviceLoadBalancerIPs": []any{calicotest.Spec{"cidr": "10.0.0.0/24"}, calicotest.Spec{"cidr": cidr}}}
	}
	advertised := func(spec calicotest.Spec, communities ...any) calicotest.Spec {
		return calicotest.Spec{"prefixAdvertisements": []any{spec}, "communities": communities}
	}
	const config, peer, filter = calico.KindBGPConfiguration, calico.KindBGPPeer, calico.KindBGPFilter
	for _, one := range []struct {
		kind calico.Kind
		spec calicotest.Spec
		old  string // the fields that versions before v3.33 reject
		now  string
	}{
		{config, calicotest.Spec{}, "", ""},
		{config, services("10.99.0.65/24"), "spec.serviceLoadBalancerIPs[1].cidr", "same"},
		{config, services("10.99.0.65"), "", ""},
		{config, services("fd00::1/64"), "spec.serviceLoadBalancerIPs[1].cidr", "same"},
		{config, services("all"), "spec.serviceLoadBalancerIPs[1].cidr", "same"},
		{config, services(""), "", ""},
		{config, calicotest.Spec{"serviceClusterIPs": []any{calicotest.Spec{"cidr": "10.96.0.1/12"}}, "serviceExternalIPs": []any{calicotest.Spec{"cidr": "192.0.2.1/24"}}}, "spec.serviceClusterIPs[0].cidr spec.serviceExternalIPs[0].cidr", "same"},
		{config, advertised(calicotest.Spec{"cidr": "10.0.0.0/8", "communities": []any{"64512:1", "internal"}}, calicotest.Spec{"name": "internal", "value": "1:2:3"}), "", ""},
		{config, advertised(calicotest.Spec{"cidr": "10.0.0.1/8", "communities": []any{}}), "spec.prefixAdvertisements[0].cidr", "same"},
		{config, advertised(calicotest.Spec{"cidr": "10.0.0.0/8"}), "spec.prefixAdvertisements[0].communities", "same"},
		{config, advertised(calicotest.Spec{"communities": []any{"1:70000", "unknown", "1:2:3:4"}}), "spec.prefixAdvertisements[0].cidr spec.prefixAdvertisements[0].communities[0] spec.prefixAdvertisements[0].communities[1] spec.prefixAdvertisements[0].communities[2]", "same"},
		{config, calicotest.Spec{"communities": []any{calicotest.Spec{"name": "Internal", "value": "65536:1"}}}, "spec.communities spec.communities[0].name spec.communities[0].value", "spec.communities[0].name spec.communities[0].value"},
		{config, calicotest.Spec{"ignoredInterfaces": []any{"docker*", "*", "", "a-very-long-name", `x"`}}, "spec.ignoredInterfaces[1] spec.ignoredInterfaces[2] spec.ignoredInterfaces[3] spec.ignoredInterfaces[4]", "same"},
		{config, calicotest.Spec{"localWorkloadPeeringIPV4": "fd00::1", "localWorkloadPeeringIPV6": "10.0.0.1"}, "spec.localWorkloadPeeringIPV4 spec.localWorkloadPeeringIPV6", "same"},
		{config, calicotest.Spec{"ipv4NormalRoutePriority": 0, "ipv6NormalRoutePriority": 2147483647}, "spec.ipv4NormalRoutePriority spec.ipv6NormalRoutePriority", "same"},
		{config, calicotest.Spec{"logSeverityScreen": "debug"}, "spec.logSeverityScreen", ""},
		{config, calicotest.Spec{"nodeToNodeMeshEnabled": false, "nodeMeshMaxRestartTime": "60s", "nodeMeshPassword": calicotest.Spec{"secretKeyRef": calicotest.Spec{"name": "a", "key": "b"}}}, "spec.nodeMeshMaxRestartTime spec.nodeMeshPassword", ""},
		{config, calicotest.Spec{"nodeMeshMaxRestartTime": "60s"}, "", ""},

		{peer, calicotest.Spec{}, "", ""},
		{peer, calicotest.Spec{"node": "Node_1", "filters": []any{"a", "B"}}, "spec.filters[1] spec.node", "same"},
		{peer, calicotest.Spec{"nodeSelector": "has(", "peerSelector": "a = 'b'"}, "spec.nodeSelector spec.peerSelector", "same"},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1"}, "", ""},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1:179"}, "", ""},
		{peer, calicotest.Spec{"peerIP": "[fd00::1]:179"}, "", ""},
		{peer, calicotest.Spec{"peerIP": "[10.0.0.1]:0263"}, "", ""},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1:0xb3"}, "spec.peerIP", "same"},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1:0"}, "spec.peerIP", "same"},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1:65536"}, "spec.peerIP", "same"},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1/32"}, "spec.peerIP", "same"},
		{peer, calicotest.Spec{"peerIP": ":179"}, "spec.peerIP", "same"},
		{peer, calicotest.Spec{"peerIP": "fe80::1%eth0"}, "spec.peerIP", "same"},
		{peer, calicotest.Spec{"peerIP": "010.0.0.1"}, "spec.peerIP", "same"},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1:179", "reachableBy": "fd00::1"}, "spec.reachableBy", "same"},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1", "reachableBy": "::ffff:10.0.0.2"}, "", ""},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1", "reachableBy": "gateway"}, "spec.reachableBy", "same"},
		{peer, calicotest.Spec{"peerSelector": "all()", "reachableBy": "10.0.0.2"}, "spec.reachableBy", ""},
		{peer, calicotest.Spec{"node": "a", "nodeSelector": "all()"}, "spec.node", ""},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1", "peerSelector": "all()", "asNumber": 64512}, "spec.asNumber spec.peerIP", ""},
		{peer, calicotest.Spec{"peerSelector": "all()", "localWorkloadSelector": "all()"}, "spec.asNumber spec.peerSelector", ""},
		{peer, calicotest.Spec{"peerIP": "10.0.0.1", "localWorkloadSelector": "all()", "asNumber": 64512}, "spec.peerIP", ""},
		{peer, calicotest.Spec{"keepOriginalNextHop": true, "nextHopMode": "Auto", "sourceAddress": "Node"}, "spec.keepOriginalNextHop spec.sourceAddress", ""},

		{filter, rule("V4", calicotest.Spec{"cidr": "10.0.0.0/8", "matchOperator": "In", "prefixLength": calicotest.Spec{"min": 0, "max": 32}, "source": "RemotePeers", "interface": "eth*", "peerType": "eBGP"}), "", ""},
		{filter, rule("V4", calicotest.Spec{"cidr": "10.0.0.1/8", "matchOperator": "In"}), "spec.exportV4[0].cidr", "same"},
		{filter, rule("V4", calicotest.Spec{"cidr": "fd00::/8", "matchOperator": "In"}), "spec.exportV4[0].cidr", "same"},
		{filter, rule("V6", calicotest.Spec{"cidr": "10.0.0.0/8", "matchOperator": "In"}), "spec.exportV6[0].cidr", "same"},
		{filter, rule("V4", calicotest.Spec{"cidr": "10.0.0.0/8", "matchOperator": "In", "prefixLength": calicotest.Spec{"min": -1, "max": 33}}), "spec.exportV4[0].prefixLength.max spec.exportV4[0].prefixLength.min", "same"},
		{filter, rule("V6", calicotest.Spec{"cidr": "fd00::/8", "matchOperator": "In", "prefixLength": calicotest.Spec{"max": 128}}), "", ""},
		{filter, rule("V4", calicotest.Spec{"source": "All", "interface": `"`, "peerType": "ebgp"}), "spec.exportV4[0].interface spec.exportV4[0].peerType spec.exportV4[0].source", "same"},
		{filter, rule("V4", calicotest.Spec{"communities": calicotest.Spec{}, "priority": 2147483647}), "spec.exportV4[0].communities.values spec.exportV4[0].priority", "same"},
		{filter, rule("V4", calicotest.Spec{"operations": []any{calicotest.Spec{"addCommunity": calicotest.Spec{}, "prependASPath": calicotest.Spec{}, "setPriority": calicotest.Spec{"value": 0}}}}),
			"spec.exportV4[0].operations[0].addCommunity.value spec.exportV4[0].operations[0].prependASPath.prefix spec.exportV4[0].operations[0].setPriority.value", "same"},
		{filter, calicotest.Spec{"importV6": []any{calicotest.Spec{}}}, "spec.importV6[0].action", "same"},
		{filter, rule("V4", calicotest.Spec{"action": "accept", "cidr": "10.0.0.0/8"}), "spec.exportV4[0].action spec.exportV4[0].cidr", ""},
		{filter, rule("V4", calicotest.Spec{"matchOperator": "in", "prefixLength": calicotest.Spec{}}), strings.Repeat("spec.exportV4[0].matchOperator ", 2) + "spec.exportV4[0].prefixLength", ""},

		{calico.KindIPPool, calicotest.Spec{"cidr": "10.244.0.1/16", "ipipMode": "Always", "vxlanMode": "Always"}, "", ""},
		{calico.KindFelixConfiguration, calicotest.Spec{"serviceLoopPrevention": "Sometimes"}, "", ""},
	} {
		o := calicotest.Object(t, one.kind, "a", one.spec)
		if one.now == "same" {
			one.now = one.old
		}
		if got := rejectedFields(o, v332); got != one.old {
			t.Errorf("%s %s: v3.32 rejects %q, want %q", one.kind, calicotest.JSON(t, one.spec), got, one.old)
		}
		if got := rejectedFields(o, v333); got != one.now {
			t.Errorf("%s %s: v3.33 rejects %q, want %q", one.kind, calicotest.JSON(t, one.spec), got, one.now)
		}
		if got := rejectedFields(o, nil); got != one.now {
			t.Errorf("%s %s: an unknown version rejects %q, want %q", one.kind, calicotest.JSON(t, one.spec), got, one.now)
		}
	}
}

func TestWhatCalicosValidatorRejectsInMetadata(t *testing.T) {
	spec := calicotest.Spec{"peerSelector": "all()"}
	for field, o := range map[string]calico.Object{
		"metadata.name":        calicotest.BGPPeer(t, "Rack_1", spec),
		"metadata.labels":      calicotest.BGPPeer(t, "a", spec, calicotest.Label("zone", "no value!")),
		"metadata.annotations": calicotest.BGPPeer(t, "a", spec, calicotest.Annotation("no key!", "")),
		"":                     calicotest.BGPPeer(t, "a", spec, calicotest.Label("zone", "a"), calicotest.Annotation("Owner", "anything!")),
	} {
		if got := rejectedFields(o, v333); got != field {
			t.Errorf("got %q, want %q", got, field)
		}
	}
}

func TestWhatCalicosValidatorRejectsInANode(t *testing.T) {
	const key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for annotation, values := range map[string]map[string]bool{
		calico.AnnotationClusterID:                     {"244.0.0.1": false, "244.0.0.1/32": true, "244.0.0.0/8": true, "244.0.0.1/8": false, "one": false},
		calico.AnnotationLabels:                        {`{"rack":"a"}`: false, `{"rack":"no value!"}`: true, `{"no key!":""}`: true, `no JSON`: false},
		"projectcalico.org/IPv4IPIPTunnelAddr":         {"10.244.0.1": false, "10.244.0.1/32": true, "10.244.0.1/26": false, "fd00::1/128": false},
		"projectcalico.org/IPv4VXLANTunnelAddr":        {"10.244.0.1/32": true},
		"projectcalico.org/IPv6VXLANTunnelAddr":        {"fd00::1": false, "fd00::1/128": true, "10.244.0.1/32": false},
		"projectcalico.org/IPv4WireguardInterfaceAddr": {"10.244.0.1/32": true},
		"projectcalico.org/IPv6WireguardInterfaceAddr": {"fd00::1/128": true},
		"projectcalico.org/WireguardPublicKey":         {key: false, key[:8]: true, "": false},
		"projectcalico.org/WireguardPublicKeyV6":       {key + key: true},
		"projectcalico.org/VXLANTunnelMACAddr":         {"none": false}, // Calico ignores it.
		"example.com/tunnel":                           {"10.244.0.1/32": false},
	} {
		for value, rejected := range values {
			node := calico.NodeFromCore(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"kubernetes.io/hostname": "a"}, Annotations: map[string]string{annotation: value}}})
			want := ""
			if rejected {
				want = "metadata.annotations[" + annotation + "]"
			}
			if got := rejectedFields(node, v333); got != want {
				t.Errorf("%s %q: got %q, want %q", annotation, value, got, want)
			}
			if rejected && !calico.DecidesBGP(annotation, value) {
				t.Errorf("%s %q does not decide BGP", annotation, value)
			}
		}
	}
	if calico.DecidesBGP("projectcalico.org/IPv4VXLANTunnelAddr", "10.244.0.1") || calico.DecidesBGP("example.com/owner", "a") {
		t.Error("an annotation that Calico accepts or ignores decides BGP")
	}
	calicoctl := calicotest.Node(t, "a", func(document map[string]any) {
		document["spec"] = calicotest.Spec{"bgp": calicotest.Spec{"routeReflectorClusterID": "244.0.0.1/32"}}
	})
	if got := rejectedFields(calicoctl, v333); got != "spec.bgp.routeReflectorClusterID" {
		t.Errorf("a projectcalico.org/v3 Node: got %q", got)
	}
}
