package main

import (
	"context"
	"fmt"
	"io"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

type inputOptions struct {
	oneChangeOptions

	data bool
}

func newInput() *cobra.Command {
	var o inputOptions
	cmd := &cobra.Command{
		Use:   "input [-f CHANGE] --state STATE",
		Short: "Print the document that a policy reads as input",
		Long: `Print the document that a policy reads as input, as JSON for "opa eval -i",
"conftest test" and editors.

With -f, it is the document of that change, which is to one object. A change policy
reads all of it. A state policy reads input.state, which is the state after the change.
Without -f, it is the document of the state.

With --policy, the parameters are those of that policy, including its defaults.
Without it, the parameters are empty.

With --data, print the document that policies read as data.state, for "opa eval -d".

Exit code: 0 success, 2 invalid input or flags.`,
		Example: `  bgpguard input --state cluster.yaml --policy mesh-node-limit >input.json
  opa eval -i input.json -b policies data.policies.mesh_node_limit.violation
  bgpguard input -f change.yaml --state cluster.yaml --policy change-window --policies policies.yaml
  bgpguard input --state cluster.yaml --policy my-policy --policy-dir policies | conftest test -p policies --namespace policies.my_policy -
  bgpguard input --state cluster.yaml --data >data.json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.add(cmd, "`name` of the policy whose parameters to include")
	f.BoolVar(&o.data, "data", false, "print the document data.state instead")
	return cmd
}

func (o *inputOptions) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	r, err := o.read(ctx, stdin, stderr)
	if err != nil {
		return err
	}
	p := r.policy
	if p != nil && p.Definition.Judges == policy.JudgesChange && !o.changes() {
		return fmt.Errorf("flag -f is required: policy %s evaluates changes", o.policy)
	}
	engine := validate.NewEngine(r.set)
	engine.SetClock(r.now)
	input, data, err := engine.Input(ctx, r.snapshot, r.request)
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

// writeValue writes a Rego value as JSON.
func writeValue(w io.Writer, v ast.Value) error {
	plain, err := ast.JSON(v)
	if err != nil {
		return err
	}
	return text.JSON(w, plain)
}
