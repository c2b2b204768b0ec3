package enforce

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
	keeper := newKeeper(t, log)
	f, err := NewFiles(keeper, []string{file}, log)
	if err != nil {
		t.Fatal(err)
	}
	first := keeper.Set()
	failures := func() float64 { return testutil.ToFloat64(reloadFailures) }
	before := failures()

	f.reload()
	if keeper.Set() != first {
		t.Error("files that did not change were used again")
	}
	write(document("one", "Deny") + "---\n" + document("two", "Warn"))
	f.reload()
	if got := keeper.Set().Names(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("after a change there are %q", got)
	}
	if got := testutil.ToFloat64(policiesLoaded); got != 2 {
		t.Errorf("the metric says %v", got)
	}

	good := keeper.Set()
	write(document("one", "Shout"))
	f.reload()
	f.reload()
	if keeper.Set() != good {
		t.Error("a bad set was used")
	}
	if got := failures() - before; got != 1 {
		t.Errorf("counted %v failures", got)
	}
	if n := strings.Count(out.String(), "Changed policies are rejected"); n != 1 || !strings.Contains(out.String(), file+":7") {
		t.Errorf("logged %d times, want once with file and line: %s", n, out.String())
	}
	write(document("three", "Deny"))
	f.reload()
	if got := keeper.Set().Names(); !slices.Equal(got, []string{"three"}) {
		t.Errorf("after the fix there are %q", got)
	}
}

func TestFilesHoldAllOrNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policies.yaml")
	text := document("one", "Deny") + "---\n" + strings.Replace(document("two", "Deny"), "policy: mesh-node-limit", "policy: nothing", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	keeper := newKeeper(t, logr.Discard())
	_, err := NewFiles(keeper, []string{file}, logr.Discard())
	if want := file + ":14: BGPPolicy two: spec.policy: \"nothing\" is not in the library"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s...", err, want)
	}
	if names := keeper.Set().Names(); names != nil {
		t.Errorf("%q are in force", names)
	}
}
