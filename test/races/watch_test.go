//go:build system

package races

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// lateWatch is an HTTPS proxy in front of the API server that delays the events of watches, and nothing else.
type lateWatch struct {
	server *httptest.Server

	mu      sync.Mutex
	late    time.Duration
	changed chan struct{}
}

func newLateWatch(config *rest.Config) (*lateWatch, error) {
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	// The replica's token is in the requests.
	transport, err := rest.TransportFor(&rest.Config{Host: config.Host, TLSClientConfig: rest.TLSClientConfig{CAData: config.CAData}})
	if err != nil {
		return nil, err
	}
	w := &lateWatch{changed: make(chan struct{})}
	w.server = httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // Each event is sent at once.
		ModifyResponse: func(response *http.Response) error {
			if response.Request.URL.Query().Get("watch") == "true" {
				response.Body = w.hold(response.Body)
			}
			return nil
		},
	})
	w.server.EnableHTTP2 = true
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0) // A replica that ends closes its connections at any moment.
	w.server.StartTLS()
	return w, nil
}

func (w *lateWatch) close() {
	w.server.CloseClientConnections()
	w.server.Close()
}

// kubeconfig writes a kubeconfig with the credentials of another one that leads to the proxy, and returns its path.
func (w *lateWatch) kubeconfig(path string) (string, error) {
	config, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return "", err
	}
	for _, cluster := range config.Clusters {
		cluster.Server, cluster.CertificateAuthorityData = w.server.URL, certificate(w.server.Certificate())
	}
	path += "-late"
	return path, clientcmd.WriteToFile(*config, path)
}

func certificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// delay sets the time between an event and the moment when the replica receives it. It holds for events that are on
// their way as well: with 0, the replica receives all of them now.
func (w *lateWatch) delay(late time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = late
	close(w.changed)
	w.changed = make(chan struct{})
}

// wait returns when the delay of an event is over, or when done is closed.
func (w *lateWatch) wait(arrived time.Time, done <-chan struct{}) {
	for {
		w.mu.Lock()
		left, changed := w.late-time.Since(arrived), w.changed
		w.mu.Unlock()
		if left <= 0 {
			return
		}
		select {
		case <-time.After(left):
		case <-changed:
		case <-done:
			return
		}
	}
}

// heldBody is the body of a watch. It returns the bytes in order, each after the delay.
type heldBody struct {
	watch  *lateWatch
	source io.ReadCloser
	pieces chan piece
	rest   []byte
	done   chan struct{}
	once   sync.Once
}

// piece are bytes of a watch, or its end.
type piece struct {
	bytes   []byte
	err     error
	arrived time.Time
}

func (w *lateWatch) hold(source io.ReadCloser) io.ReadCloser {
	// The buffer holds more events than occur during the delay.
	b := &heldBody{watch: w, source: source, pieces: make(chan piece, 1<<10), done: make(chan struct{})}
	go b.receive()
	return b
}

func (b *heldBody) receive() {
	for {
		buffer := make([]byte, 32<<10)
		n, err := b.source.Read(buffer)
		select {
		case b.pieces <- piece{buffer[:n], err, time.Now()}:
		case <-b.done:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (b *heldBody) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		select {
		case next := <-b.pieces:
			b.watch.wait(next.arrived, b.done)
			if b.rest = next.bytes; len(b.rest) == 0 && next.err != nil {
				return 0, next.err
			}
			if next.err != nil {
				b.pieces <- piece{nil, next.err, next.arrived}
			}
		case <-b.done:
			return 0, errors.New("the watch is closed")
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (b *heldBody) Close() error {
	b.once.Do(func() { close(b.done) })
	return b.source.Close()
}
