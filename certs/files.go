package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// newFromFiles serves tls.crt and tls.key of dir and picks up replaced files. Files that are missing or broken at the
// start are an error at once: a mounted Secret is there before the container, so the directory must be the wrong one.
func newFromFiles(mgr manager.Manager, dir string) (*Source, error) {
	watcher, err := certwatcher.New(filepath.Join(dir, certName), filepath.Join(dir, keyName))
	if err != nil {
		return nil, fmt.Errorf("reading the serving certificate: %w", err)
	}
	log := mgr.GetLogger().WithName("certs").WithValues("dir", dir)
	watcher.RegisterCallback(func(serving tls.Certificate) {
		reportExpiry(serving.Leaf, readCA(log, dir))
	})
	if err := mgr.Add(watcher); err != nil {
		return nil, fmt.Errorf("adding the certificate watcher: %w", err)
	}
	return &Source{current: func() (*tls.Certificate, error) { return watcher.GetCertificate(nil) }}, nil
}

// readCA returns nil where there is no usable ca.crt: it is read for its expiry only, nothing is served from it.
func readCA(log logr.Logger, dir string) *x509.Certificate {
	data, err := os.ReadFile(filepath.Join(dir, caName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		log.Error(err, "Cannot read the CA, its expiry is not reported")
		return nil
	}
	certificates := parseCertificates(data)
	if len(certificates) == 0 {
		log.Info("There is no certificate in the CA file, its expiry is not reported", "file", caName)
		return nil
	}
	return certificates[0]
}
