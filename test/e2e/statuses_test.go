//go:build system

package e2e

import (
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/test/env"
)

// statuses are what users make for two nodes and calico-node then fills in.
const statuses = `
apiVersion: API
kind: CalicoNodeStatus
metadata: {name: node-0000}
spec: {node: node-0000, classes: [Agent, BGP, Routes], updatePeriodSeconds: 10}
status:
  lastUpdated: "2026-11-24T11:30:05Z"
  agent:
    birdV4: {lastBootTime: "2026-11-24 11:00:00", lastReconfigurationTime: "2026-11-24 11:30:00", routerID: 10.0.0.1, state: Ready, version: v0.3.3+birdv1.6.8}
    birdV6: {state: NotReady}
  bgp:
    numberEstablishedV4: 1
    numberEstablishedV6: 0
    numberNotEstablishedV4: 0
    numberNotEstablishedV6: 0
    peersV4: [{peerIP: 10.0.0.2, since: "11:00:02", state: Established, type: NodeMesh}]
  routes:
    routesV4: [{destination: 10.1.0.0/26, gateway: 10.0.0.2, interface: eth0, learnedFrom: {peerIP: 10.0.0.2, sourceType: NodeMesh}, type: FIB}]
---
apiVersion: API
kind: CalicoNodeStatus
metadata: {name: node-0001}
spec: {node: node-0001, classes: [BGP], updatePeriodSeconds: 0}
`

// The guard follows what nodes report, and needs none of it: without the right to read
// it, as where its role is an older one, it is ready and judges.
func TestCalicoNodeStatusesAreReadAndNotNeeded(t *testing.T) {
	t.Parallel()
	for _, group := range []env.Group{env.GroupV1, env.GroupV3} {
		t.Run(string(group), func(t *testing.T) {
			c := start(t, group)
			token := c.prometheus(t)
			c.allowed(t, strings.ReplaceAll(statuses, "API", group.APIVersion()), "create -f -")
			c.untilScraped(t, token, `bgpguard_snapshot_objects{kind="CalicoNodeStatus"} 2`)
			c.allowed(t, "", "delete caliconodestatus node-0001")
			c.untilScraped(t, token, `bgpguard_snapshot_objects{kind="CalicoNodeStatus"} 1`)
			c.untilScraped(t, token, `bgpguard_kind_synced{kind="CalicoNodeStatus"} 1`)
			c.untilScraped(t, token, `bgpguard_undecodable_objects{kind="CalicoNodeStatus"} 0`)

			if err := c.webhook.Stop(); err != nil {
				t.Fatal(err)
			}
			// The second rule of the role is that of Calico's objects.
			c.allowed(t, "", `patch clusterrole bgpguard --type=json --patch=[{"op":"replace","path":"/rules/1/resources","value":["bgpconfigurations","bgppeers","bgpfilters","ippools","felixconfigurations","clusterinformations"]}]`)
			var err error
			if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{}); err != nil {
				t.Fatal(err)
			}
			c.untilScraped(t, token, `bgpguard_kind_synced{kind="CalicoNodeStatus"} 0`)
			c.untilScraped(t, token, `bgpguard_snapshot_objects{kind="CalicoNodeStatus"} 0`)
			c.denied(t, "route-reflectors-required", c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false"), "apply -f -")
		})
	}
}
