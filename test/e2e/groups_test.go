//go:build system

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/test/env"
)

// TestCalicosMigration moves the objects from crd.projectcalico.org/v1 to projectcalico.org/v3, as Calico's
// controller does, while bgpguard runs.
func TestCalicosMigration(t *testing.T) {
	t.Parallel()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV1, env.GroupV3}}), group: env.GroupV1}
	if err := c.CreateNodes(t.Context(), env.Nodes(nodeCount)); err != nil {
		t.Fatal(err)
	}
	lock := func(group env.Group, ready bool) {
		t.Helper()
		c.group = group
		c.allowed(t, c.object("ClusterInformation", "default", fmt.Sprintf("calicoVersion: v3.32.1, datastoreReady: %t", ready)), "apply -f -")
	}
	lock(env.GroupV1, true)
	c.deploy(t)
	c.reflect(t)
	const deleteV1, deleteV3 = "delete bgppeers.crd.projectcalico.org workers --dry-run=server", "delete bgppeers.projectcalico.org workers --dry-run=server"
	c.denied(t, "reachability-preserved", "", deleteV1)

	// The objects are copied in an order in which nodes would be isolated if v3 counted alone.
	lock(env.GroupV1, false)
	lock(env.GroupV3, false)
	c.untilLogged(t, "so they are read from both API groups")
	c.allowed(t, c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false"), "create -f -")
	c.allowed(t, c.object("BGPPeer", "reflectors", reflectors), "create -f -")
	c.allowed(t, c.object("BGPPeer", "workers", `nodeSelector: "!has(route-reflector)", peerSelector: has(route-reflector)`), "create -f -")
	c.denied(t, "reachability-preserved", "", deleteV1)
	c.denied(t, "reachability-preserved", "", deleteV3)

	lock(env.GroupV3, true)
	c.until(t, 0, "", deleteV1)
	c.denied(t, "reachability-preserved", "", deleteV3)
	stale := c.allowed(t, "", strings.TrimSuffix(deleteV1, " --dry-run=server"))
	if want := "Calico has moved its objects from crd.projectcalico.org/v1 to projectcalico.org/v3"; !strings.Contains(stale.Stderr, want) {
		t.Errorf("stderr %q, want %q", stale.Stderr, want)
	}

	// The migration is aborted.
	lock(env.GroupV3, false)
	lock(env.GroupV1, true)
	const deleteLast = "delete bgppeers.crd.projectcalico.org reflectors --dry-run=server"
	c.until(t, 1, "", deleteLast)
	c.denied(t, "reachability-preserved", "", deleteLast)
}

// untilLogged waits until the webhook's log contains a text.
func (c *cluster) untilLogged(t *testing.T, text string) {
	t.Helper()
	for range 400 {
		if strings.Contains(c.webhook.Log(), text) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the webhook's log has no %q:\n%s", text, c.webhook.Log())
}
