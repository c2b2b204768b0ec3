package topology

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// compute returns the topology of s. before is an earlier topology or nil.
func compute(t testing.TB, s *state.Snapshot, before *Topology) *Topology {
	t.Helper()
	out, err := Compute(t.Context(), s, before)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// show returns a state as YAML, one document in flow style for each object. The text is
// valid input of "bgpguard topology -f".
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
	for _, p := range s.IPPools() {
		write("IPPool", map[string]any{"name": p.Name}, p.Spec)
	}
	for _, one := range s.IPAMBlocks() {
		fmt.Fprintf(&b, "---\n# IPAMBlock %s of %s: own %t, borrowed %v\n", one.CIDR, one.Node, one.Own, one.Borrowed)
	}
	for _, f := range s.BGPFilters() {
		write("BGPFilter", map[string]any{"name": f.Name}, f.Spec)
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
