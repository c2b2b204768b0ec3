// Package auditor audits the state of a cluster continuously: on one replica, the
// elected one, it judges each new state by the policies in force, follows what it
// finds over time, and tells it where people look. It stands beside pkg/admission,
// and asks the same engine.
package auditor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

const (
	// auditLimit bounds one audit. Most of it was computed for requests already, and
	// otherwise it takes much less at any size of cluster.
	auditLimit = 30 * time.Second
	// tellLimit bounds what is written after one.
	tellLimit = 30 * time.Second
	// unknownRetry is how soon the state is looked at again where it was not known.
	unknownRetry = time.Second
	// failedRetry is how soon what failed is tried again, where nothing else happens.
	failedRetry = 10 * time.Second
	// newsBurst audits may find something else than the one before, at any time, and
	// then one in each newsInterval: what they find is written, and what comes and goes
	// all the time would be a burden for the API server.
	newsBurst    = 60
	newsInterval = 30 * time.Second
)

// Cluster tells the state as it is, and how old it is. An error says that it, or by
// what to judge it, is not known yet.
type Cluster interface {
	Snapshot() (*state.Snapshot, time.Duration, error)
}

// Publisher tells what an audit found, on the elected replica. What it is given must
// not be changed. One that fails is called again, with the same audit or a later one.
type Publisher interface {
	Publish(ctx context.Context, a *audit.Audit) error
}

// Reference names an object as Events do; false where Events cannot be about it.
type Reference func(ctx context.Context, kind calico.Kind, name string) (corev1.ObjectReference, bool)

// Options say how an Auditor works.
type Options struct {
	// Delay is how long after a change the state is audited, so that what changes
	// at once is one audit; it is longer while what is found changes all the time.
	// Interval is how long it is not audited at the most.
	Delay, Interval time.Duration
	// Namespace is the one of bgpguard's own objects.
	Namespace string
	// Replica names this process.
	Replica string
	// Reference names objects for Events.
	Reference Reference
	// Notes say what of the state is not known.
	Notes func() []string
	// Publishers are told of each audit, in this order.
	Publishers []Publisher
}

// Auditor audits a cluster. It is a manager.Runnable on every replica: those that
// are not elected remember how the state was, so that the next that is can go on
// where the last one ended.
type Auditor struct {
	engine     *validate.Engine
	cluster    Cluster
	options    Options
	elected    <-chan struct{}
	log        logr.Logger
	now        func() time.Time
	news       chan struct{}
	latest     atomic.Pointer[audit.Audit]
	store      *store
	events     *events
	exemptions *Exemptions

	// What follows is only for the goroutine of Start.
	leads  bool
	loaded bool
	past   past
	// policies are those that latest was judged by, and failed says that it has to
	// be judged again in any case.
	policies *policy.Set
	failed   bool
	// record is what is to be known of the audits so far, with the notices that are
	// not sent yet.
	record record
	// pace allows audits to find something else than the one before, and hold is how
	// long after a change the next audit has to wait for that.
	pace *rate.Limiter
	hold time.Duration
	// unpublished says that latest has not reached every publisher.
	unpublished bool
	// said is the last error in the log.
	said string
}

// New returns an auditor that judges by engine, and knows from exemptions who made
// changes past policies; the caller adds both to the manager, whose scheme must know
// ConfigMaps and Events.
func New(mgr manager.Manager, engine *validate.Engine, cluster Cluster, exemptions *Exemptions, o Options, log logr.Logger) *Auditor {
	return &Auditor{
		engine: engine, cluster: cluster, options: o, elected: mgr.Elected(), log: log, now: time.Now, news: make(chan struct{}, 1),
		store:      &store{reader: mgr.GetAPIReader(), writer: mgr.GetClient(), namespace: o.Namespace, interval: o.Interval, log: log},
		events:     &events{writer: mgr.GetClient(), reference: o.Reference, replica: o.Replica, log: log},
		exemptions: exemptions, pace: newPace(),
	}
}

func newPace() *rate.Limiter { return rate.NewLimiter(rate.Every(newsInterval), newsBurst) }

// NeedLeaderElection tells the manager that every replica follows the state.
func (a *Auditor) NeedLeaderElection() bool { return false }

// Notify has the state audited, soon: it or the policies changed. It never blocks.
func (a *Auditor) Notify() {
	select {
	case a.news <- struct{}{}:
	default: // An audit that is still to come covers this.
	}
}

// Latest returns the last audit, nil where there was none or this replica is not the
// elected one. It must not be changed.
func (a *Auditor) Latest() *audit.Audit { return a.latest.Load() }

// Counts returns how many violations each policy found in the last audit, by the name
// of the BGPPolicy, and when that was. Policies that judge changes, or could not judge,
// are left out; nil says that there is no audit yet.
func (a *Auditor) Counts() (counts map[string]int32, at time.Time) {
	latest := a.Latest()
	if latest == nil {
		return nil, time.Time{}
	}
	counts = map[string]int32{}
	for _, p := range latest.Policies {
		if p.Judges == policy.JudgesState {
			counts[p.Name] = int32(p.Violations)
		}
	}
	for _, f := range latest.Failures {
		delete(counts, f.Policy)
	}
	return counts, latest.Time
}

// Start audits until ctx is done.
func (a *Auditor) Start(ctx context.Context) error {
	defer clearGauges()
	elected := a.elected
	wait := time.Duration(0)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-elected:
			a.leads, elected = true, nil
		case <-a.news:
			pause(ctx, max(a.options.Delay, a.hold))
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-a.news: // What has come meanwhile is covered.
		default:
		}
		wait = a.turn(ctx)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// turn looks at the state once, and returns when to do so again where nobody notifies.
// What panics ends the turn, and not the process, which answers requests too.
func (a *Auditor) turn(ctx context.Context) (again time.Duration) {
	defer func() {
		if r := recover(); r != nil {
			auditErrors.Inc()
			a.failed, again = true, failedRetry
			a.sayError(fmt.Errorf("it panicked: %v", r), "Cannot audit the state", "stack", string(debug.Stack()))
		}
	}()
	snapshot, _, err := a.cluster.Snapshot()
	if err != nil { // Readiness says why.
		return unknownRetry
	}
	// Without what JSON does not keep, so that a time that was read back is equal.
	now := a.now().UTC().Truncate(time.Millisecond)
	if !a.leads {
		a.past.add(now, snapshot)
		return a.options.Interval
	}
	return a.lead(ctx, now, snapshot)
}

// lead audits the state where it changed or was not audited for long, and tells what
// has not been told yet.
func (a *Auditor) lead(ctx context.Context, now time.Time, snapshot *state.Snapshot) (again time.Duration) {
	if !a.loaded {
		if err := a.load(ctx); err != nil {
			a.sayError(err, "Cannot read what the last audit found, so there is none yet; trying again")
			return failedRetry
		}
		a.loaded = true
	}
	set, latest := a.engine.Policies(), a.Latest()
	if a.failed || latest == nil || latest.Snapshot != snapshot || a.policies != set || now.Sub(latest.Time) >= a.options.Interval {
		if err := a.audit(ctx, now, snapshot, set); err != nil && ctx.Err() == nil {
			auditErrors.Inc()
			a.failed = true
			a.sayError(err, "Cannot audit the state, trying again")
			return failedRetry
		}
	} else {
		a.past.add(now, snapshot)
	}
	if ctx.Err() != nil {
		return 0
	}
	if err := a.tell(ctx); err != nil {
		auditErrors.Inc()
		a.sayError(err, "Cannot tell all that the audit found, trying again")
		return failedRetry
	}
	if a.failed {
		return failedRetry
	}
	a.said = ""
	return max(0, a.options.Interval-a.now().Sub(a.Latest().Time))
}

// load takes over from the replica that audited before.
func (a *Auditor) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	r, err := a.store.read(ctx)
	if err != nil {
		return err
	}
	a.record = r
	return nil
}

// audit judges the state and follows what it finds. An error means that there was no
// time for it.
func (a *Auditor) audit(ctx context.Context, now time.Time, snapshot *state.Snapshot, set *policy.Set) error {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, auditLimit)
	defer cancel()
	before := a.record.Trail
	step := audit.Step{}
	if before != nil {
		step.Before = a.past.at(before.Time)
		step.Exempted = a.exemptions.since(before.Time)
	}
	found, err := audit.Run(limited, a.engine, snapshot, audit.Options{Time: now, Notes: a.options.Notes()})
	if err != nil {
		return err
	}
	// An engine of its own: that of the requests would forget the state as it is for
	// the states that are looked at here, and this one is not to remember any.
	trail, err := before.Follow(limited, found, validate.NewEngine(set), step)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // What was stopped half-way says nothing.
	}
	a.past.add(now, snapshot)
	news := noticesOf(found, before, a.record.Omitted > 0)
	a.record = record{Trail: trail, Notices: append(a.record.Notices, boundNotices(news)...)}
	a.record.fit(len(found.Violations))
	a.policies, a.failed, a.unpublished = set, false, true
	a.hold = 0
	if !sameFound(a.Latest(), found) {
		one := a.pace.ReserveN(now, 1)
		if a.hold = one.DelayFrom(now); a.hold > newsInterval { // It was not waited for, as what fails is tried again.
			a.hold = newsInterval
			one.CancelAt(now)
		}
	}
	a.latest.Store(found)
	setGauges(found, time.Since(began))
	countNotices(news)
	a.logNotices(news)
	if a.record.Omitted > 0 {
		a.log.Info("There are more violations than can be followed, so new ones are not told one by one", "followed", len(a.record.Trail.Violations), "omitted", a.record.Omitted)
	}
	return nil
}

// sameFound reports whether two audits found the same, as far as that is written.
func sameFound(a, b *audit.Audit) bool {
	return a != nil && slices.Equal(a.Failures, b.Failures) && slices.EqualFunc(a.Violations, b.Violations, func(v, w audit.Violation) bool {
		return v.Policy == w.Policy && v.ID == w.ID && v.Size == w.Size && v.Message == w.Message
	})
}

// tell writes what is to be known of the audits so far, sends what is news and then
// publishes the audit. In this order nothing is told twice, and nothing is lost, where
// the process ends in between: the next one finds the news that it has to send, under
// the same names. What cannot be written is not sent.
func (a *Auditor) tell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	other, err := a.store.write(ctx, &a.record, a.Latest().Snapshot)
	switch {
	case err != nil:
		err = fmt.Errorf("writing what the audit found: %w", err)
	case other != nil:
		// Another replica was elected meanwhile, or was when this one was slow.
		a.log.Info("Another replica has audited the state, going on from what it found")
		a.record, a.failed = *other, true
		return nil
	default:
		if a.record.Notices, err = a.events.send(ctx, a.record.Notices, a.now()); err != nil {
			err = fmt.Errorf("sending Events: %w", err)
		}
	}
	return errors.Join(err, a.publish(ctx))
}

// publish calls every publisher, where one has not had the latest audit.
func (a *Auditor) publish(ctx context.Context) error {
	if !a.unpublished {
		return nil
	}
	var errs []error
	for _, p := range a.options.Publishers {
		errs = append(errs, p.Publish(ctx, a.Latest()))
	}
	err := errors.Join(errs...)
	a.unpublished = err != nil
	return err
}

// sayError logs an error once, until all is well.
func (a *Auditor) sayError(err error, text string, more ...any) {
	if err.Error() != a.said {
		a.said = err.Error()
		a.log.Error(err, text, more...)
	}
}

// logNotices writes a line for each of the first notices, and one for the rest.
func (a *Auditor) logNotices(notices []notice) {
	for _, n := range notices[:min(len(notices), maxLogged)] {
		text := "Violation found"
		switch n.Reason {
		case reasonResolved:
			text = "Violation resolved"
		case reasonDrift:
			text = "Violation found that came past admission, or may have"
		}
		a.log.Info(text, "policy", n.Policy, "severity", n.severity, "id", n.ID, "origin", n.origin, "firstSeen", n.firstSeen, "message", n.Note)
	}
	if more := len(notices) - maxLogged; more > 0 {
		a.log.Info("More violations found or resolved", "count", more)
	}
}
