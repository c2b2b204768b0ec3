//go:build system

package races

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	workers        = 20
	reflectorLabel = "rr"
	// settle is the time for a watch that is not late to show all changes of a round.
	settle = 300 * time.Millisecond
	// retry is the pause before a request that restores the state is sent again.
	retry = 50 * time.Millisecond
	// maxStart is how long a replica that is ready may wait for the outcome of earlier changes. It is shorter than the
	// lifetime of a reservation.
	maxStart = 10 * time.Second
)

// sides are the two halves of the state: a BGPPeer peer-SIDE by which all nodes peer with the route reflector rr-SIDE.
// Each half alone connects all nodes.
var sides = []string{"a", "b"}

func peerName(side string) string { return "peer-" + side }
func nodeName(side string) string { return "rr-" + side }

// cluster is a control plane with the mesh disabled, 20 workers and two route reflectors, and the replicas of the webhook
// behind a balancer.
type cluster struct {
	*env.Environment
	peers    dynamic.ResourceInterface
	nodes    corev1client.NodeInterface
	replicas []*replica
	balancer *balancer
	watch    *lateWatch // of the first replica
	// deletes are the bodies of dry-run reviews of the deletion of each side's BGPPeer.
	deletes map[string][]byte
	// logged is the size of the audit log at the start of the round.
	logged int64
}

// mark remembers the end of the audit log, for unevaluated.
func (c *cluster) mark() error {
	log, err := os.Stat(c.AuditLog)
	if err == nil {
		c.logged = log.Size()
	}
	return err
}

// unevaluated reports which changes of Nodes were admitted since the call of mark although they were not evaluated in
// time: unanswered, if the API server got no answer, and failed, if the webhook answered that it could not evaluate the
// change. Nodes fail open.
func (c *cluster) unevaluated() (unanswered, failed bool, err error) {
	log, err := os.Open(c.AuditLog)
	if err != nil {
		return false, false, err
	}
	defer log.Close()
	if _, err := log.Seek(c.logged, io.SeekStart); err != nil {
		return false, false, err
	}
	text, err := io.ReadAll(log)
	return bytes.Contains(text, []byte("failed-open.validating.webhook.admission.k8s.io")),
		bytes.Contains(text, []byte(`nodes.bgpguard.io/decision":"error"`)), err
}

// start starts the control plane with the state and the first replica.
func start(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Environment: env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV1}}), deletes: map[string][]byte{}}
	config := rest.CopyConfig(c.Config)
	config.QPS = -1 // Nothing delays a change.
	config.WarningHandler = rest.NoWarnings{}
	calico, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	c.peers = calico.Resource(schema.GroupVersionResource{Group: "crd.projectcalico.org", Version: "v1", Resource: "bgppeers"})
	c.nodes = client.CoreV1().Nodes()
	if err := c.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Either of the two reflectors may go, not both.
	c.must(t, "patch", "bgppolicy", "route-reflectors-required", "--type=merge", "-p", `{"spec":{"parameters":{"minReflectors":1}}}`)
	if c.watch, err = newLateWatch(c.Config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.watch.close)
	c.scale(t, 1)
	return c
}

func (c *cluster) must(t *testing.T, args ...string) {
	t.Helper()
	ran, err := c.Admin.Run(t.Context(), args...)
	if err := errors.Join(err, ran.Err()); err != nil {
		t.Fatal(err)
	}
}

// fill creates the state, before there is a webhook.
func (c *cluster) fill(ctx context.Context) error {
	nodes := env.Nodes(workers)
	for i, side := range sides {
		nodes = append(nodes, env.Node(workers+i, env.RouteReflector(fmt.Sprintf("244.0.0.%d", i+1)), func(node *corev1.Node) {
			node.Name = nodeName(side)
			node.Labels["kubernetes.io/hostname"], node.Labels[reflectorLabel] = node.Name, side
		}))
	}
	if err := c.CreateNodes(ctx, nodes); err != nil {
		return err
	}
	const meshOff = "{apiVersion: crd.projectcalico.org/v1, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}"
	applied, err := c.Admin.RunWithInput(ctx, meshOff, "apply", "-f", "-")
	if err := errors.Join(err, applied.Err()); err != nil {
		return err
	}
	for _, side := range sides {
		if err := c.createPeer(ctx, side); err != nil {
			return err
		}
	}
	return nil
}

// scale starts replicas up to a number. The API server asks all of them in turn.
func (c *cluster) scale(t *testing.T, count int) {
	t.Helper()
	for len(c.replicas) < count {
		number := len(c.replicas) + 1
		args := []string{"--leader-elect"}
		if number == 1 {
			account, err := c.ServiceAccountKubeconfig(t.Context(), "bgpguard-system", "bgpguard")
			if err != nil {
				t.Fatal(err)
			}
			kubeconfig, err := c.watch.kubeconfig(account)
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, "--kubeconfig="+kubeconfig)
		}
		webhook, err := c.StartWebhook(t.Context(), env.WebhookOptions{
			Binary: *program, Hostname: fmt.Sprintf("replica-%d", number), Args: args,
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.balancer == nil {
			if c.balancer, err = newBalancer(t.Context(), c.Environment); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.balancer.close)
		}
		r, err := c.balancer.add(webhook)
		if err != nil {
			t.Fatal(err)
		}
		c.replicas = append(c.replicas, r)
	}
	ready := time.Now()
	if err := until(t.Context(), "every replica allows a change", retry, func() error { return c.shows(t.Context(), "a", true) }); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(ready); waited > maxStart {
		t.Errorf("the replicas did not allow a change for %s after they were ready, want at most %s", waited, maxStart)
	}
}

// peer returns a BGPPeer.
func peer(name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": env.GroupV1.APIVersion(), "kind": "BGPPeer", "metadata": map[string]any{"name": name}, "spec": spec,
	}}
}

// createPeer creates the BGPPeer of a side.
func (c *cluster) createPeer(ctx context.Context, side string) error {
	created, err := c.peers.Create(ctx, peer(peerName(side), map[string]any{
		"nodeSelector": "all()", "peerSelector": fmt.Sprintf("%s == '%s'", reflectorLabel, side),
	}), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	c.deletes[side], err = env.DryRunReview("bgppeers", created, nil)
	return err
}

func ignoreExisting(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// deletion returns a function that deletes a BGPPeer.
func (c *cluster) deletion(ctx context.Context, name string) func() error {
	return func() error { return c.peers.Delete(ctx, name, metav1.DeleteOptions{}) }
}

// unlabel returns a function that removes the label by which all nodes peer with a side's route reflector.
func (c *cluster) unlabel(ctx context.Context, side string) func() error {
	return func() error { return c.setLabel(ctx, side, "null") }
}

// setLabel sets the label of a side's route reflector to a value in JSON.
func (c *cluster) setLabel(ctx context.Context, side, value string) error {
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, reflectorLabel, value)
	_, err := c.nodes.Patch(ctx, nodeName(side), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// half tells what the API server holds of a side.
type half struct{ peer, label bool }

func (h half) whole() bool { return h.peer && h.label }

// halves are the sides of the state by name.
type halves map[string]half

// lost returns the number of sides that connect no nodes.
func (h halves) lost() int {
	count := 0
	for _, side := range sides {
		if !h[side].whole() {
			count++
		}
	}
	return count
}

// read returns what the API server holds.
func (c *cluster) read(ctx context.Context) (halves, error) {
	peers, err := c.peers.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	nodes, err := c.nodes.List(ctx, metav1.ListOptions{LabelSelector: reflectorLabel})
	if err != nil {
		return nil, err
	}
	found := halves{}
	for i := range peers.Items {
		if side, ok := strings.CutPrefix(peers.Items[i].GetName(), peerName("")); ok {
			h := found[side]
			h.peer = true
			found[side] = h
		}
	}
	for i := range nodes.Items {
		if side, ok := strings.CutPrefix(nodes.Items[i].Name, nodeName("")); ok {
			h := found[side]
			h.label = true
			found[side] = h
		}
	}
	return found, nil
}

// restore makes both sides whole again. It returns when every replica has seen first the loss of a side and then that it
// is restored.
func (c *cluster) restore(ctx context.Context, found halves) error {
	switch {
	case found.lost() == 0:
		return nil
	case found.lost() == len(sides):
		// The reviews of shows do not distinguish a replica that has seen nothing of the round from one that has seen all.
		if err := c.repair(ctx, found); err != nil {
			return err
		}
		time.Sleep(settle)
	case found["a"].whole():
		return c.restoreOther(ctx, "a", found)
	case found["b"].whole():
		return c.restoreOther(ctx, "b", found)
	}
	for _, side := range sides {
		if err := c.await(ctx, side, true); err != nil {
			return err
		}
	}
	return nil
}

// restoreOther restores the other side while one is whole.
func (c *cluster) restoreOther(ctx context.Context, whole string, found halves) error {
	if err := c.await(ctx, whole, false); err != nil {
		return err
	}
	if err := c.repair(ctx, found); err != nil {
		return err
	}
	return c.await(ctx, whole, true)
}

// repair creates what is missing of both sides.
func (c *cluster) repair(ctx context.Context, found halves) error {
	for _, side := range sides {
		if err := until(ctx, "restore side "+side, retry, func() error {
			if !found[side].peer {
				if err := ignoreExisting(c.createPeer(ctx, side)); err != nil {
					return err
				}
			}
			if !found[side].label {
				return c.setLabel(ctx, side, fmt.Sprintf("%q", side))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// await waits until every replica allows to delete the BGPPeer of a side, because the other side is whole, or denies it,
// because it is lost.
func (c *cluster) await(ctx context.Context, side string, allowed bool) error {
	what := fmt.Sprintf("every replica has allowed=%t for the deletion of %s", allowed, peerName(side))
	return until(ctx, what, time.Millisecond, func() error { return c.shows(ctx, side, allowed) })
}

// shows returns an error unless every replica gives this answer.
func (c *cluster) shows(ctx context.Context, side string, allowed bool) error {
	for _, r := range c.replicas {
		if err := r.answers(ctx, c.deletes[side], allowed); err != nil {
			return err
		}
	}
	return nil
}
