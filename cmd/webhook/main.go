// Command webhook is bgpguard's admission webhook.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bgpguard/bgpguard/pkg/server"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
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
	options.Version = version
	cmd := &cobra.Command{
		Use: "webhook",
		Long: `webhook answers a Kubernetes API server whether a change to Calico's BGP objects may be made.

It follows the cluster's Nodes, BGPConfigurations, BGPPeers and IPPools, evaluates its policies on the state
before and after each change, and denies a change that makes something new wrong or something wrong worse.
The policies are the cluster's BGPPolicies, whose status it writes and whose changes it reviews as well.

It serves /validate and /validate-bgppolicy over HTTPS, /healthz and /readyz over HTTP, and /metrics over HTTPS.`,
		Example: `  webhook --leader-elect
  webhook --policies ./policies --kubeconfig ~/.kube/config --cert-dir ./certs --host 127.0.0.1 --log-format text`,
		Version:      version,
		Args:         cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return server.Run(cmd.Context(), options, os.Stderr) },
	}
	cmd.Flags().SortFlags = false
	options.AddFlags(cmd.Flags())
	return cmd
}
