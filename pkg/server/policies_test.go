package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// document returns a BGPPolicy document of the library policy mesh-node-limit.
func document(name, action string) string {
	return fmt.Sprintf("apiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata:\n  name: %s\nspec:\n  policy: mesh-node-limit\n  validationActions: [%s]\n", name, action)
}

func TestPoliciesFollowTheirFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policies.yaml")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	log := logr.FromSlogHandler(slog.NewTextHandler(&out, nil))
	write(document("one", "Deny"))
	p, first, err := loadPolicies([]string{file}, log)
	if err != nil {
		t.Fatal(err)
	}
	current := first
	p.use = func(set *policy.Set) { current = set }
	failures := func() float64 { return testutil.ToFloat64(policyReloadFailures) }
	before := failures()

	p.reload()
	if current != first {
		t.Error("files that did not change were used again")
	}
	write(document("one", "Deny") + "---\n" + document("two", "Warn"))
	p.reload()
	if got := current.Names(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("after a change there are %q", got)
	}
	if got := testutil.ToFloat64(policiesLoaded); got != 2 {
		t.Errorf("the metric says %v", got)
	}

	good := current
	write(document("one", "Shout"))
	p.reload()
	p.reload()
	if current != good {
		t.Error("a bad set was used")
	}
	if got := failures() - before; got != 1 {
		t.Errorf("counted %v failures", got)
	}
	if n := strings.Count(out.String(), "Cannot use the changed policies"); n != 1 || !strings.Contains(out.String(), file+":7") {
		t.Errorf("logged %d times, want once with file and line: %s", n, out.String())
	}
	write(document("three", "Deny"))
	p.reload()
	if got := current.Names(); !slices.Equal(got, []string{"three"}) {
		t.Errorf("after mending there are %q", got)
	}
}

func TestPoliciesThatDoNotLoadEndTheStart(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	o := DefaultOptions()
	o.Policies = []string{missing}
	err := Run(t.Context(), o, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
}

func TestLibraryRunsWithoutPolicyFiles(t *testing.T) {
	_, set, err := loadPolicies(nil, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range library.Definitions() {
		want = append(want, d.Name)
	}
	if got := set.Names(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
