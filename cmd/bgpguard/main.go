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
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // The CAs of servers of bundles, where the system has none: in the images.
)

// version is set by the linker.
var version = "dev"

// Exit codes. The first three have the meaning that they have for conftest.
const (
	exitOK           = 0   // success: every change is allowed
	exitDenied       = 1   // a change is denied; a test or an audit fails
	exitInvalid      = 2   // invalid input or flags
	exitNotEvaluated = 3   // no change is denied, and one could not be evaluated
	exitWarned       = 4   // every change is allowed, one has warnings, and --fail-on is warn
	exitSignal       = 128 // plus the number of the signal that ended the command: 130 after Ctrl-C
)

// These errors set the exit code, without a message.
var (
	errDenied       = errors.New("denied")
	errNotEvaluated = errors.New("not evaluated")
	errWarned       = errors.New("warned")
)

// ownEnd is the annotation of commands that end by themselves after a signal, because they
// must clean up. All others are ended at once, also while they read or compute.
const ownEnd = "bgpguard/own-end"

// endsItself marks a command that must clean up after a signal.
func endsItself(cmd *cobra.Command) *cobra.Command {
	cmd.Annotations = map[string]string{ownEnd: ""}
	return cmd
}

func main() { os.Exit(start(os.Args, os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return start(append([]string{programName}, args...), stdin, stdout, stderr)
}

// start runs the command of a process and returns its exit code. argv starts with the name of the
// program.
func start(argv []string, stdin io.Reader, stdout, stderr io.Writer) int {
	path, args := invocation(argv)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	root := newRoot()
	rename(root, path)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if width := terminalWidth(stdout); width > 0 {
		root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", width)))
	}
	var cleansUp atomic.Bool
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		_, own := cmd.Annotations[ownEnd]
		cleansUp.Store(own)
	}
	done := make(chan error, 1)
	go func() { done <- root.ExecuteContext(ctx) }()
	var received os.Signal
	var err error
	select {
	case err = <-done:
	case received = <-signals:
		signal.Stop(signals) // A second signal kills the process.
		cancel()
		if !cleansUp.Load() {
			fmt.Fprintln(stderr, "error: interrupted")
			return exitCode(received)
		}
		err = <-done
	}
	switch {
	case err == nil && received == os.Interrupt:
		return exitCode(received)
	case err == nil:
		return exitOK
	case errors.Is(err, errDenied):
		return exitDenied
	case errors.Is(err, errNotEvaluated):
		return exitNotEvaluated
	case errors.Is(err, errWarned):
		return exitWarned
	default:
		fmt.Fprintln(stderr, "error:", err)
		if received != nil {
			return exitCode(received)
		}
		return exitInvalid
	}
}

// exitCode returns the exit code of a process that a signal ends.
func exitCode(s os.Signal) int {
	number, _ := s.(syscall.Signal)
	return exitSignal + int(number)
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
	root.AddCommand(newAudit(), newCheck(), newDiff(), newExcept(), newTopology(), newInput(), newPlan(), newPolicy(), newServe(), newSnapshot(), newVersion())
	addCompletions(root)
	root.SetFlagErrorFunc(flagError)
	return root
}
