// Package judgement tests which changes bgpguard allows: each scenario of this directory is a
// sequence of changes with the expected answers. This file runs them without a cluster, and
// live_test.go against a real API server.
//
// Some answers depend on more than a state and a change, so other tests have them: objects that
// do not decode (the CRDs reject almost all of them, and a scenario consists of objects that
// decode) in pkg/validate/unread_test.go; the age of the data in pkg/cluster/stale_test.go;
// panics in pkg/admission/panic_test.go; BGPPolicies that are weakened (steps change only objects
// that decide BGP) in pkg/admission/bgppolicy_test.go and test/e2e/policies_test.go; changes that
// race in pkg/reserve and test/races.
package judgement

import (
	"bytes"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/scenario"
)

// load returns the scenarios of this directory.
func load(t *testing.T) []*scenario.Scenario {
	t.Helper()
	scenarios, err := scenario.Load([]string{"."})
	if err != nil {
		t.Fatal(err)
	}
	if len(scenarios) == 0 {
		t.Fatal("there are no scenarios")
	}
	return scenarios
}

// check fails the test if a step of a scenario did not get the expected answer.
func check(t *testing.T, r *scenario.Result) {
	t.Helper()
	if r.Passed() {
		return
	}
	var text bytes.Buffer
	if err := scenario.WriteText(&text, []*scenario.Result{r}); err != nil {
		t.Fatal(err)
	}
	t.Error(text.String())
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range load(t) {
		if names[s.Metadata.Name] || s.Title == "" {
			t.Errorf("scenario %s has no title, or the name of another one", s.Metadata.Name)
		}
		names[s.Metadata.Name] = true
		t.Run(s.Metadata.Name, func(t *testing.T) {
			t.Parallel()
			r, err := scenario.Run(t.Context(), s, library)
			if err != nil {
				t.Fatal(err)
			}
			check(t, r)
		})
	}
}
