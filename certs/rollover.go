package certs

import (
	"crypto/x509"
	"sync/atomic"
	"time"
)

// settleTime is the time between a new CA in the webhook configuration and the first use of its certificate: each API
// server watches the configuration and gets the new one after a different delay.
const settleTime = 5 * time.Second

// rollover decides when the certificate of the Secret replaces the one that is served.
//
// cert-controller writes a new CA and its certificate into the Secret first, and into the webhook configuration
// afterwards. If a replica served the new certificate at once, every review would fail in between, and with
// failurePolicy Fail every BGP change. So a replica keeps its certificate until the configuration trusts the new CA.
// During that time the configuration must trust the old CA as well, for all replicas; see trustKeeper.
//
// consider is called from one goroutine; served may be read from any.
type rollover struct {
	served atomic.Pointer[keyPair]

	// waiting is the pair whose CA is in the configuration since that time.
	waiting *keyPair
	since   time.Time
}

// consider takes the pair of the Secret and the CAs of each webhook in the configuration; trusted is empty if there is
// no configuration, in which case there is no client either. It returns whether the pair is served from now on, and
// otherwise the time after which to call it again, 0 for not before something changed.
func (r *rollover) consider(candidate *keyPair, trusted [][]*x509.Certificate, now time.Time) (bool, time.Duration) {
	served := r.served.Load()
	if candidate.equal(served) {
		r.waiting = nil
		return true, 0
	}
	if !trustedByAll(candidate, trusted) {
		r.waiting = nil
		return false, 0
	}
	// Waiting helps only clients that trust the served certificate and may not trust the new one yet.
	wait := served != nil && trustedByAll(served, trusted) && !candidate.trustedBy(served.ca)
	if wait {
		if !candidate.equal(r.waiting) {
			r.waiting, r.since = candidate, now
		}
		if left := settleTime - now.Sub(r.since); left > 0 {
			return false, left
		}
	}
	r.waiting = nil
	r.served.Store(candidate)
	return true, 0
}

func trustedByAll(pair *keyPair, trusted [][]*x509.Certificate) bool {
	for _, cas := range trusted {
		if !pair.trustedBy(cas...) {
			return false
		}
	}
	return true
}
