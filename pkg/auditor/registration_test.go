package auditor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fcache "k8s.io/client-go/tools/cache/testing"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/config/webhook"
	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/registration"
)

// installedConfiguration is the configuration of config/webhook with a CA.
func installedConfiguration(t *testing.T) *admissionregistrationv1.ValidatingWebhookConfiguration {
	t.Helper()
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := yaml.UnmarshalStrict(webhook.Configuration, out); err != nil {
		t.Fatal(err)
	}
	for i := range out.Webhooks {
		out.Webhooks[i].ClientConfig.CABundle = []byte("CA")
	}
	return out
}

func TestTheRegistrationIsFollowed(t *testing.T) {
	source, server, changed := fcache.NewFakeControllerSource(), newAPIServer(), loop.NewSignal()
	source.Add(installedConfiguration(t))
	r := &Registration{
		expected: registration.Expected{Name: "bgpguard", Namespace: "bgpguard-system", Service: "bgpguard-webhook"},
		source:   source, writer: server, replica: "a", log: logr.Discard(), now: func() time.Time { return began }, onChange: changed.Send,
		reported: func(_ context.Context, description string) bool { return description == "" },
	}
	end := run(t, r.Lead)
	<-changed // They are known.
	source.Delete(&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "bgpguard"}})
	<-changed
	if got, _ := r.Differences(); len(got) != 1 || !strings.Contains(got[0], "does not exist") {
		t.Errorf("after the deletion: %q", got)
	}
	source.Add(installedConfiguration(t))
	<-changed
	if got, known := r.Differences(); got != nil || !known {
		t.Errorf("after the creation: %q, known %t", got, known)
	}
	weaker, ignore := installedConfiguration(t), admissionregistrationv1.Ignore
	weaker.Webhooks[0].FailurePolicy = &ignore
	source.Modify(weaker)
	<-changed
	if got, _ := r.Differences(); len(got) != 1 || !strings.Contains(got[0], "failurePolicy is Ignore") {
		t.Errorf("after the change: %q", got)
	}

	end()
	if got, known := r.Differences(); got != nil || known {
		t.Errorf("a replica that is not the leader has differences: %q, known %t", got, known)
	}
	var events []string
	for _, e := range server.events {
		events = append(events, e.Type+" "+e.Reason+" "+regarding(e)+": "+e.Note)
	}
	slices.Sort(events)
	restore := "; restore it with `kubectl apply -k config/default`, or by the tool that installed it"
	want := []string{
		"Normal Asked ValidatingWebhookConfiguration bgpguard: ValidatingWebhookConfiguration bgpguard asks bgpguard again as installed",
		"Warning NotAsked ValidatingWebhookConfiguration bgpguard: not enforced, because the API server does not ask bgpguard as installed: " +
			"ValidatingWebhookConfiguration bgpguard does not exist: the API server asks bgpguard about no change" + restore,
		"Warning NotAsked ValidatingWebhookConfiguration bgpguard: not enforced, because the API server does not ask bgpguard as installed: " +
			"webhook bgp.bgpguard.io of ValidatingWebhookConfiguration bgpguard: failurePolicy is Ignore, not Fail" + restore,
	}
	if !slices.Equal(events, want) {
		t.Errorf("Events:\n%s", strings.Join(events, "\n"))
	}
}

// The condition of the BGPPolicies shows what an earlier leader has reported.
func TestANewLeaderReportsOnlyWhatIsNew(t *testing.T) {
	weaker, ignore := installedConfiguration(t), admissionregistrationv1.Ignore
	weaker.Webhooks[0].FailurePolicy = &ignore
	expected := registration.Expected{Name: "bgpguard", Namespace: "bgpguard-system", Service: "bgpguard-webhook"}
	described := registration.Describe(registration.Differences(weaker, expected))
	for name, c := range map[string]struct {
		is      *admissionregistrationv1.ValidatingWebhookConfiguration
		written string
		want    string
	}{
		"nothing, as before":             {installedConfiguration(t), "", ""},
		"a difference":                   {weaker, "", reasonNotAsked},
		"the same difference as before":  {weaker, described, ""},
		"another difference than before": {weaker, "not enforced, because it does not exist", reasonNotAsked},
		"no difference any more":         {installedConfiguration(t), described, reasonAsked},
	} {
		t.Run(name, func(t *testing.T) {
			source, server, changed := fcache.NewFakeControllerSource(), newAPIServer(), loop.NewSignal()
			source.Add(c.is)
			written := c.written
			r := &Registration{
				expected: expected, source: source, writer: server, replica: "b", log: logr.Discard(), now: func() time.Time { return began },
				reported: func(_ context.Context, description string) bool { return description == written },
			}
			r.onChange = func() {
				differences, _ := r.Differences()
				written = "" // As the leader writes the status.
				if len(differences) > 0 {
					written = registration.Describe(differences)
				}
				changed.Send()
			}
			end := run(t, r.Lead)
			<-changed
			end()
			got := ""
			for _, e := range server.events {
				got += e.Reason
			}
			if got != c.want {
				t.Errorf("Events %q, want %q", got, c.want)
			}
		})
	}
}

func regarding(e *eventsv1.Event) string { return e.Regarding.Kind + " " + e.Regarding.Name }
