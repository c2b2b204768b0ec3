package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// maxTrusted bounds the CAs of a caBundle: the current one, the previous one, whose certificates replicas may still
// serve, and one more for two rotations in short succession.
const maxTrusted = 3

// trustManager is the manager that cert-controller uses: it writes with another client.
type trustManager struct {
	manager.Manager
	client client.Client
}

// GetClient implements manager.Manager.
func (m trustManager) GetClient() client.Client { return m.client }

// trustKeeper is a client that adds a CA to the caBundles of a webhook configuration, where cert-controller would
// replace the previous CA while replicas still serve a certificate of it. The previous CA stays until it expires:
// cert-controller renews 90 days before that. To distrust it at once, empty the caBundle: bgpguard writes only the
// current CA then.
//
// It also protects replicas from each other: a replica that has not seen the newest Secret yet, and injects an older
// CA, does not remove the newer one.
type trustKeeper struct {
	client.Client
	reader client.Reader
	now    func() time.Time
}

// Update writes webhook configurations in the way that trustKeeper describes, and all other objects unchanged.
func (k trustKeeper) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	injected, ok := obj.(*unstructured.Unstructured)
	if !ok || injected.GetKind() != "ValidatingWebhookConfiguration" {
		return k.Client.Update(ctx, obj, opts...)
	}
	// The object that cert-controller passes comes from a cache and contains only its own caBundle. With the live
	// object, the write also fails with a conflict, and is retried, if another replica writes after this read.
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind(injected.GetKind()))
	if err := k.reader.Get(ctx, client.ObjectKeyFromObject(injected), live); err != nil {
		return fmt.Errorf("reading the current CA bundle: %w", err)
	}
	changed, err := addTrust(live, injected, k.now())
	if err != nil || !changed {
		return err
	}
	return k.Client.Update(ctx, live, opts...)
}

// addTrust adds the CA of injected to each webhook of live, and reports whether that changed anything. It uses the
// unstructured form to keep fields that are unknown to this version of the types.
func addTrust(live, injected *unstructured.Unstructured, now time.Time) (changed bool, err error) {
	bundles, err := caBundles(injected)
	if err != nil {
		return false, err
	}
	if len(bundles) == 0 {
		return false, nil
	}
	webhooks, _, err := unstructured.NestedSlice(live.Object, "webhooks")
	if err != nil {
		return false, err
	}
	current, err := caBundles(live)
	if err != nil {
		return false, err
	}
	for i := range webhooks {
		// cert-controller injects the same CA into all webhooks.
		merged := mergeBundles(bundles[0], current[i], now)
		if bytes.Equal(merged, current[i]) {
			continue
		}
		changed = true
		encoded := base64.StdEncoding.EncodeToString(merged)
		if err := unstructured.SetNestedField(webhooks[i].(map[string]any), encoded, "clientConfig", "caBundle"); err != nil {
			return false, err
		}
	}
	return changed, unstructured.SetNestedSlice(live.Object, webhooks, "webhooks")
}

// caBundles returns one entry for each webhook of the configuration, nil where it has no caBundle.
func caBundles(configuration *unstructured.Unstructured) ([][]byte, error) {
	webhooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
	if err != nil {
		return nil, err
	}
	bundles := make([][]byte, len(webhooks))
	for i, webhook := range webhooks {
		fields, ok := webhook.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("webhooks[%d] is not an object", i)
		}
		encoded, _, err := unstructured.NestedString(fields, "clientConfig", "caBundle")
		if err != nil {
			return nil, fmt.Errorf("webhooks[%d]: %w", i, err)
		}
		if bundles[i], err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return nil, fmt.Errorf("webhooks[%d].clientConfig.caBundle: %w", i, err)
		}
	}
	return bundles, nil
}

// mergeBundles returns the injected CA followed by the CAs of the present bundle that have not expired, newest first.
func mergeBundles(injected, present []byte, now time.Time) []byte {
	merged := parseCertificates(injected)
	others := parseCertificates(present)
	slices.SortStableFunc(others, func(a, b *x509.Certificate) int { return b.NotBefore.Compare(a.NotBefore) })
	for _, ca := range others {
		if len(merged) < maxTrusted && ca.IsCA && now.Before(ca.NotAfter) && !slices.ContainsFunc(merged, ca.Equal) {
			merged = append(merged, ca)
		}
	}
	var bundle bytes.Buffer
	for _, ca := range merged {
		bundle.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
	}
	return bundle.Bytes()
}
