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
	o := policyBenchOptions{BenchOptions: author.BenchOptions{Nodes: 1000, BGPPeers: 20, Count: 6}}
	cmd := &cobra.Command{
		Use:   "bench DIR|NAME...",
		Short: "Measure the cost of policies in a cluster of a given size",
		Long: `Measure the cost of policies in directories, or of policies of the library by name, in
a synthetic cluster: 3 route reflectors, no mesh, one external peer per rack, and a
change of a restart time.

The stages are the first evaluation after a policy is loaded, the evaluation on the
state after a change, and the rest of a decision: the topology and all other policies.

The formats of -o:
` + report.PolicyBenchFormats.Help() + `

Exit code: 0 success; 2 invalid input or flags, or a policy failed.`,
		Example: `  bgpguard policy bench policies/peers_have_owners --nodes 5000
  bgpguard policy bench reachability-preserved --nodes 5000 --bgppeers 200
  bgpguard policy bench policies -o bench >new.txt && benchstat old.txt new.txt`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd.OutOrStdout(), args) },
	}
	f := cmd.Flags()
	f.IntVar(&o.Nodes, "nodes", o.Nodes, "number of nodes")
	f.IntVar(&o.BGPPeers, "bgppeers", o.BGPPeers, "number of BGPPeers")
	f.IntVar(&o.Count, "count", o.Count, "number of measurements of each stage; text shows the median")
	o.add(f, allPolicies)
	addOutput(cmd, &o.output, report.PolicyBenchFormats)
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
			return unknownPolicy(library.Names(), arg)
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
	return writeFormat(w, report.PolicyBenchFormats, o.output, benches)
}

// prepared returns the policy of d in all. If all does not contain it, prepared returns the
// policy with its defaults.
func prepared(library *policy.Library, all *policy.Set, d *policy.Definition) (*policy.Policy, error) {
	for _, p := range all.Policies() {
		if p.Definition == d {
			return p, nil
		}
	}
	document := policy.Default(d)
	return library.Prepare(&document)
}
