//go:build system

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	heartbeats = 1000
	kubelets   = 8 // that beat side by side
	onNodes    = "nodes.bgpguard.io"
	required   = "route-reflectors-required"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV1)
	c.reflect(t)
	token := c.prometheus(t)
	t.Run("only what can decide BGP is reviewed", func(t *testing.T) { c.calls(t, token) })
	t.Run("a label or annotation is judged whoever takes it", func(t *testing.T) { c.labels(t) })
	t.Run("calico-node is warned and not denied", func(t *testing.T) { c.calicoNode(t) })
	t.Run("a controller that deletes a Node is warned and not denied", func(t *testing.T) { c.nodeController(t) })
	t.Run("a Node that is created with an address is reviewed", func(t *testing.T) { c.creates(t, token) })
	t.Run("an overridden denial is in the audit log", func(t *testing.T) { c.audited(t) })
	t.Run("nothing about Nodes depends on the guard", func(t *testing.T) { c.withoutWebhook(t) })
}

// write is a merge patch of a Node and how many reviews it takes.
type write struct {
	name, patch string
	subresource []string
	reviews     int
}

// calls counts the webhook's own count of reviews before and after.
func (c *cluster) calls(t *testing.T, token string) {
	t.Helper()
	count := func() int { return c.reviews(t, token) }
	before := count()
	c.beat(t, heartbeats)
	if got := count() - before; got != 0 {
		t.Errorf("%d heartbeats: %d reviews, want 0", heartbeats, got)
	}

	status := []string{"status"}
	writes := []write{
		{"a label is added", `{"metadata":{"labels":{"example.com/a":"1"}}}`, nil, 1},
		{"a label is changed", `{"metadata":{"labels":{"example.com/a":"2"}}}`, nil, 1},
		{"a label is changed through the status", `{"metadata":{"labels":{"example.com/a":"3"}}}`, status, 1},
		{"a label is removed", `{"metadata":{"labels":{"example.com/a":null}}}`, nil, 1},
		{"a label is set to what it is", `{"metadata":{"labels":{"kubernetes.io/os":"linux"}}}`, nil, 0},
		{"another annotation", `{"metadata":{"annotations":{"example.com/a":"1"}}}`, nil, 0},
		{"a cordon", `{"spec":{"unschedulable":true}}`, nil, 0},
		{"a finalizer", `{"metadata":{"finalizers":["example.com/a"]}}`, nil, 0},
		{"a finalizer is removed", `{"metadata":{"finalizers":null}}`, nil, 0},
	}
	for _, annotation := range []struct{ key, value, other string }{
		{"IPv4Address", "10.9.0.1/16", "10.9.0.2/16"}, {"IPv6Address", "fd00:10::9:1/64", "fd00:10::9:2/64"},
		{"ASNumber", "64512", "0.64512"}, {"RouteReflectorClusterID", "244.0.0.1", "244.0.0.2"}, {"labels", `{\"a\":\"1\"}`, `{\"a\":\"2\"}`},
	} {
		patch := func(value string) string {
			return `{"metadata":{"annotations":{"projectcalico.org/` + annotation.key + `":` + value + `}}}`
		}
		writes = append(writes,
			write{"annotation " + annotation.key, patch(`"` + annotation.value + `"`), nil, 1},
			write{"annotation " + annotation.key + " through the status", patch(`"` + annotation.other + `"`), status, 1},
		)
		if annotation.key != "IPv4Address" && annotation.key != "IPv6Address" {
			writes = append(writes, write{"annotation " + annotation.key + " is removed", patch("null"), nil, 1})
		}
	}
	nodes := c.Client.CoreV1().Nodes()
	for _, w := range writes {
		before := count()
		if _, err := nodes.Patch(t.Context(), "node-0050", types.MergePatchType, []byte(w.patch), metav1.PatchOptions{}, w.subresource...); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
		if got := count() - before; got != w.reviews {
			t.Errorf("%s: %d reviews, want %d", w.name, got, w.reviews)
		}
	}
	before = count()
	if err := nodes.Delete(t.Context(), "node-0109", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if got := count() - before; got != 1 {
		t.Errorf("a delete: %d reviews, want 1", got)
	}
}

// beat patches the status of Nodes as kubelets do to say that they are alive.
func (c *cluster) beat(t *testing.T, count int) {
	t.Helper()
	at := metav1.Now()
	problems := make([]error, count)
	workqueue.ParallelizeUntil(t.Context(), kubelets, count, func(i int) {
		beat := at.Add(time.Duration(i) * time.Second).UTC().Format(time.RFC3339)
		patch := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":"True","lastHeartbeatTime":%q}],"images":[{"names":["example.com/image"],"sizeBytes":%d}]}}`, beat, i+1)
		_, problems[i] = c.Client.CoreV1().Nodes().PatchStatus(t.Context(), fmt.Sprintf("node-%04d", 10+i%80), []byte(patch))
	})
	for _, problem := range problems {
		if problem != nil {
			t.Fatal(problem)
		}
	}
}

// reviews is the number of requests that the webhook has answered.
func (c *cluster) reviews(t *testing.T, token string) int {
	t.Helper()
	const metric = "bgpguard_request_duration_seconds_count "
	_, text := c.scrape(t, token)
	var count int
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, metric); found {
			if _, err := fmt.Sscan(value, &count); err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	t.Fatalf("no %s in the metrics:\n%s", metric, grep(text, "bgpguard_"))
	return 0
}

// labels leaves two route reflectors of three, fewer than which no node may have.
func (c *cluster) labels(t *testing.T) {
	t.Helper()
	c.allowed(t, "", "label node node-0000 route-reflector-")
	c.until(t, 1, "", "label node node-0001 route-reflector- --dry-run=server")
	for _, how := range []string{
		"label node node-0001 route-reflector-",
		`patch node node-0001 --subresource=status --type=merge -p {"metadata":{"labels":{"route-reflector":null}}}`,
		"--as=system:serviceaccount:kube-system:node-controller label node node-0001 route-reflector-",
		"annotate node node-0001 projectcalico.org/RouteReflectorClusterID-",
		"delete node node-0001",
		"delete node node-0001 --dry-run=server",
	} {
		c.deniedBy(t, onNodes, required, "", how)
	}
}

// calicoNode loses the address of a route reflector.
func (c *cluster) calicoNode(t *testing.T) {
	t.Helper()
	for _, args := range []string{
		"create serviceaccount calico-node --namespace=kube-system",
		"create clusterrole calico-node --verb=get,patch --resource=nodes,nodes/status",
		"create clusterrolebinding calico-node --clusterrole=calico-node --serviceaccount=kube-system:calico-node",
	} {
		c.allowed(t, "", args)
	}
	kubeconfig, err := c.ServiceAccountKubeconfig(t.Context(), "kube-system", "calico-node")
	if err != nil {
		t.Fatal(err)
	}
	lost := []string{"patch", "node", "node-0001", "--subresource=status", "--type=merge", "-p", `{"metadata":{"annotations":{"projectcalico.org/IPv4Address":null}}}`}
	c.deniedBy(t, onNodes, required, "", strings.Join(lost, " "))
	result, err := c.As(kubeconfig).Run(t.Context(), lost...)
	if err != nil {
		t.Fatal(err)
	}
	warned(t, result, "calico-node exits when it cannot write its Node")
	c.allowed(t, "", "annotate node node-0001 projectcalico.org/IPv4Address=10.0.0.2/16")
}

func (c *cluster) nodeController(t *testing.T) {
	t.Helper()
	c.deniedBy(t, onNodes, required, "", "delete node node-0002")
	result := c.kubectl(t, "", "--as=system:serviceaccount:kube-system:node-controller delete node node-0002 --wait=false")
	warned(t, result, "this controller deletes Nodes whose machines no longer exist")
	if _, err := c.Client.CoreV1().Nodes().Get(t.Context(), "node-0002", metav1.GetOptions{}); err == nil {
		t.Error("the Node is still there")
	}
}

// creates makes Nodes with the address of another one, or without an address, as a kubelet registers.
func (c *cluster) creates(t *testing.T, token string) {
	t.Helper()
	manifest := func(name, annotations string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Node\nmetadata: {name: %s, labels: {example.com/pool: new}, annotations: {%s}}\n", name, annotations)
	}
	taken := "projectcalico.org/IPv4Address: 10.0.0.21/16" // That of node-0020.
	for _, how := range []string{"create -f -", "apply -f - --dry-run=server"} {
		c.deniedBy(t, onNodes, "reachability-preserved", manifest("joining", taken), how)
	}
	before := c.reviews(t, token)
	c.allowed(t, manifest("joining", "example.com/other: a"), "create -f -")
	c.allowed(t, "", "delete node joining --dry-run=client")
	if got := c.reviews(t, token) - before; got != 0 {
		t.Errorf("a Node without BGP annotations: %d reviews, want 0", got)
	}

	// A kubelet that creates its own Node is warned. The environment has no Node authorizer, which permits this otherwise.
	c.allowed(t, "", "create clusterrolebinding kubelets --clusterrole=system:node --group=system:nodes")
	asKubelet := "--as=system:node:kubelet-1 --as-group=system:nodes --as-group=system:authenticated "
	result := c.kubectl(t, manifest("kubelet-1", taken), asKubelet+"create -f -")
	if err := result.Err(); err != nil || !strings.Contains(result.Stderr, " is allowed anyway: a kubelet repeats its registration") || !strings.Contains(result.Stderr, "Warning: [reachability-preserved] ") {
		t.Errorf("a kubelet: %v, %s", err, result.Stderr)
	}
	c.allowed(t, "", "delete node kubelet-1 joining --wait=false")
}

// warned expects success, a warning with the reason and one with what a policy says.
func warned(t *testing.T, result env.Result, reason string) {
	t.Helper()
	if err := result.Err(); err != nil {
		t.Fatalf("must be allowed: %v", err)
	}
	for _, want := range []string{" is allowed anyway: " + reason + "\n", "Warning: [" + required + "] "} {
		if !strings.Contains(result.Stderr, want) {
			t.Errorf("%s: no %q in %q", result, want, result.Stderr)
		}
	}
}

func (c *cluster) audited(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(c.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{"calico-node exits when", "this controller deletes Nodes whose"} {
		if !strings.Contains(string(data), `"nodes.bgpguard.io/not-enforced":"`+reason) {
			t.Errorf("%q is not in the audit log", reason)
		}
	}
}

func (c *cluster) withoutWebhook(t *testing.T) {
	t.Helper()
	if err := c.webhook.Stop(); err != nil {
		t.Fatal(err)
	}
	c.allowed(t, "", "label node node-0001 route-reflector-")
	c.beat(t, kubelets)
	node, err := c.Client.CoreV1().Nodes().Get(t.Context(), "node-0001", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, found := node.Labels["route-reflector"]; found || node.Status.Conditions[0].Type != corev1.NodeReady {
		t.Errorf("labels %v, conditions %v", node.Labels, node.Status.Conditions)
	}
	if refused := c.kubectl(t, "", "delete bgppeer workers"); refused.ExitCode != 1 || !strings.Contains(refused.Stderr, `failed calling webhook "bgp.bgpguard.io"`) {
		t.Errorf("%s: exit code %d, want a failed call, got %s", refused, refused.ExitCode, refused.Stderr)
	}
}
