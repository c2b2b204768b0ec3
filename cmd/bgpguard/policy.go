package main

import "github.com/spf13/cobra"

// newPolicy returns the parent of the commands for authors of policies.
func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Write, check, test and document policies",
		Long: `Write, check, test and document policies.

A policy is a Rego package policies.NAME with METADATA and a rule "violation". It is
plain Rego: opa, regal and conftest read the same files.`,
		Example: `  bgpguard policy new rack-has-reflector
  bgpguard policy check policies
  bgpguard policy test policies --coverage
  bgpguard policy show mesh-node-limit`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyNew(), newPolicyCheck(), newPolicyList(), newPolicyShow(), newPolicyTest(), newPolicyBench(), newPolicyExplain(), newPolicyBuild())
	return cmd
}
