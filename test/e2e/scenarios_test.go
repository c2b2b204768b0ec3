//go:build system

package e2e

import (
	"bytes"
	"os/exec"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bgpguard/bgpguard/pkg/scenario"
	"github.com/bgpguard/bgpguard/pkg/scenario/live"
	"github.com/bgpguard/bgpguard/test/env"
)

// What the scenarios say of the engine holds of the whole way from an API
// server's client to the guard and back.
func TestScenariosHoldLive(t *testing.T) {
	t.Parallel()
	scenarios, err := scenario.Load([]string{"../scenarios"})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV3}}), group: env.GroupV3}
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.webhook.Stop(); err != nil {
			t.Error(err)
		}
	})
	runner, err := live.NewRunner(c.Config, live.Options{Shown: c.webhook.Shown(c.prometheus(t))})
	if err != nil {
		t.Fatal(err)
	}
	run := func(s *scenario.Scenario) {
		r, err := runner.Run(t.Context(), s)
		if err != nil {
			t.Error(err)
			return
		}
		if !r.Passed() {
			var text bytes.Buffer
			if err := scenario.WriteText(&text, []*scenario.Result{r}); err != nil {
				t.Fatal(err)
			}
			t.Error(text.String())
		}
	}
	// Those without policies of their own are judged by the default install.
	ran := 0
	for _, own := range []bool{false, true} {
		if own {
			c.allowed(t, "", "delete bgppolicies --all")
		}
		for _, s := range scenarios {
			if s.OfflineOnly == "" && (len(s.Policies) > 0) == own {
				run(s)
				ran++
			}
		}
	}
	fromTheCommandLine(t, c)
	if offline := len(scenarios) - ran; offline != 2 { // 800 nodes, and a clock that stands still
		t.Errorf("%d scenarios were not run, want 2", offline)
	}
}

// fromTheCommandLine runs a scenario as a user does.
func fromTheCommandLine(t *testing.T, c *cluster) {
	t.Helper()
	kubeconfig, err := c.UserKubeconfig("tester", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "../../bin/bgpguard", "policy", "test", "../scenarios/own-policy.yaml", "../scenarios/change-window.yaml",
		"--live", "--kubeconfig", kubeconfig, "--context", config.CurrentContext).CombinedOutput()
	want := "SKIPPED: scenario change-window: the API server has its own clock\nSCENARIOS: 1/1\n"
	if err != nil || string(out) != want {
		t.Errorf("error %v\n%s\nwant\n%s", err, out, want)
	}
}
