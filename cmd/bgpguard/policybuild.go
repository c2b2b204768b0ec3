package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// formatBGPPolicy is the value of -o for BGPPolicies on stdout instead of a bundle.
const formatBGPPolicy = "bgppolicy"

func newPolicyBuild() *cobra.Command {
	o := author.BuildOptions{SigningAlgorithm: "RS256"}
	output, bgpPolicy := "", ""
	cmd := &cobra.Command{
		Use:   "build DIR... -o FILE | --bgppolicy FILE",
		Short: "Build an OPA bundle or BGPPolicies of policies",
		Long: `Compile the policies in directories and write them to one OPA bundle: their modules
without the tests, the built-in helpers that they use, and their data. The webhook,
opa and conftest can read the bundle.

With --bgppolicy, or with -o bgppolicy for stdout, write one BGPPolicy per directory
instead, which contains the policy and its tests in spec.rego: "kubectl apply" puts it
into force without a bundle server. Each directory must contain one policy. The
parameters are the defaults, the match is METADATA custom.match.

With --signing-key, sign the bundle as "opa sign" does.

Exit code: 0 success, 2 no file was written.`,
		Example: `  bgpguard policy build policies -o bundle.tar.gz --revision "$(git rev-parse HEAD)"
  bgpguard policy build policies -o bundle.tar.gz --signing-key key.pem --signing-alg ES256
  bgpguard policy build policies/rack_limit --bgppolicy rack-limit.yaml
  bgpguard policy build policies/rack_limit -o bgppolicy | kubectl apply -f -
  opa eval -b bundle.tar.gz -i input.json data.policies.my_policy.violation`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == formatBGPPolicy && bgpPolicy == "" {
				output, bgpPolicy = "", manifest.Stdin // as a file, "-" is stdout
			}
			var b bytes.Buffer // A bundle that fails to build must not overwrite a good one.
			var names []string
			var err error
			switch {
			case (output == "") == (bgpPolicy == ""):
				return errors.New("either -o or --bgppolicy is required: the file to write the bundle or the BGPPolicies to")
			case bgpPolicy == "":
				names, err = author.Build(&b, args, o)
			case cmd.Flags().Changed("revision") || cmd.Flags().Changed("signing-key"):
				return errors.New("flags --revision and --signing-key require -o: a BGPPolicy has no revision and no signature")
			default:
				output = bgpPolicy
				names, err = author.BuildBGPPolicies(cmd.Context(), &b, args)
			}
			if err != nil {
				return err
			}
			if output == "-" {
				_, err := cmd.OutOrStdout().Write(b.Bytes())
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
	f.StringVarP(&output, "output", "o", "", "`file` to write the bundle to; bgppolicy writes BGPPolicies to stdout")
	f.StringVar(&bgpPolicy, "bgppolicy", "", "`file` or - (stdout) to write BGPPolicies with the policies to")
	f.StringVar(&o.Revision, "revision", "", "`revision` of the bundle, for example a commit")
	f.StringVar(&o.SigningKey, "signing-key", "", "`key` for the signature: a file with a PEM private key, or the secret of an HMAC")
	f.StringVar(&o.SigningAlgorithm, "signing-alg", o.SigningAlgorithm, "`algorithm` of the signature")
	return cmd
}
