//go:build system

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/test/env"
)

// The manifests of an IPPool and of an IPAMBlock, with their API version, name, CIDR and
// allocations.
const (
	poolManifest  = `{"apiVersion": "%s", "kind": "IPPool", "metadata": {"name": "%s"}, "spec": {"cidr": "%s", "vxlanMode": "Always"}}`
	blockManifest = `{"apiVersion": "%s", "kind": "IPAMBlock", "metadata": {"name": "%s"}, "spec": {"cidr": "%s", "allocations": [%s], "attributes": [{"handle_id": "k8s-pod-network.1"}], "strictAffinity": false, "unallocated": []}}`
)

// With the component, and the argument that it gives, the webhook reads the IPAMBlocks by the
// rights of its ServiceAccount and denies the delete of an IPPool that pods use. Without it,
// the webhook has no right to read them, and warns.
func TestAPoolInUseIsDeniedWhereTheComponentIsInstalled(t *testing.T) {
	t.Parallel()
	for _, group := range []env.Group{env.GroupV1, env.GroupV3} {
		t.Run(string(group), func(t *testing.T) {
			c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{group}}), group: group}
			version := "crd.projectcalico.org/v1"
			if group == env.GroupV3 {
				version = "projectcalico.org/v3"
			}
			for _, manifest := range []string{
				fmt.Sprintf(poolManifest, version, "used", "10.1.0.0/16"), fmt.Sprintf(poolManifest, version, "free", "10.2.0.0/16"),
				fmt.Sprintf(blockManifest, version, "10-1-0-0-26", "10.1.0.0/26", "null, 0"), fmt.Sprintf(blockManifest, version, "10-2-0-0-26", "10.2.0.0/26", "null, null"),
			} {
				c.allowed(t, manifest, "create -f -")
			}
			for _, folder := range []string{"config/crd", "config/default"} {
				if _, err := c.ApplyKustomization(t.Context(), folder); err != nil {
					t.Fatal(err)
				}
			}
			const deletes = "delete --dry-run=server ippools." // The IPPools of the group under test.
			used, free := deletes+strings.Split(version, "/")[0]+" used", deletes+strings.Split(version, "/")[0]+" free"
			const unknown = "bgpguard does not know whether pods have addresses of it"

			c.run(t, nil, func() {
				for _, command := range []string{used, free} {
					if result := c.allowed(t, "", command); !strings.Contains(result.Stderr, unknown) {
						t.Errorf("%s: no warning: %s", result, result.Stderr)
					}
				}
			})
			if _, err := c.ApplyKustomization(t.Context(), "test/e2e/testdata/ipam"); err != nil {
				t.Fatal(err)
			}
			const argument = "--ipam-blocks"
			if deployed := c.allowed(t, "", "get deployment bgpguard --namespace=bgpguard-system -o jsonpath={.spec.template.spec.containers[0].args}"); !strings.Contains(deployed.Stdout, argument) {
				t.Errorf("the component's arguments are %s, want %s among them", deployed.Stdout, argument)
			}
			c.run(t, []string{argument}, func() {
				c.untilScraped(t, c.prometheus(t), `bgpguard_snapshot_objects{kind="IPAMBlock"} 2`)
				c.denied(t, "pools-in-use", "", used)
				if result := c.allowed(t, "", free); strings.Contains(result.Stderr, "pools-in-use") {
					t.Errorf("a warning: %s", result.Stderr)
				}
			})
		})
	}
}

// run starts the webhook, calls test and stops the webhook.
func (c *cluster) run(t *testing.T, args []string, test func()) {
	t.Helper()
	var err error
	if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{Policies: []string{"../../config/policies"}, Args: args}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.webhook.Stop(); err != nil {
			t.Error(err)
		}
	}()
	test()
}
