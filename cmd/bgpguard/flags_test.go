package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/validate"
)

// whoPolicy reports the user and the groups of every change.
const whoPolicy = `apiVersion: policy.bgpguard.io/v1alpha1
kind: BGPPolicy
metadata: {name: who}
spec:
  validationActions: [Deny]
  rego:
    modules:
    - name: who.rego
      text: |
        # METADATA
        # title: Who
        # schemas:
        #   - input: schema.change
        # custom:
        #   severity: low
        #   judges: change
        #   validationActions: [Deny]
        package policies.who

        violation contains {
        	"id": "who",
        	"size": 1,
        	"msg": sprintf("made by <%s> of <%s>", [input.change.user, concat(" ", input.change.groups)]),
        }
`

// TestCheckInputAndExplainSeeTheSameUser checks that all commands that evaluate a change use the
// same user and the same groups.
func TestCheckInputAndExplainSeeTheSameUser(t *testing.T) {
	in := files{"nodes.yaml": nodeList, "off.yaml": meshOff, "policies.yaml": whoPolicy}
	for name, c := range map[string]struct {
		args   string
		user   string
		groups []string
	}{
		"nobody":                       {"", "", []string{}},
		"a user":                       {"--as jane", "jane", []string{"system:authenticated"}},
		"a user with a group":          {"--as jane --as-group network", "jane", []string{"network", "system:authenticated"}},
		"a ServiceAccount":             {"--as system:serviceaccount:flux:sync", "system:serviceaccount:flux:sync", []string{"system:serviceaccounts", "system:serviceaccounts:flux", "system:authenticated"}},
		"a ServiceAccount and a group": {"--as system:serviceaccount:flux:sync --as-group network", "system:serviceaccount:flux:sync", []string{"network", "system:authenticated"}},
		"a node":                       {"--as system:node:a", "system:node:a", []string{"system:nodes", "system:authenticated"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(strings.Fields("-f off.yaml --state nodes.yaml --policies policies.yaml"), strings.Fields(c.args)...)
			message := "made by <" + c.user + "> of <" + strings.Join(c.groups, " ") + ">"
			checked := bgpguard(t, in, "", append([]string{"check"}, args...)...)
			if checked.code != exitDenied || !strings.Contains(checked.stdout, message) {
				t.Errorf("check: exit code %d, %q is not in\n%s%s", checked.code, message, checked.stdout, checked.stderr)
			}
			explained := bgpguard(t, in, "", append([]string{"policy", "explain"}, args...)...)
			if explained.code != exitOK || !strings.Contains(explained.stdout, message) {
				t.Errorf("explain: exit code %d, %q is not in\n%s%s", explained.code, message, explained.stdout, explained.stderr)
			}
			printed := bgpguard(t, in, "", append([]string{"input", "--policy", "who"}, args...)...)
			var document struct {
				Change struct {
					User   string   `json:"user"`
					Groups []string `json:"groups"`
				} `json:"change"`
			}
			if err := json.Unmarshal([]byte(printed.stdout), &document); err != nil {
				t.Fatalf("input: %v\n%s%s", err, printed.stdout, printed.stderr)
			}
			if document.Change.User != c.user || !slices.Equal(document.Change.Groups, c.groups) {
				t.Errorf("input: got %+v, want %s of %q", document.Change, c.user, c.groups)
			}
			if want := validate.ImpersonatedGroups(c.user, nil); !strings.Contains(c.args, "--as-group") && !slices.Equal(c.groups, want) {
				t.Errorf("groups %q, the API server adds %q", c.groups, want)
			}
		})
	}
}
