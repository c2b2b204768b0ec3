package auditor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/registration"
	"github.com/bgpguard/bgpguard/pkg/text"
)

const (
	// registrationDelay is the time from a change of the configuration to its comparison. An
	// installation writes the CA a moment after the rest.
	registrationDelay = 3 * time.Second
	// registrationInterval is the time between two comparisons of an unchanged configuration:
	// the certificate that the CA must verify changes too.
	registrationInterval = time.Minute
	// The reasons of Events about the configuration.
	reasonNotAsked = "NotAsked"
	reasonAsked    = "Asked"
)

var configurationDifferences = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "bgpguard_webhook_configuration_differences",
	Help: "Differences between the ValidatingWebhookConfiguration and the installed one, because of which the API server does not ask bgpguard about some or all changes. Only the leader exports it.",
}, []string{"name"})

// Registration follows the ValidatingWebhookConfiguration that makes the API server ask
// bgpguard, and reports where it differs from the installed one, as log line, Event and
// metric. It changes nothing. The leader calls Lead.
type Registration struct {
	expected registration.Expected
	source   cache.ListerWatcher
	writer   client.Writer
	replica  string
	log      logr.Logger
	now      func() time.Time
	onChange func()
	reported func(ctx context.Context, description string) bool
	delay    time.Duration

	differences atomic.Pointer[[]string]
}

// NewRegistration returns a Registration that reads the configuration of the cluster of mgr.
// replica is the name of this process.
func NewRegistration(mgr manager.Manager, expected registration.Expected, replica string, log logr.Logger) (*Registration, error) {
	clients, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("creating a client for the %s: %w", registration.Kind, err)
	}
	return &Registration{
		expected: expected, writer: mgr.GetClient(), replica: replica, log: log, now: time.Now, delay: registrationDelay,
		onChange: func() {}, reported: func(_ context.Context, description string) bool { return description == "" },
		source: cache.NewListWatchFromClient(clients.AdmissionregistrationV1().RESTClient(), "validatingwebhookconfigurations",
			metav1.NamespaceAll, fields.OneTermEqualSelector(metav1.ObjectNameField, expected.Name)),
	}, nil
}

// OnChange sets the function that is called when Differences returns others than before. It
// must be fast. Call it before Lead.
func (r *Registration) OnChange(f func()) { r.onChange = f }

// Reported sets the function that returns whether an earlier leader has reported differences with a
// description of registration.Describe, "" for none. A new leader does not report them again.
// Call it before Lead.
func (r *Registration) Reported(f func(ctx context.Context, description string) bool) { r.reported = f }

// Differences returns the present differences. They are not known before the leader has read the
// configuration, and on other replicas. The slice must not be changed.
func (r *Registration) Differences() (differences []string, known bool) {
	if found := r.differences.Load(); found != nil {
		return *found, true
	}
	return nil, false
}

// Lead follows the configuration until ctx is done, and then forgets it.
func (r *Registration) Lead(ctx context.Context) {
	defer r.forget()
	changed := loop.NewSignal()
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: r.source, ObjectType: &admissionregistrationv1.ValidatingWebhookConfiguration{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { changed.Send() },
			UpdateFunc: func(any, any) { changed.Send() },
			DeleteFunc: func(any) { changed.Send() },
		},
	})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		controller.RunWithContext(ctx)
	}()
	defer func() { <-stopped }()
	if !cache.WaitForCacheSync(ctx.Done(), controller.HasSynced) {
		return
	}
	for {
		changed.Clear() // This turn covers it.
		loop.Pause(ctx, r.delay)
		if ctx.Err() != nil {
			return
		}
		r.compare(ctx, store)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(registrationInterval):
		}
	}
}

// forget removes what only the leader reports.
func (r *Registration) forget() {
	r.differences.Store(nil)
	configurationDifferences.Reset()
}

// compare compares the configuration in store and reports what is new.
func (r *Registration) compare(ctx context.Context, store cache.Store) {
	var is *admissionregistrationv1.ValidatingWebhookConfiguration
	if item, exists, err := store.GetByKey(r.expected.Name); err == nil && exists {
		is, _ = item.(*admissionregistrationv1.ValidatingWebhookConfiguration)
	}
	found := registration.Differences(is, r.expected)
	before, known := r.Differences()
	if known && slices.Equal(found, before) {
		return
	}
	described := ""
	if len(found) > 0 {
		described = registration.Describe(found)
	}
	news := known || !r.reported(ctx, described) // Asked before onChange, which replaces the report.
	r.differences.Store(&found)
	configurationDifferences.WithLabelValues(r.expected.Name).Set(float64(len(found)))
	r.onChange()
	if !news {
		return
	}
	about := corev1.ObjectReference{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: registration.Kind, Name: r.expected.Name}
	if is != nil {
		about.UID = is.UID
	}
	reason, kind, note := reasonAsked, corev1.EventTypeNormal, fmt.Sprintf("%s %s asks bgpguard again as installed", registration.Kind, r.expected.Name)
	if len(found) > 0 {
		reason, kind, note = reasonNotAsked, corev1.EventTypeWarning, described
	}
	r.log.Info(note, "differences", found)
	event := newEvent(r.replica, about, reason, "Compare", r.now(), strings.Join(found, "\n"))
	event.Type, event.Note = kind, text.Cut(note, maxNote)
	if err := r.writer.Create(ctx, event); err != nil && ctx.Err() == nil {
		r.log.Error(err, "Cannot send an Event", "reason", reason)
	}
}
