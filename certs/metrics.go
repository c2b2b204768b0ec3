package certs

import (
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"
)

// expiry covers the CA too: when the CA of a valid certificate expires, every request fails, and nothing else would
// announce it.
var expiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "bgpguard_certificate_expiry_timestamp_seconds",
	Help: "Expiry of the serving certificate, or of the CA that signed it, in Unix time.",
}, []string{"certificate"})

// Collectors returns the metrics of this package. They belong to the process, not to a source.
func Collectors() []prometheus.Collector { return []prometheus.Collector{expiry} }

// reportExpiry sets the gauges. An unknown CA has no series, instead of one with an expiry in 1970.
func reportExpiry(serving, ca *x509.Certificate) {
	expiry.WithLabelValues("serving").Set(float64(serving.NotAfter.Unix()))
	if ca == nil {
		expiry.DeleteLabelValues("ca")
		return
	}
	expiry.WithLabelValues("ca").Set(float64(ca.NotAfter.Unix()))
}
