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
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

type auditOptions struct {
	libraryOptions
	clusterOptions

	states, contexts, changes, history []string
	delete                             bool
	baseline, failOn, output           string
}

func newAudit() *cobra.Command {
	o := auditOptions{output: report.AuditFormats.Default(), failOn: policy.Severities[len(policy.Severities)-1]}
	cmd := &cobra.Command{
		Use:   "audit [-f STATE | --context CONTEXT]",
		Short: "Say what is wrong already, in a cluster or in files",
		Long: `Say what is wrong already, by the same policies through the same code as the webhook:
in the cluster of the kubeconfig's current context, in those of --context, which give
one report, or in the files of -f, which hold what "bgpguard check --state" reads.

A cluster is only read, as the user of the kubeconfig, who needs the right to list
Nodes and Calico's objects. It is judged by its own BGPPolicies, and where it has none,
or they may not be read, by the library with its defaults; --policies overrides both.

With --baseline, a report of earlier in JSON, violations that it has already do not
count as failures unless they have grown, and those that are gone are told. Which nodes
a violation reaches is not in such a report: one that reaches others, and no more of
them, passes for known, where --change would have it worse. --history
takes earlier reports too, and shows how things went. With --change, the objects of
that file are applied to the state first, or deleted with --delete, and the state after
them is compared with that before.

The formats of -o:
` + report.AuditFormats.Help() + `

Exit code: 0 no violation of the severity of --fail-on or above; 1 there is one; 2 unusable
input or flags, a cluster could not be read, a policy could not judge, or none judges states.`,
		Example: `  bgpguard audit
  bgpguard audit --context prod-eu --context prod-us -o html >audit.html
  bgpguard audit -f cluster.yaml --fail-on high
  bgpguard audit -o json >monday.json
  bgpguard audit --baseline monday.json --history sunday.json -o markdown`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.states, "filename", "f", nil, "`file`, directory or - (stdin) with the objects of the cluster; repeatable")
	o.clusterOptions.add(f)
	f.StringArrayVar(&o.contexts, "context", nil, "`name` of a context of the kubeconfig; repeatable (default: the current one)")
	o.libraryOptions.add(f)
	f.StringVar(&o.failOn, "fail-on", o.failOn, "least `severity` with which a violation makes the exit code 1: "+strings.Join(failures, ", "))
	f.StringVar(&o.baseline, "baseline", "", "`file` with a report of earlier in JSON, whose violations do not count as failures")
	f.StringArrayVar(&o.history, "history", nil, "`file` with a report of earlier in JSON, for the trend; repeatable")
	f.StringArrayVar(&o.changes, "change", nil, "`file`, directory or - (stdin) with objects to apply to the state first; repeatable")
	f.BoolVar(&o.delete, "delete", false, "delete each object of --change instead of applying it")
	f.StringVarP(&o.output, "output", "o", o.output, report.AuditFormats.Usage())
	return cmd
}

// failures are the values of --fail-on.
var failures = append(slices.Clone(policy.Severities), audit.NoSeverity)

func (o *auditOptions) validate() error {
	switch {
	case len(o.states) > 0 && len(o.contexts) > 0:
		return errors.New("flags -f and --context exclude each other: the state is in files or in clusters")
	case len(o.states) > 0 && o.kubeconfig != "":
		return errors.New("flags -f and --kubeconfig exclude each other: the state is in files or in clusters")
	case len(o.changes) > 0 && len(o.contexts) > 1:
		return errors.New("flag --change is for one cluster, not for several of --context")
	case len(o.changes) > 0 && o.baseline != "":
		return errors.New("flags --change and --baseline exclude each other: a report compares with one of them")
	case o.delete && len(o.changes) == 0:
		return errors.New("flag --delete needs --change: the file with the objects to delete")
	case !slices.Contains(failures, o.failOn):
		return fmt.Errorf("flag --fail-on must be one of %s, is %q", strings.Join(failures, ", "), o.failOn)
	case stdins(o.states, o.changes) > 1:
		return errors.New("flags -f and --change: - (stdin) can be read only once")
	default:
		return report.AuditFormats.Validate(o.output)
	}
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
		Report: &audit.Report{Version: version, Clusters: []*audit.Audit{}, Unread: []audit.Unread{}}, FailOn: o.failOn, Color: colorful(stdout),
	}
	states, err := o.read(ctx, library, stdin, stderr, out)
	if err != nil {
		return err
	}
	for _, s := range states {
		a, err := o.audit(ctx, s, stdin, out)
		if err != nil {
			return err
		}
		out.Clusters = append(out.Clusters, a)
	}
	if err := o.compare(out.Report, earlier, baseline); err != nil {
		return err
	}
	if err := report.AuditFormats.Write(stdout, o.output, out); err != nil {
		return err
	}
	return o.outcome(ctx, out.Report)
}

// outcome is what the exit code is made of.
func (o *auditOptions) outcome(ctx context.Context, r *audit.Report) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("interrupted, so the report is not complete: %w", err)
	}
	if n := len(r.Unread); n > 0 {
		return fmt.Errorf("%s could not be read; the report says why", text.Count(n, "cluster"))
	}
	fails, failed, unjudged := false, 0, 0
	for _, a := range r.Clusters {
		if a.Judging() == 0 {
			unjudged++
		}
		failed += len(a.Failures)
		fails = fails || slices.ContainsFunc(a.Violations, func(v audit.Violation) bool { return v.Fails(o.failOn) })
	}
	if failed > 0 {
		return fmt.Errorf("%s could not judge; the report says why", text.Count(failed, "policy", "policies"))
	}
	if unjudged > 0 {
		return fmt.Errorf("nothing was checked%s: no policy that judges a state is in force: --policies names others",
			text.Either(len(r.Clusters), "", fmt.Sprintf(" in %s of %d clusters", text.Number(unjudged), len(r.Clusters))))
	}
	if fails {
		return errDenied
	}
	return nil
}

// known is a state and what is known of it.
type known struct {
	cluster  string
	snapshot *state.Snapshot
	read     []state.Read // where it came from files
	policies *policy.Set
	notes    []string
	// readAt is when the state was read, zero for just now.
	readAt time.Time
	// unusable are BGPPolicies of the cluster that cannot be used here.
	unusable []audit.Failure
}

// dateStatuses takes the CalicoNodeStatuses of files for as old as the newest of them:
// files do not say when they were written, and in those of yesterday all statuses would
// look as if nobody wrote them any more. One of a time to come does not count.
func (k *known) dateStatuses(now time.Time) {
	for _, status := range k.snapshot.NodeStatuses() {
		if at := status.LastUpdated; at.After(k.readAt) && at.Before(now) {
			k.readAt = status.LastUpdated
		}
	}
	if !k.readAt.IsZero() {
		k.notes = append(k.notes, "how old the CalicoNodeStatuses are: files do not say when they were written, so it is counted from the newest, of "+
			k.readAt.UTC().Format(time.RFC3339))
	}
}

// read reads the states: that of the files, or those of the clusters. Of several
// clusters, one that cannot be read is told in the report.
func (o *auditOptions) read(ctx context.Context, library *policy.Library, stdin io.Reader, stderr io.Writer, out *report.Audit) ([]known, error) {
	if len(o.states) > 0 {
		snapshot, read, err := state.ReadState(o.states, stdin)
		if err != nil {
			return nil, err
		}
		if len(snapshot.Nodes()) == 0 {
			return nil, noNode(o.states)
		}
		policies, err := o.compile(library)
		if err != nil {
			return nil, err
		}
		out.Sources = sourcesOf(read)
		out := known{snapshot: snapshot, read: read, policies: policies}
		out.dateStatuses(time.Now())
		return []known{out}, nil
	}
	contexts := o.contexts
	if len(contexts) == 0 {
		contexts = []string{""}
	}
	var states []known
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

func (o *auditOptions) readCluster(ctx context.Context, live *liveCluster, library *policy.Library, stderr io.Writer) (known, error) {
	reading, err := live.read(ctx, stderr)
	if err != nil {
		return known{}, err
	}
	out := known{cluster: live.String(), snapshot: reading.State}
	for _, u := range reading.Unread {
		out.notes = append(out.notes, u.String())
	}
	if err := o.policiesOf(ctx, live, library, &out); err != nil {
		return known{}, err
	}
	return out, nil
}

// sourcesOf tells where the objects stand that were read.
func sourcesOf(read []state.Read) func(violation.Object) report.Source {
	byObject := make(map[violation.Object]*state.Read, len(read))
	for i := range read {
		id := read[i].ID()
		byObject[violation.Object{Kind: string(id.Kind), Name: id.Name}] = &read[i]
	}
	return func(o violation.Object) report.Source {
		if r := byObject[o]; r != nil {
			return sourceOf(r)
		}
		return report.Source{}
	}
}

// audit judges one state, after the change where there is one. What is changed stands in
// the files of the change from then on.
func (o *auditOptions) audit(ctx context.Context, s known, stdin io.Reader, out *report.Audit) (*audit.Audit, error) {
	engine := validate.NewEngine(s.policies)
	options := audit.Options{Cluster: s.cluster, Time: time.Now(), Read: s.readAt, Notes: s.notes}
	a, err := audit.Run(ctx, engine, s.snapshot, options)
	if err != nil {
		return nil, err
	}
	if len(o.changes) > 0 {
		after, changed, err := applyFiles(o.changes, o.delete, s.snapshot, stdin)
		if err != nil {
			return nil, err
		}
		out.Sources = sourcesOf(slices.Concat(s.read, changed))
		before := a
		if a, err = audit.Run(ctx, engine, after, options); err != nil {
			return nil, err
		}
		a.Compare(before)
		a.Before = before
	}
	a.Failures = append(a.Failures, s.unusable...)
	return a, nil
}

// earlier reads the reports of --history, and that of --baseline, nil where there
// is none.
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

// compare compares each cluster with the baseline, and puts what was earlier before
// it. A cluster that has joined a fleet since then has nothing earlier: all in it is new.
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
	case len(r.Clusters) == 0: // None could be read, as the report says.
		return nil
	case len(history) > 0 && !earlier:
		return fmt.Errorf("flag --history: no report of %s; there are some of %s", clusterNames(r), clusterNames(history...))
	case baseline != nil && !compared:
		return fmt.Errorf("flag --baseline: %s: no report of %s; it has %s", o.baseline, clusterNames(r), clusterNames(baseline))
	default:
		return nil
	}
}

// clusterNames names the clusters of reports, each once.
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
