package certs

import (
	"crypto/x509"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// expiry covers the CA as well as the certificate, because a CA that expires under a valid certificate fails every
// request and nothing else would announce it.
var expiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "bgpguard_certificate_expiry_timestamp_seconds",
	Help: "Unix time at which the serving certificate, or the CA that signed it, expires.",
}, []string{"certificate"})

// registerMetrics may be called more than once: a test runs several replicas in one process.
func registerMetrics() error {
	err := metrics.Registry.Register(expiry)
	if registered := (prometheus.AlreadyRegisteredError{}); errors.As(err, &registered) {
		return nil
	}
	return err
}

// reportExpiry sets the gauges. A CA that isn't known has no series, rather than one that says it expired in 1970.
func reportExpiry(serving, ca *x509.Certificate) {
	expiry.WithLabelValues("serving").Set(float64(serving.NotAfter.Unix()))
	if ca == nil {
		expiry.DeleteLabelValues("ca")
		return
	}
	expiry.WithLabelValues("ca").Set(float64(ca.NotAfter.Unix()))
}
