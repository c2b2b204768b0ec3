// Package server is the webhook's process: options, wiring, probes, reload and
// shutdown.
package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/bgpguard/bgpguard/certs"
	"github.com/bgpguard/bgpguard/pkg/admission"
	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/library"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// leaseName is the Lease of the leader election.
const leaseName = "bgpguard.policy.bgpguard.io"

// Run runs the webhook until ctx is done and all requests are answered. It
// logs to w; version is that of the program.
func Run(ctx context.Context, o Options, version string, w io.Writer) error {
	if err := o.Validate(); err != nil {
		return err
	}
	limitGarbage()
	log := newLogger(w, &o)
	store := cluster.NewStore(log.WithName("cluster"))
	engine := validate.NewEngine(policy.NewSet(nil))
	var keeper *enforce.Keeper
	sources, policyLibrary, err := library.New(library.Options{Paths: o.PolicyDir, Config: o.OpaConfig}, log.WithName("library"),
		func(l *policy.Library) { keeper.SetLibrary(l) })
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	keeper = enforce.NewKeeper(policyLibrary, log.WithName("policies"), func(set *policy.Set) {
		engine.SetPolicies(set)
		store.Announce() // what is computed ahead for the snapshot depends on the policies
	})
	var files *enforce.Files
	if len(o.Policies) > 0 { // Before anything else: a typing error should end the start at once.
		if files, err = enforce.NewFiles(keeper, o.Policies, log.WithName("policies")); err != nil {
			return fmt.Errorf("policies: %w", err)
		}
	}
	config, err := restConfig(o.Kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	if err := registerMetrics(metrics.Registry); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}

	// The certificate's source needs the manager, which needs the servers that
	// ask the source; they ask for the first time when they are started.
	var source *certs.Source
	withCertificate := func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS13
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) { return source.GetCertificate(hello) }
	}
	mgr, err := newManager(config, &o, log, store, withCertificate)
	if err != nil {
		return err
	}
	source, err = certs.New(mgr, certs.Options{
		Dir: o.CertDir, Namespace: o.namespace(namespaceFile), Secret: o.CertSecret, Service: o.CertService,
		ExtraDNSNames: o.CertExtraDNSNames, WebhookConfiguration: o.WebhookConfiguration,
	})
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}

	var audits auditing
	policies := newPolicies(mgr, keeper, files, func() (map[string]int32, time.Time) { return audits.Counts() }, log) //nolint:gocritic // audits comes later.
	follower, err := cluster.NewFollower(mgr, store, o.CalicoNamespace, func(ctx context.Context, s *state.Snapshot) {
		if err := engine.Warm(ctx, s); err != nil {
			log.Error(err, "Cannot judge the state")
		}
		audits.Notify()
	})
	if err != nil {
		return err
	}
	judged := judgedBy{store, policies.check}
	if audits, err = newAuditing(mgr, engine, auditable{judged, sources.Check}, follower, &policies, &o, log); err != nil {
		return err
	}
	admit := admission.New(judged, engine)
	admit.SetRecord(audits.exemptions.Record)
	handler, err := admit.HTTP(log.WithName("admission"), o.RequestTimeout)
	if err != nil {
		return err
	}
	policyHandler, err := admission.NewPolicyHandler(keeper, func(ctx context.Context, p *policy.Policy) ([]violation.Violation, error) {
		snapshot, _, err := store.Snapshot()
		if err != nil {
			return nil, nil //nolint:nilerr // The state is not known yet: policies may come before it.
		}
		return engine.Try(ctx, snapshot, p)
	}, policies.notes...).HTTP(log.WithName("admission"), o.RequestTimeout)
	if err != nil {
		return err
	}
	mgr.GetWebhookServer().Register(admission.Path, handler)
	mgr.GetWebhookServer().Register(admission.PolicyPath, policyHandler)
	for _, runnable := range append(audits.runnables(), follower, sources, policies.runnable) {
		if err := mgr.Add(runnable); err != nil {
			return err
		}
	}

	if o.ReportBindAddress != "0" {
		if err := addPage(mgr, o.ReportBindAddress, newPage(audits.Current, version, log.WithName("report")), withCertificate); err != nil {
			return fmt.Errorf("the report: %w", err)
		}
	}

	stopping := &shutdown{log: log, delay: o.ShutdownDelay}
	if err := addProbes(mgr, map[string]healthz.Checker{
		"cluster":     store.Check,
		"certificate": source.Check,
		"webhook":     mgr.GetWebhookServer().StartedChecker(),
		"shutdown":    stopping.Check,
		"policies":    policies.check,
		"library":     sources.Check,
	}); err != nil {
		return err
	}
	running, stop := stopping.after(ctx)
	defer stop()
	return mgr.Start(running)
}

func newManager(config *rest.Config, o *Options, log logr.Logger, store *cluster.Store, withCertificate func(*tls.Config)) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return ctrl.NewManager(config, manager.Options{
		Scheme: scheme,
		Logger: log,
		Cache:  store.CacheOptions(),
		Metrics: metricsserver.Options{
			BindAddress:    o.MetricsBindAddress,
			SecureServing:  true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
			TLSOpts:        []func(*tls.Config){withCertificate},
		},
		HealthProbeBindAddress: o.HealthProbeBindAddress,
		WebhookServer: webhook.NewServer(webhook.Options{
			Host: o.Host, Port: o.Port, TLSOpts: []func(*tls.Config){withCertificate},
		}),
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       o.namespace(namespaceFile),
		LeaderElectionReleaseOnCancel: true,
	})
}

func addProbes(mgr manager.Manager, ready map[string]healthz.Checker) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	for name, check := range ready {
		if err := mgr.AddReadyzCheck(name, check); err != nil {
			return err
		}
	}
	return nil
}

// restConfig does what controller-runtime does, without its global flag.
func restConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return ctrl.GetConfig()
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "bgpguard"
	config.QPS = -1 // The API server has priority and fairness.
	return config, nil
}
