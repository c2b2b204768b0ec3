// Package auditor audits the state of a cluster continuously. The leader evaluates the
// policies in force on each new state, follows the violations over time, and reports them
// as metrics, log lines, Events and reports. It uses the same engine as pkg/admission.
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
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

const (
	// auditLimit bounds one audit. At any size of cluster an audit takes much less, and
	// most of it was computed for requests already.
	auditLimit = 30 * time.Second
	// deliverLimit bounds the delivery of its results.
	deliverLimit = 30 * time.Second
	// unknownRetry is the time to the next turn if the state is not known yet.
	unknownRetry = time.Second
	// failedRetry is the time to the next turn after an error.
	failedRetry = 10 * time.Second
)

// Cluster returns the current state and its age. An error means that the state or the
// policies are not known yet.
type Cluster interface {
	Snapshot() (*state.Snapshot, time.Duration, error)
}

// Publisher publishes the results of an audit, on the leader. It must not change the
// audit. After an error it is called again, with the same audit or a later one.
type Publisher interface {
	Publish(ctx context.Context, a *audit.Audit) error
}

// Reference returns an object in the form that Events use; false if no Event can be about it.
type Reference func(ctx context.Context, kind calico.Kind, name string) (corev1.ObjectReference, bool)

// Options configure an Auditor.
type Options struct {
	// Delay is the time from a change to the audit, so that changes in quick succession
	// are one audit. It is longer while the results keep changing; see throttle.
	// Interval is the longest time between two audits.
	Delay, Interval time.Duration
	// Namespace is that of bgpguard's own objects.
	Namespace string
	// Replica is the name of this process.
	Replica string
	// Reference returns objects in the form that Events use.
	Reference Reference
	// Notes name the parts of the state that are not known, and why policies are not enforced.
	// Other notes than those of the last audit make an audit due.
	Notes func() []string
	// Publishers are called after each audit, in this order.
	Publishers []Publisher
}

// phase is what a replica does in each turn of its loop.
type phase int

// The phases, in order. A replica that is no longer the leader begins again.
const (
	// following: the replica is not the leader. It remembers states, so that as a leader
	// it can compare with the state of the last audit.
	following phase = iota
	// loading: the replica was elected. It reads the record of the previous leader.
	loading
	// leading: the replica audits when that is due, and delivers the results.
	leading
)

// Auditor audits a cluster. Every replica calls Follow until it is elected, and Lead while it
// is the leader; see package leader.
//
// Both take a turn at once, when the state or the policies change, and when the previous turn
// asked for one. A turn of the leader has two steps:
//
//  1. audit, if it is due: the state or the policies changed, the interval is over, or
//     the last attempt failed. It gives the latest audit and the next record, which holds
//     the trail and the notices to send.
//  2. deliver what was not delivered yet: write the record, send its notices as Events,
//     call the publishers.
//
// A turn that fails is followed by another one after failedRetry, which repeats only what
// failed.
type Auditor struct {
	engine     *validate.Engine
	cluster    Cluster
	options    Options
	log        logr.Logger
	now        func() time.Time
	changed    loop.Signal // of state or policies
	latest     atomic.Pointer[audit.Audit]
	store      *store
	events     *events
	exemptions *Exemptions

	// The fields below belong to Follow and Lead, which never run at the same time.
	phase phase
	past  past
	// policies are the policies of latest. If repeat is true, the next audit is due in any case.
	policies *policy.Set
	repeat   bool
	// quarantined are the names of the policies whose quarantine was reported.
	quarantined []string
	// record is the trail and the notices that were not sent yet.
	record record
	// unpublished reports that latest has not reached every publisher.
	unpublished bool
	throttle    *throttle
	failure     loop.Failure
}

// New returns an auditor. exemptions records the users who changed objects although
// policies deny it. The scheme of the manager must know ConfigMaps and Events.
func New(mgr manager.Manager, engine *validate.Engine, cluster Cluster, exemptions *Exemptions, o Options, log logr.Logger) *Auditor {
	return &Auditor{
		engine: engine, cluster: cluster, options: o, log: log, now: time.Now, changed: loop.NewSignal(),
		store:      &store{reader: mgr.GetAPIReader(), writer: mgr.GetClient(), namespace: o.Namespace, interval: o.Interval, log: log},
		events:     &events{writer: mgr.GetClient(), reference: o.Reference, replica: o.Replica, log: log},
		exemptions: exemptions, throttle: newThrottle(),
	}
}

// Notify reports that the state or the policies changed. It never blocks.
func (a *Auditor) Notify() { a.changed.Send() }

// Latest returns the last audit, nil before the first audit and on replicas that are not the
// leader. It must not be changed.
func (a *Auditor) Latest() *audit.Audit { return a.latest.Load() }

// Counts returns how many violations each policy found in the last audit, by the name of
// the BGPPolicy, and the time of the audit. It has no entries for policies that evaluate
// changes or could not be evaluated. It is nil before the first audit.
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

// Follow remembers states until ctx is done.
func (a *Auditor) Follow(ctx context.Context) {
	a.phase = following
	a.run(ctx)
}

// Lead audits until ctx is done. It then forgets the results: another replica may audit.
func (a *Auditor) Lead(ctx context.Context) {
	a.phase = loading
	a.run(ctx)
	a.record, a.policies, a.repeat, a.unpublished = record{}, nil, false, false
	a.latest.Store(nil)
	clearGauges()
}

// run takes turns until ctx is done.
func (a *Auditor) run(ctx context.Context) {
	wait := time.Duration(0)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-a.changed:
			loop.Pause(ctx, max(a.options.Delay, a.throttle.delay))
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		a.changed.Clear() // This turn covers it.
		wait = a.turn(ctx)
	}
}

// turn does what the phase requires, and returns the time to the next turn. A panic ends
// the turn and not the process, which answers requests too.
func (a *Auditor) turn(ctx context.Context) (next time.Duration) {
	defer func() {
		if r := recover(); r != nil {
			auditErrors.Inc()
			a.repeat = true
			next = a.failed(fmt.Errorf("panic: %v", r), "Cannot audit the state, trying again", "stack", string(debug.Stack()))
		}
	}()
	snapshot, _, err := a.cluster.Snapshot()
	if err != nil { // The readiness probe reports it.
		return unknownRetry
	}
	// JSON has no more digits. A time that is read back must be equal.
	now := a.now().UTC().Truncate(time.Millisecond)
	if a.phase == following {
		a.past.add(now, snapshot)
		return a.options.Interval
	}
	if a.phase == loading {
		if err := a.load(ctx); err != nil {
			return a.failed(err, "Cannot read the record of the last audit, trying again")
		}
		a.phase = leading
	}
	return a.lead(ctx, now, snapshot)
}

// lead audits the state, if that is due, and delivers the results.
func (a *Auditor) lead(ctx context.Context, now time.Time, snapshot *state.Snapshot) (next time.Duration) {
	set := a.engine.Policies()
	if a.due(now, snapshot, set) {
		if err := a.audit(ctx, now, snapshot, set); err != nil && ctx.Err() == nil {
			auditErrors.Inc()
			a.repeat = true
			return a.failed(err, "Cannot audit the state, trying again")
		}
	} else {
		a.past.add(now, snapshot)
	}
	if ctx.Err() != nil {
		return 0
	}
	if err := a.deliver(ctx); err != nil {
		auditErrors.Inc()
		return a.failed(err, "Cannot deliver all results of the audit, trying again")
	}
	if a.repeat {
		return failedRetry
	}
	a.failure.Clear()
	return a.left(a.now())
}

// left returns the time until the next audit of a state that does not change. A clock that was set
// back does not postpone it.
func (a *Auditor) left(now time.Time) time.Duration {
	age := now.Sub(a.Latest().Time)
	if age < 0 {
		return 0
	}
	return max(0, a.options.Interval-age)
}

// failed logs an error, once until a turn succeeds, and returns the time to the next turn.
func (a *Auditor) failed(err error, message string, more ...any) time.Duration {
	if a.failure.Changed(err) {
		a.log.Error(err, message, more...)
	}
	return failedRetry
}

// load reads the record of the previous leader.
func (a *Auditor) load(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, deliverLimit)
	defer cancel()
	a.record, err = a.store.read(ctx)
	return err
}

// due reports whether there must be an audit.
func (a *Auditor) due(now time.Time, snapshot *state.Snapshot, set *policy.Set) bool {
	latest := a.Latest()
	return a.repeat || latest == nil || latest.Snapshot != snapshot || a.policies != set || a.left(now) == 0 ||
		!slices.Equal(latest.Notes, a.options.Notes())
}

// audit evaluates the policies on the state, follows their violations and updates latest
// and record. An error means that the audit exceeded its time limit; latest and record are
// then unchanged.
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
	latest, err := audit.Run(limited, a.engine, snapshot, audit.Options{Time: now, Notes: a.options.Notes()})
	if err != nil {
		return err
	}
	// Follow evaluates hypothetical states. On the engine of the requests they would replace
	// the cached evaluation.
	trail, err := before.Follow(limited, latest, a.engine.Fork(set), step)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err() // The audit is incomplete.
	}
	a.past.add(now, snapshot)
	notices := noticesOf(latest, before, a.record.Omitted > 0)
	failing, names := quarantineNotices(set, a.quarantined, now)
	a.quarantined = names
	a.record = record{Trail: trail, Notices: slices.Concat(a.record.Notices, failing, boundNotices(notices))}
	a.record.fit(len(latest.Violations))
	a.throttle.add(now, !sameResults(a.Latest(), latest))
	a.policies, a.repeat, a.unpublished = set, false, true
	a.latest.Store(latest)
	setGauges(latest, time.Since(began))
	countNotices(notices)
	a.logNotices(notices)
	if a.record.Omitted > 0 {
		a.log.Info("Too many violations to follow, new ones are not reported one by one", "followed", len(a.record.Trail.Violations), "omitted", a.record.Omitted)
	}
	return nil
}

// deliver writes the record, sends its notices as Events and publishes the latest audit.
// Notices are recorded before they are sent: if the process ends in between, the next
// leader sends them under the same names, so that none is lost or sent twice. A record
// that cannot be written sends no notices.
func (a *Auditor) deliver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, deliverLimit)
	defer cancel()
	other, err := a.store.write(ctx, &a.record, a.Latest().Snapshot)
	switch {
	case err != nil:
		err = fmt.Errorf("writing the record: %w", err)
	case other != nil:
		// Another replica was elected, and this one has not noticed yet or was slow.
		a.log.Info("Another replica has audited the state, continuing from its record")
		a.record, a.repeat = *other, true
		return nil
	default:
		if a.record.Notices, err = a.events.send(ctx, a.record.Notices, a.now()); err != nil {
			err = fmt.Errorf("sending Events: %w", err)
		}
	}
	return errors.Join(err, a.publish(ctx))
}

// publish calls all publishers, unless all of them had the latest audit.
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

// logNotices writes a line for each of the first maxLogged notices, and one for the rest.
func (a *Auditor) logNotices(notices []notice) {
	for _, n := range notices[:min(len(notices), maxLogged)] {
		message := "Violation found"
		switch n.Reason {
		case reasonResolved:
			message = "Violation resolved"
		case reasonDrift:
			message = "Drift found"
		}
		a.log.Info(message, "policy", n.Policy, "severity", n.severity, "id", n.ID, "origin", n.origin, "firstSeen", n.firstSeen, "message", n.Note)
	}
	if more := len(notices) - maxLogged; more > 0 {
		a.log.Info("More violations found or resolved", "count", more)
	}
}
