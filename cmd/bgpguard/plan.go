package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

type planOptions struct {
	auditOptions

	context string
	design  plan.DesignOptions

	// to is a design or a path, "" for a comparison of designs. prune belongs to a path.
	to    string
	prune bool
	// routers are the values of --tor.
	routers []string
}

func newPlan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan [-f STATE | --context CONTEXT] [--to DESIGN|DESIRED]",
		Short: "Compare designs of a cluster's BGP, and plan the way to one",
		Long: `Compare four designs of BGP for a cluster: a full mesh with tuned timers, route
reflectors, VXLANCrossSubnet, and eBGP per rack. The state is that of the cluster of the
kubeconfig's current context, of --context, or of the files of -f.

For each design, bgpguard computes the sessions, the delay of a start of calico-node,
what the loss of one route reflector, zone or router isolates, which objects change,
what the changes interrupt, and which prerequisites the state meets. It recommends one,
with the numbers behind it. The limits are those of the policies mesh-node-limit and
reflector-redundancy.

With --to, plan the way to a design, or to the objects in a file or directory: numbered
steps with the commands that make them, what each does to sessions and routes, what to
wait for, and how to go back. bgpguard evaluates each step, and writes no plan if the
policies deny one. For a file or directory it searches for an order of the changes.

With -o DIR, write the plan to a directory: README.md, a file per step that applies
objects, plan.json for "bgpguard plan verify", and scenario.yaml with state.yaml, which
replays the plan with "bgpguard policy test". DIR must not exist, be empty, or have an
earlier plan, which is replaced.

The command changes nothing in the cluster.

The formats of -o:
` + report.DesignFormats.Help() + `

The formats of -o with --to:
` + report.PlanFormats.Help() + `

Exit code: 0 success; 1 the policies deny a step, or there is no order of allowed
changes; 2 invalid input or flags, or the cluster could not be read.`,
		Example: `  bgpguard plan
  bgpguard plan --context prod -o markdown
  bgpguard plan -f cluster.yaml -o json | jq .recommendation
  bgpguard plan -f cluster.yaml --to route-reflectors -o migration/
  bgpguard plan --context prod --to route-reflectors --reflectors 4
  bgpguard plan -f cluster.yaml --to per-rack --tor r1=192.0.2.1,65001 --tor r2=192.0.2.2,65002
  bgpguard plan -f cluster.yaml --to desired/ --prune -o markdown
  bgpguard plan verify migration/ --context prod`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.to != "" {
				return o.runTo(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.addStateFlags(cmd)
	addOutput(cmd, &o.output, report.DesignFormats)
	o.addTo(cmd)
	cmd.AddCommand(newPlanVerify())
	return cmd
}

// addStateFlags adds the flags that select the state and the policies.
func (o *planOptions) addStateFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&o.states, "filename", "f", nil, "`file`, directory or - (stdin) with the cluster's objects; repeatable")
	o.clusterOptions.add(f)
	f.StringVar(&o.context, "context", "", "`name` of the kubeconfig context (default: the current context)")
	o.addVersion(f)
	o.libraryOptions.add(f, "the cluster's BGPPolicies, else every policy of the library, with its defaults")
}

// validateState checks the flags that select the state.
func (o *planOptions) validateState() error {
	if len(o.states) > 0 && (o.context != "" || o.kubeconfig != "") {
		return errors.New("flags -f and --context or --kubeconfig are mutually exclusive: a plan is for either files or a cluster")
	}
	o.filesFlag, o.statesFlag = "--change", "-f"
	if o.context != "" {
		o.contexts = []string{o.context}
	}
	return nil
}

func (o *planOptions) validate() error {
	if err := o.validateState(); err != nil {
		return err
	}
	if o.to != "" {
		return o.validateTo()
	}
	if err := report.DesignFormats.Validate(o.output); err != nil {
		return err
	}
	if flags := slices.Sorted(maps.Keys(o.designFlags())); len(flags) > 0 {
		return fmt.Errorf("flag --%s requires --to: a comparison of designs has no steps", flags[0])
	}
	if o.prune {
		return errors.New("flag --prune requires --to: a comparison of designs has no steps")
	}
	return o.changeOptions.validate()
}

func (o *planOptions) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	s, err := o.readOne(ctx, stdin, stderr)
	if err != nil {
		return err
	}
	if o.design.Limits, err = plan.LimitsOf(s.policies); err != nil {
		return err
	}
	computed, err := topology.Compute(ctx, s.snapshot, nil)
	if err != nil {
		return err
	}
	comparison, err := plan.Compare(ctx, s.snapshot, computed, o.design)
	if err != nil {
		return err
	}
	comparison.Cluster = s.cluster
	return writeFormat(stdout, report.DesignFormats, o.output, comparison)
}
