package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/schema"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

type checkOptions struct {
	changeOptions
	libraryOptions
	schemaOptions

	explain bool
	quiet   bool
	all     bool
	output  string
}

func newCheck() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check -f CHANGE [--state STATE]",
		Short: "Check changes in files as the webhook would",
		Long: `Check changes in files as the webhook would: with the same policies and the same
code, but without a cluster.

Files contain Nodes of v1 or projectcalico.org/v3 and Calico's objects of
crd.projectcalico.org/v1 or projectcalico.org/v3, in YAML or JSON: exports of
calicoctl, lists of "kubectl get -o yaml", several documents in a file, directories.

Several changed objects are checked in order, as kubectl sends them. An allowed
change is applied to the state before the next one is checked; a denied change is not.

For each change, one line says what it does, also if it is allowed: the sessions that it
adds, removes and resets, and the routes that nodes lose and gain.

The formats of -o:
` + report.CheckFormats.Help() + `

Exit code: 0 all changes are allowed, with or without warnings; 1 a change is denied
or could not be evaluated; 2 invalid input or flags.`,
		Example: `  bgpguard check -f change.yaml --state cluster.yaml
  kubectl get ` + resourcesOfAState() + ` -o yaml | bgpguard check -f change.yaml --state -
  bgpguard check --delete -f peer.yaml --state cluster/ -o json
  bgpguard check -f change.yaml --state cluster/ --explain --as jane --as-group network`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.addChange(f)
	o.libraryOptions.add(f, allPolicies)
	o.schemaOptions.add(f)
	f.BoolVar(&o.explain, "explain", false, "show the cause of each violation; with -o "+strings.Join(report.ExplainFormats.Names(), ", "))
	f.BoolVar(&o.all, "all", false, "in text, name all nodes of a violation")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "in text, skip changes that are allowed without a warning")
	addOutput(cmd, &o.output, report.CheckFormats)
	return cmd
}

func (o *checkOptions) validate() error {
	if err := o.requireFiles(); err != nil {
		return err
	}
	if err := report.CheckFormats.Validate(o.output); err != nil {
		return err
	}
	if formats := report.ExplainFormats.Names(); o.explain && !slices.Contains(formats, o.output) {
		return fmt.Errorf("flag --explain: -o must be one of %s, is %q", strings.Join(formats, ", "), o.output)
	}
	return o.changeOptions.validate()
}

func (o *checkOptions) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	policies, err := o.set()
	if err != nil {
		return err
	}
	snapshot, read, err := o.readState(stdin)
	if err != nil {
		return err
	}
	for _, note := range tagNotes(read) {
		fmt.Fprintln(stderr, "note:", note)
	}
	schemas, err := o.schemas(ctx, nil, stderr)
	if err != nil {
		return err
	}
	changed, err := o.readChanges(stdin)
	if err != nil {
		return err
	}
	checked, err := o.decide(ctx, policies, schemas, snapshot, changed)
	if err != nil {
		return err
	}
	out := &report.Check{Changes: checked, Policies: policies.Policies(), Version: version, Explain: o.explain, All: o.all, Quiet: o.quiet, Color: colorful(stdout)}
	if err := writeFormat(stdout, report.CheckFormats, o.output, out); err != nil {
		return err
	}
	if slices.ContainsFunc(checked, func(c report.Checked) bool { return !c.Decision.Allowed }) {
		return errDenied
	}
	return nil
}

// decide decides on the changes in order, each to the state after the allowed ones before it.
func (o *checkOptions) decide(ctx context.Context, policies *policy.Set, schemas *schema.Set, snapshot *state.Snapshot, changed []state.Read) ([]report.Checked, error) {
	engine := validate.NewEngine(policies)
	var checked []report.Checked
	var rejected []error
	for i := range changed {
		c, err := o.changeOf(snapshot, changed[i].Object)
		if err != nil {
			return nil, err
		}
		warnings, err := validateChange(ctx, schemas, c, &changed[i].Document)
		if err != nil {
			rejected = append(rejected, err)
			continue
		}
		d := engine.Decide(ctx, snapshot, o.request(c))
		d.Problems = append(d.Problems, warnings...)
		checked = append(checked, report.Checked{Change: c, Decision: d, Source: sourceOf(&changed[i])})
		if d.Allowed {
			snapshot = snapshot.Apply(c.Informed())
		}
	}
	return checked, errors.Join(rejected...)
}
