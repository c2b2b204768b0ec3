//go:build system

// Package races makes concurrent changes of which each is safe and all together isolate the nodes, against a real API
// server, and counts the rounds in which all of them were admitted. The webhook runs as one replica and as two, and with
// a watch that is late.
package races

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	rounds  = flag.Int("rounds", 50, "rounds of each race")
	output  = flag.String("report", "../../bin/races.md", "file for the tables of results")
	program = flag.String("webhook", "", "the webhook's program (default bin/webhook)")
)

const (
	// late is how long the watch of a replica is delayed. It is longer than a round.
	late = 2 * time.Second
	// minOne is the least share of rounds in which one of the changes is allowed, in percent.
	minOne = 95
	// forgotten is longer than the record holds reservations whose outcome is known.
	forgotten = 6 * time.Second
	// examples is how many rounds with an unexpected result are printed for each race.
	examples = 3
)

// setup is a number of replicas, and how late the watch of the first one is.
type setup struct {
	name     string
	replicas int
	late     time.Duration
}

// groups are setups that share a control plane, so that one replica becomes two. Those with a late watch wait
// more than they compute, so the groups run at the same time.
var groups = map[string][]setup{
	"current": {{"one replica", 1, 0}, {"two replicas", 2, 0}},
	"late":    {{"one replica, its watch is 2 s late", 1, late}, {"two replicas, the watch of one is 2 s late", 2, late}},
}

func TestRaces(t *testing.T) {
	t.Parallel()
	results := &report{}
	t.Cleanup(func() { t.Logf("\n%s", results) })
	for name, setups := range groups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			for _, s := range setups {
				t.Run(s.name, func(t *testing.T) {
					c.watch.delay(0)
					c.scale(t, s.replicas)
					for _, r := range races {
						t.Run(r.name, func(t *testing.T) { results.addRace(t, run(t, c, s, r)) })
					}
					t.Run("Nodes with one address", func(t *testing.T) { results.addRace(t, runJoins(t, c, s)) })
					t.Run("harmless deletes", func(t *testing.T) { results.addPrune(t, runPrune(t, c, s)) })
				})
			}
			if name == "late" {
				t.Run("the watch of one replica is far behind", func(t *testing.T) { farBehind(t, c) })
			}
		})
	}
}

// run runs a race and fails the test if all changes of a round were admitted, or if none was in too many rounds.
func run(t *testing.T, c *cluster, s setup, r race) raceRow {
	t.Helper()
	row := raceRow{setup: s.name, race: r.name}
	began := time.Now()
	for round := range *rounds {
		if err := c.mark(); err != nil {
			t.Fatal(err)
		}
		result, lost, err := c.round(t.Context(), s, r, round)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		unanswered, failed := false, false
		if lost == len(sides) {
			if unanswered, failed, err = c.unevaluated(); err != nil {
				t.Fatal(err)
			}
		}
		row.add(result, lost, unanswered)
		if failed {
			t.Logf("round %d: the webhook could not evaluate one of the two changes and admitted it, because it is of a Node", round)
		}
		if unexpected := row.rounds - row.one; lost != 1 && !r.restless && unexpected <= examples {
			t.Logf("round %d: %d of 2 changes were persisted: %v", round, lost, errors.Join(result.errors...))
		}
	}
	row.elapsed = time.Since(began)
	if row.both > 0 {
		t.Errorf("both changes were admitted in %d of %d rounds, want 0", row.both, row.rounds)
	}
	if !r.restless && 100*row.one < minOne*row.rounds {
		t.Errorf("one of the changes was admitted in %d of %d rounds, want %d %%", row.one, row.rounds, minOne)
	}
	return row
}

// prunes returns the number of rounds of harmless deletes. They are fewer than those of the races, because each deletes
// many objects, and with a late watch waits several times for 2 s.
func (s setup) prunes() int {
	count := *rounds / 10
	if s.late > 0 {
		count /= 5
	}
	return max(1, count)
}

// round runs one round of a race. It returns the number of changes that were persisted.
func (c *cluster) round(ctx context.Context, s setup, r race, number int) (result, int, error) {
	c.watch.delay(s.late)
	made := r.run(ctx, c, number)
	if !r.restless {
		c.watch.delay(0)
	}
	found, err := c.read(ctx)
	if err != nil {
		return result{}, 0, err
	}
	if r.restless {
		err = c.repair(ctx, found)
	} else {
		err = c.restore(ctx, found)
	}
	return made, found.lost(), err
}

// runPrune runs rounds of harmless deletes and fails the test if one of them is denied, or must be repeated while the
// watch is not late.
func runPrune(t *testing.T, c *cluster, s setup) pruneRow {
	t.Helper()
	row := pruneRow{setup: s.name}
	for _, side := range sides {
		if err := c.await(t.Context(), side, true); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	for round := range s.prunes() {
		if err := c.createSpares(t.Context(), spares); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		c.watch.delay(s.late)
		result, err := c.deleteSpares(t.Context())
		c.watch.delay(0)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		row.add(result)
		if result.denied > 0 || s.late == 0 && len(result.errors) > 0 {
			t.Errorf("round %d: %d answers are not allowed, want 0: %v", round, len(result.errors), result.errors[0])
		}
	}
	row.elapsed = time.Since(began)
	return row
}

// farBehind makes a change by one replica and, when the record of reservations does not hold it any more, the second one
// by a replica whose watch has not shown the first.
func farBehind(t *testing.T, c *cluster) {
	t.Helper()
	late, current := c.replicas[0], c.replicas[1]
	c.watch.delay(time.Hour)
	defer c.watch.delay(0)
	c.balancer.use(current)
	defer c.balancer.use(c.replicas...)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.deletion(t.Context(), peerName("a"))())
	// The newest event of BGPPeers is about an object that the late watch has never shown.
	must(c.createSpares(t.Context(), 1))
	must(c.deletion(t.Context(), spareName(0))())
	time.Sleep(forgotten)
	must(c.createSpares(t.Context(), 1)) // The record is written.

	c.balancer.use(late)
	// The client repeats the change while the replica asks for it. After 35 s reservations expire.
	ctx, cancel := context.WithTimeout(t.Context(), forgotten)
	defer cancel()
	if err := c.deletion(ctx, peerName("b"))(); err == nil {
		t.Error("both changes were admitted")
	}
}

// until calls attempt until it returns nil, for at most a minute.
func until(ctx context.Context, what string, pause time.Duration, attempt func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; the last error: %w", what, ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}
