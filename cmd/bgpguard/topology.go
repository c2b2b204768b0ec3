package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// The values of --external-peers.
const (
	carry  = "carry"
	ignore = "ignore"
)

var externalPeers = []string{carry, ignore}

type topologyOptions struct {
	changeOptions
	libraryOptions

	node          string
	routes        bool
	peer          string
	externalPeers string
	output        string
}

func newTopology() *cobra.Command {
	o := topologyOptions{externalPeers: carry}
	cmd := &cobra.Command{
		Use:   "topology -f STATE [--change CHANGE]",
		Short: "Show the BGP sessions and routes that Calico would configure",
		Long: `Show the BGP sessions that Calico would configure for a state: which of them cannot
come up and why, which nodes have routes to the pods of which other nodes, and how
long routes are missing after a start or a failure. The topology is computed from
files, with the code of the webhook and without a cluster.

"bgpguard check --help" lists the kinds of files.

With --change, apply the objects of that file to the state in order, or delete them
with --delete, and show the resulting topology. text and html show the decision on each
change with the policies of the library or those of --policies, and compare the topology
with that before the change; json and yaml list the half-sessions that are added,
removed and altered; html, dot and svg show both topologies in one picture.

With --node, show the half-sessions and faults of one node; text then lists its
half-sessions. Totals, routes and pictures always include all nodes.

With --node and --routes, show only the routes to pods that the node receives:
prefixes, the nodes that originate and send them, next hops, AS paths and communities;
which rule of which BGPFilter drops others; and which routes are missing. With --peer,
show the same for the routes that nodes send to an external peer. With --change, the
first column marks the rows that the change adds (+) and removes (-). Both have the
formats:
` + report.RoutesFormats.Help() + `

Pictures show nodes with the same peers as one group.

The objects do not say what external peers do with the routes that they receive.
--external-peers selects the assumption for text and html: carry, external peers pass
routes on to each other and to every node that peers with one of them; ignore, they
pass on no routes. json and yaml contain the routes under both assumptions. With
--routes, --external-peers selects the assumption for all formats, and carry includes
that external peers keep the AS numbers in the paths of routes.

The formats of -o:
` + report.TopologyFormats.Help() + `

Exit code: 0 success, 2 invalid input or flags.`,
		Example: `  bgpguard topology -f cluster.yaml
  kubectl get ` + resourcesOfAState() + ` -o yaml | bgpguard topology -f - --node worker-1
  bgpguard topology -f cluster/ --change peer.yaml -o html >topology.html
  bgpguard topology -f cluster/ --change peer.yaml --delete -o json | jq '.changes.removed | length'
  bgpguard topology -f cluster/ --node worker-1 --routes
  bgpguard topology -f cluster/ --peer 192.0.2.1 --change filter.yaml
  bgpguard topology -f cluster/ -o dot | dot -Tpdf >topology.pdf`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.addState(cmd)
	o.addContext(f)
	o.libraryOptions.add(f, clusterPolicies)
	f.StringVar(&o.node, "node", "", "`name` of the node to describe: its routes, half-sessions and faults, and why each BGPPeer selects it or not")
	f.BoolVar(&o.routes, "routes", false, "show the routes that the node of --node receives")
	f.StringVar(&o.peer, "peer", "", "`address` of an external peer: show the routes that nodes send to it")
	addChoice(cmd, &o.externalPeers, "external-peers", externalPeers, "`assumption` about the routes that external peers receive")
	addOutput(cmd, &o.output, report.TopologyFormats)
	return cmd
}

func (o *topologyOptions) validate() error {
	if err := o.requireState(); err != nil {
		return err
	}
	if err := o.validateRoutes(); err != nil {
		return err
	}
	if err := checkChoice("external-peers", o.externalPeers, externalPeers); err != nil {
		return err
	}
	return o.changeOptions.validate()
}

func (o *topologyOptions) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	w, err := o.readState(ctx, stdin, stderr)
	if err != nil {
		return err
	}
	before := w.Snapshot
	changed, err := o.readEdits(stdin, stderr)
	if err != nil {
		return err
	}
	if err := o.requireNodes(before, nil); err != nil {
		return err
	}
	after, err := o.apply(before, changed)
	if err != nil {
		return err
	}
	if err := o.findNode(before, after); err != nil {
		return err
	}
	if o.showsRoutes() {
		return o.writeRoutes(ctx, before, after, stdout)
	}
	computed, err := topology.Compute(ctx, before, nil)
	if err != nil {
		return err
	}
	shown := o.report(ctx, before, computed)
	if len(changed) > 0 {
		earlier, first := shown, computed
		computed, err = topology.Compute(ctx, after, computed)
		if err != nil {
			return err
		}
		shown = o.report(ctx, after, computed)
		shown.Before, shown.Change, shown.Impact = earlier, computed.GraphChange(first), computed.Impact(first)
		if shown.Changes, err = o.decideAll(ctx, w, changed, stderr); err != nil {
			return err
		}
	}
	shown.Version, shown.Time, shown.Origin, shown.Color = version, time.Now(), o.origin(w), colorful(stdout)
	if err := writeFormat(stdout, report.TopologyFormats, o.output, shown); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("interrupted, the output is incomplete: %w", err)
	}
	return nil
}

// decideAll decides on the changes, each to the state after all before it.
func (o *topologyOptions) decideAll(ctx context.Context, w world, changed []edit, stderr io.Writer) ([]report.Checked, error) {
	library, err := o.library()
	if err != nil {
		return nil, err
	}
	set, err := o.policiesOf(ctx, library, w.live, stderr)
	if err != nil {
		return nil, err
	}
	return o.decideEach(ctx, validate.NewEngine(set), w.Snapshot, changed)
}

// report returns the data of the report on t, the topology of s.
func (o *topologyOptions) report(ctx context.Context, s *state.Snapshot, t *topology.Topology) *report.Topology {
	r := &report.Topology{
		Summary: t.Summary(), Node: o.node, WithTransit: o.externalPeers == carry,
		Sessions: until(ctx, t.HalfSessions(o.node)), Broken: until(ctx, t.Broken(o.node)), Ambiguous: until(ctx, t.Ambiguous(o.node)),
		Ignored: t.Ignored(), Graph: t.Graph(), Reflectors: report.Reflectors(s, t),
	}
	if o.node != "" {
		r.Described = t.Describe(o.node)
	}
	for _, f := range t.Frozen() {
		if o.node == "" || f.Node == o.node {
			r.Frozen = append(r.Frozen, f)
		}
	}
	return r
}

// until returns the values of seq until ctx is done: an interrupt ends a long list.
func until[T any](ctx context.Context, seq iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range seq {
			if ctx.Err() != nil || !yield(v) {
				return
			}
		}
	}
}

// findNode returns an error unless the node of --node is in one of the states.
func (o *topologyOptions) findNode(before, after *state.Snapshot) error {
	id := calico.ID{Kind: calico.KindNode, Name: o.node}
	if o.node == "" || before.Get(id) != nil || after.Get(id) != nil {
		return nil
	}
	nodes := text.Count(len(after.Nodes()), "node")
	near := nearest(o.node, after.Nodes())
	if len(near) == 0 {
		return fmt.Errorf("flag --node: no node %q among %s", o.node, nodes)
	}
	return fmt.Errorf("flag --node: no node %q among %s; similar names: %s", o.node, nodes, strings.Join(near, ", "))
}

// nearest returns up to 3 names of nodes that contain name or differ from it in at most 2
// characters, the most similar first.
func nearest(name string, nodes []*calico.Node) []string {
	const maxDistance, maxNames = 2, 3
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	for _, n := range nodes {
		if d := levenshtein.ComputeDistance(name, n.Name); d <= maxDistance || strings.Contains(n.Name, name) {
			found = append(found, candidate{n.Name, d})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range found[:min(len(found), maxNames)] {
		names = append(names, c.name)
	}
	return names
}
