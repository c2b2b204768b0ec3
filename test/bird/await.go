package bird

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Bounds of waiting. BIRD connects after 2 s, 5 s after a first failure, and up to 30 s after further ones. So a cluster
// that matches the prediction must still match it when it is settleAge old and has not changed for settleTime.
const (
	pollInterval    = 300 * time.Millisecond
	settleTime      = 2 * time.Second
	settleAge       = 9 * time.Second
	convergeTimeout = 75 * time.Second
)

// Await waits until the views of the BIRDs equal one of wants and stay so. After convergeTimeout it returns an error
// that shows the differences from the first of wants.
func (c *Cluster) Await(ctx context.Context, wants ...map[Speaker]View) error {
	deadline := time.Now().Add(convergeTimeout)
	var since time.Time // since when the views match
	for {
		seen, err := c.Views(ctx)
		now := time.Now()
		equal := err == nil && slices.ContainsFunc(wants, func(want map[Speaker]View) bool {
			return maps.EqualFunc(seen, want, View.Equal)
		})
		switch {
		case !equal:
			since = time.Time{}
		case since.IsZero():
			since = now
		case now.Sub(since) >= settleTime && now.Sub(c.changed) >= settleAge:
			return nil
		}
		if now.After(deadline) {
			if err != nil {
				return err
			}
			return c.differ(ctx, wants[0], seen)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// differ returns an error that lists, for each speaker whose view differs from the prediction, both views, its
// configuration and its protocols.
func (c *Cluster) differ(ctx context.Context, want, seen map[Speaker]View) error {
	var b strings.Builder
	fmt.Fprintf(&b, "BIRD differs from the prediction after %v", convergeTimeout)
	for _, s := range speakers(want, seen) {
		w, predicted := want[s]
		g, runs := seen[s]
		if predicted && runs && w.Equal(g) {
			continue
		}
		fmt.Fprintf(&b, "\n\nnode %s, %s:\n", s.Node, s.Family)
		fmt.Fprintf(&b, "  sessions predicted %v\n           seen      %v\n", w.Sessions, g.Sessions)
		fmt.Fprintf(&b, "  routes   predicted %v\n           seen      %v\n", w.Routes, g.Routes)
		d := c.daemon(s)
		if d == nil {
			b.WriteString("no BIRD runs on it\n")
			continue
		}
		config, err := os.ReadFile(d.config)
		if err != nil {
			config = []byte(err.Error())
		}
		protocols, err := ask(ctx, d.socket, "show protocols")
		if err != nil {
			protocols = []string{err.Error()}
		}
		fmt.Fprintf(&b, "%s\n%s", strings.Join(protocols, "\n"), config)
	}
	return fmt.Errorf("%s", b.String())
}

// speakers returns the speakers of a and b, sorted by node and family.
func speakers(a, b map[Speaker]View) []Speaker {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.SortedFunc(maps.Keys(all), func(x, y Speaker) int {
		if x.Node != y.Node {
			return strings.Compare(x.Node, y.Node)
		}
		return int(x.Family) - int(y.Family)
	})
}
