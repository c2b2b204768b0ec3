package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
)

type policyBenchOptions struct {
	libraryOptions
	author.BenchOptions

	output string
}

func newPolicyBench() *cobra.Command {
	o := policyBenchOptions{BenchOptions: author.BenchOptions{Nodes: 1000, BGPPeers: 20, Count: 6}, output: report.PolicyBenchFormats.Default()}
	cmd := &cobra.Command{
		Use:   "bench DIR|NAME...",
		Short: "Time policies on a cluster of a given size",
		Long: `Time the policies of directories, or policies of the library by their names, on a
made-up cluster: 3 route reflectors, the mesh off, routers outside that peer with a rack
each, and a change of a restart time.

Timed are the first evaluation after a policy is loaded, an evaluation on the state after
a change, and what a decision takes besides: the simulation and all other policies.
-o bench is for benchstat.

Exit code: 0 timed, 2 unusable input or a policy that fails.`,
		Example: `  bgpguard policy bench policies/peers_have_owners --nodes 5000
  bgpguard policy bench reachability-preserved --nodes 5000 --bgppeers 200
  bgpguard policy bench policies -o bench >new.txt && benchstat old.txt new.txt`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd.OutOrStdout(), args) },
	}
	f := cmd.Flags()
	f.IntVar(&o.Nodes, "nodes", o.Nodes, "how many nodes the cluster has")
	f.IntVar(&o.BGPPeers, "bgppeers", o.BGPPeers, "how many BGPPeers it has")
	f.IntVar(&o.Count, "count", o.Count, "how often each measurement is made; the median is told")
	o.add(f)
	f.StringVarP(&o.output, "output", "o", o.output, report.PolicyBenchFormats.Usage())
	return cmd
}

func (o *policyBenchOptions) run(ctx context.Context, w io.Writer, args []string) error {
	if err := report.PolicyBenchFormats.Validate(o.output); err != nil {
		return err
	}
	library, err := o.library()
	if err != nil {
		return err
	}
	var timed []*policy.Definition
	for _, arg := range args {
		if info, err := os.Stat(arg); err == nil && (info.IsDir() || library.Definition(arg) == nil) {
			own, err := author.Load(library, arg)
			if err != nil {
				return err
			}
			library = own.Library
			timed = append(timed, own.Definitions...)
			continue
		}
		d := library.Definition(arg)
		if d == nil {
			return unknownPolicy(library, arg)
		}
		timed = append(timed, d)
	}
	all, err := o.compile(library)
	if err != nil {
		return err
	}
	var policies []*policy.Policy
	for _, d := range timed {
		p, err := prepared(library, all, d)
		if err != nil {
			return err
		}
		policies = append(policies, p)
	}
	benches, err := author.Bench(ctx, policies, all, o.BenchOptions)
	if err != nil {
		return err
	}
	return report.PolicyBenchFormats.Write(w, o.output, benches)
}

// prepared is the policy as it holds, or with its defaults where it does not.
func prepared(library *policy.Library, all *policy.Set, d *policy.Definition) (*policy.Policy, error) {
	for _, p := range all.Policies() {
		if p.Definition == d {
			return p, nil
		}
	}
	document := policy.Default(d)
	return library.Prepare(&document)
}
