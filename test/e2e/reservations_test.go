//go:build system

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/reserve"
	"github.com/bgpguard/bgpguard/test/env"
)

// balanced starts two replicas of the webhook, which get the API server's connections in turn.
func (c *cluster) balanced(t *testing.T) {
	t.Helper()
	var addresses []string
	for _, name := range []string{"replica-1", "replica-2"} {
		webhook, err := c.StartWebhook(t.Context(), env.WebhookOptions{Hostname: name, Args: []string{"--leader-elect"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the log of %s:\n%s", name, webhook.Log())
			}
		})
		address, err := url.Parse(webhook.URL)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, "127.0.0.1:"+address.Port())
		c.webhook = webhook
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.WebhookPort))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		var turn atomic.Int64
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", addresses[int(turn.Add(1))%len(addresses)])
			if err != nil {
				from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					io.Copy(pair[0], pair[1]) //nolint:errcheck // The API server reports a call that fails.
					pair[0].Close()
				}()
			}
		}
	}()
}

// together runs two commands of kubectl at the same moment and returns the number of those that succeed. The others
// must be denied.
func (c *cluster) together(t *testing.T, commands ...string) int {
	t.Helper()
	results, errs := make([]env.Result, len(commands)), make([]error, len(commands))
	var group sync.WaitGroup
	for i, command := range commands {
		group.Go(func() { results[i], errs[i] = c.Admin.Run(t.Context(), strings.Fields(command)...) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	succeeded := 0
	for _, r := range results {
		switch {
		case r.ExitCode == 0:
			succeeded++
		case !strings.Contains(r.Stderr, "denied the request: ["):
			t.Errorf("%s: %s", r, r.Stderr)
		}
	}
	return succeeded
}

// reservations returns the version and the content of the ConfigMap.
func (c *cluster) reservations(t *testing.T) (version, content string) {
	t.Helper()
	var o corev1.ConfigMap
	text := c.allowed(t, "", "--namespace=bgpguard-system get configmap bgpguard-reservations -o json").Stdout
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o.ResourceVersion, o.Data["reservations.json"]
}

// TestReservations has two replicas of the webhook, two route reflectors rr-a and rr-b, and a BGPPeer of all nodes to
// each of them. Removing one of the two is safe.
func TestReservations(t *testing.T) {
	t.Parallel()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV1}}), group: env.GroupV1}
	nodes := env.Nodes(10)
	for i, side := range []string{"a", "b"} {
		nodes = append(nodes, env.Node(10+i, env.RouteReflector(fmt.Sprintf("244.0.0.%d", i+1)), func(node *corev1.Node) {
			node.Name = "rr-" + side
			node.Labels["kubernetes.io/hostname"], node.Labels["rr"] = node.Name, side
		}))
	}
	if err := c.CreateNodes(t.Context(), nodes); err != nil {
		t.Fatal(err)
	}
	peers := c.object("BGPPeer", "peer-a", `nodeSelector: all(), peerSelector: "rr == 'a'"`) + "---\n" +
		c.object("BGPPeer", "peer-b", `nodeSelector: all(), peerSelector: "rr == 'b'"`)
	c.allowed(t, c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false")+"---\n"+peers, "apply -f -")
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.allowed(t, "", `patch bgppolicy route-reflectors-required --type=merge -p {"spec":{"parameters":{"minReflectors":1}}}`)
	c.balanced(t)
	restore := func() {
		t.Helper()
		c.until(t, 0, peers, "apply -f -")
		for _, side := range []string{"a", "b"} {
			c.until(t, 0, "", "label node rr-"+side+" --overwrite rr="+side)
		}
		// Both replicas must show it.
		time.Sleep(200 * time.Millisecond)
	}
	const rounds = 5
	for name, commands := range map[string][]string{
		"two BGPPeers":          {"delete bgppeer peer-a", "delete bgppeer peer-b"},
		"two labels":            {"label node rr-a rr-", "label node rr-b rr-"},
		"a BGPPeer and a label": {"delete bgppeer peer-a", "label node rr-b rr-"},
	} {
		t.Run(name, func(t *testing.T) {
			for range rounds {
				if n := c.together(t, commands...); n != 1 {
					t.Errorf("%d of 2 changes were allowed, want 1", n)
				}
				restore()
			}
		})
	}
	t.Run("what is not persisted or alters nothing is not written", func(t *testing.T) {
		c.allowed(t, "", "delete bgppeer peer-a")
		before, _ := c.reservations(t)
		c.allowed(t, c.object("BGPPeer", "peer-b", `nodeSelector: all(), peerSelector: "rr in {'a', 'b'}"`), "apply -f - --dry-run=server")
		c.allowed(t, "", "label node node-0001 example.com/unread=1")
		c.denied(t, "route-reflectors-required", "", "delete bgppeer peer-b")
		if after, content := c.reservations(t); after != before {
			t.Errorf("the ConfigMap was written: %s", content)
		}
		restore()
	})
	t.Run("another webhook denies", func(t *testing.T) {
		// Nothing listens at its address.
		c.allowed(t, `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: other}
webhooks:
- name: other.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {url: "https://127.0.0.1:1/"}
  rules:
  - {apiGroups: [crd.projectcalico.org], apiVersions: [v1], operations: [DELETE], resources: [bgppeers]}
  - {apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [nodes]}
`, "apply -f -")
		const probe = "label node node-0001 example.com/probe=1 --dry-run=server"
		c.until(t, 1, "", probe)
		for _, command := range []string{"delete bgppeer peer-a", "label node rr-a rr-"} {
			if r := c.kubectl(t, "", command); r.ExitCode != 1 || !strings.Contains(r.Stderr, "other.example.com") {
				t.Errorf("%s: %s%s", r, r.Stdout, r.Stderr)
			}
		}
		c.allowed(t, "", "delete validatingwebhookconfiguration other")
		c.until(t, 0, "", probe)
		c.denied(t, "reachability-preserved", "", "delete bgppeer peer-b")
		// Both objects are as the watches have shown them, so neither change was persisted.
		time.Sleep(reserve.Lifetime)
		c.until(t, 0, "", "delete bgppeer peer-b")
		restore()
	})
	t.Run("without the ConfigMap", func(t *testing.T) {
		c.allowed(t, "", "--namespace=bgpguard-system delete configmap bgpguard-reservations")
		c.allowed(t, "", "delete bgppeer peer-a")
		if _, content := c.reservations(t); !strings.Contains(content, `{"kind":"BGPPeer","name":"peer-a","operation":"DELETE","version":`) {
			t.Errorf("the ConfigMap contains %s", content)
		}
		restore()
	})
}
