// Command webhook is bgpguard's admission webhook.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // The CAs of servers of bundles, where the system has none: in the images.

	"github.com/bgpguard/bgpguard/pkg/server"
	"github.com/bgpguard/bgpguard/pkg/trial"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) == 2 && os.Args[1] == trial.Argument {
		return trial.Main(os.Stdin, os.Stdout)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)

	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		return 1
	}
	return 0
}

func command() *cobra.Command {
	options := server.DefaultOptions()
	cmd := &cobra.Command{
		Use: "webhook",
		Long: `webhook reviews changes to Calico's BGP objects and Nodes for a Kubernetes API server.

It watches the objects of the cluster that decide BGP. For each change it evaluates the policies on the
state before and after the change. It denies a change that causes a new violation of a policy or makes a
violation worse. The policies are the cluster's BGPPolicies. webhook validates changes to them and writes
their status.

It serves /validate and /validate-bgppolicy over HTTPS, /healthz and /readyz over HTTP, and /metrics over HTTPS.`,
		Example: `  webhook --leader-elect
  webhook --policies ./policies --kubeconfig ~/.kube/config --cert-dir ./certs --host 127.0.0.1 --log-format text`,
		Version:      version,
		Args:         cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return server.Run(cmd.Context(), options, os.Stderr)
		},
	}
	cmd.Flags().SortFlags = false
	options.AddFlags(cmd.Flags())
	return cmd
}
