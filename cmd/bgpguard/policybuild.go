package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/text"
)

func newPolicyBuild() *cobra.Command {
	o := author.BuildOptions{SigningAlgorithm: "RS256"}
	output := ""
	cmd := &cobra.Command{
		Use:   "build DIR... -o FILE",
		Short: "Build an OPA bundle of policies",
		Long: `Compile the policies in directories and write them to one OPA bundle: their modules
without the tests, the built-in helpers that they use, and their data. The webhook,
opa and conftest can read the bundle.

With --signing-key, sign the bundle as "opa sign" does.

Exit code: 0 success, 2 no bundle was written.`,
		Example: `  bgpguard policy build policies -o bundle.tar.gz --revision "$(git rev-parse HEAD)"
  bgpguard policy build policies -o bundle.tar.gz --signing-key key.pem --signing-alg ES256
  opa eval -b bundle.tar.gz -i input.json data.policies.my_policy.violation`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				return errors.New("flag -o is required: the file to write the bundle to")
			}
			var b bytes.Buffer // A bundle that fails to build must not overwrite a good one.
			names, err := author.Build(&b, args, o)
			if err != nil {
				return err
			}
			if err := os.WriteFile(output, b.Bytes(), 0o644); err != nil { //nolint:gosec // A bundle has no secrets and is meant for others.
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: %s (%s)\n", output, text.Count(len(names), "policy", "policies"), strings.Join(names, ", "))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "`file` to write the bundle to")
	f.StringVar(&o.Revision, "revision", "", "`revision` of the bundle, for example a commit")
	f.StringVar(&o.SigningKey, "signing-key", "", "`key` for the signature: a file with a PEM private key, or the secret of an HMAC")
	f.StringVar(&o.SigningAlgorithm, "signing-alg", o.SigningAlgorithm, "`algorithm` of the signature")
	return cmd
}
