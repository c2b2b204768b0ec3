package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bgpguard/bgpguard/pkg/text"
)

const (
	// quarantineFailures and quarantineSpan are the failures in succession, and the least time
	// from the first to the last of them, after which a policy is quarantined. One request
	// evaluates a policy several times, and a machine may be busy for a while.
	quarantineFailures = 5
	quarantineSpan     = 10 * time.Second
	// trialInterval is the time between two evaluations of a quarantined policy.
	trialInterval = time.Minute
	// fairShare is the least CPU time that an evaluation must have used for its end at the
	// deadline to count as a failure of the policy. On a busy machine a policy that needs little
	// passes its deadline too.
	fairShare = 250 * time.Millisecond
)

// ErrQuarantined is wrapped by the errors of a quarantined policy: its evaluations failed so
// often in succession that it is evaluated only once a minute, until an evaluation succeeds.
// Such an error must not deny a change, because it would deny all.
var ErrQuarantined = errors.New("quarantined")

// quarantine counts the failures of a policy in succession. It is safe for concurrent use.
type quarantine struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	since    time.Time // of the first failure
	last     error
	// reason is the error of a quarantined policy, nil if it is not quarantined. trial is the
	// time of its next evaluation.
	reason error
	trial  time.Time
}

func newQuarantine() *quarantine { return &quarantine{now: time.Now} }

// admit returns an error if the policy is quarantined and no evaluation is due.
func (q *quarantine) admit() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.reason == nil {
		return nil
	}
	if now := q.now(); !now.Before(q.trial) {
		q.trial = now.Add(trialInterval)
		return nil
	}
	return q.reason
}

// record records the result of an evaluation that used some CPU time, and returns the error
// to report. The error of a quarantined policy always wraps ErrQuarantined.
func (q *quarantine) record(ctx context.Context, used time.Duration, err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err == nil {
		q.failures, q.reason = 0, nil
		return nil
	}
	starved := ctx.Err() != nil && (used < fairShare || errors.Is(ctx.Err(), context.Canceled))
	if starved || errors.Is(err, errAbandoned) && q.failures == 0 {
		return cmp.Or(q.reason, err) // The policy did not get the time that it needs.
	}
	now := q.now()
	if q.failures == 0 {
		q.since = now
	}
	q.failures++
	q.last = err
	if q.reason == nil && (q.failures < quarantineFailures || now.Sub(q.since) < quarantineSpan) {
		return err
	}
	if q.reason == nil {
		q.trial = now.Add(trialInterval)
	}
	q.reason = fmt.Errorf("%w: the last %s failed, since %s: %w", ErrQuarantined, text.Count(q.failures, "evaluation"), q.since.UTC().Format(time.RFC3339), q.last)
	return q.reason
}

// quarantined returns the reason why the policy is quarantined, nil if it is not.
func (q *quarantine) quarantined() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.reason
}

// Quarantined returns the reason why the policy is quarantined, which wraps ErrQuarantined; nil
// if it is not.
func (p *Policy) Quarantined() error {
	if p.quarantine == nil {
		return nil
	}
	return p.quarantine.quarantined()
}
