package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

type checkOptions struct {
	libraryOptions

	files, states   []string
	delete, explain bool
	as              string
	groups          []string
	output          string
}

func newCheck() *cobra.Command {
	o := checkOptions{output: report.CheckFormats.Default()}
	cmd := &cobra.Command{
		Use:   "check -f CHANGE [--state STATE]",
		Short: "Judge a change as the webhook would, from files",
		Long: `Judge a change as the webhook would, from files: the same policies through
the same code, and no cluster.

Files hold objects of core/v1 (Node), crd.projectcalico.org/v1 and
projectcalico.org/v3 in YAML or JSON: calicoctl exports, "kubectl get -o yaml"
lists, several documents, directories. Several changed objects are judged one
after the other, each on the state that the one before leaves, as kubectl
would send them; those after a denied one are still judged, without it.

The formats of -o:
` + report.CheckFormats.Help() + `

Exit code: 0 every change is allowed, with warnings or without; 1 one is denied,
or could not be judged; 2 unusable input or flags.`,
		Example: `  bgpguard check -f change.yaml --state cluster.yaml
  kubectl get nodes,bgppeers,bgpconfigurations,ippools,felixconfigurations,clusterinformations -o yaml | bgpguard check -f change.yaml --state -
  bgpguard check --delete -f peer.yaml --state cluster/ -o json
  bgpguard check -f change.yaml --state cluster/ --explain --as jane --as-group network`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "`file`, directory or - (stdin) with the changed objects; repeatable")
	f.StringArrayVar(&o.states, "state", nil, "`file`, directory or - (stdin) with the objects of the cluster; repeatable")
	o.add(f)
	f.BoolVar(&o.delete, "delete", false, "delete each object of -f instead of applying it")
	f.BoolVar(&o.explain, "explain", false, "say what is behind each violation; with -o "+strings.Join(report.ExplainFormats.Names(), ", "))
	f.StringVar(&o.as, "as", "", "`user` who makes the change, for what policies exempt and for policies that judge changes")
	f.StringArrayVar(&o.groups, "as-group", nil, "`group` of that user; repeatable")
	f.StringVarP(&o.output, "output", "o", o.output, report.CheckFormats.Usage())
	return cmd
}

func (o *checkOptions) validate() error {
	if len(o.files) == 0 {
		return errors.New("flag -f is required: the file with the change, or - for stdin")
	}
	if err := report.CheckFormats.Validate(o.output); err != nil {
		return err
	}
	if formats := report.ExplainFormats.Names(); o.explain && !slices.Contains(formats, o.output) {
		return fmt.Errorf("flag --explain: -o must be one of %s, is %q", strings.Join(formats, ", "), o.output)
	}
	if len(o.groups) > 0 && o.as == "" {
		return errors.New("flag --as-group needs --as: the user who is in the group")
	}
	if stdins(o.files, o.states) > 1 {
		return errors.New("flags -f and --state: - (stdin) can be read only once")
	}
	return nil
}

func (o *checkOptions) run(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	policies, err := o.set()
	if err != nil {
		return err
	}
	snapshot, _, err := state.ReadState(o.states, stdin)
	if err != nil {
		return err
	}
	changed, err := state.ReadChanges(o.files, stdin)
	if err != nil {
		return err
	}
	if len(changed) == 0 {
		return fmt.Errorf("%s: no object to judge", strings.Join(o.files, ", "))
	}
	checked, err := o.judge(ctx, policies, snapshot, changed)
	if err != nil {
		return err
	}
	out := &report.Check{Changes: checked, Policies: policies.Policies(), Version: version, Explain: o.explain, Color: colorful(stdout)}
	if err := report.CheckFormats.Write(stdout, o.output, out); err != nil {
		return err
	}
	if slices.ContainsFunc(checked, func(c report.Checked) bool { return !c.Decision.Allowed }) {
		return errDenied
	}
	return nil
}

// judge judges the changed objects one after the other, each on the state that
// those before it leave.
func (o *checkOptions) judge(ctx context.Context, policies *policy.Set, snapshot *state.Snapshot, changed []state.Read) ([]report.Checked, error) {
	engine := validate.NewEngine(policies)
	groups := groupsOf(o.as, o.groups)
	var checked []report.Checked
	for _, object := range changed {
		c := state.Change{Before: snapshot.Get(object.ID()), After: object.Object}
		if o.delete {
			c.After = nil
			if c.Before == nil {
				return nil, fmt.Errorf("%s cannot be deleted: the state does not hold it", object.ID())
			}
		}
		d := engine.Decide(ctx, snapshot, validate.Request{Change: c, User: o.as, Groups: groups})
		checked = append(checked, report.Checked{Change: c, Decision: d, Source: sourceOf(&object)})
		if d.Allowed {
			snapshot = snapshot.Apply(c)
		}
	}
	return checked, nil
}

// groupsOf adds to a user's groups those that the API server adds for whoever is
// impersonated (k8s.io/apiserver/pkg/endpoints/filters, WithImpersonation).
func groupsOf(user string, groups []string) []string {
	if user == "" {
		return nil
	}
	out := slices.Clone(groups)
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok && len(groups) == 0 {
		namespace, _, _ := strings.Cut(account, ":")
		out = append(out, "system:serviceaccounts", "system:serviceaccounts:"+namespace)
	}
	if !slices.Contains(out, "system:authenticated") {
		out = append(out, "system:authenticated")
	}
	return out
}

// colorful reports whether w shows colours, and the user wants them (no-color.org).
func colorful(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
