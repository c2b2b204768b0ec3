package schema_test

import (
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/schema"
)

func set(t testing.TB) *schema.Set {
	t.Helper()
	s, err := schema.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func object(t testing.TB, text string) map[string]any {
	t.Helper()
	docs, err := manifest.Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs[0].Object
}

// problems returns one line for each problem.
func problems(t testing.TB, s *schema.Set, now, old map[string]any) string {
	t.Helper()
	found, err := s.Validate(t.Context(), now, old)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range found {
		level := "error "
		if p.Warning {
			level = "warning "
		}
		out = append(out, level+p.String())
	}
	return strings.Join(out, "\n")
}

func TestValidate(t *testing.T) {
	const peer = "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: x}\nspec: "
	s := set(t)
	for name, c := range map[string]struct{ text, want string }{
		"valid": {peer + "{peerIP: 10.0.0.1, asNumber: 65000}", ""},
		"as string": {peer + "{peerIP: 10.0.0.1, asNumber: abc, keepaliveTime: 3}", "?"},
		"large as": {peer + "{peerIP: 10.0.0.1, asNumber: 4200000000}", "?"},
		"enum": {peer + "{peerIP: 10.0.0.1, nextHopMode: Me}", "?"},
		"unknown": {peer + "{peerIp: 10.0.0.1, keepAliveTime: 3s, holdTime: 4, password: {secretKeyref: {}}}", "?"},
		"both": {peer + "{peerIP: 10.0.0.1, peerSelector: all()}", "?"},
		"no spec": {strings.TrimSuffix(peer, "spec: "), "?"},
		"list": {"apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {serviceClusterIPs: [10.0.0.0/8], serviceExternalIPs: [{cidr: 1.2.3.4}], nodeToNodeMesh: true, communities: [{name: x, value: y}], listenPort: 0, ignoredInterfaces: [a, a]}", "?"},
		"root": {"apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default, label: {a: b}}\nasNumber: 3\nspec: {}", "?"},
		"node": {"apiVersion: v1\nkind: Node\nmetadata: {name: N_, labels: {a: 1, b: true}}\nspec: {podCIDRR: x, taints: 1}", "?"},
		"node2": {"apiVersion: v1\nkind: Node\nmetadata: {name: N_, labels: {a/b/c: '1', b: 'a b'}, annotations: {'a b': x}}\nspec: {podCIDRR: x, taints: 1}", "?"},
		"felix": {"apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {natPortRange: '1:2', kubeNodePortRanges: [3, '4:5'], bpfPSNATPorts: x, chainInsertMode: a}", "?"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := problems(t, s, object(t, c.text), nil); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
