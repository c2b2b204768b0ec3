package auditor

import (
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// An audit whose results differ from those of the audit before is written to several
// objects of the API server. changesBurst such audits may follow each other at any rate;
// then there is one in each changesInterval.
const (
	changesBurst    = 60
	changesInterval = 30 * time.Second
)

// throttle delays audits while their results keep changing.
type throttle struct {
	limiter *rate.Limiter
	// delay is how long after a change of the state the next audit has to wait.
	delay time.Duration
}

func newThrottle() *throttle {
	return &throttle{limiter: rate.NewLimiter(rate.Every(changesInterval), changesBurst)}
}

// add counts an audit, and sets the delay of the next one. changed reports that its results
// differ from those of the audit before.
func (t *throttle) add(now time.Time, changed bool) {
	t.delay = 0
	if !changed {
		return
	}
	one := t.limiter.ReserveN(now, 1)
	t.delay = one.DelayFrom(now)
	if t.delay > changesInterval { // Audits that are repeated after an error do not wait.
		t.delay = changesInterval
		one.CancelAt(now)
	}
}

// sameResults reports whether two audits have the same results, as far as they are
// written; a may be nil.
func sameResults(a, b *audit.Audit) bool {
	return a != nil && slices.Equal(a.Failures, b.Failures) && slices.EqualFunc(a.Violations, b.Violations, func(v, w audit.Violation) bool {
		return v.Policy == w.Policy && v.ID == w.ID && v.Size == w.Size && v.Message == w.Message
	})
}
