package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
)

type policyListOptions struct {
	libraryOptions

	output string
}

func newPolicyList() *cobra.Command {
	var o policyListOptions
	cmd := &cobra.Command{
		Use:   "list [DIR...]",
		Short: "List policies",
		Long: `List the policies of the library with their METADATA.

With arguments, which are directories or tarballs of OPA bundles, list only the
policies in them. With --policy-dir, list those policies in addition to the built-in
ones.

Exit code: 0 success, 2 invalid input or flags.`,
		Example: `  bgpguard policy list
  bgpguard policy list platform/policies
  bgpguard policy list -o json | jq -r '.[] | select(.judges == "change") | .name'`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.OutOrStdout(), args) },
	}
	o.addDirs(cmd.Flags())
	addOutput(cmd, &o.output, report.PolicyListFormats)
	return cmd
}

func (o *policyListOptions) run(w io.Writer, paths []string) error {
	if err := report.PolicyListFormats.Validate(o.output); err != nil {
		return err
	}
	if len(paths) == 0 {
		library, err := o.library()
		if err != nil {
			return err
		}
		return writeFormat(w, report.PolicyListFormats, o.output, library.Definitions())
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
	return writeFormat(w, report.PolicyListFormats, o.output, definitions)
}
