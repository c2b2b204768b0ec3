package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

type auditOptions struct {
	changeOptions
	libraryOptions

	contexts, history        []string
	baseline, failOn, output string
	all                      bool
}

func newAudit() *cobra.Command {
	o := auditOptions{failOn: policy.Severities[len(policy.Severities)-1]}
	cmd := &cobra.Command{
		Use:   "audit [-f STATE | --context CONTEXT]",
		Short: "Report the violations in a cluster or in files",
		Long: `Report the violations in a state, with the policies and the code of the webhook. The
state is that of the cluster of the kubeconfig's current context, of each cluster of
--context, or of the files of -f. "bgpguard check --help" lists the kinds of files.

The command only lists objects in clusters, with the permissions of your kubeconfig.
It evaluates the BGPPolicies of the cluster. If there are none, or you may not list
them, it evaluates every policy of the library with its defaults. --policies overrides
both.

--baseline takes an earlier report in JSON. Violations in the baseline do not fail the
audit unless they grow; resolved violations are listed. A baseline contains the number
of affected nodes, not which nodes, so a violation that only moves to other nodes
counts as known. --history takes earlier reports too, and shows the trend.

With --change, apply the objects of that file to the state, or delete them with
--delete, and compare the violations after the change with those before it.

The formats of -o:
` + report.AuditFormats.Help() + `

Exit code: 0 no violation of the severity of --fail-on or above; 1 such a violation;
2 invalid input or flags, a cluster could not be read, a policy could not be
evaluated, or no policy evaluates states.`,
		Example: `  bgpguard audit
  bgpguard audit --context prod-eu --context prod-us -o html >audit.html
  bgpguard audit -f cluster.yaml --fail-on high
  bgpguard audit -o json >monday.json
  bgpguard audit --baseline monday.json --history sunday.json -o markdown`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.addState(cmd)
	o.clusterOptions.add(f)
	f.StringArrayVar(&o.contexts, "context", nil, "`name` of a kubeconfig context; repeatable (default: the current context)")
	o.libraryOptions.add(f, "the cluster's BGPPolicies, else every policy of the library, with its defaults")
	addChoice(cmd, &o.failOn, "fail-on", failOn, "minimum `severity` of violations that make the exit code 1")
	f.BoolVar(&o.all, "all", false, "in text, name all nodes of a violation")
	f.StringVar(&o.baseline, "baseline", "", "`file` with an earlier JSON report, whose violations do not fail the audit")
	f.StringArrayVar(&o.history, "history", nil, "`file` with an earlier JSON report for the trend; repeatable")
	addOutput(cmd, &o.output, report.AuditFormats)
	return cmd
}

// failOn are the values of --fail-on.
var failOn = append(slices.Clone(policy.Severities), audit.NoSeverity)

func (o *auditOptions) validate() error {
	switch {
	case len(o.states) > 0 && len(o.contexts) > 0:
		return errors.New("flags -f and --context are mutually exclusive: an audit reads either files or clusters")
	case len(o.states) > 0 && o.kubeconfig != "":
		return errors.New("flags -f and --kubeconfig are mutually exclusive: an audit reads either files or clusters")
	case o.changes() && o.baseline != "":
		return errors.New("flags --change and --baseline are mutually exclusive: an audit compares with one earlier state")
	}
	if err := report.AuditFormats.Validate(o.output); err != nil {
		return err
	}
	if err := checkChoice("fail-on", o.failOn, failOn); err != nil {
		return err
	}
	return o.changeOptions.validate()
}

func (o *auditOptions) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	library, err := o.library()
	if err != nil {
		return err
	}
	earlier, baseline, err := o.earlier()
	if err != nil {
		return err
	}
	out := &report.Audit{
		Report: &audit.Report{Version: version, Clusters: []*audit.Audit{}, Unread: []audit.Unread{}}, FailOn: o.failOn, All: o.all, Color: colorful(stdout),
	}
	states, err := o.read(ctx, library, stdin, stderr, out)
	if err != nil {
		return err
	}
	changed, err := o.readEdits(stdin, stderr)
	if err != nil {
		return err
	}
	for _, s := range states {
		a, err := o.audit(ctx, s, changed, out)
		if err != nil {
			return err
		}
		out.Clusters = append(out.Clusters, a)
	}
	if err := o.compare(out.Report, earlier, baseline); err != nil {
		return err
	}
	if err := writeFormat(stdout, report.AuditFormats, o.output, out); err != nil {
		return err
	}
	return o.outcome(ctx, out.Report)
}

// outcome returns the error that sets the exit code.
func (o *auditOptions) outcome(ctx context.Context, r *audit.Report) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("interrupted, the report is incomplete: %w", err)
	}
	if n := len(r.Unread); n > 0 {
		return fmt.Errorf("%s could not be read; the report shows the errors", text.Count(n, "cluster"))
	}
	fails, failed, unchecked := false, 0, 0
	for _, a := range r.Clusters {
		if a.Judging() == 0 {
			unchecked++
		}
		failed += len(a.Failures)
		fails = fails || slices.ContainsFunc(a.Violations, func(v audit.Violation) bool { return v.Fails(o.failOn) })
	}
	if failed > 0 {
		return fmt.Errorf("%s could not be evaluated; the report shows the errors", text.Count(failed, "policy", "policies"))
	}
	if unchecked > 0 {
		return fmt.Errorf("nothing was checked%s: no policy evaluates states; select policies with --policies",
			text.Either(len(r.Clusters), "", fmt.Sprintf(" in %s of %d clusters", text.Number(unchecked), len(r.Clusters))))
	}
	if fails {
		return errDenied
	}
	return nil
}

// auditedState is a state to audit.
type auditedState struct {
	cluster  string // name of the cluster, "" for files
	snapshot *state.Snapshot
	read     []state.Read // the objects of files
	policies *policy.Set
	notes    []string
	// readAt is the reference time for the age of CalicoNodeStatuses; zero means now.
	readAt time.Time
	// unusable are BGPPolicies of the cluster that cannot be evaluated here.
	unusable []audit.Failure
}

// read reads the state of the files, or those of the clusters. If there are several clusters,
// the report lists those that cannot be read.
func (o *auditOptions) read(ctx context.Context, library *policy.Library, stdin io.Reader, stderr io.Writer, out *report.Audit) ([]auditedState, error) {
	if len(o.states) > 0 {
		snapshot, contents, err := state.ReadState(o.states, stdin)
		if err == nil {
			err = o.requireNodes(snapshot, nil)
		}
		if err == nil {
			snapshot, err = o.withVersion(snapshot)
		}
		if err != nil {
			return nil, err
		}
		read := contents.Objects
		policies, err := o.compile(library)
		if err != nil {
			return nil, err
		}
		out.Sources = sourcesOf(read)
		s := auditedState{snapshot: snapshot, read: read, policies: policies, notes: contents.Notes}
		var note string
		if s.readAt, note = audit.ReadTime(snapshot, time.Now()); note != "" {
			s.notes = append(s.notes, note)
		}
		return []auditedState{s}, nil
	}
	contexts := o.contexts
	if len(contexts) == 0 {
		contexts = []string{""}
	}
	var states []auditedState
	for _, name := range contexts {
		live, err := o.find(name)
		if err != nil {
			return nil, err
		}
		one, err := o.readCluster(ctx, live, library, stderr)
		if err != nil && (len(contexts) == 1 || ctx.Err() != nil) {
			return nil, err
		}
		if err != nil {
			out.Unread = append(out.Unread, audit.Unread{Cluster: live.String(), Message: err.Error()})
			continue
		}
		states = append(states, one)
	}
	return states, nil
}

func (o *auditOptions) readCluster(ctx context.Context, live *liveCluster, library *policy.Library, stderr io.Writer) (auditedState, error) {
	reading, err := live.read(ctx, stderr)
	if err != nil {
		return auditedState{}, err
	}
	out := auditedState{cluster: live.String(), snapshot: reading.State}
	for _, u := range reading.Unread {
		out.notes = append(out.notes, u.String())
	}
	if out.snapshot, err = o.withVersion(out.snapshot); err != nil {
		return auditedState{}, err
	}
	var notes []string
	out.policies, out.unusable, notes, err = o.ofCluster(ctx, live, library)
	out.notes = append(out.notes, notes...)
	return out, err
}

// ofCluster returns the policies to evaluate on the state of a cluster: those of --policies,
// else the BGPPolicies of the cluster, else every policy of the library with its defaults,
// with a note. BGPPolicies that cannot be evaluated here become failures, for example one
// whose policy is neither built in nor in --policy-dir.
func (o *libraryOptions) ofCluster(ctx context.Context, live *liveCluster, library *policy.Library) (set *policy.Set, unusable []audit.Failure, notes []string, err error) {
	if len(o.policies) > 0 {
		set, err = o.compile(library)
		return set, nil, nil, err
	}
	objects, err := cluster.ReadPolicies(ctx, live.config)
	why := "the cluster has no BGPPolicies"
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, nil, nil, err
	case err != nil:
		why = "the cluster's BGPPolicies could not be read (" + err.Error() + ")"
		objects = nil
	}
	if len(objects) == 0 {
		set, err = o.compile(library)
		return set, nil, []string{why + ": every policy of the library was evaluated with its defaults; select others with --policies"}, err
	}
	var prepared []*policy.Policy
	for _, object := range objects {
		p, name, err := prepare(library, object)
		if err != nil {
			unusable = append(unusable, audit.Failure{
				Policy: name, Message: fmt.Sprintf("BGPPolicy could not be loaded: %s; add policies that are not built in with --policy-dir", text.Clean(err.Error())),
			})
			continue
		}
		prepared = append(prepared, p)
	}
	return policy.NewSet(prepared), unusable, nil, nil
}

// prepare compiles a BGPPolicy object. It returns the name even if it returns an error.
func prepare(library *policy.Library, object map[string]any) (*policy.Policy, string, error) {
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	d, err := policy.Decode(object)
	if err != nil {
		return nil, name, err
	}
	p, err := library.Prepare(&d)
	return p, name, err
}

// audit audits one state, or the state after the change if there is one.
func (o *auditOptions) audit(ctx context.Context, s auditedState, changed []edit, out *report.Audit) (*audit.Audit, error) {
	engine := validate.NewEngine(s.policies)
	options := audit.Options{Cluster: s.cluster, Time: time.Now(), Read: s.readAt, Notes: s.notes}
	a, err := audit.Run(ctx, engine, s.snapshot, options)
	if err != nil {
		return nil, err
	}
	if len(changed) > 0 {
		decided, err := o.decideEach(ctx, engine, s.snapshot, changed)
		if err != nil {
			return nil, err
		}
		out.Changes = append(out.Changes, decided)
		after, err := o.apply(s.snapshot, changed)
		if err != nil {
			return nil, err
		}
		out.Sources = sourcesOf(slices.Concat(s.read, readsOf(changed)))
		before := a
		if a, err = audit.Run(ctx, engine, after, options); err != nil {
			return nil, err
		}
		a.Compare(before)
		a.Before = before
	}
	a.AddFailures(s.unusable...)
	return a, nil
}

// earlier reads the reports of --history and of --baseline. Without the flag, the result is
// nil.
func (o *auditOptions) earlier() (history []*audit.Report, baseline *audit.Report, err error) {
	read := func(flag, path string) (*audit.Report, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("flag --%s: %w", flag, plainPath(err))
		}
		defer f.Close()
		r, err := audit.Read(f)
		if err != nil {
			return nil, fmt.Errorf("flag --%s: %s: %w", flag, path, err)
		}
		return r, nil
	}
	for _, path := range o.history {
		r, err := read("history", path)
		if err != nil {
			return nil, nil, err
		}
		history = append(history, r)
	}
	if o.baseline == "" {
		return history, nil, nil
	}
	baseline, err = read("baseline", o.baseline)
	return history, baseline, err
}

// compare compares each cluster with the baseline and adds the trend. If the baseline does
// not have a cluster, but has others, all violations in that cluster are new.
func (o *auditOptions) compare(r *audit.Report, history []*audit.Report, baseline *audit.Report) error {
	earlier, compared := false, false
	for _, a := range r.Clusters {
		var trend []*audit.Audit
		for _, h := range history {
			if was := h.Of(a.Cluster); was != nil {
				trend = append(trend, was)
			}
		}
		earlier = earlier || len(trend) > 0
		if baseline != nil {
			was := &audit.Audit{}
			if found := baseline.Of(a.Cluster); found != nil {
				was, compared, trend = found, true, append(trend, found)
			}
			a.Compare(was)
		}
		a.AddTrend(trend...)
	}
	switch {
	case len(r.Clusters) == 0: // The report shows why none could be read.
		return nil
	case len(history) > 0 && !earlier:
		return fmt.Errorf("flag --history: no report contains %s; the reports contain %s", clusterNames(r), clusterNames(history...))
	case baseline != nil && !compared:
		return fmt.Errorf("flag --baseline: %s: the report does not contain %s; it contains %s", o.baseline, clusterNames(r), clusterNames(baseline))
	default:
		return nil
	}
}

// clusterNames lists the clusters of reports, each once.
func clusterNames(reports ...*audit.Report) string {
	var names []string
	for _, r := range reports {
		for _, a := range r.Clusters {
			if name := fmt.Sprintf("cluster %q", a.Cluster); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ", ")
}
