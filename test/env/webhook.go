package env

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// readyTimeout is how long a webhook may take to make its certificate and to fill its caches.
	readyTimeout = time.Minute
	// drainTimeout is how long a webhook may take to answer what it is at before it is killed.
	drainTimeout = 20 * time.Second
	pollInterval = 20 * time.Millisecond
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
	// URL is where it answers AdmissionReviews.
	URL string
	// MetricsURL is where it serves its metrics, to those who may read them.
	MetricsURL string
	// LogFile receives all that it prints.
	LogFile string
	// Pid is its process.
	Pid int

	command *exec.Cmd
	exited  chan struct{} // closed when the process has ended; exit is set by then
	exit    error
	killed  bool
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

	webhook, err := e.launch(options, append(args, options.Args...))
	if err != nil {
		return nil, err
	}
	webhook.URL = fmt.Sprintf("https://localhost:%d/validate", port)
	webhook.MetricsURL = "https://" + metrics + "/metrics"
	if err := webhook.waitReady(ctx, "http://"+health+"/readyz"); err != nil {
		// The error has the log already, and how the process ended where it did by itself.
		_ = webhook.Stop()
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.webhooks = append(e.webhooks, webhook)
	return webhook, nil
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

// launch starts the process, with a log file of its own.
func (e *Environment) launch(options WebhookOptions, args []string) (*Webhook, error) {
	log, err := os.CreateTemp(e.Dir, "webhook-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close() // The child has its own handle.

	webhook := &Webhook{LogFile: log.Name(), command: exec.Command(options.Binary, args...), exited: make(chan struct{})}
	webhook.command.Env = environment()
	if options.Hostname != "" {
		webhook.command.Env = append(webhook.command.Env, "HOSTNAME="+options.Hostname)
	}
	webhook.command.Stdout, webhook.command.Stderr = log, log
	// In a process group of its own, so that an interrupt typed at the terminal ends the webhook through Stop, like
	// the rest of the environment, and not at the same moment as the test or the demo that needs it.
	webhook.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := webhook.command.Start(); err != nil {
		return nil, err
	}
	webhook.Pid = webhook.command.Process.Pid
	go func() {
		webhook.exit = webhook.command.Wait()
		close(webhook.exited)
	}()
	return webhook, nil
}

// waitReady waits until the readiness probe succeeds.
func (w *Webhook) waitReady(ctx context.Context, probe string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		last := get(ctx, probe)
		if last == nil {
			return nil
		}
		select {
		case <-w.exited:
			return fmt.Errorf("the webhook ended before it was ready (%s); the end of its log:\n%s", w.command.ProcessState, w.Log())
		case <-ctx.Done():
			return fmt.Errorf("the webhook did not become ready: %w (%w); the end of its log:\n%s", ctx.Err(), last, w.Log())
		case <-ticker.C:
		}
	}
}

// get is nil when the URL answers with 200.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// Log is the end of what the webhook printed.
func (w *Webhook) Log() string {
	return tail(w.LogFile)
}

// Kill ends the webhook as the kernel would that is short of memory: at once, in the middle of whatever it is at.
func (w *Webhook) Kill() {
	w.killed = true
	_ = w.command.Process.Kill() // It may have ended by itself at any moment.
	<-w.exited
}

// Stop asks the webhook to end, waits until it has, and reports how it ended where that was not in order. It may
// be called more than once, and of one that was killed it reports nothing.
func (w *Webhook) Stop() error {
	if w.killed {
		return nil
	}
	// The process may have ended by itself at any moment: an error here says no more than that.
	_ = w.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.exited:
	case <-time.After(drainTimeout):
		_ = w.command.Process.Kill()
		<-w.exited
		return fmt.Errorf("the webhook did not end within %s of SIGTERM and was killed; the end of its log:\n%s",
			drainTimeout, w.Log())
	}
	if w.exit != nil {
		return fmt.Errorf("the webhook: %w; the end of its log:\n%s", w.exit, w.Log())
	}
	return nil
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
