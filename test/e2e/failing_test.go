//go:build system

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	namespace = "bgpguard-system"
	leaseName = "bgpguard.policy.bgpguard.io"
	// requestRate is the number of requests a second, at most, of loaders clients.
	requestRate = 50
	loaders     = 4
	// drain is --shutdown-delay.
	drain = 3 * time.Second
	// endpoint is how long a Service has to remove a replica that is not ready.
	endpoint = time.Second
)

// failures is a cluster with two replicas of the webhook behind a balancer, as behind a Service.
type failures struct {
	*cluster
	balancer *env.Proxy
	replicas [2]*env.Webhook
	peers    dynamic.ResourceInterface
	// review is that of a deletion that the policies deny.
	review []byte
}

// TestFailures lets one part after the other fail. A replica whose watch is late is in test/races.
func TestFailures(t *testing.T) {
	t.Parallel()
	f := startFailing(t)
	stale := f.disconnect(t)
	t.Run("a rolling restart loses no request", f.restart)
	t.Run("new certificates and a new CA lose no request", f.certificates)
	t.Run("a replica that is killed loses only requests in flight", f.kill)
	t.Run("at the same time", func(t *testing.T) {
		t.Run("a leader whose Lease is taken stops its work, answers, and leads again", f.loseLease)
		t.Run("a bundle server that hangs", f.hangingBundles)
		t.Run("a disk that cannot hold bundles", f.fullDisk)
	})
	t.Run("etcd does not answer", f.etcd)
	t.Run("the API server is down", f.apiServer)
	t.Run("a replica that no longer reaches the API server reports it and recovers", func(t *testing.T) { stale(t) })
}

func startFailing(t *testing.T) *failures {
	t.Helper()
	f := &failures{cluster: &cluster{Environment: env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV1}}), group: env.GroupV1}}
	nodes := env.Nodes(20)
	for _, node := range nodes[:3] {
		env.RouteReflector("244.0.0.1")(node)
	}
	if err := f.CreateNodes(t.Context(), nodes); err != nil {
		t.Fatal(err)
	}
	f.allowed(t, f.mesh(false), "apply -f -")
	f.allowed(t, f.object("BGPPeer", "workers", `nodeSelector: "!has(route-reflector)", peerSelector: has(route-reflector)`), "apply -f -")
	f.allowed(t, f.object("BGPPeer", "reflectors", reflectors), "apply -f -")
	if err := f.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := rest.CopyConfig(f.Config)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	f.peers = client.Resource(resource("bgppeers"))
	workers, err := f.peers.Get(t.Context(), "workers", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f.review, err = env.DryRunReview("bgppeers", workers, nil); err != nil {
		t.Fatal(err)
	}
	if f.balancer, err = f.Balancer(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.balancer.Close)
	for i := range f.replicas {
		f.replicas[i] = f.replica(t, env.WebhookOptions{Hostname: fmt.Sprintf("replica-%d", i+1)})
	}
	f.useAll()
	f.guards(t)
	return f
}

// replica starts a replica.
func (f *failures) replica(t *testing.T, options env.WebhookOptions) *env.Webhook {
	t.Helper()
	options.Args = append([]string{"--leader-elect", "--audit-delay=200ms", "--shutdown-delay=" + drain.String()}, options.Args...)
	w, err := f.StartWebhook(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// useAll makes the balancer use both replicas.
func (f *failures) useAll() { f.balancer.Use(f.replicas[0].Address(), f.replicas[1].Address()) }

// useOnly makes the balancer use one replica.
func (f *failures) useOnly(i int) { f.balancer.Use(f.replicas[i].Address()) }

// guards waits until kubectl shows that the policies are evaluated.
func (f *failures) guards(t *testing.T) {
	t.Helper()
	var last env.Result
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		last = f.kubectl(t, "", "delete bgppeer workers --dry-run=server")
		if last.ExitCode == 1 && strings.Contains(last.Stderr, `admission webhook "bgp.bgpguard.io" denied the request: [`) {
			return
		}
	}
	t.Fatalf("%s: exit code %d: %s%s", last, last.ExitCode, last.Stdout, last.Stderr)
}

// denies checks that a replica denies the deletion, and still runs.
func (f *failures) denies(t *testing.T, w *env.Webhook) {
	t.Helper()
	answer, err := w.Review(t.Context(), f.review)
	switch {
	case !w.Running():
		t.Fatalf("the process ended; the end of its log:\n%s", w.Log())
	case err != nil:
		t.Error(err)
	case answer.Allowed || answer.Result.Code != http.StatusForbidden:
		t.Errorf("allowed %t with code %d: %s", answer.Allowed, answer.Result.Code, answer.Result.Message)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !condition(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not seen: %s", what)
		}
	}
}

// probes waits for the status of a probe and for a text in its body.
func probes(t *testing.T, w *env.Webhook, path string, status int, text string) {
	t.Helper()
	var code int
	var body string
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if code, body, err = w.Probe(t.Context(), path); code == status && strings.Contains(body, text) {
			return
		}
	}
	t.Fatalf("%s: %d %q, %v, want %d %q; the end of the log:\n%s", path, code, body, err, status, text, w.Log())
}

// load are requests while a part fails.
type load struct {
	limiter *rate.Limiter
	sent    atomic.Int64
	// late are requests that a replica answered with the error that the evaluation took too long. That is so if the machine
	// is busy, whatever fails.
	late atomic.Int64

	mu     sync.Mutex
	failed []failure
}

// failure is a request that got no right answer.
type failure struct {
	began, ended time.Time
	err          error
}

func (l *load) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf("%d of %d requests failed, %d were evaluated too late", len(l.failed), l.sent.Load(), l.late.Load())
	if len(l.failed) == 0 {
		return text
	}
	first, last := l.failed[0], l.failed[len(l.failed)-1]
	return fmt.Sprintf("%s; they failed within %s: %v", text, last.ended.Sub(first.began).Round(time.Millisecond), first.err)
}

// under runs during while clients send requests, and returns what became of them.
func (f *failures) under(t *testing.T, during func()) *load {
	t.Helper()
	l := &load{limiter: rate.NewLimiter(requestRate, 1)}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for loader := range loaders {
		wg.Go(func() {
			for turn := loader; l.limiter.Wait(ctx) == nil; turn++ {
				f.request(t.Context(), l, turn)
			}
		})
	}
	func() {
		defer wg.Wait()
		defer stop()
		during()
	}()
	t.Log(l)
	if l.sent.Load() == 0 {
		t.Error("no request was sent")
	}
	return l
}

// request sends one request: a change that is allowed, or one that is denied.
func (f *failures) request(ctx context.Context, l *load, turn int) {
	began := time.Now()
	var err error
	if turn%2 == 0 {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"example.com/turn":"%d"}},"spec":{"keepOriginalNextHop":%t}}`, turn, turn%4 == 0)
		_, err = f.peers.Patch(ctx, "reflectors", types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	} else {
		err = f.peers.Delete(ctx, "workers", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		switch {
		case err == nil:
			err = errors.New("a change was allowed that the policies deny")
		case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "denied the request: ["):
			err = nil
		}
	}
	l.sent.Add(1)
	switch {
	case err == nil:
	case strings.Contains(err.Error(), "the change could not be evaluated:"):
		l.late.Add(1)
	default:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failed = append(l.failed, failure{began, time.Now(), err})
	}
}

// restart restarts one replica after the other, each while the other one answers.
func (f *failures) restart(t *testing.T) {
	l := f.under(t, func() {
		for i, w := range f.replicas {
			ended := make(chan error, 1)
			go func() { ended <- w.Stop() }()
			time.Sleep(endpoint)
			probes(t, w, "/readyz/shutdown", http.StatusInternalServerError, "shutting down")
			f.useOnly(1 - i)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			f.replicas[i] = f.replica(t, env.WebhookOptions{Hostname: fmt.Sprintf("replica-%d", i+1)})
			f.useAll()
		}
	})
	if len(l.failed) > 0 {
		t.Error(l)
	}
}

// certificates replaces first the certificate and then the CA.
func (f *failures) certificates(t *testing.T) {
	before := f.served(t, f.replicas[0])
	l := f.under(t, func() {
		for _, keys := range []string{
			`{"tls.crt":null,"tls.key":null}`,
			`{"tls.crt":null,"tls.key":null,"ca.crt":null,"ca.key":null}`,
		} {
			f.allowed(t, "", "--namespace="+namespace+` patch secret bgpguard-webhook-cert --type=merge -p {"data":`+keys+`}`)
			eventually(t, "every replica serves another certificate", func() bool {
				return !slices.ContainsFunc(f.replicas[:], func(w *env.Webhook) bool { return f.served(t, w) == before })
			})
			before = f.served(t, f.replicas[0])
		}
	})
	if len(l.failed) > 0 {
		t.Error(l)
	}
	f.balancer.Reset() // The API server connects again.
	f.guards(t)
}

// served returns the certificate that a replica serves. Like an API server, it verifies the certificate with the CAs of
// the webhook configuration.
func (f *failures) served(t *testing.T, w *env.Webhook) string {
	t.Helper()
	configuration, err := f.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(t.Context(), "bgpguard", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(configuration.Webhooks[0].ClientConfig.CABundle)
	connection, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}).DialContext(t.Context(), "tcp", w.Address())
	if err != nil {
		t.Fatalf("the API server would not trust the certificate: %v", err)
	}
	defer connection.Close()
	return string(connection.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw)
}

// kill ends a replica with SIGKILL. The balancer removes it at once.
func (f *failures) kill(t *testing.T) {
	var gone time.Time
	l := f.under(t, func() {
		time.Sleep(endpoint)
		f.replicas[1].Kill()
		f.useOnly(0)
		gone = time.Now()
		time.Sleep(endpoint)
		f.replicas[1] = f.replica(t, env.WebhookOptions{Hostname: "replica-2"})
		f.useAll()
	})
	for _, failed := range l.failed {
		if failed.began.After(gone) {
			t.Errorf("a request failed that began %s after the replica was removed: %v", failed.began.Sub(gone), failed.err)
		}
	}
	if len(l.failed) > loaders {
		t.Errorf("%d requests failed, want at most %d, which can be in flight", len(l.failed), loaders)
	}
}

func (f *failures) lease(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	lease, err := f.Client.CoordinationV1().Leases(namespace).Get(t.Context(), leaseName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// leader waits for a leader among the replicas and returns it.
func (f *failures) leader(t *testing.T) *env.Webhook {
	t.Helper()
	var found *env.Webhook
	eventually(t, "a replica is the leader", func() bool {
		holder, _, _ := strings.Cut(*f.lease(t).Spec.HolderIdentity, "_")
		i := slices.Index([]string{"replica-1", "replica-2"}, holder)
		// After a restart, the Lease may still have the identity of the process before.
		if i < 0 || logged(t, f.replicas[i], gained) <= logged(t, f.replicas[i], lost) {
			return false
		}
		found = f.replicas[i]
		return true
	})
	return found
}

// takeLease makes a stranger the holder of the Lease.
func (f *failures) takeLease(t *testing.T) {
	t.Helper()
	stranger, now := "stranger", metav1.NowMicro()
	eventually(t, "the stranger holds the Lease", func() bool {
		lease := f.lease(t)
		lease.Spec.HolderIdentity, lease.Spec.RenewTime = &stranger, &now
		_, err := f.Client.CoordinationV1().Leases(namespace).Update(t.Context(), lease, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// audited returns the version of the record of audits.
func (f *failures) audited(t *testing.T) string {
	t.Helper()
	record, err := f.Client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "bgpguard-audit", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return record.ResourceVersion
}

const (
	lost   = "This replica is no longer the leader"
	gained = "This replica is the leader"
)

// logged returns how many lines of a replica's log have a text.
func logged(t *testing.T, w *env.Webhook, text string) int {
	t.Helper()
	log, err := os.ReadFile(w.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(log), text)
}

// loseLease takes the Lease while the leader audits one change after the other.
func (f *failures) loseLease(t *testing.T) {
	t.Parallel()
	leader := f.leader(t)
	before := logged(t, leader, lost)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { // Each change alters the result of an audit.
		for turn := 0; ctx.Err() == nil; turn++ {
			if turn%2 == 0 {
				_, _ = f.peers.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": env.GroupV1.APIVersion(), "kind": "BGPPeer", "metadata": map[string]any{"name": "typo"},
					"spec": map[string]any{"nodeSelector": "has(", "peerSelector": "all()"},
				}}, metav1.CreateOptions{})
			} else {
				_ = f.peers.Delete(ctx, "typo", metav1.DeleteOptions{})
			}
			time.Sleep(time.Second)
		}
	})
	record := f.audited(t)
	eventually(t, "the leader audits", func() bool { return f.audited(t) != record })
	f.takeLease(t)
	eventually(t, "the leader stops its work", func() bool { return logged(t, leader, lost) > before })
	record = f.audited(t)
	for range 3 {
		f.takeLease(t) // Renews it.
		f.denies(t, leader)
		time.Sleep(time.Second)
	}
	if f.audited(t) != record {
		t.Error("a replica that is not the leader has written the record of audits")
	}
	next := f.leader(t)
	f.denies(t, leader)
	if next != leader {
		f.denies(t, next)
	}
	eventually(t, "the next leader audits", func() bool { return f.audited(t) != record })
}

// bundle serves a bundle, or hangs.
type bundle struct {
	*httptest.Server
	hangs, asked atomic.Int64
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	content := tarball(t, map[string]string{".manifest": `{"roots": ["policies/serial"]}`, "serial.rego": serialPolicy})
	b := &bundle{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		for b.hangs.Load() > 0 && r.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		_, _ = w.Write(content)
	}))
	t.Cleanup(func() { b.hangs.Store(0); b.CloseClientConnections(); b.Close() })
	return b
}

// tarball returns an archive of files.
func tarball(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for name, content := range files {
		err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))})
		if err == nil {
			_, err = archive.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// follow starts a replica with the bundle, in a configuration with more fields.
func (f *failures) follow(t *testing.T, name string, b *bundle, more, field string) *env.Webhook {
	t.Helper()
	config := filepath.Join(t.TempDir(), "opa.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "%s\nservices: {s: {url: %s, response_header_timeout_seconds: 1}}\n"+
		"bundles: {own: {service: s, resource: a.tar.gz, %s polling: {min_delay_seconds: 1, max_delay_seconds: 1}}}\n", more, b.URL, field), 0o600); err != nil {
		t.Fatal(err)
	}
	w := f.replica(t, env.WebhookOptions{Hostname: name, Starting: true, Args: []string{"--opa-config=" + config}})
	t.Cleanup(func() {
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// hangingBundles starts a replica whose bundle server hangs, at first and later.
func (f *failures) hangingBundles(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.hangs.Store(1)
	w := f.follow(t, "bundle", b, "", "")
	probes(t, w, "/readyz/library", http.StatusInternalServerError, "not ready: still loading bundle own (")
	probes(t, w, "/readyz/cluster", http.StatusOK, "")
	f.denies(t, w)
	b.hangs.Store(0)
	probes(t, w, "/readyz", http.StatusOK, "")
	b.hangs.Store(1)
	asked := b.asked.Load()
	eventually(t, "the replica asks again, and again", func() bool { return b.asked.Load() > asked+1 })
	probes(t, w, "/readyz", http.StatusOK, "")
	f.denies(t, w)
}

// fullDisk starts a replica that cannot write the bundle to its disk.
func (f *failures) fullDisk(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := f.follow(t, "disk", newBundle(t), "persistence_directory: "+file, "persist: true,")
	probes(t, w, "/readyz", http.StatusOK, "")
	eventually(t, "the log has the reason", func() bool { return logged(t, w, "not a directory") > 0 })
	f.denies(t, w)
}

// etcd stops etcd for longer than a leader keeps a Lease that it cannot renew.
func (f *failures) etcd(t *testing.T) {
	leader := f.leader(t)
	losses, terms := logged(t, leader, lost), f.terms(t)
	resume, err := f.Pause(env.Etcd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := resume(); err != nil {
			t.Error(err)
		}
	}()
	stopped := time.Now()
	eventually(t, "the leader stops its work", func() bool {
		for _, w := range f.replicas {
			f.denies(t, w)
			probes(t, w, "/readyz", http.StatusOK, "")
		}
		return logged(t, leader, lost) > losses
	})
	t.Logf("the leader stopped its work %s after etcd stopped", time.Since(stopped).Round(time.Second))
	time.Sleep(time.Until(stopped.Add(30 * time.Second)))
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	resumed := time.Now()
	f.guards(t)
	t.Logf("kubectl was answered %s after etcd continued", time.Since(resumed).Round(100*time.Millisecond))
	eventually(t, "a replica is the leader again", func() bool { return f.terms(t) > terms })
	t.Logf("a replica was the leader again %s after etcd continued", time.Since(resumed).Round(time.Second))
}

// terms returns how many terms the replicas have led.
func (f *failures) terms(t *testing.T) int {
	t.Helper()
	return logged(t, f.replicas[0], gained) + logged(t, f.replicas[1], gained)
}

// apiServer ends the API server and starts a replica while it is down.
func (f *failures) apiServer(t *testing.T) {
	kubeconfig, err := f.ServiceAccountKubeconfig(t.Context(), namespace, "bgpguard")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	w := f.replica(t, env.WebhookOptions{Hostname: "late", Kubeconfig: kubeconfig, Starting: true})
	probes(t, w, "/healthz", http.StatusOK, "ok")
	probes(t, w, "/readyz/apiserver", http.StatusInternalServerError, "not ready: waiting for the API server: ")
	for range 3 {
		for _, w := range f.replicas {
			f.denies(t, w)
			probes(t, w, "/readyz", http.StatusOK, "")
		}
		time.Sleep(time.Second)
	}
	if !w.Running() || logged(t, w, "Waiting for the API server") == 0 {
		t.Errorf("the replica does not wait:\n%s", w.Log())
	}
	if err := f.StartAPIServer(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	if err := w.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the API server was down for %s; a replica that started meanwhile was ready %s later", back.Sub(killed).Round(time.Second), time.Since(back).Round(100*time.Millisecond))
	f.guards(t)
	for _, w := range append(f.replicas[:], w) {
		f.denies(t, w)
	}
	if err := w.Stop(); err != nil {
		t.Error(err)
	}
}

// disconnect starts a third replica and disconnects it from the API server. The returned test checks it later.
func (f *failures) disconnect(t *testing.T) func(*testing.T) {
	t.Helper()
	const maxAge = 3 * time.Minute // As by default.
	server, err := url.Parse(f.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := env.NewProxy(server.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	kubeconfig, err := f.ServiceAccountKubeconfig(t.Context(), namespace, "bgpguard")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range config.Clusters {
		cluster.Server = "https://" + proxy.Address()
	}
	kubeconfig += "-cut"
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	w := f.replica(t, env.WebhookOptions{Hostname: "cut", Kubeconfig: kubeconfig})
	began, end := time.Now(), proxy.Cut()
	t.Cleanup(end)
	return func(t *testing.T) {
		for time.Since(began) < maxAge+5*time.Second { // By then no kind has been confirmed.
			if !w.Running() {
				t.Fatalf("the process ended:\n%s", w.Log())
			}
			time.Sleep(100 * time.Millisecond)
		}
		probes(t, w, "/healthz", http.StatusOK, "")
		probes(t, w, "/readyz/cluster", http.StatusInternalServerError, "stale data: for ")
		f.balancer.Use(w.Address())
		f.balancer.Reset()
		// The API server may use a connection that is closed at this moment.
		want := []string{
			`admission webhook "bgp.bgpguard.io" denied the request: stale data: for `,
			"the API server has sent nothing, limit 3m0s: check that bgpguard can reach it; this replica is not ready: if the error lasts, all replicas are stale\n",
		}
		var got env.Result
		eventually(t, "kubectl shows that the data is stale", func() bool {
			got = f.kubectl(t, "", "delete bgppeer reflectors --dry-run=server")
			return strings.Contains(got.Stderr, want[0])
		})
		t.Log(got.Stderr)
		if got.ExitCode != 1 || !strings.Contains(got.Stderr, want[1]) || strings.Count(got.Stderr, "\n") != 1 {
			t.Errorf("kubectl shows %q", got.Stderr)
		}
		end()
		ended := time.Now()
		probes(t, w, "/readyz", http.StatusOK, "")
		t.Logf("disconnected for %s, ready %s after that", ended.Sub(began).Round(time.Second), time.Since(ended).Round(100*time.Millisecond))
		f.guards(t)
		f.useAll()
		if err := w.Stop(); err != nil {
			t.Error(err)
		}
	}
}
