package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
)

func newPolicyShow() *cobra.Command {
	var o libraryOptions
	output := report.PolicyShowFormats.Default()
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show the documentation of a policy from its METADATA",
		Long: `Show what the METADATA of a policy say: what it is for, its parameters with type,
default and description, links, and a BGPPolicy with its defaults.

Exit code: 0 shown, 2 unusable input.`,
		Example: `  bgpguard policy show mesh-node-limit
  bgpguard policy show peers-have-owners --policy-dir platform/policies
  bgpguard policy show change-window -o markdown >change-window.md`,
		Args: cobra.ExactArgs(1),
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
				return unknownPolicy(library, args[0])
			}
			return report.PolicyShowFormats.Write(cmd.OutOrStdout(), output, d)
		},
	}
	o.addDirs(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", output, report.PolicyShowFormats.Usage())
	return cmd
}

func unknownPolicy(library *policy.Library, name string) error {
	return fmt.Errorf("no policy %q; there are %s", name, strings.Join(library.Names(), ", "))
}
