package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

func newPolicyNew() *cobra.Command {
	judges := policy.JudgesState
	var dir string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Create a policy with tests that pass",
		Long: `Create a policy in a directory of its own below --dir: the policy, its tests and an
example of its BGPPolicy. Also copy the schemas of the input, the helpers and the
helpers of tests to --dir if they are missing, so that opa and regal can read the
directory without bgpguard. No file is overwritten.

A state policy is evaluated on the state before a change and on the state after it.
A change policy is evaluated once, on the change.

Exit code: 0 success, 2 no policy was created.`,
		Example: `  bgpguard policy new peers-have-owners
  bgpguard policy new delete-with-ticket --judges change --dir platform/policies
  bgpguard policy check policies && bgpguard policy test policies
  opa check --strict --schema policies/schemas policies && opa test policies && regal lint policies`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			written, err := author.New(dir, args[0], judges)
			if err != nil {
				return err
			}
			return reportNew(cmd.OutOrStdout(), written, dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "policies", "`directory` of your policies")
	addChoice(cmd, &judges, "judges", []string{policy.JudgesState, policy.JudgesChange}, "`kind` of policy")
	return cmd
}

func reportNew(w io.Writer, written []string, dir string) error {
	for _, file := range written {
		if _, err := fmt.Fprintln(w, "wrote", file); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, `
Next:
  replace the runbook in related_resources: denials and warnings end with this link
  bgpguard policy test --watch %[1]s    while you edit the policy
  bgpguard policy check %[1]s           before you use the policy
  bgpguard check --policy-dir %[1]s -f CHANGE --state STATE
`, dir)
	return err
}
