package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/scenario"
	"github.com/bgpguard/bgpguard/pkg/scenario/live"
)

type policyTestOptions struct {
	author.TestOptions
	clusterOptions

	watch, live bool
	context     string
	output      string
}

func newPolicyTest() *cobra.Command {
	var o policyTestOptions
	cmd := &cobra.Command{
		Use:   "test DIR|FILE...",
		Short: "Run Rego tests and scenarios",
		Long: `Run the tests of policies: Rego tests, which "opa test" can run too, and scenarios. A
scenario is a YAML file with a state, changes in order, and the expected decision on
each change.

Directories are searched recursively. Scenarios can use the policies in them in
addition to the built-in policies. For a Rego test that fails, the failed expression
is shown with its values and the output of print.

With --live, run the scenarios against the API server of --context, which bgpguard
must guard. Use a test cluster: a cluster that contains a Node, BGPPeer,
BGPConfiguration or IPPool is rejected. Scenarios for files only are skipped.

The formats of -o:
` + report.PolicyTestFormats.Help() + `

Exit code: 0 all tests pass; 1 a test fails; 2 invalid input or flags, a module does
not compile, or there are no tests.`,
		Example: `  bgpguard policy test policies
  bgpguard policy test policies -r peers_have_owners --watch
  bgpguard policy test policies scenarios --coverage
  bgpguard policy test scenarios/migration.yaml
  bgpguard policy test policies -o junit >report.xml
  bgpguard policy test scenarios --live --context kind-bgpguard`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := report.PolicyTestFormats.Validate(o.output); err != nil {
				return err
			}
			if err := o.connect(); err != nil {
				return err
			}
			if !o.watch {
				return o.run(cmd.Context(), cmd.OutOrStdout(), args)
			}
			o.follow(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Filter, "run", "r", "", "run only tests and scenarios whose names match the regular `expression`")
	f.BoolVar(&o.Coverage, "coverage", false, "show which lines of the policies the Rego tests cover")
	f.BoolVar(&o.watch, "watch", false, "run the tests again when a file changes, until interrupted")
	f.BoolVar(&o.live, "live", false, "run scenarios against the API server of --context")
	f.StringVar(&o.context, "context", "", "`name` of the kubeconfig context for --live")
	o.add(f)
	addOutput(cmd, &o.output, report.PolicyTestFormats)
	return endsItself(cmd)
}

// connect selects how scenarios run. --live requires --context, so that users do not run
// tests in the current context by accident.
func (o *policyTestOptions) connect() error {
	o.Run = scenario.Run
	switch {
	case !o.live && (o.context != "" || o.kubeconfig != ""):
		return errors.New("flags --context and --kubeconfig require --live")
	case !o.live:
		return nil
	case o.context == "":
		return errors.New("flag --live requires --context: the kubeconfig context of a test cluster")
	}
	found, err := o.find(o.context)
	if err != nil {
		return err
	}
	runner, err := live.NewRunner(found.config, live.Options{})
	if err != nil {
		return err
	}
	o.Live = true
	o.Run = func(ctx context.Context, s *scenario.Scenario, _ *policy.Library) (*scenario.Result, error) {
		return runner.Run(ctx, s)
	}
	return nil
}

func (o *policyTestOptions) run(ctx context.Context, w io.Writer, paths []string) error {
	tested, err := author.Test(ctx, paths, o.TestOptions)
	if err != nil {
		return err
	}
	if ctx.Err() != nil { // Tests and scenarios that did not end have failed.
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	if err := writeFormat(w, report.PolicyTestFormats, o.output, tested); err != nil {
		return err
	}
	if tested.Failed() > 0 {
		return errDenied
	}
	return nil
}

// follow runs the tests whenever a file changes. It reports errors and continues.
func (o *policyTestOptions) follow(ctx context.Context, stdout, stderr io.Writer, paths []string) {
	const interval = 300 * time.Millisecond
	author.Watch(ctx, paths, interval, func(ctx context.Context) {
		fmt.Fprintf(stdout, "== %s\n", time.Now().Format(time.TimeOnly))
		if err := o.run(ctx, stdout, paths); err != nil && err != errDenied { //nolint:errorlint // run never wraps it.
			fmt.Fprintln(stderr, "error:", err)
		}
	})
}
