package certs

import (
	"crypto/x509"
	"sync/atomic"
	"time"
)

// settleTime is how long a new CA stands in the webhook configuration before a certificate of it is served: API servers
// learn of a changed configuration by watch, each in its own time.
const settleTime = 5 * time.Second

// rollover decides when a certificate from the Secret takes the place of the one that is served.
//
// cert-controller puts a new CA and a certificate of it into the Secret first and tells the webhook configuration
// afterwards. Serving the new one at once would make every review fail in between, and with failurePolicy Fail that
// means every BGP change. So a replica keeps what it serves until the configuration trusts the new CA. Until then
// the old CA must be trusted too, on every replica; trustKeeper sees to that.
//
// consider is called from one goroutine; served may be read from any.
type rollover struct {
	served atomic.Pointer[keyPair]

	// waiting is the pair that the API servers are still getting to know, since that time.
	waiting *keyPair
	since   time.Time
}

// consider looks at the pair in the Secret and at the CAs that each of the webhook configuration's clients trusts (none,
// if there is no such configuration: then there is nobody to fail). It returns whether the pair is now served, or
// else after which time to ask again; zero means that asking again helps only once something has changed.
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
	// There is a reason to wait only if those who don't know the new CA yet are served by waiting.
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
