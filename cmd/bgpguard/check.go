package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

type checkOptions struct {
	libraryOptions

	files, states []string
	delete        bool
	output        string
}

func newCheck() *cobra.Command {
	o := checkOptions{output: report.Text}
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

Exit code: 0 allowed, 1 denied or a policy could not judge, 2 unusable input.`,
		Example: `  bgpguard check -f change.yaml --state cluster.yaml
  kubectl get nodes,bgppeers,bgpconfigurations,ippools,felixconfigurations,clusterinformations -o yaml | bgpguard check -f change.yaml --state -
  bgpguard check --delete -f peer.yaml --state cluster/ -o json`,
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
	f.StringVarP(&o.output, "output", "o", o.output, "output `format`: "+strings.Join(report.Formats, ", "))
	return cmd
}

func (o *checkOptions) validate() error {
	if len(o.files) == 0 {
		return errors.New("flag -f is required: the file with the change, or - for stdin")
	}
	if !slices.Contains(report.Formats, o.output) {
		return fmt.Errorf("flag -o must be one of %s, is %q", strings.Join(report.Formats, ", "), o.output)
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
	objects, err := readObjects(o.states, stdin)
	if err != nil {
		return err
	}
	if len(o.states) > 0 && len(objects) == 0 {
		// Every change to nothing is allowed: what was to make the state has failed.
		return fmt.Errorf("%s: no object of a cluster", strings.Join(o.states, ", "))
	}
	changed, err := readObjects(o.files, stdin)
	if err != nil {
		return err
	}
	if len(changed) == 0 {
		return fmt.Errorf("%s: no object to judge", strings.Join(o.files, ", "))
	}
	engine := validate.NewEngine(policies)
	snapshot := state.New(objects...)
	var checked []report.Checked
	allowed := true
	for _, object := range changed {
		c := state.Change{Before: snapshot.Get(object.ID()), After: object}
		if o.delete {
			c.After = nil
			if c.Before == nil {
				return fmt.Errorf("%s cannot be deleted: the state does not hold it", object.ID())
			}
		}
		d := engine.Decide(ctx, snapshot, validate.Request{Change: c})
		checked = append(checked, report.Checked{Change: c, Decision: d})
		if d.Allowed {
			snapshot = snapshot.Apply(c)
		}
		allowed = allowed && d.Allowed
	}
	if err := report.Write(stdout, o.output, checked); err != nil {
		return err
	}
	if !allowed {
		return errDenied
	}
	return nil
}
