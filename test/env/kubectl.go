package env

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kubectl is the real kubectl with the kubeconfig of one user.
type Kubectl struct {
	// Path is where the program is.
	Path string
	// Kubeconfig says which API server to talk to, and as whom.
	Kubeconfig string

	cache string
}

// Result is what one run of kubectl printed, and how it ended.
type Result struct {
	// Args are the arguments that it ran with.
	Args []string
	// Stdout and Stderr are what it printed.
	Stdout, Stderr string
	// ExitCode is 0 when the API server accepted everything.
	ExitCode int
}

// As is kubectl as the user of a kubeconfig.
func (e *Environment) As(kubeconfig string) Kubectl {
	return Kubectl{
		Path:       e.plane.ControlPlane.KubectlPath,
		Kubeconfig: kubeconfig,
		cache:      filepath.Join(e.Dir, "kubectl-cache"),
	}
}

// Run runs kubectl. That the API server refuses is a result, not an error: an error means that kubectl did not
// run to its end.
func (k Kubectl) Run(ctx context.Context, args ...string) (Result, error) {
	return k.RunWithInput(ctx, "", args...)
}

// RunWithInput is Run with a text on standard input, for `-f -`.
func (k Kubectl) RunWithInput(ctx context.Context, input string, args ...string) (Result, error) {
	command := exec.CommandContext(ctx, k.Path, args...)
	command.Env = append(environment(),
		"KUBECONFIG="+k.Kubeconfig,
		// The cache of discovery is kept by host and port; the one in the home folder could remember another
		// run's API server that had the same port.
		"KUBECACHEDIR="+k.cache,
		// A personal kuberc may give commands other defaults and aliases.
		"KUBERC=off",
	)
	var stdout, stderr bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &stdout, &stderr

	err := command.Run()
	result := Result{Args: args, Stdout: stdout.String(), Stderr: stderr.String()}
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.Exited() {
		result.ExitCode = exit.ExitCode()
		return result, nil
	}
	if err != nil {
		return result, fmt.Errorf("%s: %w", result, errors.Join(err, ctx.Err()))
	}
	return result, nil
}

// String is the command as one would type it.
func (r Result) String() string {
	return "kubectl " + strings.Join(r.Args, " ")
}

// Err is nil when kubectl succeeded, and otherwise says what it was told.
func (r Result) Err() error {
	if r.ExitCode == 0 {
		return nil
	}
	return fmt.Errorf("%s: exit code %d: %s", r, r.ExitCode, strings.TrimSpace(r.Stderr))
}

// environment is that of this process without what would lead a child to another cluster.
func environment() []string {
	kept := []string{}
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "POD_NAMESPACE":
		default:
			kept = append(kept, variable)
		}
	}
	return kept
}
