package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

type diffOptions struct {
	libraryOptions

	versions changeOptions // --calico-version, of both states
	all      bool
	output   string
}

func newDiff() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Compare the sessions, routes and violations of two states",
		Long: `Compare two states: the sessions that the second adds, removes and resets, the routes
that nodes lose and gain, and the violations that are new, worse or resolved. Objects
that differ are listed too. A difference of objects alone, such as a label that no
selector reads, does not count.

BEFORE and AFTER are files, directories or - (stdin). "bgpguard check --help" lists the
kinds of files; "bgpguard snapshot" writes the state of a cluster.

The formats of -o:
` + report.DiffFormats.Help() + `

Exit code, as of diff: 0 the same sessions, routes and violations; 1 at least one
differs; 2 invalid input or flags, or a policy could not be evaluated.`,
		Example: `  bgpguard diff monday.json friday.json
  bgpguard diff clusters/prod/ clusters/staging/ -o markdown`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("two states are required, BEFORE and AFTER; got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), [2]string(args), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.versions.addVersion(f)
	o.add(f, allPolicies)
	f.BoolVar(&o.all, "all", false, "in text, name all objects, and all nodes of a violation")
	addOutput(cmd, &o.output, report.DiffFormats)
	return cmd
}

func (o *diffOptions) run(ctx context.Context, names [2]string, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := report.DiffFormats.Validate(o.output); err != nil {
		return err
	}
	policies, err := o.set()
	if err != nil {
		return err
	}
	out := &report.Difference{Names: names, All: o.all, Color: colorful(stdout)}
	engine, now := validate.NewEngine(policies), time.Now()
	var audits [2]*audit.Audit
	var objects [2][]state.Read
	for i, name := range names {
		files := changeOptions{states: []string{name}, statesFlag: "argument", calicoVersion: o.versions.calicoVersion}
		if err := files.validate(); err != nil {
			return err
		}
		w, err := files.readState(ctx, stdin, stderr)
		if err != nil {
			return err
		}
		if err := files.requireNodes(w.Snapshot, nil); err != nil {
			return err
		}
		objects[i] = w.read
		if audits[i], err = audit.Run(ctx, engine, w.Snapshot, audit.Options{Time: now}); err != nil {
			return err
		}
	}
	out.Before, out.After = audits[0], audits[1]
	out.After.Compare(out.Before)
	out.Objects = report.ChangesBetween(objects[0], objects[1])
	if !out.After.Topology.Equivalent(out.Before.Topology) {
		out.Impact = out.After.Topology.Impact(out.Before.Topology)
	}
	if err := writeFormat(stdout, report.DiffFormats, o.output, out); err != nil {
		return err
	}
	if n := len(out.After.Failures) + len(out.Before.Failures); n > 0 {
		return fmt.Errorf("%s; \"bgpguard audit -f\" shows the errors", text.Count(n, "evaluation of a policy failed", "evaluations of policies failed"))
	}
	if out.Differs() {
		return errDenied
	}
	return nil
}
