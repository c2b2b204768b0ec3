package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// authority is the name of the CA and of its organization.
const authority = "bgpguard-ca"

// rotators counts the rotators of this process: each controller needs a unique name, and a test may run several
// replicas in one process.
var rotators atomic.Int32

// setupSelfManaged serves the certificate of the Secret, and configures cert-controller to create and renew it.
func setupSelfManaged(mgr manager.Manager, o Options) (func() (*tls.Certificate, error), error) {
	dir, err := os.MkdirTemp("", "bgpguard-certs-")
	if err != nil {
		return nil, fmt.Errorf("creating the directory that cert-controller watches: %w", err)
	}
	byName := func(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
	watched, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(),
		Scheme:     mgr.GetScheme(),
		Mapper:     mapper(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{o.Namespace: {FieldSelector: byName(o.Secret)}}},
			&admissionregistrationv1.ValidatingWebhookConfiguration{}: {Field: byName(o.WebhookConfiguration)},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("creating the cache of the certificate Secret: %w", err)
	}
	s := &selfManaged{
		secret:        types.NamespacedName{Namespace: o.Namespace, Name: o.Secret},
		configuration: o.WebhookConfiguration,
		cache:         watched,
		log:           mgr.GetLogger().WithName("certs"),
		marker:        filepath.Join(dir, certName),
	}
	s.wait(errors.New("not read yet"))
	if err := mgr.Add(s); err != nil {
		return nil, fmt.Errorf("adding the watch of the certificate Secret: %w", err)
	}
	if err := rotator.AddRotator(trustManager{Manager: mgr, client: trustKeeper{
		Client: mgr.GetClient(),
		reader: mgr.GetAPIReader(),
		now:    time.Now,
	}}, newRotator(o, dir)); err != nil {
		return nil, fmt.Errorf("adding cert-controller: %w", err)
	}
	return s.current, nil
}

// mapper maps the two kinds that a replica watches. That of the manager asks the API server, which may be down when the
// process starts.
func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	m.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	m.Add(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"), meta.RESTScopeRoot)
	return m
}

func newRotator(o Options, dir string) *rotator.CertRotator {
	name := "bgpguard-certificates"
	if n := rotators.Add(1); n > 1 {
		name = fmt.Sprintf("%s-%d", name, n)
	}
	return &rotator.CertRotator{
		SecretKey:      types.NamespacedName{Namespace: o.Namespace, Name: o.Secret},
		CertDir:        dir,
		CertName:       certName,
		KeyName:        keyName,
		CAName:         authority,
		CAOrganization: authority,
		DNSName:        fmt.Sprintf("%s.%s.svc", o.Service, o.Namespace),
		ExtraDNSNames:  o.ExtraDNSNames,
		Webhooks:       []rotator.WebhookInfo{{Name: o.WebhookConfiguration, Type: rotator.Validating}},
		FieldOwner:     "bgpguard",
		ControllerName: name,
		// cert-controller closes this channel when it is done. Readiness uses Source.Check instead, which also checks
		// that the webhook configuration trusts the CA.
		IsReady: make(chan struct{}),
		// The first replica renews: the writes of the others fail with a conflict on the Secret.
		RequireLeaderElection: false,
	}
}
