//go:build system

// Package e2e tests bgpguard as it runs in production: a real kube-apiserver,
// real kubectl, the manifests of config/, and the webhook's own process with
// the rights of its ServiceAccount.
package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bgpguard/bgpguard/test/env"
)

const nodeCount = 110

// containerMemory is the memory limit of the container in config/manager, in bytes.
const containerMemory = 256 << 20

// cluster is a control plane with nodes, bgpguard's manifests and its process.
type cluster struct {
	*env.Environment
	group   env.Group
	webhook *env.Webhook
	// reader is a token of a ServiceAccount that may read the metrics, "" before it exists.
	reader string
}

// start starts a cluster with Nodes that bgpguard guards.
func start(t *testing.T, group env.Group, args ...string) *cluster {
	t.Helper()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{group}}), group: group}
	if err := c.CreateNodes(t.Context(), env.Nodes(nodeCount)); err != nil {
		t.Fatal(err)
	}
	c.deploy(t, args...)
	return c
}

// deploy installs bgpguard and starts its webhook with args.
func (c *cluster) deploy(t *testing.T, args ...string) {
	t.Helper()
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{Args: args, Memory: containerMemory}); err != nil {
		t.Fatal(err)
	}
	started := c.webhook
	t.Cleanup(func() {
		if err := c.webhook.Stop(); err != nil {
			t.Error(err)
		}
		survived(t, started)
		if t.Failed() {
			t.Logf("the webhook's log:\n%s", c.webhook.Log())
		}
	})
}

// survived checks that the kernel has killed no process of the webhook because of the memory limit.
func survived(t *testing.T, webhook *env.Webhook) {
	t.Helper()
	group := webhook.Group
	if group == nil {
		t.Log("this machine permits no cgroup: the kernel did not enforce the memory limit")
		return
	}
	kills, err := group.Kills()
	if err != nil || kills > 0 {
		t.Errorf("the kernel killed %d processes that exceeded %d MiB together; error %v", kills, containerMemory>>20, err)
	}
}

// object is a manifest of the cluster's group.
func (c *cluster) object(kind, name, spec string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec: {%s}\n", c.group.APIVersion(), kind, name, spec)
}

// kubectl runs kubectl, a manifest on its standard input.
func (c *cluster) kubectl(t *testing.T, input, args string) env.Result {
	t.Helper()
	result, err := c.Admin.RunWithInput(t.Context(), input, strings.Fields(args)...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (c *cluster) allowed(t *testing.T, input, args string) env.Result {
	t.Helper()
	result := c.kubectl(t, input, args)
	if err := result.Err(); err != nil {
		t.Fatalf("must be allowed: %v", err)
	}
	return result
}

func (c *cluster) denied(t *testing.T, policy, input, args string) {
	t.Helper()
	c.deniedBy(t, "bgp.bgpguard.io", policy, input, args)
}

func (c *cluster) deniedBy(t *testing.T, webhook, policy, input, args string) {
	t.Helper()
	result := c.kubectl(t, input, args)
	_, message, found := strings.Cut(result.Stderr, `admission webhook "`+webhook+`" denied the request: `)
	if result.ExitCode != 1 || !found || !strings.Contains(message, "["+policy+"] ") {
		t.Fatalf("%s: exit code %d, want a denial by %s, got: %s%s", result, result.ExitCode, policy, result.Stdout, result.Stderr)
	}
}

func TestGuardInBothGroups(t *testing.T) {
	t.Parallel()
	for _, group := range []env.Group{env.GroupV1, env.GroupV3} {
		t.Run(string(group), func(t *testing.T) {
			c := start(t, group)
			c.guard(t)
			c.metrics(t)
			c.log(t)
		})
	}
}

// reflectors is the spec of the BGPPeer among the route reflectors.
const reflectors = "nodeSelector: has(route-reflector), peerSelector: has(route-reflector)"

// reflect leads the cluster from the mesh to three route reflectors, by steps
// of which each may be made.
func (c *cluster) reflect(t *testing.T) {
	t.Helper()
	c.allowed(t, "", "label node node-0000 node-0001 node-0002 route-reflector=true")
	c.allowed(t, c.object("BGPPeer", "workers", `nodeSelector: "!has(route-reflector)", peerSelector: has(route-reflector)`), "apply -f -")
	c.allowed(t, c.object("BGPPeer", "reflectors", reflectors), "apply -f -")
	// A cluster ID takes a node out of the mesh, so the BGPPeers come first.
	c.allowed(t, "", "annotate node node-0000 node-0001 node-0002 projectcalico.org/RouteReflectorClusterID=244.0.0.1")
	meshOff := c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false")
	c.until(t, 0, meshOff, "apply -f - --dry-run=server")
	c.allowed(t, meshOff, "apply -f -")
}

func (c *cluster) guard(t *testing.T) {
	t.Helper()
	meshOn, meshOff := c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true"), c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false")

	// What was bad before is told and not denied.
	if warned := c.allowed(t, meshOn, "apply -f -"); !strings.HasPrefix(warned.Stderr, "Warning: [mesh-node-limit] the node-to-node mesh is too large") {
		t.Errorf("stderr %q, want a warning of mesh-node-limit", warned.Stderr)
	}
	for _, how := range []string{"apply -f -", "apply -f - --dry-run=server", "apply -f - --server-side --force-conflicts", "replace -f -"} {
		c.denied(t, "route-reflectors-required", meshOff, how)
	}
	c.reflect(t)

	c.denied(t, "mesh-node-limit", meshOn, "apply -f -")
	c.denied(t, "mesh-node-limit", c.object("BGPConfiguration", "default", ""), "replace -f -")
	c.denied(t, "mesh-node-limit", "", "delete bgpconfiguration default")
	if warned := c.allowed(t, c.object("BGPPeer", "reflectors", reflectors+", maxRestartTime: 300s"), "apply -f -"); !strings.HasPrefix(warned.Stderr, "Warning: [timers-consistent] different restart times between nodes") {
		t.Errorf("stderr %q, want a warning that restart times differ", warned.Stderr)
	}
	c.allowed(t, c.object("BGPPeer", "reflectors", reflectors+", maxRestartTime: 2m"), "apply -f -")
	if c.group == env.GroupV3 { // A field that the typed API lacks; the old CRD drops it.
		if warned := c.allowed(t, c.object("BGPPeer", "reflectors", reflectors+", keepaliveTime: 20s"), "apply -f - --dry-run=server"); !strings.HasPrefix(warned.Stderr, "Warning: [timers-consistent] different keepalive times between nodes") {
			t.Errorf("stderr %q, want a warning that keepalive times differ", warned.Stderr)
		}
	}
	c.denied(t, "route-reflectors-required", "", "delete bgppeer workers")
	c.denied(t, "route-reflectors-required", "", "delete bgppeer workers --dry-run=server")
	c.denied(t, "route-reflectors-required", "", "delete bgppeers --all")
	c.allowed(t, c.object("BGPConfiguration", "node.node-0001", "listenPort: 1790"), "apply -f -")
	if warned := c.allowed(t, c.object("BGPPeer", "typo", `nodeSelector: "has(", peerSelector: all()`), "apply -f -"); !strings.HasPrefix(warned.Stderr, `Warning: [selector-hygiene] BGPPeer typo has an invalid selector: spec.nodeSelector "has("`) {
		t.Errorf("stderr %q, want a warning that the selector does not parse", warned.Stderr)
	}
	c.allowed(t, "", "delete bgppeer typo")
	c.denied(t, "reachability-preserved", c.object("IPPool", "quiet", "cidr: 10.9.0.0/16, disableBGPExport: true"), "apply -f -")
	c.allowed(t, c.object("FelixConfiguration", "default", "logSeverityScreen: Info"), "apply -f -")
}

// until runs kubectl until it ends with an exit code. The webhook learns of a
// write that it let pass as everybody does, by watch and a moment later.
func (c *cluster) until(t *testing.T, exitCode int, input, args string) {
	t.Helper()
	var last env.Result
	for range 200 {
		if last = c.kubectl(t, input, args); last.ExitCode == exitCode {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s: still exit code %d: %s%s\nthe webhook's log:\n%s", last, last.ExitCode, last.Stdout, last.Stderr, c.webhook.Log())
}

// metrics are served to those whom RBAC lets read them, and to no one else.
func (c *cluster) metrics(t *testing.T) {
	t.Helper()
	if status, _ := c.scrape(t, ""); status != http.StatusUnauthorized {
		t.Errorf("metrics without a token: status %d, want 401", status)
	}
	if status, _ := c.scrape(t, "nobody"); status != http.StatusUnauthorized {
		t.Errorf("metrics with a token that is none: status %d, want 401", status)
	}
	if status, _ := c.scrape(t, c.token(t, "stranger")); status != http.StatusForbidden {
		t.Errorf("metrics without the right: status %d, want 403", status)
	}
	status, text := c.scrape(t, c.prometheus(t))
	for _, want := range []string{
		`bgpguard_decisions_total{action="Deny",dry_run="true",policy="route-reflectors-required"} `,
		"bgpguard_snapshot_age_seconds ", `bgpguard_snapshot_objects{kind="Node"} 110`, "bgpguard_request_duration_seconds_count",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("status %d: no %s in the metrics:\n%s", status, want, grep(text, "bgpguard_"))
		}
	}
}

// prometheus returns a token of one who may read the metrics.
func (c *cluster) prometheus(t *testing.T) string {
	t.Helper()
	if c.reader != "" {
		return c.reader
	}
	// Bound before it first asks: a refusal is remembered for a while.
	c.reader = c.token(t, "prometheus")
	c.allowed(t, "", "create clusterrolebinding prometheus --clusterrole=bgpguard-metrics-reader --serviceaccount=default:prometheus")
	return c.reader
}

// token makes a ServiceAccount and returns a token of it.
func (c *cluster) token(t *testing.T, name string) string {
	t.Helper()
	c.allowed(t, "", "create serviceaccount "+name+" --namespace=default")
	kubeconfig, err := c.ServiceAccountKubeconfig(t.Context(), "default", name)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config.BearerToken
}

func (c *cluster) scrape(t *testing.T, token string) (int, string) {
	t.Helper()
	status, _, body := fetch(t, http.MethodGet, c.webhook.MetricsURL, token)
	return status, body
}

// log holds one line for each denial, and nothing secret.
func (c *cluster) log(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(c.webhook.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if !strings.Contains(text, `"operation":"DELETE"`) || !strings.Contains(text, "route-reflectors-required") {
		t.Errorf("no line about a denied delete in the log:\n%s", text)
	}
	for _, secret := range []string{"PRIVATE KEY", "Bearer "} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// untilScraped waits for a line in the metrics: the gauges are brought up to date a
// moment later.
func (c *cluster) untilScraped(t *testing.T, token, want string) {
	t.Helper()
	text := ""
	for range 200 {
		if _, text = c.scrape(t, token); strings.Contains(text, want) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("no %s in the metrics:\n%s\nthe webhook's log:\n%s", want, grep(text, "bgpguard_"), c.webhook.Log())
}

func grep(text, part string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}
