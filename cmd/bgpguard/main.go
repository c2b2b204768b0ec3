// Command bgpguard checks changes to the BGP of a Calico cluster before they are applied,
// shows the resulting sessions and routes, audits clusters, and helps to write policies.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "dev"

// Exit codes, with the meaning that they have for conftest.
const (
	exitOK      = 0 // success: every change is allowed
	exitDenied  = 1 // a change is denied or could not be evaluated; a test or an audit fails
	exitInvalid = 2 // invalid input or flags
)

// errDenied makes the exit code exitDenied, without a message.
var errDenied = errors.New("denied")

func main() { os.Exit(start(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return start(append([]string{programName}, args...), stdin, stdout, stderr)
}

// start runs the command of a process and returns its exit code. argv starts with the name of the
// program.
func start(argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	path, args := invocation(argv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // A second signal kills the process.
	root := newRoot()
	rename(root, path)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if width := terminalWidth(stdout); width > 0 {
		root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", width)))
	}
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		return exitDenied
	default:
		fmt.Fprintln(stderr, "error:", err)
		return exitInvalid
	}
}

// newRoot returns the command bgpguard with all its verbs.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           programName,
		Short:         "Check changes to the BGP of a Calico cluster before they break its network",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newAudit(), newCheck(), newDiff(), newTopology(), newInput(), newPlan(), newPolicy(), newServe(), newSnapshot(), newVersion())
	addCompletions(root)
	return root
}
