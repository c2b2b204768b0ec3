package registration

import (
	"errors"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var expected = Expected{Name: "bgpguard", Namespace: "bgpguard-system", Service: "bgpguard-webhook"}

// shipped returns the installed configuration with a CA.
func shipped() *admissionregistrationv1.ValidatingWebhookConfiguration {
	out := installed().DeepCopy()
	for i := range out.Webhooks {
		out.Webhooks[i].ClientConfig.CABundle = []byte("CA")
	}
	return out
}

func TestTheInstalledConfigurationHasNoDifferences(t *testing.T) {
	if got := Differences(shipped(), expected); got != nil {
		t.Error(got)
	}
}

func TestWhatIsAddedIsNoDifference(t *testing.T) {
	is := shipped()
	w := &is.Webhooks[0]
	everything := []string{"*"}
	w.Rules = []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
		Rule:       admissionregistrationv1.Rule{APIGroups: everything, APIVersions: everything, Resources: everything},
	}}
	w.NamespaceSelector, w.ObjectSelector = &metav1.LabelSelector{}, &metav1.LabelSelector{}
	w.TimeoutSeconds = nil
	url := "https://bgpguard.example.com/validate"
	is.Webhooks[1].ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: &url} // Of a CA that the system trusts.
	is.Webhooks[1].MatchConditions[0].Expression = strings.Join(strings.Fields(is.Webhooks[1].MatchConditions[0].Expression), "\n")
	is.Webhooks = append(is.Webhooks, admissionregistrationv1.ValidatingWebhook{Name: "other.example.com"})
	if got := Differences(is, expected); got != nil {
		t.Error(got)
	}
}

func TestDifferences(t *testing.T) {
	ignore, exact, namespaced, url := admissionregistrationv1.Ignore, admissionregistrationv1.Exact, admissionregistrationv1.NamespacedScope, "https://127.0.0.1:9443/other"
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	policies := "webhook policies.bgpguard.io of ValidatingWebhookConfiguration bgpguard: "
	bgp := "webhook bgp.bgpguard.io of ValidatingWebhookConfiguration bgpguard: "
	for name, c := range map[string]struct {
		change func(is *admissionregistrationv1.ValidatingWebhookConfiguration)
		want   string
	}{
		"webhook": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) { is.Webhooks = is.Webhooks[1:] }, "ValidatingWebhookConfiguration bgpguard has no webhook bgp.bgpguard.io"},
		"failurePolicy": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].FailurePolicy = &ignore
		},
			bgp + "failurePolicy is Ignore, not Fail"},
		"matchPolicy": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) { is.Webhooks[0].MatchPolicy = &exact }, bgp + "matchPolicy is Exact, not Equivalent"},
		"rule": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].Rules[1].Resources = is.Webhooks[0].Rules[1].Resources[1:]
		},
			bgp + "no rule covers CREATE, UPDATE, DELETE of bgpconfigurations.v3.projectcalico.org"},
		"operation": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[2].Rules[0].Operations = is.Webhooks[2].Rules[0].Operations[:2]
		}, policies + "no rule covers DELETE of bgppolicies.v1alpha1.policy.bgpguard.io; " + policies + "no rule covers DELETE of bgpexceptions.v1alpha1.policy.bgpguard.io"},
		"subresource": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[1].Rules[1].Resources[0] = "*"
		},
			"webhook nodes.bgpguard.io of ValidatingWebhookConfiguration bgpguard: no rule covers UPDATE of nodes/status"},
		"scope": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[2].Rules[0].Scope = &namespaced
		},
			policies + "no rule covers CREATE, UPDATE, DELETE of bgppolicies.v1alpha1.policy.bgpguard.io; " +
				policies + "no rule covers CREATE, UPDATE, DELETE of bgpexceptions.v1alpha1.policy.bgpguard.io"},
		"namespaceSelector": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].NamespaceSelector = selector
		}, bgp + "it has a namespaceSelector"},
		"objectSelector": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].ObjectSelector = selector
		}, bgp + "it has an objectSelector"},
		"matchConditions": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "none", Expression: "false"}}
		}, bgp + "its matchConditions are not those of bgpguard"},
		"Service": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].ClientConfig.Service.Name = "other"
		},
			bgp + "the Service is bgpguard-system/other, not bgpguard-system/bgpguard-webhook"},
		"path": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].ClientConfig.Service.Path = nil
		}, bgp + `the path is "", not "/validate"`},
		"URL": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].ClientConfig.Service, is.Webhooks[0].ClientConfig.URL = nil, &url
		}, bgp + `the path of the URL is not "/validate"`},
		"caBundle": {func(is *admissionregistrationv1.ValidatingWebhookConfiguration) {
			is.Webhooks[0].ClientConfig.CABundle = nil
		},
			bgp + "caBundle is empty: the API server does not trust the certificate of bgpguard"},
	} {
		t.Run(name, func(t *testing.T) {
			is := shipped()
			c.change(is)
			if got := strings.Join(Differences(is, expected), "; "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// An installation can choose Ignore for Calico's objects; Fail is a difference then.
func TestTheIntendedFailurePolicyIsNoDifference(t *testing.T) {
	e := expected
	e.FailurePolicy = admissionregistrationv1.Ignore
	is := shipped()
	want := "webhook bgp.bgpguard.io of ValidatingWebhookConfiguration bgpguard: failurePolicy is Fail, not Ignore"
	if got := Differences(is, e); len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
	is.Webhooks[0].FailurePolicy = &e.FailurePolicy
	if got := Differences(is, e); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestAMissingConfiguration(t *testing.T) {
	want := "ValidatingWebhookConfiguration bgpguard does not exist: the API server asks bgpguard about no change"
	if got := Differences(nil, expected); len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheBundleMustVerifyTheCertificate(t *testing.T) {
	e := expected
	e.Verify = func(bundle []byte) error { return errors.New("signed by another authority: " + string(bundle)) }
	got := Differences(shipped(), e)
	if len(got) != 3 || !strings.HasSuffix(got[0], "caBundle does not verify the certificate of bgpguard: signed by another authority: CA") {
		t.Errorf("got %q", got)
	}
}
