package auditor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The reasons of Events about changes that were allowed although policies deny them.
const (
	// reasonExempted: the policies are not enforced for the user.
	reasonExempted = "Exempted"
	// reasonExcepted: a BGPException allowed the change.
	reasonExcepted = "Excepted"
	// reasonUsed: the same, in the Event about the BGPException.
	reasonUsed = "Used"
)

const (
	// exemptionsName is the name of the ConfigMap in bgpguard's namespace that holds the record of
	// exemptions, exemptionsKey its key.
	exemptionsName = "bgpguard-exemptions"
	exemptionsKey  = "exemptions.json"
	// keepExemptions is how long an exemption is in the record: the longest time between two audits
	// of one leader after another, with a margin. maxExemptions bounds their number.
	keepExemptions = 24 * time.Hour
	maxExemptions  = 1000
	// maxQueue bounds the exemptions that wait to be recorded.
	maxQueue = 256
	// recordLimit bounds the writing of those in the queue, recordPause is the time between two
	// attempts.
	recordLimit = 5 * time.Second
	recordPause = 50 * time.Millisecond
	// recordSpan is the time within which changes to one object by one user are one record.
	recordSpan = time.Second
	// recordLead is how much older a record may be than the first state with its change: the
	// review precedes the change, and the replica that reviews it has another clock.
	recordLead = 5 * time.Second
)

// exemption is a change that was allowed although policies deny it.
type exemption struct {
	Time   time.Time        `json:"time"`
	Object violation.Object `json:"object"`
	audit.Exemption
	Policies []string `json:"policies"`

	reference corev1.ObjectReference
	exception *policy.Exception // nil if the policies are not enforced for the user
}

// Exemptions records the changes that were allowed although policies deny them: in a ConfigMap for
// audits, and as Events about the changed object and the BGPException. Every replica writes them,
// the leader reads them. Audits read no Events, which many users may write. It is a manager.Runnable
// and safe for concurrent use.
type Exemptions struct {
	reader    client.Reader
	writer    client.Writer
	namespace string
	replica   string
	log       logr.Logger
	now       func() time.Time
	queue     chan exemption
}

// NewExemptions returns a recorder with a ConfigMap in a namespace. The caller adds it to the
// manager. replica is the name of this process.
func NewExemptions(mgr manager.Manager, namespace, replica string, log logr.Logger) *Exemptions {
	return &Exemptions{
		reader: mgr.GetAPIReader(), writer: mgr.GetClient(), namespace: namespace, replica: replica, log: log, now: time.Now,
		queue: make(chan exemption, maxQueue),
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica records.
func (e *Exemptions) NeedLeaderElection() bool { return false }

// Record records a change to an object that was allowed although policies deny it. It
// never blocks: if the queue is full, the record is dropped and counted.
func (e *Exemptions) Record(object corev1.ObjectReference, user string, overrides []validate.Override) {
	for _, o := range overrides {
		x := exemption{
			Time: e.now().UTC().Truncate(recordSpan), Object: violation.Object{Kind: object.Kind, Name: object.Name},
			Exemption: audit.Exemption{User: user}, Policies: slices.Sorted(slices.Values(o.Policies)), reference: object, exception: o.Exception,
		}
		if o.Exception != nil {
			x.Exception = o.Exception.Name
		}
		select {
		case e.queue <- x:
		default:
			exemptionsDropped.Inc()
		}
	}
}

// Start records until ctx is done, and then what is still in the queue.
func (e *Exemptions) Start(ctx context.Context) error {
	for {
		select {
		case x := <-e.queue:
			e.write(e.queued(x))
		case <-ctx.Done():
			if rest := e.queued(); len(rest) > 0 {
				e.write(rest)
			}
			return nil
		}
	}
}

// queued returns first and what is in the queue, without what is the same record.
func (e *Exemptions) queued(first ...exemption) []exemption {
	out := first
	for {
		select {
		case x := <-e.queue:
			if !slices.ContainsFunc(out, x.same) {
				out = append(out, x)
			}
		default:
			return out
		}
	}
}

func (x *exemption) same(y exemption) bool {
	return x.Time.Equal(y.Time) && x.Object == y.Object && x.Exemption == y.Exemption && slices.Equal(x.Policies, y.Policies)
}

// write has its own context, so that requests that are answered during the shutdown are
// recorded too. The ConfigMap is first, because an audit follows soon.
func (e *Exemptions) write(list []exemption) {
	ctx, cancel := context.WithTimeout(context.Background(), recordLimit)
	defer cancel()
	if err := e.keep(ctx, list); err != nil {
		exemptionsDropped.Add(float64(len(list)))
		e.log.Error(err, "Cannot record changes that were allowed although policies deny them", "configMap", exemptionsName, "changes", len(list))
	}
	for i := range list {
		for _, event := range e.eventsOf(&list[i]) {
			if err := e.writer.Create(ctx, event); err != nil && !apierrors.IsAlreadyExists(err) {
				e.log.Error(err, "Cannot send an Event about a change that was allowed although policies deny it",
					"kind", event.Regarding.Kind, "name", event.Regarding.Name, "user", list[i].User, "policies", list[i].Policies)
			}
		}
	}
}

// keep adds exemptions to the ConfigMap, in the version that it has read. Replicas that write at the
// same moment repeat it.
func (e *Exemptions) keep(ctx context.Context, list []exemption) error {
	for {
		object, known, err := e.read(ctx)
		if err != nil {
			return err
		}
		for _, x := range list {
			if !slices.ContainsFunc(known, x.same) {
				known = append(known, x)
			}
		}
		known = slices.DeleteFunc(known, func(x exemption) bool { return e.now().Sub(x.Time) > keepExemptions })
		slices.SortStableFunc(known, func(a, b exemption) int { return a.Time.Compare(b.Time) })
		encoded, err := json.Marshal(known[max(0, len(known)-maxExemptions):])
		if err != nil {
			return err
		}
		if object == nil {
			err = e.writer.Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: e.namespace, Name: exemptionsName, Labels: map[string]string{"app.kubernetes.io/name": "bgpguard", "app.kubernetes.io/part-of": "bgpguard"},
				},
				Data: map[string]string{exemptionsKey: string(encoded)},
			})
		} else {
			object.Data = map[string]string{exemptionsKey: string(encoded)}
			err = e.writer.Update(ctx, object)
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !(object != nil && apierrors.IsNotFound(err)) {
			return err
		}
		loop.Pause(ctx, recordPause)
	}
}

// read returns the ConfigMap, nil if there is none, and the exemptions in it. A record that does not
// parse is logged and replaced.
func (e *Exemptions) read(ctx context.Context) (*corev1.ConfigMap, []exemption, error) {
	var object corev1.ConfigMap
	err := e.reader.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: exemptionsName}, &object)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil, nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading the ConfigMap %s/%s: %w", e.namespace, exemptionsName, err)
	}
	var list []exemption
	if text := object.Data[exemptionsKey]; text != "" {
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			e.log.Error(err, "The record of exemptions does not parse, ignoring it", "configMap", exemptionsName)
			list = nil
		}
	}
	return &object, list, nil
}

// eventsOf returns the Events about the changed object and the BGPException.
func (e *Exemptions) eventsOf(x *exemption) []*eventsv1.Event {
	policies := strings.Join(x.Policies, ",")
	event := func(regarding corev1.ObjectReference, reason, note string) *eventsv1.Event {
		out := newEvent(e.replica, regarding, reason, "Admit", x.Time, x.User, policies, x.Exception, x.Object.String())
		out.Type, out.Note = corev1.EventTypeWarning, text.Cut(note, maxNote)
		out.Annotations = map[string]string{annotationPolicies: policies, annotationUser: x.User}
		return out
	}
	if x.exception == nil {
		return []*eventsv1.Event{event(x.reference, reasonExempted,
			fmt.Sprintf("a change by %s was allowed although policies deny it, because they are not enforced for this user: %s", x.User, policies))}
	}
	exception := corev1.ObjectReference{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindBGPException, Name: x.exception.Name, UID: x.exception.UID}
	of := event(exception, reasonUsed, fmt.Sprintf("allowed a change to %s by %s that policies deny: %s", x.Object, x.User, policies))
	of.Related = &x.reference
	on := event(x.reference, reasonExcepted,
		fmt.Sprintf("%s allowed a change by %s that policies deny: %s; reason: %s", x.exception, x.User, policies, x.exception.Reason))
	on.Related = &exception
	return []*eventsv1.Event{on, of}
}

// since returns a function that finds out why a change of an object, after a given time, was allowed
// although a policy denies it. The function returns false if no such change is recorded. It reads the
// record once.
func (e *Exemptions) since(since time.Time) func(context.Context, string, violation.Object) (audit.Exemption, bool) {
	from := since.Add(-recordLead)
	var known []exemption
	asked := false
	return func(ctx context.Context, policy string, object violation.Object) (audit.Exemption, bool) {
		if !asked {
			asked = true
			var err error
			if _, known, err = e.read(ctx); err != nil { // The change then counts as one that bypassed the webhook.
				e.log.Error(err, "Cannot read the record of exemptions")
			}
		}
		for i := len(known) - 1; i >= 0; i-- {
			if x := &known[i]; x.Object == object && !x.Time.Before(from) && slices.Contains(x.Policies, policy) {
				return x.Exemption, true
			}
		}
		return audit.Exemption{}, false
	}
}
