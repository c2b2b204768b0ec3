//go:build system

package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/test/env"
)

// TestAuditOfClusters has the command audit a real cluster, under two names and
// beside one that is not there, as its BGPPolicies say.
func TestAuditOfClusters(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV3)
	config := c.contexts(t)
	audited := func(code int, args ...string) (stdout, stderr string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), "../../bin/bgpguard", append([]string{"audit", "--kubeconfig", config}, args...)...)
		var out, errs bytes.Buffer
		command.Stdout, command.Stderr = &out, &errs
		err := command.Run()
		got := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			got, err = exit.ExitCode(), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if got != code {
			t.Fatalf("audit %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}

	// The mesh of 110 nodes is over the limit of the default BGPPolicy.
	stdout, _ := audited(1, "-o", "json")
	r, err := audit.Read(strings.NewReader(stdout))
	if err != nil {
		t.Fatal(err)
	}
	one := r.Clusters[0]
	if one.Cluster != "eu" || one.Summary.Nodes.BGP != nodeCount || !has(one, "mesh-node-limit") || !one.Health.Known {
		t.Errorf("cluster %q with %d nodes, violations %+v", one.Cluster, one.Summary.Nodes.BGP, one.Violations)
	}

	// Another limit in the cluster, another result; --policies overrides it.
	c.allowed(t, "", `patch bgppolicy mesh-node-limit --type=merge -p {"spec":{"parameters":{"maxNodes":500}}}`)
	baseline := filepath.Join(t.TempDir(), "baseline.json")
	if err := os.WriteFile(baseline, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, _ = audited(0, "--fail-on", "high", "--baseline", baseline)
	if !strings.Contains(stdout, "violation is resolved:\n  [mesh-node-limit] ") {
		t.Errorf("with another limit:\n%s", stdout)
	}
	stdout, _ = audited(1, "--fail-on", "high", "--policies", "../../config/policies/mesh-node-limit.yaml")
	if !strings.Contains(stdout, "high: [mesh-node-limit] ") {
		t.Errorf("with policies of files:\n%s", stdout)
	}

	// A BGPPolicy that cannot be used here is an error, and takes nothing from the others.
	c.allowed(t, "", "delete validatingwebhookconfiguration bgpguard")
	c.allowed(t, "apiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata: {name: of-a-directory}\nspec: {policy: not-built-in, validationActions: [Warn]}\n", "apply -f -")
	stdout, stderr := audited(2)
	if !strings.Contains(stdout, `Error: [of-a-directory] BGPPolicy could not be loaded: `) || !strings.Contains(stderr, "error: 1 policy could not be evaluated; the report shows the errors\n") {
		t.Errorf("with a policy that is not built in:\n%s%s", stdout, stderr)
	}
	c.allowed(t, "", "delete bgppolicies --all")

	// Without any, the library judges, and a note says so. Of three clusters, two are read.
	stdout, stderr = audited(2, "--context", "eu", "--context", "us", "--context", "lab")
	for _, want := range []string{"cluster lab: not read: the API server https://127.0.0.1:1 cannot be reached", "\ncluster eu: ", "\ncluster us: ", "Note: the cluster has no BGPPolicies: every policy of the library was evaluated with its defaults"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("of a fleet: no %q in\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "error: 1 cluster could not be read; the report shows the errors\n") {
		t.Errorf("of a fleet: %s", stderr)
	}
}

func has(a *audit.Audit, policy string) bool {
	for _, v := range a.Violations {
		if v.Policy == policy {
			return true
		}
	}
	return false
}

// contexts writes a kubeconfig with two names for the cluster, and one of a cluster
// that nothing answers for.
func (c *cluster) contexts(t *testing.T) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(c.Admin.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	known := config.Contexts[config.CurrentContext]
	config.Clusters["lab"] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}
	config.Contexts = map[string]*clientcmdapi.Context{"eu": known, "us": known, "lab": {Cluster: "lab", AuthInfo: known.AuthInfo}}
	config.CurrentContext = "eu"
	path := filepath.Join(t.TempDir(), "config")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}
