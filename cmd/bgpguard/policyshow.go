package main

import (
	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/report"
)

func newPolicyShow() *cobra.Command {
	var o libraryOptions
	var output string
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show the documentation of a policy",
		Long: `Show the documentation of a policy, which is its METADATA: the purpose, the parameters
with type, default and description, links, and a BGPPolicy with the defaults.

Exit code: 0 success, 2 invalid input or flags.`,
		Example: `  bgpguard policy show mesh-node-limit
  bgpguard policy show peers-have-owners --policy-dir platform/policies
  bgpguard policy show change-window -o markdown >change-window.md`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePolicies(&o),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := report.PolicyShowFormats.Validate(output); err != nil {
				return err
			}
			library, err := o.library()
			if err != nil {
				return err
			}
			d := library.Definition(args[0])
			if d == nil {
				return unknownPolicy(library.Names(), args[0])
			}
			return writeFormat(cmd.OutOrStdout(), report.PolicyShowFormats, output, d)
		},
	}
	o.addDirs(cmd.Flags())
	addOutput(cmd, &output, report.PolicyShowFormats)
	return cmd
}
