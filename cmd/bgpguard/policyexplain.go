package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/report"
)

type policyExplainOptions struct {
	oneChangeOptions
}

func newPolicyExplain() *cobra.Command {
	var o policyExplainOptions
	cmd := &cobra.Command{
		Use:   "explain -f CHANGE --state STATE",
		Short: "Explain the decision on a change",
		Long: `Explain the decision on a change: the rules that were evaluated on the state before
and after the change, whether each expression was true and with which values, the
violations, and what the engine decided on each of them. The change is to one object.

The trace is folded. An expression that was evaluated many times is one line, with
the number of times that it was true and the values of the first time.

Without --policy, explain all policies that have violations.

Exit code: 0 success, whatever the decision; 2 invalid input or flags.`,
		Example: `  bgpguard policy explain -f change.yaml --state cluster.yaml
  bgpguard policy explain -f change.yaml --state cluster.yaml --policy mesh-node-limit
  bgpguard policy explain -f peer.yaml --delete --state cluster/ --policy-dir policies --policy my-policy`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.add(cmd, "`name` of the policy to explain")
	return cmd
}

func (o *policyExplainOptions) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.requireChange(); err != nil {
		return err
	}
	r, err := o.read(ctx, stdin, stderr)
	if err != nil {
		return err
	}
	e, err := author.Explain(ctx, r.set, r.now, o.policy, r.snapshot, r.request)
	if err != nil {
		return err
	}
	return writeFormat(stdout, report.PolicyExplainFormats, report.Text, e)
}
