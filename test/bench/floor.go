package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/test/env"
)

// floorArgument makes this program run as the floor. The next arguments are the directory of the certificate, the port and a
// kubeconfig.
const floorArgument = "serve-floor"

// The paths of the floor: one allows at once, and one first writes a ConfigMap, as a webhook must that shares what it
// has allowed with its replicas through the API server.
const (
	allowPath = "/allow"
	writePath = "/write"
)

const (
	certFile = "tls.crt"
	keyFile  = "tls.key"
	// floorTimeout is the time limit for the start of the floor.
	floorTimeout = 10 * time.Second
)

// serveFloor allows every change until SIGTERM.
func serveFloor(dir, port, kubeconfig string) error {
	ctrllog.SetLogger(logr.Discard())
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	writer, err := newWriter(ctx, kubeconfig)
	if err != nil {
		return err
	}
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: number, CertDir: dir})
	server.Register(allowPath, &admission.Webhook{
		Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") }),
	})
	server.Register(writePath, &admission.Webhook{Handler: writer})
	return server.Start(ctx)
}

// writer allows a change after it has written its object to a ConfigMap.
type writer struct {
	configMaps typedcorev1.ConfigMapInterface

	mu      sync.Mutex
	current *corev1.ConfigMap
}

func newWriter(ctx context.Context, kubeconfig string) (*writer, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	w := &writer{configMaps: client.CoreV1().ConfigMaps(metav1.NamespaceDefault)}
	w.current, err = w.configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "floor"}}, metav1.CreateOptions{})
	return w, err
}

// Handle implements admission.Handler. The version of the ConfigMap is the precondition of the write.
func (w *writer) Handle(ctx context.Context, request admission.Request) admission.Response {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.current.DeepCopy()
	next.Data = map[string]string{"record": string(request.UID) + string(request.Object.Raw)}
	written, err := w.configMaps.Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return admission.Errored(500, err)
	}
	w.current = written
	return admission.Allowed("")
}

// identity is the serving certificate of bgpguard. The floor uses it too, so that TLS costs both the same.
type identity struct{ ca, certificate, key []byte }

func readIdentity(ctx context.Context, e *env.Environment) (identity, error) {
	secret, err := e.Client.CoreV1().Secrets(namespace).Get(ctx, "bgpguard-webhook-cert", metav1.GetOptions{})
	if err != nil {
		return identity{}, err
	}
	return identity{ca: secret.Data["ca.crt"], certificate: secret.Data[certFile], key: secret.Data[keyFile]}, nil
}

// write writes the certificate into a new directory below dir, and returns its path.
func (id identity) write(dir string) (string, error) {
	dir, err := os.MkdirTemp(dir, "certificate-")
	if err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{certFile: id.certificate, keyFile: id.key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// floor is the running floor.
type floor struct {
	*env.Process

	allow, write *target
}

// startFloor starts the floor. The caller must stop it.
func startFloor(ctx context.Context, e *env.Environment, id identity) (*floor, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := id.write(e.Dir)
	if err != nil {
		return nil, err
	}
	f := &floor{}
	for path, to := range map[string]**target{allowPath: &f.allow, writePath: &f.write} {
		if *to, err = newTarget(fmt.Sprintf("https://localhost:%d%s", port, path), id.ca, func(question) bool { return true }); err != nil {
			return nil, err
		}
	}
	if f.Process, err = env.Launch(e.Dir, "floor", exec.Command(program, floorArgument, dir, strconv.Itoa(port), e.Admin.Kubeconfig)); err != nil {
		return nil, err
	}
	if err := awaitTLS(ctx, id.ca, port); err != nil {
		return nil, errors.Join(fmt.Errorf("the floor does not answer: %w; the end of its log:\n%s", err, f.Log()), f.Stop())
	}
	return f, nil
}

// awaitTLS waits until a port of this machine answers with a certificate of the CA.
func awaitTLS(ctx context.Context, ca []byte, port int) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS13}}
	ctx, cancel := context.WithTimeout(ctx, floorTimeout)
	defer cancel()
	for {
		connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return connection.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePort returns a port that nothing listens on.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// freePorts returns several ports that nothing listens on.
func freePorts(count int) (ports []int, err error) {
	ports = make([]int, count)
	for i := range ports {
		if ports[i], err = freePort(); err != nil {
			return nil, err
		}
	}
	return ports, nil
}
