package env

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// WebhookOptions say how StartWebhook runs the webhook.
type WebhookOptions struct {
	// Binary is the program; bin/webhook of the repository by default.
	Binary string
	// Namespace and ServiceAccount are what it runs as; bgpguard-system and bgpguard by default. Both must exist.
	Namespace, ServiceAccount string
	// Policies are files and folders of BGPPolicy documents that hold in place of the cluster's BGPPolicies.
	Policies []string
	// Hostname is for a further replica, beside the one that the API server calls: it goes by this name, and serves
	// on a port of its own.
	Hostname string
	// Args come after the arguments that the environment passes, and so override them.
	Args []string
}

// Webhook is a running webhook.
type Webhook struct {
	*Process

	// URL is where it answers AdmissionReviews.
	URL string
	// MetricsURL is where it serves its metrics, to those who may read them.
	MetricsURL string
}

// StartWebhook runs the webhook as it runs in production, with the rights of its ServiceAccount and no others,
// and returns when it says that it is ready. One at a time, but for further replicas: they share the environment's
// WebhookPort.
func (e *Environment) StartWebhook(ctx context.Context, options WebhookOptions) (*Webhook, error) {
	options = e.withDefaults(options)
	if err := need(options.Binary, "run `make build`"); err != nil {
		return nil, err
	}
	kubeconfig, err := e.ServiceAccountKubeconfig(ctx, options.Namespace, options.ServiceAccount)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	metrics, health, port := loopback(ports[0]), loopback(ports[1]), e.WebhookPort
	if options.Hostname != "" {
		port = ports[2]
	}
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--namespace=" + options.Namespace,
		"--host=127.0.0.1",
		"--port=" + strconv.Itoa(port),
		"--metrics-bind-address=" + metrics,
		"--health-probe-bind-address=" + health,
		"--cert-extra-dns-names=localhost",
		// There is no Service whose endpoints would have to forget the process before it may stop answering.
		"--shutdown-delay=0s",
	}
	for _, path := range options.Policies {
		args = append(args, "--policies="+path)
	}

	process, err := e.startProcess(ctx, "webhook", options.Binary, options.Hostname, health, append(args, options.Args...))
	if err != nil {
		return nil, err
	}
	return &Webhook{Process: process, URL: fmt.Sprintf("https://localhost:%d/validate", port), MetricsURL: "https://" + metrics + "/metrics"}, nil
}

// withDefaults fills what the caller left to the environment.
func (e *Environment) withDefaults(options WebhookOptions) WebhookOptions {
	if options.Binary == "" {
		options.Binary = filepath.Join(e.root, "bin", "webhook")
	}
	if options.Namespace == "" {
		options.Namespace = "bgpguard-system"
	}
	if options.ServiceAccount == "" {
		options.ServiceAccount = "bgpguard"
	}
	return options
}

// freePorts are different ports of the loopback interface on which nothing listens now.
func freePorts(count int) ([]int, error) {
	var (
		ports     []int
		listeners []net.Listener
	)
	// Each is held until all are found, or the same port could be found twice.
	defer func() {
		for _, listener := range listeners {
			listener.Close()
		}
	}()
	for range count {
		listener, err := net.Listen("tcp", loopback(0))
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		listeners = append(listeners, listener)
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// loopback is the address of a port on this machine.
func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
