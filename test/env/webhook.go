package env

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WebhookOptions are the options of StartWebhook.
type WebhookOptions struct {
	// Binary is the path of the program. The default is bin/webhook in the repository.
	Binary string
	// Namespace and ServiceAccount are the identity of the webhook; both must exist. The defaults are bgpguard-system and
	// bgpguard.
	Namespace, ServiceAccount string
	// Policies are files and directories of BGPPolicy documents, which replace the BGPPolicies of the cluster.
	Policies []string
	// Hostname is the name of an additional replica, which serves on another port and which the API server does not call.
	Hostname string
	// Kubeconfig is the path of a kubeconfig. The default has a new token of the ServiceAccount.
	Kubeconfig string
	// Starting makes StartWebhook return before the webhook is ready.
	Starting bool
	// Args follow the arguments of the environment and so override them.
	Args []string
	// Memory is the memory limit of the container in bytes, by which the process sets its own; 0 for none. The process runs in
	// a cgroup with this limit where the machine permits it: see Process.Group.
	Memory int64
}

// Webhook is a running webhook.
type Webhook struct {
	*Process

	// URL is the address for AdmissionReviews.
	URL string
	// MetricsURL is the address of its metrics, which need authorization.
	MetricsURL string
	// ProbeURL is the address of its probes, to which /healthz and /readyz are added.
	ProbeURL string
}

// StartWebhook runs the webhook as in production, with the permissions of its ServiceAccount, and returns when it is
// ready. Only one webhook can run on the environment's WebhookPort; see WebhookOptions.Hostname for others.
func (e *Environment) StartWebhook(ctx context.Context, options WebhookOptions) (*Webhook, error) {
	options = e.withDefaults(options)
	if err := Need(options.Binary, "run `make build`"); err != nil {
		return nil, err
	}
	kubeconfig := options.Kubeconfig
	if kubeconfig == "" {
		var err error
		if kubeconfig, err = e.ServiceAccountKubeconfig(ctx, options.Namespace, options.ServiceAccount); err != nil {
			return nil, err
		}
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
		// The process does not have to answer until the endpoints of a Service are updated.
		"--shutdown-delay=0s",
	}
	for _, path := range options.Policies {
		args = append(args, "--policies="+path)
	}

	webhook := &Webhook{
		URL: fmt.Sprintf("https://localhost:%d/validate", port), MetricsURL: "https://" + metrics + "/metrics", ProbeURL: "http://" + health,
	}
	var variables []string
	if options.Hostname != "" { // The name of the process among the replicas.
		variables = append(variables, "HOSTNAME="+options.Hostname)
	}
	var group *MemoryGroup
	if options.Memory > 0 {
		variables = append(variables, fmt.Sprintf("MEMORY_LIMIT=%d", options.Memory))
		group = e.memoryGroup(options.Memory)
	}
	if webhook.Process, err = e.startProcess(ctx, "webhook", group, options.Binary, variables, append(args, options.Args...)); err != nil {
		return nil, err
	}
	if options.Starting {
		return webhook, nil
	}
	if err := webhook.AwaitReady(ctx); err != nil {
		return nil, err
	}
	return webhook, nil
}

// Address returns the HOST:PORT on which the webhook serves.
func (w *Webhook) Address() string {
	return strings.TrimSuffix(strings.TrimPrefix(w.URL, "https://"), "/validate")
}

// AwaitReady returns when the webhook is ready. If it does not become ready, AwaitReady ends it and returns an error with
// the log.
func (w *Webhook) AwaitReady(ctx context.Context) error { return w.awaitReady(ctx, w.ProbeURL) }

// Probe returns the status and the body of a probe of the webhook, such as /readyz/cluster.
func (w *Webhook) Probe(ctx context.Context, path string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.ProbeURL+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(text)), err
}

// withDefaults sets the defaults.
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

// freePorts returns different free ports of the loopback interface.
func freePorts(count int) ([]int, error) {
	var (
		ports     []int
		listeners []net.Listener
	)
	// Each one is in use until all are found, so that no port is found twice.
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

// loopback returns the address of a port on this machine.
func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// SkipReviews changes the installed webhooks so that the API server does not call them for users in a group. The group
// then can create a state that the policies deny.
func (e *Environment) SkipReviews(ctx context.Context, group string) error {
	configurations := e.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	configuration, err := configurations.Get(ctx, "bgpguard", metav1.GetOptions{})
	if err != nil {
		return err
	}
	for i := range configuration.Webhooks {
		webhook := &configuration.Webhooks[i]
		webhook.MatchConditions = append(webhook.MatchConditions, admissionregistrationv1.MatchCondition{
			Name: "not-skipped", Expression: fmt.Sprintf("!(%q in request.userInfo.groups)", group),
		})
	}
	_, err = configurations.Update(ctx, configuration, metav1.UpdateOptions{})
	return err
}
