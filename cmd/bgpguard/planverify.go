package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/report"
)

func newPlanVerify() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "verify DIR [-f STATE | --context CONTEXT]",
		Short: "Show at which step of a plan a cluster is",
		Long: `Show at which step of a plan a cluster is: which steps are made, whether the wait after
the last one is over, whether the cluster differs from the plan, and whether the
policies still allow the next step. DIR is a directory that "bgpguard plan --to" wrote.

A wait is over when the CalicoNodeStatuses of its nodes report all half-sessions as
established. Without them it is unknown. The age of CalicoNodeStatuses in files is
measured from the newest one.

The command changes nothing.

The formats of -o:
` + report.PlanStatusFormats.Help() + `

Exit code: 0 the next step can be made, or all steps are made and the wait is over;
1 the wait is not over or unknown, the cluster differs from the plan, or the policies
deny the next step; 2 invalid input or flags, or the cluster could not be read.`,
		Example: `  bgpguard plan verify migration/ --context prod
  bgpguard plan verify migration/ -f cluster.yaml -o json | jq .next`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("requires one argument, the directory of a plan, got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.verify(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.addStateFlags(cmd)
	addOutput(cmd, &o.output, report.PlanStatusFormats)
	return cmd
}

func (o *planOptions) verify(ctx context.Context, dir string, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := report.PlanStatusFormats.Validate(o.output); err != nil {
		return err
	}
	if err := o.validateState(); err != nil {
		return err
	}
	p, err := readPlan(dir)
	if err != nil {
		return fmt.Errorf("no plan in directory %s: %w", dir, err)
	}
	s, err := o.readOne(ctx, stdin, stderr)
	if err != nil {
		return err
	}
	v, err := plan.Verify(ctx, inputOf(s), p)
	if err != nil {
		return err
	}
	if err := writeFormat(stdout, report.PlanStatusFormats, o.output, &report.PlanStatus{Verification: v, Color: colorful(stdout)}); err != nil {
		return err
	}
	if !v.Ready() {
		return errDenied
	}
	return nil
}
