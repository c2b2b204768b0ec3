package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

func newPolicyList() *cobra.Command {
	var o libraryOptions
	output := author.Text
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
	cmd.Flags().StringVarP(&output, "output", "o", output, "output `format`: "+strings.Join(listFormats, ", "))
	return cmd
}

var listFormats = []string{author.Text, author.JSON, author.YAML}

func runPolicyList(w io.Writer, paths []string, o *libraryOptions, output string) error {
	if err := checkFormat(output, listFormats); err != nil {
		return err
	}
	if len(paths) == 0 {
		library, err := o.library()
		if err != nil {
			return err
		}
		return author.WriteList(w, output, library.Definitions())
	}
	var definitions []*policy.Definition
	for _, path := range paths {
		own, err := ownPolicies(path)
		if err != nil {
			return err
		}
		definitions = append(definitions, own.definitions...)
	}
	return author.WriteList(w, output, definitions)
}

// own is the policies of a directory, and the library with them.
type own struct {
	source      policy.Source
	library     *policy.Library
	definitions []*policy.Definition
}

// ownPolicies reads the policies of a directory, which may be those of the
// built-in library itself.
func ownPolicies(path string) (*own, error) {
	source, err := policy.SourceFromPath(path)
	if err != nil {
		return nil, err
	}
	base, err := policy.Embedded()
	if err != nil {
		return nil, err
	}
	library, err := base.With(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &own{source, library, author.Own(library, source)}, nil
}
