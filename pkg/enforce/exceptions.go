package enforce

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
)

const (
	// exceptionRetry is the time between two attempts to find the CRD of BGPExceptions, without
	// which bgpguard works.
	exceptionRetry = 10 * time.Second
	// exceptionRecheck is the longest time between two looks at the clock.
	exceptionRecheck = time.Minute
	// keepExpired is how long an expired BGPException is kept as a record.
	keepExpired = 30 * 24 * time.Hour
	// flushLimit bounds the last write of uses at a shutdown.
	flushLimit = 5 * time.Second
)

// Exceptions applies the BGPExceptions of a cluster and writes their status: each replica the
// uses, the leader the conditions. The leader deletes those that expired keepExpired ago. It is
// a manager.Runnable.
type Exceptions struct {
	cache  cache.Cache
	reader client.Reader
	writer client.Writer
	status client.SubResourceWriter
	apply  func([]*policy.Exception)
	log    logr.Logger
	now    func() time.Time
	// changed wakes the loop of Start, used and rest the writers of the status.
	changed, used, rest loop.Signal
	// read reports that the BGPExceptions were read.
	read atomic.Bool
	// active are the names of the exceptions that were applied last.
	active map[string]bool

	mu sync.Mutex
	// uses are those that are not written yet.
	uses map[types.UID]use
}

// use is the changes that an exception allowed.
type use struct {
	name  string
	count int64
	last  time.Time
	user  string
}

// NewExceptions returns an Exceptions for the cluster of mgr, whose scheme must include
// BGPExceptions. It calls apply with the active ones when they change. The caller adds it to mgr.
func NewExceptions(mgr manager.Manager, apply func([]*policy.Exception), log logr.Logger) *Exceptions {
	return &Exceptions{
		cache: mgr.GetCache(), reader: mgr.GetCache(), writer: mgr.GetClient(), status: mgr.GetClient().Status(),
		apply: apply, log: log, now: time.Now, changed: loop.NewSignal(), used: loop.NewSignal(), rest: loop.NewSignal(),
		active: map[string]bool{}, uses: map[types.UID]use{},
	}
}

// Lead writes the conditions and deletes old BGPExceptions until ctx is done.
func (x *Exceptions) Lead(ctx context.Context) {
	x.rest.Send()
	runOnSignal(ctx, x.rest, restDelay, restInterval, func() {
		if x.read.Load() {
			x.lead(ctx)
		}
	})
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica applies exceptions.
func (x *Exceptions) NeedLeaderElection() bool { return false }

// Use records that an exception allowed a change by a user. It does not block.
func (x *Exceptions) Use(e *policy.Exception, user string) {
	x.mu.Lock()
	u := x.uses[e.UID]
	x.uses[e.UID] = use{e.Name, u.count + 1, x.now(), user}
	x.mu.Unlock()
	x.used.Send()
}

// Start applies exceptions until ctx is done.
func (x *Exceptions) Start(ctx context.Context) error {
	var failure loop.Failure
	var wg sync.WaitGroup
	err := followKind(ctx, x.cache, followed{
		kind: &v1alpha1.BGPException{}, retry: exceptionRetry, changed: x.changed,
		found: func(err error) {
			if err != nil && failure.Changed(err) {
				x.log.Error(err, "Cannot read BGPExceptions, so none is in force, retrying until they are served: kubectl apply -k config/crd")
			}
		},
		begin: func() {
			wg.Go(func() { runOnSignal(ctx, x.used, ownDelay, ownDelay, func() { x.writeUses(ctx) }) })
		},
		load: func() (time.Duration, error) {
			next, err := x.load(ctx)
			if err != nil && ctx.Err() == nil {
				x.log.Error(err, "Cannot read BGPExceptions")
			}
			return next, nil
		},
	})
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
	defer cancel()
	x.writeUses(last)
	return err
}

// load applies the active BGPExceptions and returns the time until one of them expires, at most
// exceptionRecheck.
func (x *Exceptions) load(ctx context.Context) (next time.Duration, err error) {
	var list v1alpha1.BGPExceptionList
	if err := x.reader.List(ctx, &list); err != nil {
		return exceptionRecheck, err
	}
	x.read.Store(true)
	now := x.now()
	next = exceptionRecheck
	var active []*policy.Exception
	for i := range list.Items {
		e, err := policy.NewException(&list.Items[i])
		if err != nil || list.Items[i].DeletionTimestamp != nil || !now.Before(e.Ends) {
			continue
		}
		active = append(active, e)
		next = min(next, e.Ends.Sub(now))
	}
	slices.SortFunc(active, func(a, b *policy.Exception) int { return strings.Compare(a.Name, b.Name) })
	x.apply(active)
	x.report(active)
	x.rest.Send()
	return next, nil
}

// report logs which exceptions are active and which are not any more, and sets the gauge.
func (x *Exceptions) report(active []*policy.Exception) {
	before := x.active
	x.active = map[string]bool{}
	for _, e := range active {
		x.active[e.Name] = true
		exceptionExpiry.WithLabelValues(e.Name).Set(float64(e.Ends.Unix()))
		if !before[e.Name] {
			x.log.Info("BGPException is active", "exception", e.Name, "until", e.Ends.UTC(), "reason", e.Reason)
		}
	}
	for name := range before {
		if !x.active[name] {
			exceptionExpiry.DeleteLabelValues(name)
			x.log.Info("BGPException is no longer active", "exception", name)
		}
	}
}

// writeUses adds the uses that are not written yet to the status of their BGPExceptions. A write
// that another replica was ahead of is repeated when the cache has that of the other replica.
func (x *Exceptions) writeUses(ctx context.Context) {
	x.mu.Lock()
	uses := x.uses
	x.uses = map[types.UID]use{}
	x.mu.Unlock()
	for uid, u := range uses {
		err := x.writeUse(ctx, uid, u)
		if err == nil {
			continue
		}
		x.mu.Lock()
		if later, ok := x.uses[uid]; ok {
			later.count += u.count
			u = later
		}
		x.uses[uid] = u
		x.mu.Unlock()
		if apierrors.IsConflict(err) {
			x.used.Send()
		} else if ctx.Err() == nil {
			x.log.Error(err, "Cannot write the uses of a BGPException, retrying", "exception", u.name)
		}
	}
}

func (x *Exceptions) writeUse(ctx context.Context, uid types.UID, u use) error {
	var o v1alpha1.BGPException
	if err := x.reader.Get(ctx, client.ObjectKey{Name: u.name}, &o); err != nil || o.UID != uid {
		return client.IgnoreNotFound(err)
	}
	last := metav1.NewTime(u.last.Truncate(time.Second))
	want := map[string]any{"uses": o.Status.Uses + u.count}
	if o.Status.LastUseTime == nil || !last.Before(o.Status.LastUseTime) {
		want["lastUseTime"], want["lastUser"] = last, u.user
	}
	return x.patch(ctx, &o, want)
}

// patch changes fields of the status of the version of a BGPException that was read.
func (x *Exceptions) patch(ctx context.Context, o *v1alpha1.BGPException, status map[string]any) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": o.UID, "resourceVersion": o.ResourceVersion}, "status": status,
	})
	if err != nil {
		return err
	}
	return client.IgnoreNotFound(x.status.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch)))
}

// lead writes the conditions of all BGPExceptions, and deletes those that expired long ago.
func (x *Exceptions) lead(ctx context.Context) {
	var list v1alpha1.BGPExceptionList
	if err := x.reader.List(ctx, &list); err != nil {
		x.log.Error(err, "Cannot read BGPExceptions")
		return
	}
	for i := range list.Items {
		err := x.leadOne(ctx, &list.Items[i])
		switch {
		case apierrors.IsConflict(err): // The cache is late.
			x.rest.Send()
		case err != nil && ctx.Err() == nil:
			x.log.Error(err, "Cannot update a BGPException, retrying", "exception", list.Items[i].Name)
		}
	}
}

func (x *Exceptions) leadOne(ctx context.Context, o *v1alpha1.BGPException) error {
	e, err := policy.NewException(o)
	if err == nil && x.now().After(e.Ends.Add(keepExpired)) {
		x.log.Info("Deleting a BGPException that expired 30 days ago", "exception", o.Name, "reason", o.Spec.Reason, "uses", o.Status.Uses, "lastUser", o.Status.LastUser)
		return client.IgnoreNotFound(x.writer.Delete(ctx, o, client.Preconditions{UID: &o.UID, ResourceVersion: &o.ResourceVersion}))
	}
	conditions := slices.Clone(o.Status.Conditions)
	meta.SetStatusCondition(&conditions, x.condition(o, e, err))
	if o.Status.ObservedGeneration == o.Generation && equality.Semantic.DeepEqual(conditions, o.Status.Conditions) {
		return nil
	}
	return x.patch(ctx, o, map[string]any{"observedGeneration": o.Generation, "conditions": conditions})
}

// condition returns the condition Active. err is the reason why e is nil.
func (x *Exceptions) condition(o *v1alpha1.BGPException, e *policy.Exception, err error) metav1.Condition {
	now := x.now()
	c := metav1.Condition{
		Type: v1alpha1.ConditionActive, Status: metav1.ConditionFalse, ObservedGeneration: o.Generation, LastTransitionTime: metav1.NewTime(now),
	}
	switch {
	case err != nil:
		c.Reason, c.Message = v1alpha1.ReasonInvalid, text.Cut(err.Error(), maxMessage)
	case now.Before(e.Ends):
		c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonActive
		c.Message = fmt.Sprintf("allows changes until %s", e.Ends.UTC().Format(time.RFC3339))
	default:
		c.Reason = v1alpha1.ReasonExpired
		c.Message = fmt.Sprintf("expired at %s; bgpguard deletes it after %s", e.Ends.UTC().Format(time.RFC3339), e.Ends.Add(keepExpired).UTC().Format(time.RFC3339))
	}
	return c
}
