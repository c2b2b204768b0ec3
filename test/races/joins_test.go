//go:build system

package races

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	// pairs is the number of addresses of which each is given to two Nodes at the same moment.
	pairs = 10
	// firstJoin is the number of the first of these Nodes.
	firstJoin = 100
)

// joining returns two Nodes with the addresses of one number.
func joining(number int) []*corev1.Node {
	var nodes []*corev1.Node
	for _, side := range sides {
		nodes = append(nodes, env.Node(firstJoin+number, func(node *corev1.Node) {
			node.Name = fmt.Sprintf("join-%02d-%s", number, side)
			node.Labels["kubernetes.io/hostname"] = node.Name
		}))
	}
	return nodes
}

// runJoins creates Nodes at the same moment, two with each address, and fails the test if both of a pair were admitted, or none of
// too many. Each pair counts as a round.
func runJoins(t *testing.T, c *cluster, s setup) raceRow {
	t.Helper()
	row := raceRow{setup: s.name, race: fmt.Sprintf("Nodes created with one address, %d pairs at once", pairs)}
	began := time.Now()
	for row.rounds < *rounds {
		if err := c.mark(); err != nil {
			t.Fatal(err)
		}
		c.watch.delay(s.late)
		var changes []func() error
		for number := range pairs {
			for _, node := range joining(number) {
				changes = append(changes, func() error {
					_, err := c.nodes.Create(t.Context(), node, metav1.CreateOptions{})
					return err
				})
			}
		}
		made := together(changes...)
		c.watch.delay(0)
		unanswered, failed, err := c.unevaluated()
		if err != nil {
			t.Fatal(err)
		}
		for number := range pairs {
			persisted, err := c.leave(t.Context(), joining(number))
			if err != nil {
				t.Fatal(err)
			}
			row.add(made, persisted, unanswered || failed)
			made = result{} // It is that of all pairs.
		}
		time.Sleep(settle) // A deletion that the watch has not shown is held against the next Node with the address.
		if failed {
			t.Log("the webhook could not evaluate one of the Nodes and admitted it")
		}
	}
	row.elapsed = time.Since(began)
	if row.both > 0 {
		t.Errorf("both Nodes of a pair were admitted in %d of %d pairs, want 0", row.both, row.rounds)
	}
	// Without an answer a Node is admitted: on a busy machine the time of some requests ends.
	if 100*(row.one+row.unanswered) < minOne*row.rounds {
		t.Errorf("one Node of a pair was admitted in %d of %d pairs, want %d %%", row.one, row.rounds, minOne)
	}
	return row
}

// leave deletes Nodes and returns how many there were.
func (c *cluster) leave(ctx context.Context, nodes []*corev1.Node) (count int, err error) {
	for _, node := range nodes {
		switch _, err := c.nodes.Get(ctx, node.Name, metav1.GetOptions{}); {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return count, err
		}
		count++
		if err := until(ctx, "delete "+node.Name, retry, func() error { return c.nodes.Delete(ctx, node.Name, metav1.DeleteOptions{}) }); err != nil {
			return count, err
		}
	}
	return count, nil
}
