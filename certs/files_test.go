package certs

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	certmetrics "sigs.k8s.io/controller-runtime/pkg/certwatcher/metrics"
)

func TestFiles(t *testing.T) {
	ca, next := newCA(t, epoch), newCA(t, epoch.Add(9*year))
	dir := t.TempDir()
	// write replaces a file atomically, like the kubelet: no reader sees half of it.
	write := func(name string, data []byte) {
		t.Helper()
		temporary := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(temporary, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	firstCert, firstKey := ca.issue(t, epoch)
	write(caName, ca.pem)
	write(keyName, firstKey)
	write(certName, firstCert)

	mgr := newManager(t)
	source := NewSource(Options{Dir: dir})
	if err := source.SetupWithManager(mgr); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	serves := func(cert, key []byte) bool {
		got, err := source.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return sameCertificate(t, got, cert, key)
	}
	if err := source.Check(nil); err != nil {
		t.Error(err)
	}
	if !serves(firstCert, firstKey) {
		t.Error("does not serve the first certificate")
	}
	checkExpiry(t, "first", epoch.Add(year), epoch.Add(10*year))

	before := testutil.ToFloat64(certmetrics.ReadCertificateErrors)
	write(certName, []byte("broken"))
	eventually(t, "the invalid file is detected", func() bool {
		return testutil.ToFloat64(certmetrics.ReadCertificateErrors) > before
	})
	if !serves(firstCert, firstKey) {
		t.Error("does not serve the last good certificate")
	}

	secondCert, secondKey := next.issue(t, epoch.Add(9*year))
	write(caName, next.pem)
	write(keyName, secondKey)
	write(certName, secondCert)
	eventually(t, "the new certificate is served", func() bool { return serves(secondCert, secondKey) })
	eventually(t, "its expiry is reported", func() bool {
		return testutil.ToFloat64(expiry.WithLabelValues("serving")) == float64(epoch.Add(10*year).Unix()) &&
			testutil.ToFloat64(expiry.WithLabelValues("ca")) == float64(epoch.Add(19*year).Unix())
	})
}

func TestFilesWithoutCA(t *testing.T) {
	for name, data := range map[string][]byte{
		"a file that is absent":            nil,
		"a file that holds no certificate": []byte("# none\n"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cert, key := newCA(t, epoch).issue(t, epoch)
			for file, content := range map[string][]byte{certName: cert, keyName: key, caName: data} {
				if content == nil {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			expiry.WithLabelValues("ca").Set(1)
			source := NewSource(Options{Dir: dir})
			if err := source.SetupWithManager(newManager(t)); err != nil {
				t.Fatal(err)
			}
			if err := source.Check(nil); err != nil {
				t.Error(err)
			}
			if got := testutil.CollectAndCount(expiry); got != 1 {
				t.Errorf("%d expiry series, want the one of the serving certificate", got)
			}
		})
	}
}

// eventually waits until the test times out: how fast a change is detected does not matter here.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for !condition() {
		select {
		case <-t.Context().Done():
			t.Fatalf("not seen: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
