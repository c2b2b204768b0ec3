package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/report"
)

func newPolicyCheck() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check DIR...",
		Short: "Compile policies strictly and report errors and slow rules",
		Long: `Compile the policies in directories, or in tarballs of OPA bundles, as the webhook
does: strictly, against the schemas of the input, and without disabled builtins.
Then report errors in:

  metadata     title, description, severity, judges, links, the schema of the input
  parameters   a schema without unknown names; each parameter with a description,
               a type and a default; parameters that are read and not declared
  tests        a module NAME_test with tests
  example      example.yaml next to the policy, with a BGPPolicy that compiles
  violation    violations without id, size or msg, keys of another type, one id for all
  sprintf      verbs and arguments that do not match
  trial        errors when the policy is evaluated on sample states and changes: a mesh,
               route reflectors, routers of racks, broken and empty clusters
  fields       violations on a change of none of the fields in METADATA custom.fields

and warnings for what makes every admission slower:

  all-nodes    reads of data.state, which grows with the nodes
  square       iterations over BGPPeers or nodes for each BGPPeer or node
  pattern      regular expressions and globs that are compiled for each element
  walk, range  walks over a whole state, long ranges of numbers
  print        statements left from debugging

Exit code: 0 no error, with or without warnings; 1 an error; 2 invalid input or flags.`,
		Example: `  bgpguard policy check policies
  bgpguard policy check policies/rack_has_reflector
  bgpguard policy check policies -o json | jq '.findings[] | select(.severity == "error")'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPolicyCheck(cmd.Context(), cmd.OutOrStdout(), args, output)
		},
	}
	addOutput(cmd, &output, report.PolicyCheckFormats)
	return cmd
}

func runPolicyCheck(ctx context.Context, w io.Writer, paths []string, output string) error {
	if err := report.PolicyCheckFormats.Validate(output); err != nil {
		return err
	}
	all := &author.CheckResult{Policies: []string{}, Findings: []author.Finding{}}
	for _, path := range paths {
		r, err := author.Check(ctx, path)
		if err != nil {
			return err
		}
		all.Policies = append(all.Policies, r.Policies...)
		all.Findings = append(all.Findings, r.Findings...)
	}
	if err := writeFormat(w, report.PolicyCheckFormats, output, all); err != nil {
		return err
	}
	if all.Count(author.Error) > 0 {
		return errDenied
	}
	return nil
}
