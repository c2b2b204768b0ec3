package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

type inputOptions struct {
	changeOptions
	libraryOptions

	policy string
	data   bool
	now    func() time.Time
}

func newInput() *cobra.Command {
	o := inputOptions{now: time.Now}
	cmd := &cobra.Command{
		Use:   "input [-f CHANGE] --state STATE",
		Short: "Print the document that a policy sees as input",
		Long: `Print the very document that a policy sees as input, as JSON for "opa eval -i",
"conftest test" and editors.

With -f it is the one of that change: a policy that judges changes sees all of it; a
policy that judges states sees input.state, here that after the change. Without -f
it is the one of the state alone. With --policy the parameters are those of that
policy, with their defaults filled in; without it there are none.

With --data the output is what policies see as data.state, for "opa eval -d".

Exit code: 0 printed, 2 unusable input.`,
		Example: `  bgpguard input --state cluster.yaml --policy mesh-node-limit >input.json
  opa eval -i input.json -b policies data.policies.mesh_node_limit.violation
  bgpguard input -f change.yaml --state cluster.yaml --policy change-window --policies policies.yaml
  bgpguard input --state cluster.yaml --policy my-policy --policy-dir policies | conftest test -p policies --namespace policies.my_policy -
  bgpguard input --state cluster.yaml --data >data.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	o.changeOptions.add(f)
	f.StringVar(&o.policy, "policy", "", "`name` of the policy whose parameters to fill in")
	o.libraryOptions.add(f)
	f.BoolVar(&o.data, "data", false, "print the document data.state instead")
	return cmd
}

func (o *inputOptions) run(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	if len(o.states) == 0 && len(o.files) == 0 {
		return errors.New("flag --state is required: the file with the objects of the cluster, or - for stdin")
	}
	if err := o.validate(); err != nil {
		return err
	}
	set, err := o.set()
	if err != nil {
		return err
	}
	p, err := find(set, o.policy)
	if err != nil {
		return err
	}
	snapshot, request, err := o.read(stdin)
	if err != nil {
		return err
	}
	if p != nil && p.Definition.Judges == policy.JudgesChange && len(o.files) == 0 {
		return fmt.Errorf("flag -f is required: policy %s judges changes", o.policy)
	}
	engine := validate.NewEngine(set)
	engine.SetClock(o.now)
	input, data, err := engine.Input(ctx, snapshot, request)
	if err != nil {
		return err
	}
	switch {
	case o.data:
		return writeValue(stdout, ast.NewObject([2]*ast.Term{ast.StringTerm("state"), ast.NewTerm(data)}))
	case p != nil:
		return writeValue(stdout, p.Input(input))
	default:
		input.Insert(ast.StringTerm("parameters"), ast.NewTerm(ast.NewObject()))
		return writeValue(stdout, input)
	}
}

// find returns the policy of a name, nil for no name.
func find(set *policy.Set, name string) (*policy.Policy, error) {
	if name == "" {
		return nil, nil
	}
	for _, p := range set.Policies() {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("flag --policy: no policy %q; there are %s", name, strings.Join(set.Names(), ", "))
}

// writeValue writes a value of Rego as JSON.
func writeValue(w io.Writer, v ast.Value) error {
	plain, err := ast.JSON(v)
	if err != nil {
		return err
	}
	return text.JSON(w, plain)
}
