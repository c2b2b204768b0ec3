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
	// writeTimeout is more than the timeout of the webhook.
	writeTimeout = 15 * time.Second
	calicoObject = "/apis/projectcalico.org/v3/"
)

// load is what became of writes.
type load struct {
	mu     sync.Mutex
	sent   int
	failed []string
}

func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%d of %d writes failed", len(l.failed), l.sent)
	if len(l.failed) > 0 {
		text += ":\n" + strings.Join(l.failed, "\n")
	}
	return text
}

// under runs during while clients write, and returns what became of the writes.
func (c *cluster) under(t *testing.T, during func()) *load {
	t.Helper()
	l := &load{}
	var writers sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	began := time.Now()
	writers.Go(func() {
		limiter := rate.NewLimiter(writesPerSecond, 1)
		for turn := 0; limiter.Wait(ctx) == nil; turn++ {
			writers.Go(func() { // The rate stays the same while others wait.
				at := time.Since(began).Round(time.Millisecond)
				err := c.write(t.Context(), turn)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.sent++
				if err != nil {
					l.failed = append(l.failed, fmt.Sprintf("write %d, after %s: %v", turn, at, err))
				}
			})
		}
	})
	func() {
		defer writers.Wait()
		defer stop()
		during()
	}()
	t.Log(l)
	if l.sent == 0 {
		t.Error("nothing was written")
	}
	return l
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
