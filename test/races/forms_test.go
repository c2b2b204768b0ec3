//go:build system

package races

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

// race is a way to make two changes of which only one is safe.
type race struct {
	name string
	// restless is true if a round does not wait until the replicas have seen the round before. Then both changes may be
	// denied, or fail, in any number of rounds.
	restless bool
	run      func(ctx context.Context, c *cluster, round int) result
}

var races = []race{
	{name: "two BGPPeers deleted", run: deletePeers},
	{name: "labels of two Nodes removed", run: unlabelNodes},
	{name: "a BGPPeer deleted, a label removed", run: deletePeerAndUnlabelNode},
	{name: "DeleteCollection of BGPPeers", run: func(ctx context.Context, c *cluster, _ int) result {
		return together(func() error {
			return c.peers.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		})
	}},
	{name: "kubectl delete bgppeers --all", run: func(ctx context.Context, c *cluster, _ int) result {
		return c.kubectl(ctx, "delete", "bgppeers", "--all")
	}},
	{name: "kubectl label nodes --all rr-", run: func(ctx context.Context, c *cluster, _ int) result {
		return c.kubectl(ctx, "label", "nodes", "--all", reflectorLabel+"-")
	}},
	{name: "the first three in turn, without waiting for replicas", restless: true, run: func(ctx context.Context, c *cluster, round int) result {
		return []func(context.Context, *cluster, int) result{deletePeers, unlabelNodes, deletePeerAndUnlabelNode}[round%3](ctx, c, round)
	}},
}

func deletePeers(ctx context.Context, c *cluster, _ int) result {
	return together(c.deletion(ctx, peerName("a")), c.deletion(ctx, peerName("b")))
}

func unlabelNodes(ctx context.Context, c *cluster, _ int) result {
	return together(c.unlabel(ctx, "a"), c.unlabel(ctx, "b"))
}

func deletePeerAndUnlabelNode(ctx context.Context, c *cluster, round int) result {
	peer, node := "a", "b"
	if round%2 == 1 {
		peer, node = node, peer
	}
	return together(c.deletion(ctx, peerName(peer)), c.unlabel(ctx, node))
}

const (
	// pruneRetry is the pause before a delete is repeated.
	pruneRetry = 500 * time.Millisecond
	// spares is the number of BGPPeers that are deleted together.
	spares = 20
)

// result holds the answers of a round.
type result struct {
	// took are the times to the answers: of each request, or of the run of kubectl.
	took []time.Duration
	// errors are the answers other than allowed. denied counts the denials among them.
	errors []error
	denied int
}

// failed returns the number of answers that are neither allowed nor a denial.
func (r *result) failed() int { return len(r.errors) - r.denied }

// add adds an answer that is not allowed.
func (r *result) add(err error) {
	r.errors = append(r.errors, err)
	// kubectl prints the reason of the API server's answer.
	if apierrors.IsForbidden(err) || strings.HasPrefix(err.Error(), "Error from server (Forbidden)") {
		r.denied++
	}
}

// together makes changes at the same moment.
func together(changes ...func() error) result {
	answers, took := make([]error, len(changes)), make([]time.Duration, len(changes))
	begin := make(chan struct{})
	var group sync.WaitGroup
	for i, change := range changes {
		group.Go(func() {
			<-begin
			began := time.Now()
			answers[i] = change()
			took[i] = time.Since(began)
		})
	}
	close(begin)
	group.Wait()
	r := result{took: took}
	for _, err := range answers {
		if err != nil {
			r.add(err)
		}
	}
	return r
}

// kubectl runs kubectl, whose output has one line for each change that is not allowed.
func (c *cluster) kubectl(ctx context.Context, args ...string) result {
	began := time.Now()
	ran, err := c.Admin.Run(ctx, args...)
	r := result{took: []time.Duration{time.Since(began)}}
	if err != nil {
		r.add(err)
		return r
	}
	for line := range strings.Lines(ran.Stderr) {
		if strings.HasPrefix(line, "Error") || strings.HasPrefix(line, "error") {
			r.add(errors.New(strings.TrimSpace(line)))
		}
	}
	if err := ran.Err(); err != nil && len(r.errors) == 0 {
		r.add(err)
	}
	return r
}

// spareName returns the name of a BGPPeer whose sessions no node needs.
func spareName(number int) string { return fmt.Sprintf("spare-%02d", number) }

// createSpares creates BGPPeers between pairs of workers, which have routes to each other by the reflectors as well.
func (c *cluster) createSpares(ctx context.Context, count int) error {
	for i := range count {
		spec := map[string]any{
			"nodeSelector": fmt.Sprintf("kubernetes.io/hostname == '%s'", env.Node(i).Name),
			"peerSelector": fmt.Sprintf("kubernetes.io/hostname == '%s'", env.Node((i+1)%workers).Name),
		}
		if err := until(ctx, "create "+spareName(i), retry, func() error {
			_, err := c.peers.Create(ctx, peer(spareName(i), spec), metav1.CreateOptions{})
			return ignoreExisting(err)
		}); err != nil {
			return err
		}
	}
	return nil
}

// deleteSpares deletes these BGPPeers at the same moment. It repeats a delete that is not allowed as a GitOps controller
// does. It returns the answers, and an error if a delete is not allowed within a minute.
func (c *cluster) deleteSpares(ctx context.Context) (result, error) {
	var (
		mu      sync.Mutex
		answers result
	)
	changes := make([]func() error, spares)
	for i := range changes {
		remove := c.deletion(ctx, spareName(i))
		changes[i] = func() error {
			return until(ctx, "delete "+spareName(i), pruneRetry, func() error {
				began := time.Now()
				err := remove()
				took := time.Since(began)
				if apierrors.IsNotFound(err) { // A request that timed out has deleted it.
					err = nil
				}
				mu.Lock()
				defer mu.Unlock()
				answers.took = append(answers.took, took)
				if err != nil {
					answers.add(err)
				}
				return err
			})
		}
	}
	return answers, errors.Join(together(changes...).errors...)
}
