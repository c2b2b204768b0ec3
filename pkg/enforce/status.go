package enforce

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/text"
)

const (
	// ownDelay and restDelay combine simultaneous changes into one write. The
	// leader waits longer, until the other replicas have written their entries.
	ownDelay  = 100 * time.Millisecond
	restDelay = 500 * time.Millisecond
	// restInterval is the minimum time between two writes of the leader's part.
	restInterval = 2 * time.Second
	// retryWrites is the time after which a failed write is retried.
	retryWrites = 10 * time.Second
	// lagLimit is how long a replica may lag behind before the leader drops its
	// entry. The replica no longer exists, and condition Enforced waits for it.
	lagLimit = time.Minute
	// auditAge is the maximum age of lastAuditTime if nothing else in the status changes.
	auditAge = 5 * time.Minute
	// maxMessage bounds messages in bytes, well below the 32 KiB of a condition.
	maxMessage = 4096
	// maxOwner is the maximum length of a field manager's name.
	maxOwner = 128
	// fieldManager owns the leader's fields. Each replica has its own for its entry.
	fieldManager = "bgpguard"
)

// status writes the status of BGPPolicies: each replica its own entry, the leader
// the rest. It writes only what differs.
type status struct {
	keeper   *Keeper
	count    Count
	notAsked func() (reason string, known bool)
	tooLarge func() string
	replica  string
	log      logr.Logger
	// cached is read first, live before a write.
	cached, live client.Reader
	writer       client.SubResourceWriter
	now          func() time.Time
	// own and rest wake the writer of each part.
	own, rest loop.Signal
	lagging   map[lag]time.Time
}

// lag is a replica that has not seen a BGPPolicy's current generation.
type lag struct {
	uid     types.UID
	replica string
}

// Count returns the number of violations in the state by name of the BGPPolicy, and
// when they were counted. It has no entry for policies that evaluate changes, nor
// for those that failed; nil means that the state was not audited yet.
type Count func() (violations map[string]int32, at time.Time)

// part returns the part of a status to write, nil if it is up to date.
type part func(*v1alpha1.BGPPolicy, *Outcome) *v1alpha1.BGPPolicyStatus

// keepOwn writes this replica's entry until ctx is done.
func (s *status) keepOwn(ctx context.Context) {
	owner := fieldManager + "-" + s.replica
	owner = owner[:min(len(owner), maxOwner)]
	runOnSignal(ctx, s.own, ownDelay, ownDelay, func() { s.write(ctx, owner, s.ownPart) })
}

// runOnSignal runs run a delay after wake was sent, or retryWrites after the last
// run, and at most once in an interval.
func runOnSignal(ctx context.Context, wake loop.Signal, delay, interval time.Duration, run func()) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		retry := time.NewTimer(retryWrites)
		defer retry.Stop()
		select {
		case <-ctx.Done():
		case <-wake:
		case <-retry.C:
		}
		loop.Pause(ctx, delay)
		wake.Clear() // This run includes what changed during the delay.
		if ctx.Err() == nil {
			run()
		}
	}, interval-delay)
}

// lead writes everything except the replicas' entries, and drops the entries of replicas
// that no longer exist.
func (s *status) lead(ctx context.Context) {
	counts, at := s.count()
	s.dropLagging(ctx)
	s.write(ctx, fieldManager, func(o *v1alpha1.BGPPolicy, outcome *Outcome) *v1alpha1.BGPPolicyStatus {
		violations, audited := o.Status.Violations, o.Status.LastAuditTime
		if counts != nil {
			violations, audited = nil, nil
			if n, ok := counts[o.Name]; ok {
				violations, audited = &n, auditTime(&o.Status, n, at)
			}
		}
		want := s.restPart(o, outcome)
		want.Violations, want.LastAuditTime = violations, audited
		is := o.Status
		is.Replicas = nil
		if equality.Semantic.DeepEqual(is, *want) {
			return nil
		}
		return want
	})
}

// auditTime returns the lastAuditTime to write. It keeps the present one until it is
// auditAge old, the violations change or the clock is set back. Otherwise the status of a cluster that changes all
// the time would be written every few seconds, after each audit.
func auditTime(is *v1alpha1.BGPPolicyStatus, violations int32, at time.Time) *metav1.Time {
	if is.LastAuditTime != nil && is.Violations != nil && *is.Violations == violations {
		if age := at.Sub(is.LastAuditTime.Time); age >= 0 && age < auditAge {
			return is.LastAuditTime
		}
	}
	return &metav1.Time{Time: at.Truncate(time.Second)}
}

// write writes one part of the status of each BGPPolicy whose status differs.
func (s *status) write(ctx context.Context, owner string, part part) {
	for _, outcome := range s.keeper.Outcomes() {
		if err := s.writeOne(ctx, owner, &outcome, part); err != nil && ctx.Err() == nil {
			s.log.Error(err, "Cannot write the status of a BGPPolicy", "policy", outcome.Name)
		}
	}
}

func (s *status) writeOne(ctx context.Context, owner string, outcome *Outcome, part part) error {
	var o v1alpha1.BGPPolicy
	var want *v1alpha1.BGPPolicyStatus
	// The cache may lag behind the last write.
	for _, from := range []client.Reader{s.cached, s.live} {
		if err := from.Get(ctx, client.ObjectKey{Name: outcome.Name}, &o); err != nil {
			return client.IgnoreNotFound(err)
		}
		// The outcome is about another object or generation. The keeper will get
		// this one soon.
		if o.UID != outcome.UID || o.Generation != outcome.Generation {
			return nil
		}
		if want = part(&o, outcome); want == nil {
			return nil
		}
	}
	patch, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.APIVersion, "kind": v1alpha1.KindBGPPolicy,
		"metadata": map[string]any{"name": o.Name, "uid": o.UID},
		"status":   want,
	})
	if err != nil {
		return err
	}
	err = s.writer.Patch(ctx, &o, client.RawPatch(types.ApplyPatchType, patch), client.FieldOwner(owner), client.ForceOwnership)
	return client.IgnoreNotFound(err)
}

// ownPart returns a status with this replica's entry.
func (s *status) ownPart(o *v1alpha1.BGPPolicy, outcome *Outcome) *v1alpha1.BGPPolicyStatus {
	want := s.entry(outcome)
	for _, r := range o.Status.Replicas {
		if r.Name == want.Name {
			is := r
			is.LastTransitionTime = metav1.Time{}
			if is == want {
				return nil
			}
		}
	}
	want.LastTransitionTime = metav1.NewTime(s.now())
	return &v1alpha1.BGPPolicyStatus{Replicas: []v1alpha1.Replica{want}}
}

// entry returns this replica's entry without its time.
func (s *status) entry(outcome *Outcome) v1alpha1.Replica {
	r := v1alpha1.Replica{Name: s.replica, ObservedGeneration: outcome.Generation, EnforcedGeneration: outcome.Enforced}
	if outcome.Err != nil {
		r.Error = text.Cut(outcome.Err.Error(), maxMessage)
	}
	return r
}

// restPart returns a status without the violations and the replicas' entries.
func (s *status) restPart(o *v1alpha1.BGPPolicy, outcome *Outcome) *v1alpha1.BGPPolicyStatus {
	want := v1alpha1.BGPPolicyStatus{
		ObservedGeneration: outcome.Generation, Policy: o.Spec.Policy,
		Conditions: slices.Clone(o.Status.Conditions),
	}
	if outcome.Policy != nil {
		want.Policy, want.Judges = outcome.Policy.Definition.Name, outcome.Policy.Definition.Judges
	}
	replicas := []v1alpha1.Replica{s.entry(outcome)}
	for _, r := range o.Status.Replicas {
		if r.Name != s.replica {
			replicas = append(replicas, r)
		}
	}
	notAsked, known := s.notAsked()
	if is := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionEnforced); !known && is != nil && is.Reason == v1alpha1.ReasonNotAsked {
		notAsked = is.Message // What the previous leader has found.
	}
	for _, c := range []metav1.Condition{compiled(outcome), enforced(outcome, replicas, notAsked, s.tooLarge())} {
		c.ObservedGeneration, c.LastTransitionTime, c.Message = outcome.Generation, metav1.NewTime(s.now()), text.Cut(c.Message, maxMessage)
		meta.SetStatusCondition(&want.Conditions, c)
	}
	return &want
}

func compiled(outcome *Outcome) metav1.Condition {
	if outcome.Err != nil {
		return metav1.Condition{
			Type: v1alpha1.ConditionCompiled, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid, Message: outcome.Err.Error(),
		}
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionCompiled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonValid,
		Message: fmt.Sprintf("policy %s compiles, its parameters are valid and its tests pass", outcome.Policy.Definition.Name),
	}
}

// enforced returns the condition for all replicas, the leader's own entry first. notAsked is the
// reason why the API server does not ask bgpguard about all changes, "" if it does. tooLarge is the reason why the
// state is too large to be evaluated, "" if it is not.
func enforced(outcome *Outcome, replicas []v1alpha1.Replica, notAsked, tooLarge string) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionEnforced, Status: metav1.ConditionFalse}
	if outcome.Err != nil {
		c.Reason = v1alpha1.ReasonInvalid
		c.Message = fmt.Sprintf("nothing is enforced: generation %d is rejected, see condition %s", outcome.Generation, v1alpha1.ConditionCompiled)
		if outcome.Policy != nil {
			c.Reason = v1alpha1.ReasonLastGood
			c.Message = fmt.Sprintf("generation %d is still enforced: generation %d is rejected, see condition %s",
				outcome.Enforced, outcome.Generation, v1alpha1.ConditionCompiled)
		}
		return c
	}
	if err := outcome.Policy.Quarantined(); err != nil {
		c.Reason, c.Message = v1alpha1.ReasonEvaluationFails, fmt.Sprintf("not enforced: %v", err)
		return c
	}
	if tooLarge != "" {
		c.Reason, c.Message = v1alpha1.ReasonStateTooLarge, tooLarge
		return c
	}
	if notAsked != "" {
		c.Reason, c.Message = v1alpha1.ReasonNotAsked, notAsked
		return c
	}
	var behind []string
	for _, r := range replicas {
		if r.EnforcedGeneration != outcome.Generation {
			behind = append(behind, fmt.Sprintf("%s enforces generation %d", r.Name, r.EnforcedGeneration))
		}
	}
	if behind != nil {
		c.Reason = v1alpha1.ReasonReplicasDiffer
		c.Message = fmt.Sprintf("%d of %d replicas do not enforce generation %d yet (%s): see status.replicas",
			len(behind), len(replicas), outcome.Generation, strings.Join(behind, ", "))
		return c
	}
	c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonEnforced
	c.Message = fmt.Sprintf("generation %d is enforced on all replicas (%d)", outcome.Generation, len(replicas))
	return c
}

// dropLagging drops the entries of replicas that have lagged behind for longer
// than lagLimit.
func (s *status) dropLagging(ctx context.Context) {
	var list v1alpha1.BGPPolicyList
	if err := s.cached.List(ctx, &list); err != nil {
		s.log.Error(err, "Cannot list BGPPolicies to find replicas that no longer exist")
		return
	}
	still := map[lag]time.Time{}
	for _, o := range list.Items {
		kept := slices.DeleteFunc(slices.Clone(o.Status.Replicas), func(r v1alpha1.Replica) bool {
			if r.Name == s.replica || r.ObservedGeneration >= o.Generation {
				return false
			}
			key := lag{o.UID, r.Name}
			since, known := s.lagging[key]
			if !known {
				since = s.now()
			}
			still[key] = since
			return s.now().Sub(since) > lagLimit
		})
		if len(kept) == len(o.Status.Replicas) {
			continue
		}
		if err := s.drop(ctx, &o, kept); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) {
			s.log.Error(err, "Cannot drop a replica from the status of a BGPPolicy", "policy", o.Name)
		}
	}
	s.lagging = still
}

// drop replaces the entries by those in kept. It fails if the object has changed
// meanwhile, because other replicas may have written their entries.
func (s *status) drop(ctx context.Context, o *v1alpha1.BGPPolicy, kept []v1alpha1.Replica) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": o.ResourceVersion},
		"status":   map[string]any{"replicas": kept},
	})
	if err != nil {
		return err
	}
	err = s.writer.Patch(ctx, o, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager))
	return client.IgnoreNotFound(err)
}
