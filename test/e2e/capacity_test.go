//go:build system

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	state "github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/test/env"
)

// TestAStateThatIsTooLarge starts a webhook in a small container, with more BGPPeers than its memory suffices for. The kernel does
// not kill it, every change of Calico's objects is an error, and docs/operate.md has the way out.
func TestAStateThatIsTooLarge(t *testing.T) {
	t.Parallel()
	const (
		container = 128 << 20
		reserved  = 76 << 20 // See server.reservedMemory.
		racked    = 100      // BGPPeers with the label in docs/operate.md
	)
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV1}}), group: env.GroupV1}
	if err := c.CreateNodes(t.Context(), env.Nodes(nodeCount)); err != nil {
		t.Fatal(err)
	}
	limit, _ := state.NewCapacity(container - reserved).BGPPeers(nodeCount)
	count := limit + limit/10 + racked/2
	c.createBGPPeers(t, count, racked)
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{Memory: container, Starting: true}); err != nil {
		t.Fatal(err)
	}

	tooLarge := fmt.Sprintf("state too large: the cluster has %s BGPPeers beside %d Nodes", text.Number(count), nodeCount)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		status, body, err := c.webhook.Probe(t.Context(), "/readyz/cluster")
		if err == nil && status != http.StatusOK && strings.Contains(body, tooLarge) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("readiness: %d %s, %v", status, body, err)
		}
	}
	for _, change := range []string{"delete bgppeer --selector=rack=1", "patch bgppeer peer-0 --type=merge -p {\"spec\":{\"asNumber\":64513}}"} {
		if got := c.kubectl(t, "", change); got.ExitCode != 1 || !strings.Contains(got.Stderr, tooLarge) {
			t.Errorf("%s: exit code %d: %s, want %s", change, got.ExitCode, got.Stderr, tooLarge)
		}
	}
	c.followPage(t, "bgpguardstatetoolarge")
	if err := c.webhook.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	// bgpguard evaluates changes again, and has no room for another BGPPeer.
	another := c.object("BGPPeer", "another", "peerIP: 192.0.2.1, asNumber: 64512")
	for range 100 { // The API server learns of the matchConditions by watch.
		if err = c.kubectl(t, another, "create --dry-run=server -f -").Err(); err != nil && strings.Contains(err.Error(), "the memory of bgpguard suffices for "+text.Number(limit)) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("another BGPPeer: %v", err)
	}
	c.allowed(t, "", "delete bgppeer peer-500")
	survived(t, c.webhook)
}

// createBGPPeers creates BGPPeers that select no node. The first ones have the label rack=1.
func (c *cluster) createBGPPeers(t *testing.T, count, racked int) {
	t.Helper()
	config := rest.CopyConfig(c.Config)
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	peers := client.Resource(schema.GroupVersionResource{Group: "crd.projectcalico.org", Version: "v1", Resource: "bgppeers"})
	problems := make([]error, count)
	workqueue.ParallelizeUntil(t.Context(), 16, count, func(i int) {
		metadata := map[string]any{"name": fmt.Sprint("peer-", i)}
		if i < racked {
			metadata["labels"] = map[string]any{"rack": "1"}
		}
		_, problems[i] = peers.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": c.group.APIVersion(), "kind": "BGPPeer", "metadata": metadata,
			"spec": map[string]any{"nodeSelector": "none == 'x'", "peerIP": fmt.Sprintf("192.0.%d.%d", i/250, i%250+1), "asNumber": int64(64512)},
		}}, metav1.CreateOptions{})
	})
	if err := errors.Join(problems...); err != nil {
		t.Fatal(err)
	}
}
