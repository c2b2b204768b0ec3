package enforce

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// titledModule returns a policy with the given name, whose title is text.
func titledModule(name, text string) string {
	return "# METADATA\n# title: " + text + "\n# custom:\n#   severity: low\n#   judges: state\n#   validationActions: [Deny]\n" +
		"package policies." + name + "\n\nviolation contains {\"id\": \"x\", \"size\": data." + name + ".limit, \"msg\": \"m\"}\n"
}

// tarball returns a bundle with the policy of the given name. It is signed with key unless key
// is "".
func tarball(t *testing.T, name, text, key string) []byte {
	t.Helper()
	b := bundle.Bundle{
		Manifest: bundle.Manifest{Revision: text, Roots: &[]string{"policies/" + name, name}},
		Data:     map[string]any{name: map[string]any{"limit": json.Number("7")}},
		Modules:  []bundle.ModuleFile{{URL: "/" + name + ".rego", Path: "/" + name + ".rego", Raw: []byte(titledModule(name, text))}},
	}
	if key != "" {
		if err := b.GenerateSignature(bundle.NewSigningConfig(key, "HS256", ""), "k", false); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := bundle.NewWriter(&out).DisableFormat(true).Write(b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// follow starts following the sources and returns the first library and those that
// come after it.
func follow(t *testing.T, o SourceOptions) (*Sources, *policy.Library, <-chan *policy.Library) {
	t.Helper()
	libraries := make(chan *policy.Library, 100)
	s, err := NewSources(o, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	s.OnChange(func(l *policy.Library) { libraries <- l })
	first := s.Library()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Start(ctx); err != nil {
			t.Errorf("following: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return s, first, libraries
}

// await waits for a library in which the policy has the title.
func await(t *testing.T, libraries <-chan *policy.Library, name, title string) *policy.Library {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case l := <-libraries:
			if d := l.Definition(name); d != nil && d.Title == title {
				return l
			}
		case <-timeout:
			t.Fatalf("no library with %s %q", name, title)
		}
	}
}

// awaitFailure waits until a source is rejected with an error that contains want.
func awaitFailure(t *testing.T, f *Sources, source, want string) {
	t.Helper()
	var got string
	for range 200 {
		f.mu.Lock()
		if failure := f.failures[source]; failure != nil {
			got = failure.String()
		}
		f.mu.Unlock()
		if strings.Contains(got, want) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("failure of %s is %q, want %q", source, got, want)
}

func TestADirectoryIsReloaded(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.rego")
	write(t, file, titledModule("a", "one"))
	write(t, filepath.Join(dir, "example.yaml"), "not: data")
	f, l, libraries := follow(t, SourceOptions{Paths: []string{dir}})
	if l.Definition("a") == nil || l.Definition("mesh-node-limit") == nil {
		t.Fatal("the first library does not have both")
	}
	write(t, file, "package policies.a\n\nviolation contains")
	awaitFailure(t, f, dir, "rego_parse_error")
	write(t, file, titledModule("a", "two"))
	await(t, libraries, "a", "two")
	if err := f.Check(nil); err != nil {
		t.Errorf("not ready: %v", err)
	}
}

func TestInvalidSourcesAreRejected(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.Mkdir(bad, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(bad, "a.rego"), "package policies.a\n\nx := nothing")
	empty := t.TempDir()
	config := filepath.Join(dir, "opa.yaml")
	write(t, config, "services: {s: {url: https://localhost}}\n")
	for name, c := range map[string]struct {
		o    SourceOptions
		want string
	}{
		"a directory that is not there": {SourceOptions{Paths: []string{"/nowhere"}}, "/nowhere: "},
		"a directory without Rego":      {SourceOptions{Paths: []string{empty}}, empty + ": contains no Rego module"},
		"Rego that does not compile":    {SourceOptions{Paths: []string{bad}}, bad + "/a.rego:3: rego_unsafe_var_error"},
		"no configuration":              {SourceOptions{BundleConfig: "/nowhere"}, "/nowhere: open /nowhere: no such file or directory"},
		"a configuration of no bundles": {SourceOptions{BundleConfig: config}, config + ": bundles: is missing or empty, so nothing would be loaded"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewSources(c.o, logr.Discard()); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("\n got %v\nwant %s...", err, c.want)
			}
		})
	}
}

// server serves bundles, each by its path, over HTTP.
type server struct {
	*httptest.Server
	mu      sync.Mutex
	bundles map[string][]byte
}

func serve(t *testing.T) *server {
	s := &server{bundles: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		content, there := s.bundles[r.URL.Path]
		if !there {
			http.NotFound(w, r)
			return
		}
		etag := fmt.Sprintf("%x", sha256.Sum256(content))
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", etag)
		_, _ = w.Write(content)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) put(path string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bundles[path] = content
}

// often makes OPA poll for new bundles every second.
const often = "polling: {min_delay_seconds: 1, max_delay_seconds: 1}"

func TestBundlesAreReloadedOverHTTP(t *testing.T) {
	s := serve(t)
	s.put("/a.tar.gz", tarball(t, "a", "one", ""))
	config := filepath.Join(t.TempDir(), "opa.yaml")
	write(t, config, "services: {s: {url: "+s.URL+"}}\nbundles:\n"+
		"  first: {service: s, resource: a.tar.gz, "+often+"}\n  second: {service: s, resource: b.tar.gz, "+often+"}\n")
	f, _, libraries := follow(t, SourceOptions{BundleConfig: config})
	await(t, libraries, "a", "one")
	awaitFailure(t, f, "bundle second", "Not Found")
	if err := f.Check(nil); err == nil || !strings.HasPrefix(err.Error(), "not ready: still loading bundle second (") {
		t.Errorf("ready: %v", err)
	}

	s.put("/b.tar.gz", tarball(t, "b", "b", ""))
	await(t, libraries, "b", "b")
	if err := f.Check(nil); err != nil {
		t.Errorf("not ready: %v", err)
	}

	// OPA accepts it, the library rejects it: no METADATA.
	s.put("/a.tar.gz", tarball(t, "a", "\"\"", ""))
	awaitFailure(t, f, "bundle first", "has no METADATA with a title")
	s.put("/a.tar.gz", tarball(t, "a", "two", ""))
	l := await(t, libraries, "a", "two")
	if l.Definition("b") == nil {
		t.Error("the other bundle is gone")
	}
}

func TestSignaturesOfBundlesAreVerified(t *testing.T) {
	s := serve(t)
	config := filepath.Join(t.TempDir(), "opa.yaml")
	write(t, config, "services: {s: {url: "+s.URL+"}}\nkeys: {k: {algorithm: HS256, key: right}}\n"+
		"bundles: {first: {service: s, resource: a.tar.gz, signing: {keyid: k}, "+often+"}}\n")
	s.put("/a.tar.gz", tarball(t, "a", "unsigned", ""))
	f, _, libraries := follow(t, SourceOptions{BundleConfig: config})
	awaitFailure(t, f, "bundle first", "signature")
	s.put("/a.tar.gz", tarball(t, "a", "forged", "wrong"))
	awaitFailure(t, f, "bundle first", "verify")
	s.put("/a.tar.gz", tarball(t, "a", "signed", "right"))
	await(t, libraries, "a", "signed")
}

func TestATarballIsReloaded(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bundle.tar.gz")
	write(t, file, string(tarball(t, "a", "one", "")))
	if _, l, _ := follow(t, SourceOptions{Paths: []string{file}}); l.Definition("a") == nil {
		t.Error("not read as a directory")
	}
	config := filepath.Join(dir, "opa.yaml")
	write(t, config, "bundles: {first: {resource: \"file://"+file+"\"}}\n")
	_, _, libraries := follow(t, SourceOptions{BundleConfig: config})
	await(t, libraries, "a", "one")
}

// registry implements the part of an OCI registry that a pull needs.
func registry(t *testing.T, layer []byte) *httptest.Server {
	digest := func(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
	config := []byte("{}")
	descriptor := func(mediaType string, b []byte) map[string]any {
		return map[string]any{"mediaType": mediaType, "digest": digest(b), "size": len(b)}
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": descriptor("application/vnd.oci.image.config.v1+json", config),
		"layers": []any{descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)},
	})
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string][]byte{digest(config): config, digest(layer): layer, digest(manifest): manifest}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.Path, "/")
		last := parts[len(parts)-1]
		content := blobs[last]
		if strings.Contains(r.URL.Path, "/manifests/") {
			content = manifest
			w.Header().Set("Content-Type", manifestType)
		}
		if content == nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Docker-Content-Digest", digest(content))
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(content)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestABundleIsPulledFromAnOCIRegistry(t *testing.T) {
	s := registry(t, tarball(t, "a", "one", ""))
	dir := t.TempDir()
	config := filepath.Join(dir, "opa.yaml")
	write(t, config, "persistence_directory: "+dir+"\nservices: {s: {url: "+s.URL+", type: oci}}\n"+
		"bundles: {first: {service: s, resource: "+strings.TrimPrefix(s.URL, "http://")+"/policies/a:v1, "+often+"}}\n")
	_, _, libraries := follow(t, SourceOptions{BundleConfig: config})
	await(t, libraries, "a", "one")
}

// bgpguard must start while a bundle server is down.
func TestAPersistedBundleIsUsedWhenItsServerIsDown(t *testing.T) {
	s := serve(t)
	s.put("/a.tar.gz", tarball(t, "a", "one", ""))
	dir := t.TempDir()
	config := filepath.Join(dir, "opa.yaml")
	write(t, config, "persistence_directory: "+dir+"\nservices: {s: {url: "+s.URL+"}}\n"+
		"bundles: {first: {service: s, resource: a.tar.gz, persist: true, "+often+"}}\n")
	_, _, libraries := follow(t, SourceOptions{BundleConfig: config})
	await(t, libraries, "a", "one")
	s.Close()
	f, _, libraries := follow(t, SourceOptions{BundleConfig: config})
	await(t, libraries, "a", "one")
	if err := f.Check(nil); err != nil {
		t.Errorf("not ready: %v", err)
	}
}

// A disk that is full, or read-only, keeps no bundle from being used.
func TestABundleThatCannotBePersistedIsUsed(t *testing.T) {
	s := serve(t)
	s.put("/a.tar.gz", tarball(t, "a", "one", ""))
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "not a directory")
	config := filepath.Join(t.TempDir(), "opa.yaml")
	write(t, config, "persistence_directory: "+file+"\nservices: {s: {url: "+s.URL+"}}\n"+
		"bundles: {first: {service: s, resource: a.tar.gz, persist: true, "+often+"}}\n")
	f, _, libraries := follow(t, SourceOptions{BundleConfig: config})
	await(t, libraries, "a", "one")
	awaitFailure(t, f, "bundle first", "not a directory")
	if err := f.Check(nil); err != nil {
		t.Errorf("not ready: %v", err)
	}
	s.put("/a.tar.gz", tarball(t, "a", "two", ""))
	await(t, libraries, "a", "two")
}
