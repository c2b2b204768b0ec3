package topology

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// compute computes the topology of s from that before, or from nothing for nil.
func compute(t testing.TB, s *state.Snapshot, before *Topology) *Topology {
	t.Helper()
	out, err := Compute(t.Context(), s, before)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// decode decodes an object of projectcalico.org/v3.
func decode(t testing.TB, kind string, metadata, spec map[string]any) calico.Object {
	t.Helper()
	o, err := calico.Decode(map[string]any{"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// newObject decodes a description of an object, as tests write it.
func newObject(t testing.TB, kind, name string, spec map[string]any) calico.Object {
	t.Helper()
	return decode(t, kind, map[string]any{"name": name}, spec)
}

// nodeOption sets something of a Node's spec.bgp or labels.
type nodeOption func(bgp, labels map[string]any)

func with(key string, value any) nodeOption {
	return func(bgp, _ map[string]any) { bgp[key] = value }
}

func label(key, value string) nodeOption {
	return func(_, labels map[string]any) { labels[key] = value }
}

func node(t testing.TB, name string, options ...nodeOption) calico.Object {
	t.Helper()
	bgp, labels := map[string]any{}, map[string]any{}
	for _, o := range options {
		o(bgp, labels)
	}
	return decode(t, "Node", map[string]any{"name": name, "labels": labels}, map[string]any{"bgp": bgp})
}

// clusterOfVersion is a ClusterInformation of that Calico version.
func clusterOfVersion(t testing.TB, v string) calico.Object {
	t.Helper()
	return newObject(t, "ClusterInformation", calico.Default, map[string]any{"calicoVersion": v})
}

// show writes a state as YAML, one document in flow style for each object, to
// be given to "bgpguard topology -f" as it is.
func show(s *state.Snapshot) string {
	var b strings.Builder
	write := func(kind string, metadata map[string]any, spec any) {
		text, err := json.Marshal(map[string]any{"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": metadata, "spec": spec})
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "---\n%s\n", text)
	}
	for _, n := range s.Nodes() {
		bgp := map[string]any{}
		for f, key := range []string{"ipv4Address", "ipv6Address"} {
			if n.SpeaksBGP(calico.Family(f)) {
				bgp[key] = n.Address[f].String()
			}
		}
		if n.ASNumber != nil {
			bgp["asNumber"] = *n.ASNumber
		}
		if n.ClusterID != "" {
			bgp["routeReflectorClusterID"] = n.ClusterID
		}
		write("Node", map[string]any{"name": n.Name, "labels": n.Labels}, map[string]any{"bgp": bgp})
	}
	for _, p := range s.BGPPeers() {
		write("BGPPeer", map[string]any{"name": p.Name}, p.Spec)
	}
	for _, c := range s.BGPConfigurations() {
		write("BGPConfiguration", map[string]any{"name": c.Name}, c.Spec)
	}
	if c := s.ClusterInformation(); c != nil {
		write("ClusterInformation", map[string]any{"name": c.Name}, c.Spec)
	}
	return b.String()
}
