//go:build system

package judgement

import (
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/scenario"
	"github.com/bgpguard/bgpguard/pkg/scenario/live"
	"github.com/bgpguard/bgpguard/test/env"
)

// setupGroup creates the state of a scenario. Its changes are not reviewed, because many
// scenarios begin with a state that the policies would not allow.
const setupGroup = "bgpguard:scenario-setup"

// TestScenariosLive runs the scenarios against one API server and one webhook. The answers are
// those of TestScenarios.
func TestScenariosLive(t *testing.T) {
	scenarios := load(t)
	e := env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV3}, Operator: true})
	if err := e.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.SkipReviews(t.Context(), setupGroup); err != nil {
		t.Fatal(err)
	}
	// The component ipam. States without IPAMBlocks are judged as without it.
	if applied, err := e.Admin.Run(t.Context(), "apply", "-f", "../../config/components/ipam/role.yaml"); err != nil || applied.Err() != nil {
		t.Fatal(err, applied.Err())
	}
	webhook, err := e.StartWebhook(t.Context(), env.WebhookOptions{Args: []string{"--ipam-blocks"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := webhook.Stop(); err != nil {
			t.Error(err)
		}
	})
	token, err := e.MetricsToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	runner, err := live.NewRunner(e.Config, live.Options{SetupGroup: setupGroup, Shown: webhook.Shown(token)})
	if err != nil {
		t.Fatal(err)
	}
	// Scenarios without policies of their own are judged by the default install.
	for _, own := range []bool{false, true} {
		if own {
			deleted, err := e.Admin.Run(t.Context(), strings.Fields("delete bgppolicies --all")...)
			if err != nil || deleted.Err() != nil {
				t.Fatal(err, deleted.Err())
			}
		}
		for _, s := range scenarios {
			if (len(s.Policies) > 0) == own && s.OfflineOnly == "" {
				t.Run(s.Metadata.Name, func(t *testing.T) { runLive(t, runner, s) })
			}
		}
	}
}

func runLive(t *testing.T, runner *live.Runner, s *scenario.Scenario) {
	t.Helper()
	r, err := runner.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	check(t, r)
}
