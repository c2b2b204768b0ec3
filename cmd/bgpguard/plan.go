package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

type planOptions struct {
	auditOptions

	context string
	design  plan.DesignOptions
}

func newPlan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan [-f STATE | --context CONTEXT]",
		Short: "Compare the designs of a cluster's BGP",
		Long: `Compare four designs of BGP for a cluster: a full mesh with tuned timers, route
reflectors, VXLANCrossSubnet, and eBGP per rack. The state is that of the cluster of the
kubeconfig's current context, of --context, or of the files of -f.

For each design, bgpguard computes the sessions, the delay of a start of calico-node,
what the loss of one route reflector, zone or router isolates, which objects change,
what the changes interrupt, and which prerequisites the state meets. It recommends one
design, with the numbers behind it. The limits are those of the policies mesh-node-limit and
reflector-redundancy.

The command changes nothing.

The formats of -o:
` + report.DesignFormats.Help() + `

Exit code: 0 success, 2 invalid input or flags, or the cluster could not be read.`,
		Example: `  bgpguard plan
  bgpguard plan --context prod -o markdown
  bgpguard plan -f cluster.yaml -o json | jq .recommendation`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.states, "filename", "f", nil, "`file`, directory or - (stdin) with the cluster's objects; repeatable")
	o.clusterOptions.add(f)
	f.StringVar(&o.context, "context", "", "`name` of the kubeconfig context (default: the current context)")
	o.libraryOptions.add(f, "the cluster's BGPPolicies, else every policy of the library, with its defaults")
	addOutput(cmd, &o.output, report.DesignFormats)
	return cmd
}

func (o *planOptions) validate() error {
	if len(o.states) > 0 && (o.context != "" || o.kubeconfig != "") {
		return errors.New("flags -f and --context or --kubeconfig are mutually exclusive: a plan is for either files or a cluster")
	}
	o.filesFlag, o.statesFlag = "--change", "-f"
	if o.context != "" {
		o.contexts = []string{o.context}
	}
	if err := report.DesignFormats.Validate(o.output); err != nil {
		return err
	}
	return o.changeOptions.validate()
}

func (o *planOptions) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	library, err := o.library()
	if err != nil {
		return err
	}
	states, err := o.read(ctx, library, stdin, stderr, &report.Audit{})
	if err != nil {
		return err
	}
	s := states[0]
	for _, note := range s.notes {
		fmt.Fprintln(stderr, "note:", text.Clean(note))
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
