package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// completions completes the values of flags that have the same meaning in every command. A
// command can register another function for one of them.
var completions = map[string]cobra.CompletionFunc{
	"annotate": completeObjects,
	"context":  completeContexts,
	"delete":   completeObjects,
	"label":    completeObjects,
	"node":     completeNodes,
	"patch":    completeObjects,
	"policy":   completePolicyFlag,
}

// addCompletions registers completions in all commands below root.
func addCompletions(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		addCompletions(cmd)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if _, own := cmd.GetFlagCompletionFunc(f.Name); own || completions[f.Name] == nil || f.Value.Type() == "bool" {
				return
			}
			if err := cmd.RegisterFlagCompletionFunc(f.Name, completions[f.Name]); err != nil {
				panic(err) // The command has no flag of that name.
			}
		})
	}
}

// completeContexts returns the contexts of the kubeconfig, each with its cluster. It connects
// to no cluster.
func completeContexts(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if f := cmd.Flags().Lookup("kubeconfig"); f != nil {
		rules.ExplicitPath = f.Value.String()
	}
	rules.WarnIfAllMissing = false
	raw, err := rules.Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(raw.Contexts)) {
		out = append(out, cobra.CompletionWithDesc(name, "cluster "+raw.Contexts[name].Cluster))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeNodes returns the nodes of the state in the files of the command's flags.
func completeNodes(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, id := range idsOfFlags(cmd) {
		if id.Kind == calico.KindNode {
			out = append(out, id.Name)
		}
	}
	slices.Sort(out)
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeObjects returns the objects of the state in the files of the command's flags, as
// KIND/NAME with the kind in lower case. Before the slash, it returns the kinds.
func completeObjects(cmd *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	kind, _, named := strings.Cut(toComplete, "/")
	var out []string
	if !named {
		for _, info := range calico.Kinds() {
			out = append(out, strings.ToLower(string(info.Kind))+"/")
		}
		return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	for _, id := range idsOfFlags(cmd) {
		if strings.EqualFold(kind, string(id.Kind)) {
			out = append(out, kind+"/"+id.Name)
		}
	}
	slices.Sort(out)
	return out, cobra.ShellCompDirectiveNoFileComp
}

// idsOfFlags returns the objects in the files of the flag --state or, in commands whose subject
// is a state, of -f. It returns none if the files cannot be read. stdin belongs to the shell.
func idsOfFlags(cmd *cobra.Command) []calico.ID {
	name := "filename"
	if cmd.Flags().Lookup("state") != nil {
		name = "state"
	}
	paths, err := cmd.Flags().GetStringArray(name)
	if err != nil || len(paths) == 0 || slices.Contains(paths, manifest.Stdin) {
		return nil
	}
	slices.Sort(paths) // cobra parses the flags twice.
	_, contents, err := state.ReadState(slices.Compact(paths), nil)
	if err != nil {
		return nil
	}
	var out []calico.ID
	for _, o := range contents.Objects {
		out = append(out, o.ID())
	}
	return out
}

// completePolicyFlag completes --policy with the policies of the library and of --policy-dir.
func completePolicyFlag(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	var o libraryOptions
	if dirs, err := cmd.Flags().GetStringArray("policy-dir"); err == nil {
		o.dirs = dirs
	}
	return completePolicies(&o)(cmd, args, toComplete)
}
