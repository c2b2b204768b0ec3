package certs

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestMergeBundles(t *testing.T) {
	oldest, older := newCA(t, epoch), newCA(t, epoch.Add(1*year))
	old, newest := newCA(t, epoch.Add(2*year)), newCA(t, epoch.Add(9*year))
	leaf, _ := newest.issue(t, epoch)

	tests := map[string]struct {
		injected, present []byte
		at                time.Duration
		want              []byte
	}{
		"the first CA":                              {injected: old.pem, want: old.pem},
		"the previous CA stays":                     {injected: newest.pem, present: old.pem, want: bundle(newest, old)},
		"a CA is not repeated":                      {injected: newest.pem, present: bundle(newest, old), want: bundle(newest, old)},
		"a late replica does not remove a newer CA": {injected: old.pem, present: newest.pem, want: bundle(old, newest)},
		"an expired CA is removed":                  {injected: newest.pem, present: old.pem, at: 12 * year, want: newest.pem},
		"what is no certificate is removed":         {injected: newest.pem, present: []byte("# none\n"), want: newest.pem},
		"what is no CA is removed":                  {injected: newest.pem, present: leaf, want: newest.pem},
		"more than three are cut to the newest":     {injected: newest.pem, present: bundle(oldest, older, old), want: bundle(newest, old, older)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := mergeBundles(test.injected, test.present, epoch.Add(test.at))
			if !bytes.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestAddTrustKeepsUnknownFields(t *testing.T) {
	ca := newCA(t, epoch)
	live := &unstructured.Unstructured{Object: map[string]any{
		"webhooks": []any{map[string]any{"name": "bgp.bgpguard.io", "ofTomorrow": "kept"}},
	}}
	injected := &unstructured.Unstructured{Object: map[string]any{
		"webhooks": []any{map[string]any{"clientConfig": map[string]any{
			"caBundle": base64.StdEncoding.EncodeToString(ca.pem),
		}}},
	}}
	changed, err := addTrust(live, injected, epoch)
	if err != nil || !changed {
		t.Fatalf("got %t, %v, want a change", changed, err)
	}
	webhooks, _, err := unstructured.NestedSlice(live.Object, "webhooks")
	if err != nil {
		t.Fatal(err)
	}
	if got := webhooks[0].(map[string]any)["ofTomorrow"]; got != "kept" {
		t.Errorf("the unknown field is %v", got)
	}
	if changed, err = addTrust(live, injected, epoch); err != nil || changed {
		t.Errorf("doing it again: got %t, %v, want no change", changed, err)
	}
}

// TestUpdate writes through the client like cert-controller, which replaces the caBundle in a cached object.
func TestUpdate(t *testing.T) {
	first, second := newCA(t, epoch), newCA(t, epoch.Add(year))
	cluster := fake.NewClientBuilder().WithObjects(configuration(first.pem, first.pem), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "bgpguard-system", Name: "bgpguard-webhook-cert"},
	}).Build()
	keeper := trustKeeper{Client: cluster, reader: cluster, now: func() time.Time { return epoch.Add(year) }}

	replace := func(ca *authorityOf) error {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))
		object.SetName("bgpguard")
		webhook := map[string]any{"clientConfig": map[string]any{"caBundle": base64.StdEncoding.EncodeToString(ca.pem)}}
		if err := unstructured.SetNestedSlice(object.Object, []any{webhook, webhook}, "webhooks"); err != nil {
			t.Fatal(err)
		}
		return keeper.Update(t.Context(), object)
	}
	if err := replace(second); err != nil {
		t.Fatal(err)
	}
	var got admissionregistrationv1.ValidatingWebhookConfiguration
	if err := cluster.Get(t.Context(), client.ObjectKey{Name: "bgpguard"}, &got); err != nil {
		t.Fatal(err)
	}
	for _, webhook := range got.Webhooks {
		if want := bundle(second, first); !slices.Equal(webhook.ClientConfig.CABundle, want) {
			t.Errorf("%s trusts\n%s\nwant\n%s", webhook.Name, webhook.ClientConfig.CABundle, want)
		}
	}
	version := got.ResourceVersion
	if err := replace(second); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Get(t.Context(), client.ObjectKey{Name: "bgpguard"}, &got); err != nil {
		t.Fatal(err)
	}
	if got.ResourceVersion != version {
		t.Error("a bundle that was right has been written again")
	}

	var secret corev1.Secret
	key := client.ObjectKey{Namespace: "bgpguard-system", Name: "bgpguard-webhook-cert"}
	if err := cluster.Get(t.Context(), key, &secret); err != nil {
		t.Fatal(err)
	}
	secret.Data = map[string][]byte{caName: second.pem}
	if err := keeper.Update(t.Context(), &secret); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Get(t.Context(), key, &secret); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(secret.Data[caName], second.pem) {
		t.Error("the Secret was not written")
	}

	if err := cluster.Delete(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if err := replace(first); !apierrors.IsNotFound(errors.Unwrap(err)) {
		t.Errorf("without a configuration: got error %v, want not found", err)
	}
}

func configuration(bundles ...[]byte) *admissionregistrationv1.ValidatingWebhookConfiguration {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "bgpguard"},
	}
	for _, bundle := range bundles {
		configuration.Webhooks = append(configuration.Webhooks, admissionregistrationv1.ValidatingWebhook{
			Name:         "bgp.bgpguard.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: bundle},
		})
	}
	return configuration
}
