//go:build system && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

const (
	writesPerSecond = 20
	// writers make them, each one after the other, so that a machine that is too slow for the rate gets fewer.
	writers = 8
	// writeTimeout is more than the timeout of the webhook.
	writeTimeout = 15 * time.Second
	calicoObject = "/apis/projectcalico.org/v3/"
)

// load is what became of writes.
type load struct {
	mu   sync.Mutex
	sent int
	// late is how many a replica answered with the error that its time was over: the machine is busy, whatever happens to the
	// other replica.
	late   int
	failed []string
}

func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%d of %d writes failed, %d were evaluated too late", len(l.failed), l.sent, l.late)
	if len(l.failed) > 0 {
		text += ":\n" + strings.Join(l.failed, "\n")
	}
	return text
}

// under runs during while clients write, and returns what became of the writes.
func (c *cluster) under(t *testing.T, during func()) *load {
	t.Helper()
	l := &load{}
	var wait sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	limiter := rate.NewLimiter(writesPerSecond, 1)
	began := time.Now()
	for writer := range writers {
		wait.Go(func() {
			for turn := writer; limiter.Wait(ctx) == nil; turn++ {
				at := time.Since(began).Round(time.Millisecond)
				l.add(at, c.write(t.Context(), turn))
			}
		})
	}
	func() {
		defer wait.Wait()
		defer stop()
		during()
	}()
	t.Log(l)
	if l.sent == 0 {
		t.Error("nothing was written")
	}
	return l
}

// add counts a write that began at a time after the first.
func (l *load) add(at time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "denied the request: the change could not be evaluated:"),
		strings.Contains(err.Error(), "waiting for the outcome of other changes: context deadline exceeded"):
		l.late++
	default:
		l.failed = append(l.failed, fmt.Sprintf("after %s: %v", at, err))
	}
}

// write makes a change that is allowed, or one that is denied, without repeating it.
func (c *cluster) write(ctx context.Context, turn int) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if turn%2 == 0 {
		return c.patch(ctx, "bgpconfigurations/default", fmt.Sprintf(`{"metadata":{"annotations":{"example.com/turn":"%d"}}}`, turn))
	}
	return denied(c.patch(ctx, "bgppeers/workers", `{"spec":{"peerSelector":"has(no-node-has-this-label)"}}`))
}

// patch patches one of Calico's objects.
func (c *cluster) patch(ctx context.Context, object, patch string) error {
	return c.client.Discovery().RESTClient().Patch(types.MergePatchType).AbsPath(calicoObject + object).
		MaxRetries(0).Body([]byte(patch)).Do(ctx).Error()
}

// denied returns nil if a policy denied a change.
func denied(err error) error {
	switch {
	case err == nil:
		return errors.New("a change was allowed that the policies deny")
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "denied the request: ["):
		return nil
	}
	return err
}
