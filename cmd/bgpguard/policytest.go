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
	o := policyTestOptions{output: report.PolicyTestFormats.Default()}
	cmd := &cobra.Command{
		Use:   "test DIR|FILE...",
		Short: "Run Rego tests and scenarios",
		Long: `Run the tests of policies: those in Rego, which opa test runs too, and scenarios, which
are YAML: a state, changes one after the other, and what is expected of each.

A directory is searched with all that is below it. Scenarios see its policies beside the
built-in ones. Of a Rego test that fails the failing expression is shown, with its
values and what was printed.

With --live the scenarios are run against the API server of --context, which bgpguard has
to guard: for a cluster made for tests, as one that holds a Node, BGPPeer,
BGPConfiguration or IPPool is refused. Scenarios that are for files only are passed over.

Exit code: 0 all pass, 1 a test fails, 2 unusable input, a module that does not compile or
no test at all.`,
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
	f.StringVarP(&o.Filter, "run", "r", "", "run only tests and scenarios whose names match `pattern`")
	f.BoolVar(&o.Coverage, "coverage", false, "show which lines of the policies the Rego tests reach")
	f.BoolVar(&o.watch, "watch", false, "run again when a file changes, until interrupted")
	f.BoolVar(&o.live, "live", false, "run scenarios against the API server of --context")
	f.StringVar(&o.context, "context", "", "`name` of the context of the kubeconfig")
	o.add(f)
	f.StringVarP(&o.output, "output", "o", o.output, report.PolicyTestFormats.Usage())
	return cmd
}

// connect says how scenarios are run. A cluster has to be named: none is taken by
// accident.
func (o *policyTestOptions) connect() error {
	o.Run = scenario.Run
	switch {
	case !o.live && (o.context != "" || o.kubeconfig != ""):
		return errors.New("flags --context and --kubeconfig need --live")
	case !o.live:
		return nil
	case o.context == "":
		return errors.New("flag --context is required with --live: the context of a cluster that is there for tests")
	}
	found, err := o.find(o.context)
	if err != nil {
		return err
	}
	o.Live = true
	o.Run = func(ctx context.Context, s *scenario.Scenario, _ *policy.Library) (*scenario.Result, error) {
		return live.Run(ctx, s, found.config)
	}
	return nil
}

func (o *policyTestOptions) run(ctx context.Context, w io.Writer, paths []string) error {
	tested, err := author.Test(ctx, paths, o.TestOptions)
	if err != nil {
		return err
	}
	if err := report.PolicyTestFormats.Write(w, o.output, tested); err != nil {
		return err
	}
	if tested.Failed() > 0 {
		return errDenied
	}
	return nil
}

// follow runs the tests again and again; what is wrong is told, and waits to be
// mended.
func (o *policyTestOptions) follow(ctx context.Context, stdout, stderr io.Writer, paths []string) {
	const interval = 300 * time.Millisecond
	author.Watch(ctx, paths, interval, func(ctx context.Context) {
		fmt.Fprintf(stdout, "== %s\n", time.Now().Format(time.TimeOnly))
		if err := o.run(ctx, stdout, paths); err != nil && err != errDenied { //nolint:errorlint // It is never wrapped.
			fmt.Fprintln(stderr, "error:", err)
		}
	})
}
