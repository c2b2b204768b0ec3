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

// Kubectl runs the real kubectl with the kubeconfig of one user.
type Kubectl struct {
	// Path is the path of the program.
	Path string
	// Kubeconfig is the path of the kubeconfig.
	Kubeconfig string

	cache string
}

// Result is the output and the exit code of a run of kubectl.
type Result struct {
	// Args are the arguments.
	Args []string
	// Stdout and Stderr are the output.
	Stdout, Stderr string
	// ExitCode is 0 if the API server accepted all requests.
	ExitCode int
}

// NewKubectl returns a kubectl that keeps its cache of discovery in the directory of the kubeconfig.
func NewKubectl(path, kubeconfig string) Kubectl {
	return Kubectl{Path: path, Kubeconfig: kubeconfig, cache: filepath.Join(filepath.Dir(kubeconfig), "kubectl-cache")}
}

// As returns a kubectl with another kubeconfig.
func (e *Environment) As(kubeconfig string) Kubectl {
	return Kubectl{
		Path:       e.plane.ControlPlane.KubectlPath,
		Kubeconfig: kubeconfig,
		cache:      filepath.Join(e.Dir, "kubectl-cache"),
	}
}

// Run runs kubectl. A request that the API server rejects is a result. An error means that kubectl did not finish.
func (k Kubectl) Run(ctx context.Context, args ...string) (Result, error) {
	return k.RunWithInput(ctx, "", args...)
}

// RunWithInput is like Run, with input as standard input for `-f -`.
func (k Kubectl) RunWithInput(ctx context.Context, input string, args ...string) (Result, error) {
	command := exec.CommandContext(ctx, k.Path, args...)
	command.Env = append(environment(),
		"KUBECONFIG="+k.Kubeconfig,
		// The cache of discovery is stored by host and port. The one in the home directory can be of another API
		// server with the same port.
		"KUBECACHEDIR="+k.cache,
		// The user's kuberc can change defaults and aliases of commands.
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

// String returns the command line.
func (r Result) String() string {
	return "kubectl " + strings.Join(r.Args, " ")
}

// Err returns nil if kubectl succeeded, else an error with its messages.
func (r Result) Err() error {
	if r.ExitCode == 0 {
		return nil
	}
	return fmt.Errorf("%s: exit code %d: %s", r, r.ExitCode, strings.TrimSpace(r.Stderr))
}

// environment returns the environment of this process without variables that select another cluster.
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
