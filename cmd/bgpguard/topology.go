package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// The values of --external-peers.
const (
	carry  = "carry"
	ignore = "ignore"
)

var assumptions = []string{carry, ignore}

type topologyOptions struct {
	states, changes     []string
	delete              bool
	node, calicoVersion string
	externalPeers       string
	output              string
}

func newTopology() *cobra.Command {
	o := topologyOptions{externalPeers: carry, output: report.TopologyFormats.Default()}
	cmd := &cobra.Command{
		Use:   "topology -f STATE [--change CHANGE]",
		Short: "Show the BGP sessions that Calico would configure, from files",
		Long: `Show the BGP sessions that Calico would configure for a state, which of them
cannot come up and why, who has the routes to whose pods, and how long routes are
missing after a start or a loss. Everything is computed from files, as the webhook
computes it; no cluster is asked.

Files hold what "bgpguard check" reads: Nodes of core/v1 or projectcalico.org/v3,
and the objects of crd.projectcalico.org/v1 and projectcalico.org/v3, in YAML or
JSON: calicoctl exports, "kubectl get -o yaml" lists, several documents,
directories.

With --change, the objects of that file are applied to the state one after the
other, or deleted with --delete. Every format then shows the state after them: text
and html compare it with the state before, json and yaml list the half-sessions
that are added, removed and altered, dot and svg draw it alone.

With --node, half-sessions and faults are those of one node, and text lists its
half-sessions; totals, routes and pictures are always of all nodes. A full mesh of
5,000 nodes has 25 million half-sessions: -o json writes them one by one, -o yaml,
which holds all in memory, refuses so many.

Pictures show nodes that peer alike as one group. With more than 24 groups and
external peers, svg and html show one for each role; dot has them all.

What a peer outside the cluster does with the routes that it gets is in no object.
--external-peers says what to assume in text and html: that such peers carry them
on, to each other and to every node that peers with one of them, or that they are
ignored. The summary in json and yaml has the routes of both assumptions.

The formats of -o:
` + report.TopologyFormats.Help() + `

Exit code: 0 shown, 2 unusable input.`,
		Example: `  bgpguard topology -f cluster.yaml
  kubectl get nodes,bgppeers,bgpconfigurations,ippools,felixconfigurations,clusterinformations -o yaml | bgpguard topology -f - --node worker-1
  bgpguard topology -f cluster/ --change peer.yaml -o html >topology.html
  bgpguard topology -f cluster/ --change peer.yaml --delete -o json | jq '.changes.removed | length'
  bgpguard topology -f cluster/ -o dot | dot -Tpdf >topology.pdf`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.states, "filename", "f", nil, "`file`, directory or - (stdin) with the objects of the cluster; repeatable")
	f.StringArrayVar(&o.changes, "change", nil, "`file`, directory or - (stdin) with objects to apply to the state; repeatable")
	f.BoolVar(&o.delete, "delete", false, "delete each object of --change instead of applying it")
	f.StringVar(&o.node, "node", "", "`name` of the node whose half-sessions and faults to show (default: all nodes)")
	f.StringVar(&o.calicoVersion, "calico-version", "", "`version` of Calico, for example v3.31.2 (default: that of the ClusterInformation)")
	f.StringVar(&o.externalPeers, "external-peers", o.externalPeers, "`assumption` about peers that are no nodes of the state: "+strings.Join(assumptions, ", "))
	f.StringVarP(&o.output, "output", "o", o.output, report.TopologyFormats.Usage())
	return cmd
}

func (o *topologyOptions) validate() error {
	switch {
	case len(o.states) == 0:
		return errors.New("flag -f is required: the file with the objects of the cluster, or - for stdin")
	case o.delete && len(o.changes) == 0:
		return errors.New("flag --delete needs --change: the file with the objects to delete")
	case !slices.Contains(assumptions, o.externalPeers):
		return fmt.Errorf("flag --external-peers must be one of %s, is %q", strings.Join(assumptions, ", "), o.externalPeers)
	case stdins(o.states, o.changes) > 1:
		return errors.New("flags -f and --change: - (stdin) can be read only once")
	}
	return report.TopologyFormats.Validate(o.output)
}

func (o *topologyOptions) run(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	before, err := o.read(stdin)
	if err != nil {
		return err
	}
	after, err := o.change(before, stdin)
	if err != nil {
		return err
	}
	if err := o.findNode(before, after); err != nil {
		return err
	}
	computed, err := topology.Compute(ctx, before, nil)
	if err != nil {
		return err
	}
	shown := o.report(ctx, before, computed)
	if len(o.changes) > 0 {
		earlier := shown
		computed, err = topology.Compute(ctx, after, computed)
		if err != nil {
			return err
		}
		shown = o.report(ctx, after, computed)
		shown.Before = earlier
	}
	if err := report.TopologyFormats.Write(stdout, o.output, shown); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("interrupted, so the output is not complete: %w", err)
	}
	return nil
}

// report is what there is to show of t, the topology of s.
func (o *topologyOptions) report(ctx context.Context, s *state.Snapshot, t *topology.Topology) *report.Topology {
	r := &report.Topology{
		Summary: t.Summary(), Node: o.node, WithTransit: o.externalPeers == carry,
		Sessions: until(ctx, t.HalfSessions(o.node)), Broken: until(ctx, t.Broken(o.node)), Ambiguous: until(ctx, t.Ambiguous(o.node)),
		Ignored: t.Ignored(), Graph: t.Graph(), Reflectors: report.Reflectors(s, t),
	}
	for _, f := range t.Frozen() {
		if o.node == "" || f.Node == o.node {
			r.Frozen = append(r.Frozen, f)
		}
	}
	return r
}

// until is seq up to the end of ctx, so that an interrupt ends a long list.
func until[T any](ctx context.Context, seq iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range seq {
			if ctx.Err() != nil || !yield(v) {
				return
			}
		}
	}
}
