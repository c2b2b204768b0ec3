package health

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

// reported returns a CalicoNodeStatus of a node with sessions, each "PEERIP TYPE STATE".
func reported(node, updated string, sessions ...string) string {
	established := 0
	var rows []string
	for _, s := range sessions {
		parts := strings.Fields(s)
		if parts[2] == "Established" {
			established++
		}
		rows = append(rows, fmt.Sprintf(`{peerIP: %s, type: %s, since: "11:00:04", state: %s}`, parts[0], parts[1], parts[2]))
	}
	return fmt.Sprintf(`{apiVersion: projectcalico.org/v3, kind: CalicoNodeStatus, metadata: {name: status-%s}, spec: {node: %s, classes: [BGP], updatePeriodSeconds: 10},
  status: {lastUpdated: %q, bgp: {numberEstablishedV4: %d, numberNotEstablishedV4: %d, peersV4: [%s]}}}`,
		node, node, updated, established, len(rows)-established, strings.Join(rows, ", "))
}

func TestDeadReflectors(t *testing.T) {
	const fresh, old = "2026-11-24T11:59:00Z", "2026-11-23T11:59:00Z"
	own := func(state string) []string {
		return []string{"10.0.0.11 NodePeer " + state, "10.0.0.12 NodePeer " + state, "172.16.0.1 GlobalPeer " + state}
	}
	worker := func(state string) string {
		return reported("worker-1", fresh, "10.0.0.1 NodePeer "+state, "172.16.0.1 GlobalPeer Established", "172.16.0.2 GlobalPeer Established")
	}
	for name, c := range map[string]struct {
		statuses []string
		want     string
	}{
		"it reports established sessions":                 {[]string{reported("rr", fresh, own("Established")...)}, ""},
		"it reports none":                                 {[]string{reported("rr", fresh, own("Active")...)}, "rr: none of 3 half-sessions with it is established: check calico-node on the node"},
		"it reports none and a worker reports one":        {[]string{reported("rr", fresh, own("Active")...), worker("Established")}, ""},
		"a worker reports that its session is down":       {[]string{worker("Connect")}, "rr: none of 1 half-sessions with it is established: check calico-node on the node"},
		"a worker reports its session":                    {[]string{worker("Established")}, ""},
		"its status is stale":                             {[]string{reported("rr", old, own("Established")...)}, "rr: CalicoNodeStatus status-rr is stale, and no other node reports a session with it: check calico-node on the node"},
		"its status is stale and a worker reports none":   {[]string{reported("rr", old, own("Established")...), worker("Idle")}, "rr: none of 1 half-sessions with it is established, and CalicoNodeStatus status-rr is stale: check calico-node on the node"},
		"its status is stale, and a worker reports one":   {[]string{reported("rr", old, own("Established")...), worker("Established")}, ""},
		"no session is established, and its Node is down": {[]string{reported("rr", fresh, own("Active")...), downRR}, ""},
		"nobody reports":                                  {[]string{reported("spare", fresh, "172.16.0.1 GlobalPeer Established")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot(t, append([]string{file(t, "cluster.yaml")}, c.statuses...)...)
			h := Compare(s, topologytest.Compute(t, s, nil), now)
			got := ""
			for _, r := range h.Reflectors.Items {
				got += r.Node + ": " + r.Message
			}
			if got != c.want || h.Reflectors.Total != len(h.Reflectors.Items) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
