package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/schema"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

type checkOptions struct {
	changeOptions
	libraryOptions
	clockOptions
	schemaOptions

	asSet, explain, quiet, all bool
	failOn, output             string
}

// The values of --fail-on.
const (
	failOnDeny = "deny"
	failOnWarn = "warn"
)

func newCheck() *cobra.Command {
	o := checkOptions{failOn: failOnDeny}
	cmd := &cobra.Command{
		Use:   "check -f CHANGE (--state STATE | --context CONTEXT)",
		Short: "Check changes before they are applied, as the webhook would",
		Long: `Check changes before they are applied, with the policies and the code of the webhook.
The state before the change is that of the files of --state or of the cluster of
--context, whose BGPPolicies are then evaluated and whose BGPExceptions are applied. The
command changes nothing.

Files contain Nodes of v1 or projectcalico.org/v3, Calico's objects of
crd.projectcalico.org/v1 or projectcalico.org/v3, and Installations of
operator.tigera.io/v1, which are checked with all that tigera-operator writes for them.
They are in YAML or JSON: exports of calicoctl, lists of "kubectl get -o yaml", several
documents in a file, directories. Objects of other kinds are skipped, and so are files
without objects in directories, with a note. Charts and templates must be rendered
first.

Objects are merged as "kubectl apply" does: fields that a file does not have keep their
value, except those that the last "kubectl apply" had. A Node needs only the labels
that change. --replace replaces them as "kubectl replace" and "calicoctl apply" do.
Nodes of projectcalico.org/v3 follow the rules of calicoctl.

Several changed objects are checked in order, as kubectl sends them: first files, those
of a directory sorted by name, then --label, --annotate, --patch and --delete. An
allowed change is applied to the state before the next one is checked; a denied change
is not. With --as-set, all changes are checked as if they were made at once, and if they
are allowed, an order in which each change is allowed.

For each change, one line says what it does, also if it is allowed: the sessions that it
adds, removes and resets, and the routes that nodes lose and gain.

The formats of -o:
` + report.CheckFormats.Help() + `

Exit code: 0 all changes are allowed, with or without warnings; 1 a change is denied;
2 invalid input or flags; 3 a change could not be evaluated; 4 a change has warnings,
with --fail-on warn; 130 interrupted.`,
		Example: `  bgpguard check -f change.yaml --state cluster.yaml
  kubectl get ` + resourcesOfAState() + ` -o yaml | bgpguard check -f change.yaml --state -
  bgpguard check -f change.yaml --context prod
  bgpguard check --delete bgppeer/rack-1 --state cluster/ -o json
  bgpguard check --label node/worker-1 route-reflector=true --state cluster/
  bgpguard check -f migration/ --as-set --state cluster/
  bgpguard check -f change.yaml --state cluster/ --explain --as jane --as-group network`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.addChange(cmd)
	o.libraryOptions.add(f, clusterPolicies)
	o.clockOptions.add(f)
	o.schemaOptions.add(f)
	f.BoolVar(&o.asSet, "as-set", false, "check all changes as if they were made at once, and find an order in which each of them is allowed; with -o "+strings.Join(report.ExplainFormats.Names(), ", "))
	f.BoolVar(&o.explain, "explain", false, "show the cause of each violation; with -o "+strings.Join(report.ExplainFormats.Names(), ", "))
	addChoice(cmd, &o.failOn, "fail-on", []string{failOnDeny, failOnWarn}, "least `result` that does not make the exit code 0")
	f.BoolVar(&o.all, "all", false, "in text, name all nodes of a violation")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "in text, skip changes that are allowed without a warning")
	addOutput(cmd, &o.output, report.CheckFormats)
	return cmd
}

func (o *checkOptions) validate() error {
	if err := o.requireChange(); err != nil {
		return err
	}
	if err := o.requireState(); err != nil {
		return err
	}
	if err := report.CheckFormats.Validate(o.output); err != nil {
		return err
	}
	if err := checkChoice("fail-on", o.failOn, []string{failOnDeny, failOnWarn}); err != nil {
		return err
	}
	for name, set := range map[string]bool{"explain": o.explain, "as-set": o.asSet} {
		if formats := report.ExplainFormats.Names(); set && !slices.Contains(formats, o.output) {
			return fmt.Errorf("flag --%s: -o must be one of %s, is %q", name, strings.Join(formats, ", "), o.output)
		}
	}
	return o.changeOptions.validate()
}

func (o *checkOptions) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	c := checker{changeOptions: &o.changeOptions}
	var err error
	if c.now, err = o.clock(); err != nil {
		return err
	}
	library, err := o.library()
	if err != nil {
		return err
	}
	w, err := o.readState(ctx, stdin, stderr)
	if err != nil {
		return err
	}
	writeNotes(stderr, tagNotes(w.read))
	if c.schemas, err = o.schemas(ctx, w.live, stderr); err != nil {
		return err
	}
	if c.policies, err = o.policiesOf(ctx, library, w.live, stderr); err != nil {
		return err
	}
	if c.exceptions, err = o.exceptionsOf(ctx, w.live, stderr); err != nil {
		return err
	}
	c.engine = c.newEngine()
	edits, err := o.readEdits(stdin, stderr)
	if err != nil {
		return err
	}
	if err := o.requireNodes(w.Snapshot, edits); err != nil {
		return err
	}
	out := &report.Check{Policies: c.policies.Policies(), Version: version, Explain: o.explain, All: o.all, Quiet: o.quiet, Color: colorful(stdout)}
	if o.asSet {
		err = c.decideSet(ctx, out, w.Snapshot, edits)
	} else {
		err = c.decide(ctx, out, w.Snapshot, edits)
	}
	if err != nil {
		return err
	}
	if err := writeFormat(stdout, report.CheckFormats, o.output, out); err != nil {
		return err
	}
	return o.outcome(out)
}

// outcome returns the error that sets the exit code.
func (o *checkOptions) outcome(c *report.Check) error {
	decisions := c.Decisions()
	has := func(is func(*validate.Decision) bool) bool { return slices.ContainsFunc(decisions, is) }
	switch {
	case has(func(d *validate.Decision) bool { return !d.Allowed && d.Evaluated() }), c.Set != nil && c.Set.Knot != nil && !c.Set.Knot.Incomplete:
		return errDenied
	case has(func(d *validate.Decision) bool { return !d.Allowed }), c.Set != nil && c.Set.Knot != nil:
		return errNotEvaluated
	case o.failOn == failOnWarn && (has(func(d *validate.Decision) bool { return len(d.Warnings()) > 0 }) || c.Set != nil && c.Set.First != nil):
		return errWarned
	default:
		return nil
	}
}

// checker decides on changes.
type checker struct {
	*changeOptions

	policies   *policy.Set
	exceptions []*policy.Exception
	schemas    *schema.Set
	now        func() time.Time
	engine     *validate.Engine
}

// changeOf returns the change to s that an edit makes, with warnings of the schemas about its
// object, and the errors for which an API server rejects it.
func (c *checker) changeOf(ctx context.Context, s *state.Snapshot, e edit) (state.Change, []calico.Problem, error) {
	change, err := c.changeOptions.changeOf(s, e)
	if err != nil {
		return state.Change{}, nil, err
	}
	var document *manifest.Document
	if e.read != nil {
		document = &e.read.Document
	}
	warnings, err := validateChange(ctx, c.schemas, change, document)
	return change, warnings, err
}

// newEngine returns an engine for states that are not similar to those of c.engine.
func (c *checker) newEngine() *validate.Engine {
	engine := validate.NewEngine(c.policies)
	engine.SetClock(c.now)
	engine.SetExceptions(c.exceptions)
	return engine
}

// decide decides on the changes in order, each to the state after the allowed ones before it.
func (c *checker) decide(ctx context.Context, out *report.Check, snapshot *state.Snapshot, edits []edit) error {
	var rejected []error
	for _, e := range edits {
		change, warnings, err := c.changeOf(ctx, snapshot, e)
		if err != nil {
			rejected = append(rejected, err)
			continue
		}
		d := c.engine.Decide(ctx, snapshot, c.request(change))
		d.Problems = append(d.Problems, warnings...)
		notes, err := c.assumes(ctx, snapshot, snapshot.Apply(change.Informed()), d, func(e *validate.Engine, s *state.Snapshot) *validate.Decision {
			return e.Decide(ctx, s, c.request(change))
		})
		if err != nil {
			return err
		}
		out.Changes = append(out.Changes, report.Checked{Change: change, Decision: d, Source: e.source(), Notes: notes})
		if d.Allowed {
			snapshot = snapshot.Apply(change.Informed())
		}
	}
	return errors.Join(rejected...)
}

// assumes returns a note if s does not have the version of Calico and the decision d would be
// another one with a version: decide makes it in a state. It decides only for versions that
// change the topology before or after the changes, unless a policy reads the version.
func (c *checker) assumes(ctx context.Context, s, after *state.Snapshot, d *validate.Decision, decide func(*validate.Engine, *state.Snapshot) *validate.Decision) ([]string, error) {
	if hasVersion(s) || !d.Evaluated() {
		return nil, nil
	}
	possible := rulesets
	if !c.policies.Reads("calicoVersion") {
		possible = nil
		for _, one := range []*state.Snapshot{s, after} {
			t, err := topology.Compute(ctx, one, c.engine.Evaluate(ctx, s).Topology)
			if err != nil {
				return nil, err
			}
			differing, err := differingVersions(ctx, one, t)
			if err != nil {
				return nil, err
			}
			possible = append(possible, differing...)
		}
	}
	var other []ruleset
	for _, r := range rulesets {
		if !slices.Contains(possible, r) {
			continue
		}
		versioned, err := r.of(s)
		if err != nil {
			return nil, err
		}
		if e := decide(c.newEngine(), versioned); e.Evaluated() && e.Allowed != d.Allowed {
			other = append(other, r)
		}
	}
	if len(other) == 0 {
		return nil, ctx.Err()
	}
	verb := "allow"
	if d.Allowed {
		verb = "deny"
	}
	return []string{fmt.Sprintf("The state does not contain the version of Calico, and %s would %s this change: set --calico-version", releasesOf(other), verb)}, nil
}

// decideSet decides on all changes together. If they are allowed, it searches for an order in
// which each change is allowed.
func (c *checker) decideSet(ctx context.Context, out *report.Check, snapshot *state.Snapshot, edits []edit) error {
	after := snapshot
	changes := make([]validate.Request, len(edits))
	warnings := make([][]calico.Problem, len(edits))
	var rejected []error
	for i, e := range edits {
		var change state.Change
		var err error
		if change, warnings[i], err = c.changeOf(ctx, after, e); err != nil {
			rejected = append(rejected, err)
			continue
		}
		changes[i] = c.request(change)
		after = after.Apply(change.Informed())
	}
	if err := errors.Join(rejected...); err != nil {
		return err
	}
	together := c.engine.DecideSet(ctx, snapshot, changes)
	notes, err := c.assumes(ctx, snapshot, after, together, func(e *validate.Engine, s *state.Snapshot) *validate.Decision {
		return e.DecideSet(ctx, s, changes)
	})
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	out.Set = &report.Set{Together: together, Notes: notes}
	if !together.Allowed { // No change is decided alone, so the set has the warnings of the schemas.
		for i, w := range warnings {
			for _, p := range w {
				out.Set.Problems = append(out.Set.Problems, fmt.Sprintf("%s: %s", changes[i].ID(), p))
			}
		}
		return nil
	}
	o, err := plan.Order(ctx, c.engine, snapshot, changes)
	if err != nil {
		return err
	}
	checked := func(i int, d *validate.Decision) report.Checked {
		return report.Checked{Change: changes[i].Change, Decision: d, Source: edits[i].source()}
	}
	for n, i := range o.Order {
		o.Decisions[n].Problems = append(o.Decisions[n].Problems, warnings[i]...)
		out.Changes = append(out.Changes, checked(i, o.Decisions[n]))
	}
	if !o.Given && o.Denial != nil {
		first := checked(o.First, o.Denial)
		out.Set.First = &first
	}
	if k := o.Knot; k != nil {
		out.Set.Knot = &report.Knot{Incomplete: k.Incomplete}
		for _, i := range k.After {
			out.Set.Knot.After = append(out.Set.Knot.After, checked(i, &validate.Decision{Allowed: true}))
		}
		for n, i := range k.Changes {
			out.Set.Knot.Changes = append(out.Set.Knot.Changes, checked(i, k.Denials[n]))
		}
	}
	return nil
}
