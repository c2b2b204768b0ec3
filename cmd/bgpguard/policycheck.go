package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
)

func newPolicyCheck() *cobra.Command {
	output := author.Text
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
	cmd.Flags().StringVarP(&output, "output", "o", output, "output `format`: "+strings.Join(textAndJSON, ", "))
	return cmd
}

var textAndJSON = []string{author.Text, author.JSON}

// checkFormat returns an error unless format is among formats.
func checkFormat(format string, formats []string) error {
	if slices.Contains(formats, format) {
		return nil
	}
	return fmt.Errorf("flag -o must be one of %s, is %q", strings.Join(formats, ", "), format)
}

func runPolicyCheck(w io.Writer, paths []string, output string) error {
	if err := checkFormat(output, textAndJSON); err != nil {
		return err
	}
	whole := &author.Report{Policies: []string{}, Findings: []author.Finding{}}
	for _, path := range paths {
		r, err := author.Check(path)
		if err != nil {
			return err
		}
		whole.Policies = append(whole.Policies, r.Policies...)
		whole.Findings = append(whole.Findings, r.Findings...)
	}
	write := whole.WriteText
	if output == author.JSON {
		write = whole.WriteJSON
	}
	if err := write(w); err != nil {
		return err
	}
	if whole.Count(author.Error) > 0 {
		return errDenied
	}
	return nil
}
