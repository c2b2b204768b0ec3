//go:build system

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/test/env"
)

// operatorUser is the user as which tigera-operator writes.
const operatorUser = "system:serviceaccount:tigera-operator:tigera-operator"

// reconcile makes the writes of tigera-operator for a clusterRoutingMode: it patches FelixConfiguration default, and then
// BGPConfiguration default, each in a request of its own. Like the operator it ends at the first error. It returns the
// number of writes and the error.
func (c *cluster) reconcile(t *testing.T, felix, bird string) (written int, failure string) {
	t.Helper()
	for _, write := range [][2]string{{"felixconfiguration", felix}, {"bgpconfiguration", bird}} {
		args := []string{"patch", write[0], "default", "--as=" + operatorUser, "--as-group=system:serviceaccounts:tigera-operator", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"programClusterRoutes":%q}}`, write[1])}
		result, err := c.Admin.Run(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		if result.ExitCode != 0 {
			return written, result.Stderr
		}
		written++
	}
	return written, ""
}

// install returns an Installation with a clusterRoutingMode.
func install(mode string) string {
	return fmt.Sprintf("apiVersion: operator.tigera.io/v1\nkind: Installation\nmetadata: {name: default}\n"+
		"spec: {cni: {type: Calico}, calicoNetwork: {bgp: Enabled, clusterRoutingMode: %s, ipPools: [{name: pods, cidr: 10.244.0.0/16, encapsulation: None}]}}\n", mode)
}

// operatorPool returns an IPPool as tigera-operator writes it.
func operatorPool(c *cluster, cidr string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: IPPool\nmetadata: {name: more, labels: {app.kubernetes.io/managed-by: tigera-operator}}\n"+
		"spec: {cidr: %s, ipipMode: Never, vxlanMode: Never, natOutgoing: true, nodeSelector: all(), blockSize: 26}\n", c.group.APIVersion(), cidr)
}

// asOperator returns the arguments of kubectl for tigera-operator.
func asOperator(args string) string {
	return args + " --as=" + operatorUser + " --as-group=system:serviceaccounts:tigera-operator"
}

// TestOperator hands the routes of a cluster from Felix to BIRD and back by its Installation, adds an IPPool, and upgrades Calico.
// The writes that follow are those of tigera-operator and calico-node.
func TestOperator(t *testing.T) {
	t.Parallel()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV3}, Operator: true}), group: env.GroupV3}
	if err := c.CreateNodes(t.Context(), env.Nodes(5)); err != nil {
		t.Fatal(err)
	}
	c.allowed(t, "", "create clusterrolebinding tigera-operator --clusterrole=cluster-admin --serviceaccount=tigera-operator:tigera-operator")
	c.allowed(t, c.object("ClusterInformation", "default", "calicoVersion: v3.33.0"), "apply -f -")
	c.allowed(t, c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true, programClusterRoutes: Disabled"), "apply -f -")
	c.allowed(t, c.object("FelixConfiguration", "default", "programClusterRoutes: Enabled"), "apply -f -")
	c.allowed(t, c.object("IPPool", "pods", "cidr: 10.244.0.0/16, ipipMode: Never, vxlanMode: Never, natOutgoing: true, nodeSelector: all(), blockSize: 26"), "apply -f -")
	c.allowed(t, install("Felix"), "apply -f -")
	c.deploy(t)

	if written, failure := c.reconcile(t, "Disabled", "Enabled"); written != 0 || !strings.Contains(failure, "[encapsulation-change]") {
		t.Errorf("without an Installation that asks for it, the operator made %d writes: %s", written, failure)
	}
	for _, way := range []struct{ mode, felix, bird string }{{"BIRD", "Disabled", "Enabled"}, {"Felix", "Enabled", "Disabled"}} {
		changed := c.allowed(t, install(way.mode), "apply -f -")
		if want := fmt.Sprintf("tigera-operator updates FelixConfiguration default (programClusterRoutes: %s), updates BGPConfiguration default", way.felix); !strings.Contains(changed.Stderr, want) {
			t.Errorf("the Installation: stderr %q, want %q", changed.Stderr, want)
		}
		if written, failure := c.reconcile(t, way.felix, way.bird); written != 2 {
			t.Fatalf("%s: the operator made %d writes: %s", way.mode, written, failure)
		}
	}

	more := strings.Replace(install("Felix"), "encapsulation: None}", "encapsulation: None}, {name: more, cidr: 10.245.0.0/16, encapsulation: None}", 1)
	if changed := c.allowed(t, more, "apply -f -"); !strings.Contains(changed.Stderr, "creates IPPool more") {
		t.Errorf("the Installation with another IPPool: stderr %q", changed.Stderr)
	}
	c.allowed(t, operatorPool(c, "10.245.0.0/16"), asOperator("create -f -"))

	// calico-node writes the version, and the operator the same objects again.
	c.allowed(t, "", `patch clusterinformation default --type=merge -p {"spec":{"calicoVersion":"v3.33.1"}} --as=system:serviceaccount:calico-system:calico-node --as-group=system:masters`)
	if written, failure := c.reconcile(t, "Enabled", "Disabled"); written != 2 {
		t.Errorf("after the upgrade the operator made %d writes: %s", written, failure)
	}
	c.allowed(t, operatorPool(c, "10.245.0.0/16"), asOperator("apply -f -"))

	// Felix needs no mesh, so that it can be turned off, and BIRD can no longer have the routes.
	c.allowed(t, "", `patch bgpconfiguration default --type=merge -p {"spec":{"nodeToNodeMeshEnabled":false}}`)
	c.denied(t, "reachability-preserved", install("BIRD"), "apply -f -")
	c.allowed(t, "", `patch installation default --type=merge -p {"spec":{"calicoNetwork":{"bgp":"Disabled"}}}`)
	// calico-node would no longer run BIRD, so that the mesh does not help.
	c.allowed(t, "", `patch bgpconfiguration default --type=merge -p {"spec":{"nodeToNodeMeshEnabled":true}}`)
	c.denied(t, "reachability-preserved", install("BIRD")+"---\n", `patch installation default --type=merge -p {"spec":{"calicoNetwork":{"clusterRoutingMode":"BIRD"}}}`)
}
