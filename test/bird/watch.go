package bird

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// watchInterval is the time between two samples of a Watcher, watchers the number of BIRDs that it asks at a time.
const (
	watchInterval = 200 * time.Millisecond
	watchers      = 4
)

// Outage is how long routes were missing.
type Outage struct {
	// Missing has, by node and by the node whose pods are the destination, the longest time that the route was missing:
	// from the last sample that has it to the next. Routes that were never missing have no entry.
	Missing map[string]map[string]time.Duration
	// Samples counts the samples, Slowest is the longest time from one to the next. No shorter outage is sure to be seen.
	Samples int
	Slowest time.Duration
}

// Longest returns the longest time that a route was missing.
func (o *Outage) Longest() (longest time.Duration) {
	for _, routes := range o.Missing {
		for _, d := range routes {
			longest = max(longest, d)
		}
	}
	return longest
}

// Watcher samples the routes of every BIRD that runs.
type Watcher struct {
	outage Outage
	stop   context.CancelFunc
	done   chan error
}

// Watch begins to sample the routes. Every route of the first sample must be there all the time. The caller must call Stop.
func (c *Cluster) Watch(ctx context.Context) *Watcher {
	ctx, stop := context.WithCancel(ctx)
	w := &Watcher{stop: stop, done: make(chan error, 1), outage: Outage{Missing: map[string]map[string]time.Duration{}}}
	owners := c.owners()
	var running []*daemon
	for _, d := range c.daemons {
		if d.process != nil {
			running = append(running, d)
		}
	}
	go func() { w.done <- w.run(ctx, running, owners) }()
	return w
}

// Stop ends the sampling and returns what was missing. A route that is still missing counts up to now.
func (w *Watcher) Stop() (*Outage, error) {
	w.stop()
	err := <-w.done
	return &w.outage, err
}

func (w *Watcher) run(ctx context.Context, daemons []*daemon, owners map[netip.Prefix]string) error {
	var wanted map[Speaker]map[string]*route
	last := time.Now()
	for {
		found, err := sample(daemons, owners)
		if err != nil {
			return err
		}
		now, ended := time.Now(), ctx.Err()
		w.outage.Samples++
		w.outage.Slowest = max(w.outage.Slowest, now.Sub(last))
		last = now
		if wanted == nil {
			wanted = found
		}
		for s, routes := range wanted {
			for to, r := range routes {
				there := found[s][to] != nil
				if r.missing && (there || ended != nil) {
					w.record(s.Node, to, now.Sub(r.seen))
				}
				if r.missing = !there; there {
					r.seen = now
				}
			}
		}
		if ended != nil {
			return nil //nolint:nilerr // The context ends the watch.
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchInterval):
		}
	}
}

// route is a route that must be there all the time.
type route struct {
	seen    time.Time // last
	missing bool      // in the last sample
}

func (w *Watcher) record(node, to string, d time.Duration) {
	if w.outage.Missing[node] == nil {
		w.outage.Missing[node] = map[string]time.Duration{}
	}
	w.outage.Missing[node][to] = max(w.outage.Missing[node][to], d)
}

// sample asks every BIRD for its routes. It does not end with the context of the test, so that the last sample is whole.
func sample(daemons []*daemon, owners map[netip.Prefix]string) (map[Speaker]map[string]*route, error) {
	var lock sync.Mutex
	out := map[Speaker]map[string]*route{}
	var group errgroup.Group
	group.SetLimit(watchers)
	for _, d := range daemons {
		group.Go(func() error {
			lines, err := ask(context.Background(), d.socket, askRoutes)
			if err != nil {
				return d.failed(err)
			}
			routes, now := map[string]*route{}, time.Now()
			for _, to := range destinations(lines, owners, d.speaker.Node) {
				routes[to] = &route{seen: now}
			}
			lock.Lock()
			defer lock.Unlock()
			out[d.speaker] = routes
			return nil
		})
	}
	return out, group.Wait()
}
