//go:build system

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/test/tool"
)

const envtestVersion = "1.36.2"

// archive returns an archive of a control plane, as setup-envtest downloads it.
func archive(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	files := tar.NewWriter(zip)
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if err := files.WriteHeader(&tar.Header{Name: "controller-tools/envtest/" + name, Mode: 0o755, Size: int64(len(name)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// server serves an index and the archive. The index has the given checksum.
func server(t *testing.T, archive []byte, checksum string) string {
	t.Helper()
	name := fmt.Sprintf("envtest-v%s-%s-%s.tar.gz", envtestVersion, runtime.GOOS, runtime.GOARCH)
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	mux.HandleFunc("/index.yaml", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "releases:\n  v%s:\n    %s:\n      hash: %s\n      selfLink: %s/%s\n", envtestVersion, name, checksum, s.URL, name)
	})
	mux.HandleFunc("/"+name, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) })
	return s.URL + "/index.yaml"
}

// find runs tools/envtest.sh in a folder, and returns the folder that it prints, and its reasons.
func find(t *testing.T, dir, index string, variables ...string) (folder, reasons string, err error) {
	t.Helper()
	script, err := filepath.Abs("../../tools/envtest.sh")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "sh", script)
	command.Dir, command.Stdout, command.Stderr = dir, &stdout, &stderr
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KUBEBUILDER_ASSETS=") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(append(command.Env, "ENVTEST_INDEX="+index), variables...)
	err = command.Run()
	return strings.TrimSpace(stdout.String()), stderr.String(), err
}

// folder returns a folder with the tools, and without a control plane.
func folder(t *testing.T) string {
	t.Helper()
	program, err := tool.Path("setup-envtest")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(program), filepath.Join(dir, "bin", "tools")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAControlPlaneIsDownloadedAndVerified(t *testing.T) {
	content := archive(t)
	sum := sha512.Sum512(content)
	dir := folder(t)
	found, reasons, err := find(t, dir, server(t, content, hex.EncodeToString(sum[:])))
	if err != nil {
		t.Fatalf("%v: %s", err, reasons)
	}
	if !filepath.IsAbs(found) {
		found = filepath.Join(dir, found)
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if text, err := os.ReadFile(filepath.Join(found, name)); err != nil || string(text) != name {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

func TestAWrongChecksumIsNotUsed(t *testing.T) {
	found, reasons, err := find(t, folder(t), server(t, archive(t), strings.Repeat("0", 128)))
	if err == nil || !strings.Contains(reasons, "no download: ") {
		t.Errorf("it prints %q and %q, %v", found, reasons, err)
	}
}

// A firewall often drops packets: the server answers nothing until the client gives up.
func TestAServerThatDoesNotAnswerIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-ctx.Done():
		}
	}))
	t.Cleanup(func() { cancel(); s.Close() })
	if found, reasons, err := find(t, folder(t), s.URL); err == nil || !strings.Contains(reasons, "no download: ") {
		t.Errorf("it prints %q and %q, %v", found, reasons, err)
	}
}

func TestABuiltControlPlaneIsUsed(t *testing.T) {
	dir := folder(t)
	built := filepath.Join(dir, "bin", "controlplane")
	if err := os.MkdirAll(built, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kubectl"} {
		if err := os.WriteFile(filepath.Join(built, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for want, variables := range map[string][]string{built: nil, "/assets": {"KUBEBUILDER_ASSETS=/assets"}} {
		if found, reasons, err := find(t, dir, "http://127.0.0.1:1/", variables...); err != nil || found != want {
			t.Errorf("it prints %q and %q, %v, want %q", found, reasons, err, want)
		}
	}
}
