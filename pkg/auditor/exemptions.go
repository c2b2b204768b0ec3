package auditor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

const (
	// reasonExempted is the reason of Events about changes that were allowed although
	// policies deny them.
	reasonExempted = "Exempted"
	// maxQueue bounds the records that wait to be written.
	maxQueue = 256
	// recordLimit bounds the writing of one.
	recordLimit = 5 * time.Second
	// recordSpan is the time within which changes to one object by one user are one record.
	recordSpan = time.Second
	// recordLead is how much older a record may be than the first state with its change: the
	// review precedes the change, and the replica that reviews it has another clock.
	recordLead = 5 * time.Second
)

// exemption is a change that was allowed although policies deny it.
type exemption struct {
	object   corev1.ObjectReference
	user     string
	policies []string
	at       time.Time
}

// Exemptions records the changes that were allowed although policies deny them, as Events
// about the changed object. Every replica writes them, the leader reads them. It is a
// manager.Runnable and safe for concurrent use.
type Exemptions struct {
	reader  client.Reader
	writer  client.Writer
	replica string
	log     logr.Logger
	now     func() time.Time
	queue   chan exemption
}

// NewExemptions returns a recorder. The caller adds it to the manager. replica is the name
// of this process.
func NewExemptions(mgr manager.Manager, replica string, log logr.Logger) *Exemptions {
	return &Exemptions{
		reader: mgr.GetAPIReader(), writer: mgr.GetClient(), replica: replica, log: log, now: time.Now, queue: make(chan exemption, maxQueue),
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica records.
func (e *Exemptions) NeedLeaderElection() bool { return false }

// Record records a change to an object that was allowed although policies deny it. It
// never blocks: if the queue is full, the record is dropped and counted.
func (e *Exemptions) Record(object corev1.ObjectReference, user string, policies []string) {
	select {
	case e.queue <- exemption{object, user, slices.Sorted(slices.Values(policies)), e.now()}:
	default:
		exemptionsDropped.Inc()
	}
}

// Start writes records until ctx is done, and then those that are still in the queue.
func (e *Exemptions) Start(ctx context.Context) error {
	for {
		select {
		case x := <-e.queue:
			e.write(x)
		case <-ctx.Done():
			for {
				select {
				case x := <-e.queue:
					e.write(x)
				default:
					return nil
				}
			}
		}
	}
}

// write has its own context, so that requests that are answered during the shutdown are
// recorded too.
func (e *Exemptions) write(x exemption) {
	ctx, cancel := context.WithTimeout(context.Background(), recordLimit)
	defer cancel()
	policies := strings.Join(x.policies, ",")
	event := newEvent(e.replica, x.object, reasonExempted, "Admit", x.at.Truncate(recordSpan), x.user, policies)
	event.Type, event.Annotations = corev1.EventTypeWarning, map[string]string{annotationPolicies: policies, annotationUser: x.user}
	event.Note = text.Cut(fmt.Sprintf("a change by %s was allowed although policies deny it, because they are not enforced for this user: %s", x.user, policies), maxNote)
	if err := e.writer.Create(ctx, event); err != nil && !apierrors.IsAlreadyExists(err) {
		exemptionsDropped.Inc()
		e.log.Error(err, "Cannot record a change that was allowed although policies deny it", "kind", x.object.Kind, "name", x.object.Name, "user", x.user, "policies", x.policies)
	}
}

// since returns a function that finds the user who, after a given time, changed an object
// although a policy denies it. The function returns false if no Event records such a change.
// It reads the Events of each object once.
func (e *Exemptions) since(since time.Time) func(context.Context, string, violation.Object) (string, bool) {
	from := since.Add(-recordLead)
	known := map[violation.Object][]eventsv1.Event{}
	return func(ctx context.Context, policy string, object violation.Object) (string, bool) {
		found, asked := known[object]
		if !asked {
			found = e.about(ctx, object)
			known[object] = found
		}
		for i := range found {
			event := &found[i]
			if event.EventTime.Time.Before(from) || !slices.Contains(strings.Split(event.Annotations[annotationPolicies], ","), policy) {
				continue
			}
			return event.Annotations[annotationUser], true
		}
		return "", false
	}
}

// about returns the records of changes to an object.
func (e *Exemptions) about(ctx context.Context, object violation.Object) []eventsv1.Event {
	var list eventsv1.EventList
	err := e.reader.List(ctx, &list, client.InNamespace(eventNamespace), client.MatchingFields{
		"reason": reasonExempted, "regarding.kind": object.Kind, "regarding.name": object.Name, "reportingController": controller,
	})
	if err != nil { // The change then counts as one that bypassed the webhook.
		e.log.Error(err, "Cannot list the Events about exempt users", "object", object.String())
	}
	return list.Items
}
