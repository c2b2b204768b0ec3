package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	certmetrics "sigs.k8s.io/controller-runtime/pkg/certwatcher/metrics"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/bgpguard/bgpguard/pkg/loop"
)

func newWatch(t *testing.T, log logr.Logger) *selfManaged {
	t.Helper()
	s := &selfManaged{
		secret:        types.NamespacedName{Namespace: "bgpguard-system", Name: "bgpguard-webhook-cert"},
		configuration: "bgpguard",
		log:           log,
		marker:        filepath.Join(t.TempDir(), certName),
	}
	s.wait(errors.New("not read yet"))
	return s
}

// TestRefresh follows one replica from the installation through every change of the Secret.
func TestRefresh(t *testing.T) {
	ca, next := newCA(t, epoch), newCA(t, epoch.Add(9*year))
	first, renewed, rotated := ca.secret(t, epoch), ca.secret(t, epoch.Add(year)), next.secret(t, epoch.Add(9*year))

	const prefix = `no serving certificate yet: Secret "bgpguard-system/bgpguard-webhook-cert": `
	steps := []struct {
		name   string
		secret *corev1.Secret
		bundle []byte
		// serves is the Secret whose certificate is served afterwards; without it, err is the reason.
		serves *corev1.Secret
		err    string
		errors int
		logged string
	}{{
		name: "the Secret is missing",
		err:  prefix + `secrets "bgpguard-webhook-cert" not found`, errors: 1,
		logged: "The certificate Secret is invalid",
	}, {
		name: "the Secret is empty, as it is installed", secret: &corev1.Secret{},
		err: prefix + `it holds no certificate yet`,
	}, {
		name: "the first certificate is there, but its CA not yet", secret: first,
		err:    prefix + `ValidatingWebhookConfiguration "bgpguard" does not trust its CA yet`,
		logged: "Not serving the new certificate",
	}, {
		name: "the CA was injected", secret: first, bundle: ca.pem,
		serves: first, logged: "Serving the certificate of the Secret",
	}, {
		name: "nothing changed", secret: first, bundle: ca.pem,
		serves: first,
	}, {
		name: "the certificate was renewed", secret: renewed, bundle: ca.pem,
		serves: renewed, logged: "Serving the certificate of the Secret",
	}, {
		name: "the Secret is invalid", secret: &corev1.Secret{Data: map[string][]byte{
			certName: []byte("broken"), keyName: renewed.Data[keyName], caName: ca.pem,
		}}, bundle: ca.pem,
		serves: renewed, errors: 1, logged: "tls: failed to find any PEM data in certificate input",
	}, {
		name: "the Secret is still invalid", secret: &corev1.Secret{Data: map[string][]byte{
			certName: []byte("broken"), keyName: renewed.Data[keyName], caName: ca.pem,
		}}, bundle: ca.pem,
		serves: renewed,
	}, {
		name: "the Secret was emptied", secret: &corev1.Secret{}, bundle: ca.pem,
		serves: renewed, errors: 1, logged: "it holds no certificate yet",
	}, {
		name: "a new CA was created, not injected yet", secret: rotated, bundle: ca.pem,
		serves: renewed, logged: "Not serving the new certificate",
	}, {
		name: "the new CA replaced the old one", secret: rotated, bundle: next.pem,
		serves: rotated, logged: "Serving the certificate of the Secret",
	}, {
		name:   "the Secret was deleted",
		bundle: next.pem,
		serves: rotated, errors: 1, logged: "not found",
	}}

	var lines strings.Builder
	log := funcr.New(func(_, line string) { lines.WriteString(line + "\n") }, funcr.Options{Verbosity: 9})
	s := newWatch(t, log)
	for _, step := range steps {
		lines.Reset()
		objects := []client.Object{configuration(step.bundle)}
		if step.secret != nil {
			secret := step.secret.DeepCopy()
			secret.ObjectMeta = metav1.ObjectMeta{Namespace: "bgpguard-system", Name: "bgpguard-webhook-cert"}
			objects = append(objects, secret)
		}
		before := testutil.ToFloat64(certmetrics.ReadCertificateErrors)
		s.refresh(t.Context(), fake.NewClientBuilder().WithObjects(objects...).Build(), epoch)

		cert, err := s.current()
		if step.serves == nil {
			if err == nil || err.Error() != step.err {
				t.Errorf("%s: got error %v, want %s", step.name, err, step.err)
			}
		} else {
			if err != nil || !sameCertificate(t, cert, step.serves.Data[certName], step.serves.Data[keyName]) {
				t.Errorf("%s: serves the wrong certificate, error %v", step.name, err)
			}
			want, err := parseSecret(step.serves)
			if err != nil {
				t.Fatal(err)
			}
			checkExpiry(t, step.name, want.cert.Leaf.NotAfter, want.ca.NotAfter)
		}
		if _, err := os.Stat(s.marker); errors.Is(err, fs.ErrNotExist) != (step.serves == nil) {
			t.Errorf("%s: marker for cert-controller: %v", step.name, err)
		}
		if got := int(testutil.ToFloat64(certmetrics.ReadCertificateErrors) - before); got != step.errors {
			t.Errorf("%s: counted %d errors, want %d", step.name, got, step.errors)
		}
		if (lines.Len() == 0) != (step.logged == "") || !strings.Contains(lines.String(), step.logged) {
			t.Errorf("%s: logged %q, want %q", step.name, lines.String(), step.logged)
		}
		if strings.Contains(lines.String(), "BEGIN") {
			t.Errorf("%s: logged PEM data: %q", step.name, lines.String())
		}
	}
}

// TestRun tests that the loop handles signals, and the end of the wait for a new CA without a signal.
func TestRun(t *testing.T) {
	ca, next := newCA(t, epoch), newCA(t, epoch.Add(9*year))
	first, rotated := ca.secret(t, epoch), next.secret(t, epoch.Add(9*year))

	synctest.Test(t, func(t *testing.T) {
		cluster := fake.NewClientBuilder().WithObjects(first.DeepCopy(), configuration(ca.pem)).Build()
		s := newWatch(t, logr.Discard())
		changed := loop.NewSignal()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			s.run(ctx, cluster, changed)
			close(ended)
		}()
		serves := func(want *corev1.Secret) {
			t.Helper()
			synctest.Wait()
			cert, err := s.current()
			if err != nil || !sameCertificate(t, cert, want.Data[certName], want.Data[keyName]) {
				t.Errorf("serves the wrong certificate, error %v", err)
			}
		}
		update := func(obj client.Object) {
			t.Helper()
			present := obj.DeepCopyObject().(client.Object)
			if err := cluster.Get(ctx, client.ObjectKeyFromObject(obj), present); err != nil {
				t.Fatal(err)
			}
			obj.SetResourceVersion(present.GetResourceVersion())
			if err := cluster.Update(ctx, obj); err != nil {
				t.Fatal(err)
			}
			notify(changed).OnUpdate(nil, nil)
		}

		serves(first)
		update(rotated.DeepCopy())
		serves(first)
		update(configuration(bundle(next, ca)))
		serves(first)
		time.Sleep(settleTime)
		serves(rotated)

		cancel()
		<-ended
	})
}

func sameCertificate(t *testing.T, got *tls.Certificate, cert, key []byte) bool {
	t.Helper()
	want, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return got.Leaf.Equal(want.Leaf)
}

func checkExpiry(t *testing.T, when string, serving, ca time.Time) {
	t.Helper()
	for certificate, want := range map[string]time.Time{"serving": serving, "ca": ca} {
		got := testutil.ToFloat64(expiry.WithLabelValues(certificate))
		if got != float64(want.Unix()) {
			t.Errorf("%s: expiry of %s is %.0f, want %d", when, certificate, got, want.Unix())
		}
	}
}
