package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
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

	both     changeOptions // --calico-version and --kubeconfig, of both states
	contexts []string
	all      bool
	output   string
}

func newDiff() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff (BEFORE | --context CONTEXT) (AFTER | --context CONTEXT)",
		Short: "Compare the sessions, routes and violations of two states",
		Long: `Compare two states: the sessions that the second adds, removes and resets, the routes
that nodes lose and gain, and the violations that are new, worse or resolved. Objects
that differ are listed too. A difference of objects alone, such as a label that no
selector reads, does not count.

BEFORE and AFTER are files, directories or - (stdin). "bgpguard check --help" lists the
kinds of files; "bgpguard snapshot" writes the state of a cluster. --context reads the
state of a cluster instead: with one file, it is AFTER, and with none, the first
--context is BEFORE and the second AFTER. The policies are the same for both states.

The formats of -o:
` + report.DiffFormats.Help() + `

Exit code, as of diff: 0 the same sessions, routes and violations; 1 at least one
differs; 2 invalid input or flags, or a policy could not be evaluated.`,
		Example: `  bgpguard diff monday.json friday.json
  bgpguard diff clusters/prod/ clusters/staging/ -o markdown
  bgpguard diff cluster.yaml --context prod
  bgpguard diff --context staging --context prod`,
		Args: func(_ *cobra.Command, args []string) error {
			if n := len(args) + len(o.contexts); n != 2 {
				return fmt.Errorf("two states are required, BEFORE and AFTER; got %d", n)
			}
			if countStdin(args) > 1 {
				return errors.New("BEFORE and AFTER: - (stdin) can be read only once")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.contexts, "context", nil, "`name` of the kubeconfig context of a cluster to compare; repeatable")
	o.both.clusterOptions.add(f)
	o.both.addVersion(f)
	o.add(f, allPolicies)
	f.BoolVar(&o.all, "all", false, "in text, name all objects, and all nodes of a violation")
	addOutput(cmd, &o.output, report.DiffFormats)
	return cmd
}

// states returns the two states: those of files, then those of clusters.
func (o *diffOptions) states(files []string) []changeOptions {
	var out []changeOptions
	for _, file := range files {
		out = append(out, changeOptions{states: []string{file}, calicoVersion: o.both.calicoVersion, typha: o.both.typha})
	}
	for _, name := range o.contexts {
		out = append(out, changeOptions{context: name, clusterOptions: o.both.clusterOptions, calicoVersion: o.both.calicoVersion, typha: o.both.typha})
	}
	return out
}

func (o *diffOptions) run(ctx context.Context, files []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := report.DiffFormats.Validate(o.output); err != nil {
		return err
	}
	policies, err := o.set()
	if err != nil {
		return err
	}
	out := &report.Difference{All: o.all, Color: colorful(stdout)}
	engine, now := validate.NewEngine(policies), time.Now()
	var audits [2]*audit.Audit
	var states [2]*state.Snapshot
	var notes [2][]string
	for i, side := range o.states(files) {
		w, err := side.load(ctx, stdin, stderr)
		if err != nil {
			return err
		}
		if err := side.requireNodes(w.Snapshot, nil); err != nil {
			return err
		}
		out.Names[i], states[i], notes[i] = side.origin(w), w.Snapshot, w.notes
		if audits[i], err = audit.Run(ctx, engine, w.Snapshot, audit.Options{Time: now}); err != nil {
			return err
		}
	}
	writeNotes(stderr, notesOfBoth(out.Names, notes))
	out.Before, out.After = audits[0], audits[1]
	out.After.Compare(out.Before)
	out.Objects = report.ChangesBetween(states[0], states[1])
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

// notesOfBoth returns the notes about two states: each note that is about both once, and each
// other one with the name of its state.
func notesOfBoth(names [2]string, notes [2][]string) []string {
	var out []string
	for i, list := range notes {
		for _, note := range list {
			switch both := slices.Contains(notes[1-i], note); {
			case !both:
				out = append(out, names[i]+": "+note)
			case i == 0:
				out = append(out, note)
			}
		}
	}
	return out
}
