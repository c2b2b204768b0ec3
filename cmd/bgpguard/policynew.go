package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

func newPolicyNew() *cobra.Command {
	var dir, judges string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Write a new policy with tests that pass",
		Long: `Write a new policy into a folder of its own in --dir: the policy, its tests and an
example of its BGPPolicy. Where they are missing, the schemas of the input, the helpers
and what tests share are copied beside it, so that opa and regal read the folder by
themselves. Nothing is overwritten.

A policy judges the state, and is evaluated on the one before a change and the one
after it; or it judges the change, and sees it.

Exit code: 0 written, 2 not written.`,
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
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "policies", "`directory` of the library")
	f.StringVar(&judges, "judges", policy.JudgesState, "what the policy judges: state or change")
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
  bgpguard policy test --watch %[1]s    while you write it
  bgpguard policy check %[1]s           before you use it
  bgpguard check --policy-dir %[1]s -f CHANGE --state STATE
`, dir)
	return err
}
