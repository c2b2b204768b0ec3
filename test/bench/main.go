// Command bench measures what bgpguard costs a change, beside the least that any admission webhook in Go costs: a
// controller-runtime webhook that allows everything (the floor). For each cluster size it starts a control plane of
// its own, fills it, runs both webhooks as processes beside it, and asks them the same questions in turn. It prints
// Markdown tables; what is over the project's budget stands in bold. It judges answers, never timings: it fails only
// where an answer was wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/test/env"
)

// options say what is measured.
type options struct {
	nodes       []int
	repetitions int
	duration    time.Duration
	webhook     string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == floorArgument {
		exit(serveFloor(os.Args[2]))
	}
	o := options{}
	pflag.IntSliceVar(&o.nodes, "nodes", []int{100, 1000, 5000, 10000}, "numbers of nodes to measure at")
	pflag.IntVar(&o.repetitions, "repetitions", 3, "how often each question is measured; the medians count")
	pflag.DurationVar(&o.duration, "duration", 2*time.Second, "how long one repetition takes")
	pflag.StringVar(&o.webhook, "webhook", "", "the webhook's program, for one with symbols to profile; bin/webhook where it is not set")
	pflag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, o))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, o options) error {
	if err := o.check(); err != nil {
		return err
	}
	var reports []report
	for _, nodes := range o.nodes {
		r, err := benchSize(ctx, o, nodes)
		if err != nil {
			return fmt.Errorf("at %d nodes: %w", nodes, err)
		}
		reports = append(reports, r)
	}
	fmt.Printf("%s on %d CPUs, which the load generator shares; medians of %d times %s.\n\n",
		runtime.Version(), runtime.NumCPU(), o.repetitions, o.duration)
	fmt.Print(latencyTable(reports), "\n", processTable(reports))
	return nil
}

func (o options) check() error {
	for _, nodes := range o.nodes {
		if nodes < racks || nodes > maxNodes {
			return fmt.Errorf("--nodes must be from %d to %d, is %d", racks, maxNodes, nodes)
		}
	}
	if o.repetitions < 1 || o.duration <= 0 {
		return errors.New("--repetitions must be at least 1 and --duration above 0s")
	}
	return nil
}

// report is what was measured at one cluster size.
type report struct {
	nodes     int
	nodeBytes int
	ready     time.Duration
	rows      []row
	floor     footprint
	guard     footprint
}

// footprint is a process's memory before and after the load.
type footprint struct{ started, loaded memory }

func benchSize(ctx context.Context, o options, nodes int) (r report, err error) {
	r.nodes = nodes
	say("%d nodes: start a control plane and fill it", nodes)
	e, err := env.Start(ctx, env.Options{Groups: []env.Group{env.GroupV1}})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, e.Stop()) }()
	// Before there is a guard: it would judge a half-made cluster's BGPPeers.
	if err := fill(ctx, e, nodes); err != nil {
		return r, err
	}
	if r.nodeBytes, err = nodeSize(ctx, e); err != nil {
		return r, err
	}

	say("%d nodes: start the webhooks", nodes)
	if err := e.Install(ctx); err != nil {
		return r, err
	}
	began := time.Now()
	webhook, err := e.StartWebhook(ctx, env.WebhookOptions{Binary: o.webhook})
	if err != nil {
		return r, err
	}
	r.ready = time.Since(began)
	identity, err := readIdentity(ctx, e)
	if err != nil {
		return r, err
	}
	floor, err := startFloor(ctx, identity)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	questions, err := readQuestions(ctx, e, nodes)
	if err != nil {
		return r, err
	}

	pids := map[*footprint]int{&r.floor: floor.pid, &r.guard: webhook.Pid}
	for f, pid := range pids {
		if f.started, err = readMemory(pid); err != nil {
			return r, err
		}
	}
	floorTarget, err := newTarget(floor.url, identity.ca, func(question) bool { return true })
	if err != nil {
		return r, err
	}
	guardTarget, err := newTarget(webhook.URL, identity.ca, func(q question) bool { return q.allowed })
	if err != nil {
		return r, err
	}
	// The cluster was made in this process: its garbage must not be collected while something is measured.
	runtime.GC()
	if r.rows, err = compare(ctx, o, questions, floorTarget, guardTarget); err != nil {
		return r, fmt.Errorf("%w; the end of the webhook's log:\n%s", err, webhook.Log())
	}
	for f, pid := range pids {
		if f.loaded, err = readMemory(pid); err != nil {
			return r, err
		}
	}
	return r, nil
}

// row is what one question cost both webhooks, at one number of connections.
type row struct {
	question     string
	connections  int
	floor, guard timing
}

// compare asks both webhooks each question, in turn, so that whatever else the machine does meets both.
func compare(ctx context.Context, o options, questions []question, floor, guard *target) ([]row, error) {
	var rows []row
	for _, q := range questions {
		for _, connections := range []int{1, 8} {
			say("  %s, connections: %d", q.name, connections)
			var floors, guards []timing
			for range o.repetitions {
				for _, turn := range []struct {
					target  *target
					timings *[]timing
				}{{floor, &floors}, {guard, &guards}} {
					t, err := turn.target.measure(ctx, q, connections, o.duration)
					if err != nil {
						return nil, fmt.Errorf("%s at %s: %w", q.name, turn.target.url, err)
					}
					*turn.timings = append(*turn.timings, t)
				}
			}
			rows = append(rows, row{q.name, connections, medians(floors), medians(guards)})
		}
	}
	return rows, nil
}

// say reports progress, apart from the tables.
func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", values...)
}
