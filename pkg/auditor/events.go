package auditor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/calico"
)

const (
	// eventNamespace is the namespace of Events about cluster-scoped objects.
	eventNamespace = metav1.NamespaceDefault
	// controller is the reportingController.
	controller = "bgpguard"
	// maxInstance bounds the reportingInstance, in bytes.
	maxInstance = 128
	// eventAge is the default of the API server's --event-ttl. Notices that could not be
	// sent for so long are dropped.
	eventAge = time.Hour

	// annotationPolicies and annotationUser hold the policies and the user for programs.
	annotationPolicies = "policy.bgpguard.io/policies"
	annotationUser     = "policy.bgpguard.io/user"
)

// events writes Events. Their names are hashes of their contents and time. If a replica does
// not know whether an Event was written, it can thus write the Event again without a duplicate.
type events struct {
	writer    client.Writer
	reference Reference
	replica   string
	log       logr.Logger
}

// send sends notices and returns those that could not be sent, with the reason.
func (e *events) send(ctx context.Context, notices []notice, now time.Time) ([]notice, error) {
	for i := range notices {
		if now.Sub(notices[i].Time) > eventAge {
			continue
		}
		if err := e.sendOne(ctx, &notices[i]); err != nil {
			return notices[i:], err
		}
	}
	return nil, nil
}

func (e *events) sendOne(ctx context.Context, n *notice) error {
	var regarding []corev1.ObjectReference
	for _, o := range n.Objects {
		if r, ok := e.reference(ctx, calico.Kind(o.Kind), o.Name); ok {
			regarding = append(regarding, r)
		}
	}
	if regarding == nil { // No Event can be about any of the objects.
		r, _ := e.reference(ctx, v1alpha1.KindBGPPolicy, n.Policy)
		regarding = append(regarding, r)
	}
	kind := corev1.EventTypeWarning
	if n.Reason == reasonResolved {
		kind = corev1.EventTypeNormal
	}
	for _, r := range regarding {
		event := newEvent(e.replica, r, n.Reason, "Audit", n.Time, n.Policy, n.ID)
		event.Type, event.Note, event.Annotations = kind, n.Note, map[string]string{annotationPolicies: n.Policy}
		err := e.writer.Create(ctx, event)
		switch {
		case apierrors.IsInvalid(err): // Another attempt would fail too.
			e.log.Error(err, "Cannot send an Event", "reason", n.Reason, "policy", n.Policy, "id", n.ID)
		case err != nil && !apierrors.IsAlreadyExists(err):
			return err
		}
	}
	return nil
}

// newEvent returns an Event whose name is a hash of all arguments except the replica. more
// are further parts of the name.
func newEvent(replica string, regarding corev1.ObjectReference, reason, action string, at time.Time, more ...string) *eventsv1.Event {
	parts := append([]string{reason, at.UTC().Format(time.RFC3339Nano), regarding.Kind, regarding.Name}, more...)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: eventNamespace, Name: "bgpguard-" + hex.EncodeToString(sum[:12])},
		EventTime:           metav1.NewMicroTime(at),
		ReportingController: controller, ReportingInstance: replica[:min(len(replica), maxInstance)],
		Action: action, Reason: reason, Regarding: regarding,
	}
}
