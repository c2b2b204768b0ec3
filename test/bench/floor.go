package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/test/env"
)

// floorArgument makes this program run as the floor. The next argument is the folder with the certificate and a file with
// the port.
const floorArgument = "serve-floor"

const (
	portFile = "port"
	certFile = "tls.crt"
	keyFile  = "tls.key"
	// floorTimeout bounds the start and the end of the floor.
	floorTimeout = 10 * time.Second
)

// serveFloor allows every change until standard input is closed, which happens however the parent ends.
func serveFloor(dir string) error {
	ctrllog.SetLogger(logr.Discard())
	text, err := fs.ReadFile(os.DirFS(dir), portFile)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel()
		// An error is an end as well.
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: dir})
	server.Register("/validate", &admission.Webhook{
		Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") }),
	})
	return server.Start(ctx)
}

// identity is the serving certificate of bgpguard. The floor uses it too, so that TLS costs both the same.
type identity struct{ ca, certificate, key []byte }

func readIdentity(ctx context.Context, e *env.Environment) (identity, error) {
	secret, err := e.Client.CoreV1().Secrets("bgpguard-system").Get(ctx, "bgpguard-webhook-cert", metav1.GetOptions{})
	if err != nil {
		return identity{}, err
	}
	return identity{ca: secret.Data["ca.crt"], certificate: secret.Data[certFile], key: secret.Data[keyFile]}, nil
}

// floor is the running floor process.
type floor struct {
	url string
	pid int

	dir     string
	command *exec.Cmd
	stdin   io.Closer
	exited  chan error
}

func startFloor(ctx context.Context, id identity) (*floor, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bgpguard-floor-")
	if err != nil {
		return nil, err
	}
	f := &floor{
		url: fmt.Sprintf("https://localhost:%d/validate", port), dir: dir,
		command: exec.Command(program, floorArgument, dir), exited: make(chan error, 1),
	}
	if err := f.start(ctx, id, port); err != nil {
		return nil, errors.Join(err, f.stop())
	}
	return f, nil
}

func (f *floor) start(ctx context.Context, id identity, port int) error {
	for name, content := range map[string][]byte{portFile: []byte(strconv.Itoa(port)), certFile: id.certificate, keyFile: id.key} {
		if err := os.WriteFile(filepath.Join(f.dir, name), content, 0o600); err != nil {
			return err
		}
	}
	stdin, err := f.command.StdinPipe()
	if err != nil {
		return err
	}
	f.command.Stderr = os.Stderr
	if err := f.command.Start(); err != nil {
		return err
	}
	f.stdin, f.pid = stdin, f.command.Process.Pid
	go func() { f.exited <- f.command.Wait() }()
	return awaitTLS(ctx, id.ca, port)
}

// awaitTLS waits until the port answers with a certificate of the CA.
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
			return fmt.Errorf("the floor does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the process, if it was started, and removes its files.
func (f *floor) stop() error {
	var problems []error
	if f.stdin != nil {
		problems = append(problems, f.stdin.Close())
		select {
		case err := <-f.exited:
			problems = append(problems, err)
		case <-time.After(floorTimeout):
			problems = append(problems, errors.New("the floor did not end and is killed"), f.command.Process.Kill())
		}
	}
	return errors.Join(append(problems, os.RemoveAll(f.dir))...)
}

// freePort returns a port that nothing listens on.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}
