package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
)

func newPolicyList() *cobra.Command {
	var o libraryOptions
	output := report.PolicyListFormats.Default()
	cmd := &cobra.Command{
		Use:   "list [DIR...]",
		Short: "List policies from their METADATA",
		Long: `List the policies of the library with what their METADATA say. With directories, or
tarballs of OPA bundles, as arguments only theirs are listed; with --policy-dir they are
listed beside the built-in ones.

Exit code: 0 listed, 2 unusable input.`,
		Example: `  bgpguard policy list
  bgpguard policy list platform/policies
  bgpguard policy list -o json | jq -r '.[] | select(.judges == "change") | .name'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPolicyList(cmd.OutOrStdout(), args, &o, output)
		},
	}
	o.addDirs(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", output, report.PolicyListFormats.Usage())
	return cmd
}

func runPolicyList(w io.Writer, paths []string, o *libraryOptions, output string) error {
	if err := report.PolicyListFormats.Validate(output); err != nil {
		return err
	}
	if len(paths) == 0 {
		library, err := o.library()
		if err != nil {
			return err
		}
		return report.PolicyListFormats.Write(w, output, library.Definitions())
	}
	library, err := policy.Embedded()
	if err != nil {
		return err
	}
	var definitions []*policy.Definition
	for _, path := range paths {
		own, err := author.Load(library, path)
		if err != nil {
			return err
		}
		definitions = append(definitions, own.Definitions...)
	}
	return report.PolicyListFormats.Write(w, output, definitions)
}
