// Command bgpguard judges changes to a Calico cluster's BGP, shows what BGP they
// lead to, and saves the state of a cluster so that both can be done offline.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

// Exit codes, as conftest and opa users know them.
const (
	exitOK       = 0 // allowed
	exitDenied   = 1 // denied, or a policy could not judge; in an audit, a violation
	exitUnusable = 2 // unusable input or flags
)

// errDenied makes the exit code 1 without a further message.
var errDenied = errors.New("denied")

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // A second signal ends what does not heed the first.
	root := &cobra.Command{
		Use:           "bgpguard",
		Short:         "Judge changes to a Calico cluster's BGP before they break its network",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newAudit(), newCheck(), newTopology(), newInput(), newPolicy(), newServe(), newSnapshot())
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		return exitDenied
	default:
		fmt.Fprintln(stderr, "error:", err)
		return exitUnusable
	}
}
