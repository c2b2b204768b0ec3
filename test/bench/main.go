// Command bench measures what bgpguard costs a change, compared with the least that an admission webhook in Go costs: a
// controller-runtime webhook that allows everything (the floor). It fills one control plane with more and more Nodes. At
// each size it runs both webhooks as processes, and sends them the same reviews in turn, over HTTP and without the API
// server. It prints Markdown tables. A value that is over its budget is bold, and each value has its difference from the
// newest entry of history.md.
//
// With --peers it measures bgpguard, Gatekeeper and Kyverno beside each other in the same way, with equivalent policies, instead
// of comparing bgpguard with its budgets.
//
// It checks every answer, but no time: it fails only if an answer was wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// options say what is measured.
type options struct {
	nodes       []int
	repetitions int
	duration    time.Duration
	webhook     string
	perNode     bool
	record      bool
	peers       string
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == floorArgument {
		exit(serveFloor(os.Args[2], os.Args[3], os.Args[4]))
	}
	o := options{}
	pflag.IntSliceVar(&o.nodes, "nodes", []int{100, 1000, largeNodes, maxNodes}, "numbers of nodes to measure at")
	pflag.IntVar(&o.repetitions, "repetitions", 3, "how often each value is measured; the median counts")
	pflag.DurationVar(&o.duration, "duration", 400*time.Millisecond, "time of one repetition")
	pflag.StringVar(&o.webhook, "webhook", "", "the program of the webhook, for example one with symbols for a profile (default bin/webhook)")
	pflag.BoolVar(&o.perNode, "bgppeer-per-node", true, fmt.Sprintf("measure with a BGPPeer for each node, too, at %d nodes", largeNodes))
	pflag.StringVar(&o.peers, "peers", "", "measure beside Gatekeeper and Kyverno, which are in this directory, and not against budgets")
	pflag.BoolVar(&o.record, "record", false, fmt.Sprintf("append the results to %s, or with --peers to %s", historyFile, besideFile))
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
	now, err := newEntry(ctx, o)
	if err != nil {
		return err
	}
	file := o.historyFile()
	past, err := readHistory(file)
	if err != nil {
		return err
	}
	b, err := startBench(ctx, o)
	if err != nil {
		return err
	}
	err = errors.Join(b.measureAll(ctx), b.Stop())
	// Also after an error or an interrupt: what was measured before is valid.
	now.results = b.results
	now.results.addGrowth()
	fmt.Print(now.machine, ".\n\n", latencyTable(b.latencies), "\n", o.table(b.latencies, now.results, past))
	if err == nil && o.record {
		err = appendHistory(file, now)
	}
	return err
}

// historyFile returns the file with the results of former runs of this kind.
func (o *options) historyFile() string {
	if o.peers != "" {
		return besideFile
	}
	return historyFile
}

// table returns the table of all values. Budgets are those of a bgpguard that is measured alone.
func (o *options) table(latencies []latency, r *results, past []entry) string {
	if o.peers != "" {
		return besideTables(latencies, r) + historyTable(r)
	}
	newest := entry{}
	if len(past) > 0 {
		newest = past[len(past)-1]
	}
	return budgetTable(r, newest)
}

func (o *options) check() error {
	for _, nodes := range o.nodes {
		if nodes < racks || nodes > maxNodes {
			return fmt.Errorf("--nodes must be from %d to %d, is %d", racks, maxNodes, nodes)
		}
	}
	// The cluster grows.
	slices.Sort(o.nodes)
	o.nodes = slices.Compact(o.nodes)
	if len(o.nodes) == 0 || o.repetitions < 1 || o.duration <= 0 {
		return errors.New("--nodes must name a number, --repetitions must be at least 1 and --duration above 0s")
	}
	return nil
}

// say reports progress, apart from the tables.
func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", values...)
}
