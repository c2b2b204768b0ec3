package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/report"
)

func newPolicyCheck() *cobra.Command {
	output := report.PolicyCheckFormats.Default()
	cmd := &cobra.Command{
		Use:   "check DIR...",
		Short: "Compile policies strictly and say what is wrong with them",
		Long: `Compile the policies of directories, or of tarballs of OPA bundles, as the webhook does:
strictly, against the schemas of the input, with the builtins that policies may use.
Then check what makes a policy usable:

  metadata     title, description, severity, what it judges, links, the schema it reads
  parameters   a schema without unknown names; each with description, type and default
  tests        a module NAME_test with tests
  example      example.yaml beside it, with a BGPPolicy that compiles

and warn of what costs time in each admission:

  all-nodes    reads of data.state.nodes
  square       iterations over BGPPeers or nodes for each BGPPeer or node
  pattern      regular expressions and globs that are made for each element
  walk, range  visits of a whole state, long lists of numbers
  print        what was left in while debugging

Exit code: 0 no error, 1 an error, 2 unusable input. Warnings do not change it.`,
		Example: `  bgpguard policy check policies
  bgpguard policy check policies/rack_has_reflector
  bgpguard policy check policies -o json | jq '.findings[] | select(.severity == "error")'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runPolicyCheck(cmd.OutOrStdout(), args, output) },
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, report.PolicyCheckFormats.Usage())
	return cmd
}

func runPolicyCheck(w io.Writer, paths []string, output string) error {
	if err := report.PolicyCheckFormats.Validate(output); err != nil {
		return err
	}
	whole := &author.CheckResult{Policies: []string{}, Findings: []author.Finding{}}
	for _, path := range paths {
		r, err := author.Check(path)
		if err != nil {
			return err
		}
		whole.Policies = append(whole.Policies, r.Policies...)
		whole.Findings = append(whole.Findings, r.Findings...)
	}
	if err := report.PolicyCheckFormats.Write(w, output, whole); err != nil {
		return err
	}
	if whole.Count(author.Error) > 0 {
		return errDenied
	}
	return nil
}
