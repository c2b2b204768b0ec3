package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/scenario"
)

type policyTestOptions struct {
	author.TestOptions

	watch  bool
	output string
}

func newPolicyTest() *cobra.Command {
	o := policyTestOptions{output: author.Text}
	cmd := &cobra.Command{
		Use:   "test DIR|FILE...",
		Short: "Run Rego tests and scenarios",
		Long: `Run the tests of policies: those in Rego, which opa test runs too, and scenarios, which
are YAML: a state, changes one after the other, and what is expected of each.

A directory is searched with all that is below it. Scenarios see its policies beside the
built-in ones. Of a Rego test that fails the failing expression is shown, with its
values and what was printed.

Exit code: 0 all pass, 1 a test fails, 2 unusable input, a module that does not compile or
no test at all.`,
		Example: `  bgpguard policy test policies
  bgpguard policy test policies -r peers_have_owners --watch
  bgpguard policy test policies scenarios --coverage
  bgpguard policy test scenarios/migration.yaml
  bgpguard policy test policies -o junit >report.xml`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(o.output, testFormats); err != nil {
				return err
			}
			o.Run = scenario.Run
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
	f.StringVarP(&o.output, "output", "o", o.output, "output `format`: "+strings.Join(testFormats, ", "))
	return cmd
}

var testFormats = []string{author.Text, author.JSON, author.JUnit}

func (o *policyTestOptions) run(ctx context.Context, w io.Writer, paths []string) error {
	tested, err := author.Test(ctx, paths, o.TestOptions)
	if err != nil {
		return err
	}
	if err := author.WriteTested(w, o.output, tested); err != nil {
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
