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
		Short: "Make an OPA bundle of policies",
		Long: `Compile the policies of directories and write them as one OPA bundle: their modules but
the tests, the built-in helpers that they use, and their data. The webhook, opa and
conftest read it.

With --signing-key the bundle is signed as "opa sign" does it.

Exit code: 0 written, 2 not written.`,
		Example: `  bgpguard policy build policies -o bundle.tar.gz --revision "$(git rev-parse HEAD)"
  bgpguard policy build policies -o bundle.tar.gz --signing-key key.pem --signing-alg ES256
  opa eval -b bundle.tar.gz -i input.json data.policies.my_policy.violation`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				return errors.New("flag -o is required: the file to write the bundle to")
			}
			var b bytes.Buffer // Nothing is written over a good bundle unless the new one is whole.
			names, err := author.Build(&b, args, o)
			if err != nil {
				return err
			}
			if err := os.WriteFile(output, b.Bytes(), 0o644); err != nil { //nolint:gosec // It is there to be handed on.
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: %s (%s)\n", output, text.Count(len(names), "policy", "policies"), strings.Join(names, ", "))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&output, "output", "o", "", "`file` to write the bundle to")
	f.StringVar(&o.Revision, "revision", "", "the bundle's `revision`, for example a commit")
	f.StringVar(&o.SigningKey, "signing-key", "", "`key` to sign with: a file with a private key in PEM, or the secret of an HMAC")
	f.StringVar(&o.SigningAlgorithm, "signing-alg", o.SigningAlgorithm, "`algorithm` to sign with")
	return cmd
}
