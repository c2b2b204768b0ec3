package env

import (
	"context"
	"path/filepath"
)

// StartServe runs `bgpguard serve --secure` as in production: with the permissions of the ServiceAccount bgpguard-serve in
// bgpguard-system, which must exist. It returns the URL of the page when the process is ready.
func (e *Environment) StartServe(ctx context.Context) (url string, err error) {
	const namespace = "bgpguard-system"
	kubeconfig, err := e.ServiceAccountKubeconfig(ctx, namespace, "bgpguard-serve")
	if err != nil {
		return "", err
	}
	address, err := e.startServe(ctx, kubeconfig, "--secure", "--namespace="+namespace)
	return "https://" + address + "/report", err
}

// StartLocalServe runs `bgpguard serve` as a cluster administrator does on a workstation, with further arguments. The
// arguments can name another kubeconfig. It returns the URL of the page when the process is ready.
func (e *Environment) StartLocalServe(ctx context.Context, args ...string) (url string, err error) {
	address, err := e.startServe(ctx, filepath.Join(e.Dir, "admin.kubeconfig"), args...)
	return "http://" + address + "/report", err
}

// startServe returns the address of the page.
func (e *Environment) startServe(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	binary := filepath.Join(e.root, "bin", "bgpguard")
	if err := Need(binary, "run `make build`"); err != nil {
		return "", err
	}
	ports, err := freePorts(2)
	if err != nil {
		return "", err
	}
	page, health := loopback(ports[0]), loopback(ports[1])
	process, err := e.startProcess(ctx, "serve", nil, binary, nil, append([]string{
		"serve", "--kubeconfig=" + kubeconfig, "--bind-address=" + page, "--health-probe-bind-address=" + health,
	}, args...))
	if err != nil {
		return "", err
	}
	return page, process.awaitReady(ctx, "http://"+health)
}
