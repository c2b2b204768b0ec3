//go:build system

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/test/env"
)

// With the component, and the argument that it gives, the webhook reads the Secrets
// of calico-node's namespace by the rights of its ServiceAccount, and no others.
func TestSecretsAreReadWhereTheComponentIsInstalled(t *testing.T) {
	t.Parallel()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV3}}), group: env.GroupV3}
	c.allowed(t, "", "create namespace calico-system")
	c.allowed(t, "", "create secret generic bgp --namespace=calico-system --from-literal=tor=hunter2")
	c.allowed(t, "", "create secret generic other --namespace=default --from-literal=tor=hunter2")
	for _, folder := range []string{"config/crd", "test/e2e/testdata/secrets"} {
		if _, err := c.ApplyKustomization(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
	}
	const argument = "--calico-namespace=calico-system"
	if deployed := c.allowed(t, "", "get deployment bgpguard --namespace=bgpguard-system -o jsonpath={.spec.template.spec.containers[0].args}"); !strings.Contains(deployed.Stdout, argument) {
		t.Errorf("the component's arguments are %s, want %s among them", deployed.Stdout, argument)
	}
	var err error
	if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{Policies: []string{"../../config/policies"}, Args: []string{argument}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.webhook.Stop(); err != nil {
			t.Error(err)
		}
	})
	token := c.prometheus(t)
	for _, want := range []string{`bgpguard_snapshot_objects{kind="Secret"} 1`, `bgpguard_kind_synced{kind="BGPFilter"} 1`} {
		c.untilScraped(t, token, want)
	}
	log, err := os.ReadFile(c.webhook.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), "hunter2") {
		t.Error("a password is in the log")
	}
}
