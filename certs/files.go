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

// setupFiles serves tls.crt and tls.key of dir and reloads them when they are replaced. Files that are missing or
// invalid at the start are an error: a Secret is mounted before the container starts, so the directory is wrong.
func setupFiles(mgr manager.Manager, dir string) (func() (*tls.Certificate, error), error) {
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
	return func() (*tls.Certificate, error) { return watcher.GetCertificate(nil) }, nil
}

// readCA returns nil where there is no valid ca.crt. Only its expiry is reported, it is not served.
func readCA(log logr.Logger, dir string) *x509.Certificate {
	data, err := os.ReadFile(filepath.Join(dir, caName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		log.Error(err, "Cannot read the CA certificate, its expiry is not reported")
		return nil
	}
	certificates := parseCertificates(data)
	if len(certificates) == 0 {
		log.Info("The CA file contains no certificate, its expiry is not reported", "file", caName)
		return nil
	}
	return certificates[0]
}
