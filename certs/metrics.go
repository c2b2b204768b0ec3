package certs

import (
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"
)

// expiry covers the CA as well as the certificate, because a CA that expires under a valid certificate fails every
// request and nothing else would announce it.
var expiry = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "bgpguard_certificate_expiry_timestamp_seconds",
	Help: "Unix time at which the serving certificate, or the CA that signed it, expires.",
}, []string{"certificate"})

// Collectors returns the metrics of this package. They are the process's and not a source's.
func Collectors() []prometheus.Collector { return []prometheus.Collector{expiry} }

// reportExpiry sets the gauges. A CA that isn't known has no series, rather than one that says it expired in 1970.
func reportExpiry(serving, ca *x509.Certificate) {
	expiry.WithLabelValues("serving").Set(float64(serving.NotAfter.Unix()))
	if ca == nil {
		expiry.DeleteLabelValues("ca")
		return
	}
	expiry.WithLabelValues("ca").Set(float64(ca.NotAfter.Unix()))
}
