package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
)

func newPolicyExplain() *cobra.Command {
	var change changeOptions
	var library libraryOptions
	var name string
	cmd := &cobra.Command{
		Use:   "explain -f CHANGE --state STATE",
		Short: "Explain how a decision came about",
		Long: `Explain how a decision came about: which rules of a policy were evaluated, on the state
before the change and on the one after it, which of their expressions were true and
false with which values, what was found, and what the engine made of it.

The trace is folded: an expression that was evaluated many times is one line with how
often it was true, and the values of the first time. Without --policy the policies are
explained that find something.

Exit code: 0 explained, whatever the decision, 2 unusable input.`,
		Example: `  bgpguard policy explain -f change.yaml --state cluster.yaml
  bgpguard policy explain -f change.yaml --state cluster.yaml --policy mesh-node-limit
  bgpguard policy explain -f peer.yaml --delete --state cluster/ --policy-dir policies --policy my-policy`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(change.files) == 0 {
				return errors.New("flag -f is required: the file with the change, or - for stdin")
			}
			if err := change.validate(); err != nil {
				return err
			}
			set, err := library.set()
			if err != nil {
				return err
			}
			if _, err := find(set, name); err != nil {
				return err
			}
			snapshot, request, err := change.read(cmd.InOrStdin())
			if err != nil {
				return err
			}
			e, err := author.Explain(cmd.Context(), set, name, snapshot, request)
			if err != nil {
				return err
			}
			return e.WriteText(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	change.add(f)
	f.StringVar(&name, "policy", "", "`name` of the policy to explain")
	library.add(f)
	return cmd
}
