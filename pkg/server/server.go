// Package server is the webhook's process: options, wiring, probes and shutdown.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/opa/v1/ast"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/bgpguard/bgpguard/certs"
	"github.com/bgpguard/bgpguard/pkg/admission"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/process"
	"github.com/bgpguard/bgpguard/pkg/reserve"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/trial"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// leaseName is the Lease of the leader election.
const leaseName = "bgpguard.policy.bgpguard.io"

// Run runs the webhook until ctx is done and all requests are answered. It logs
// to w.
func Run(ctx context.Context, o Options, w io.Writer) error {
	if err := o.Validate(); err != nil {
		return err
	}
	limitGarbage()
	log := process.NewLogger(w, o.LogFormat, o.LogLevel)
	if err := registerMetrics(metrics.Registry); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}

	// From files to policies. All of it precedes the first connection, so that a typo ends
	// the start at once.
	sources, err := enforce.NewSources(enforce.SourceOptions{Paths: o.PolicyDir, BundleConfig: o.OpaConfig}, log.WithName("library"))
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	store := cluster.NewStore(log.WithName("cluster"))
	store.SetMaxAge(o.MaxDataAge)
	engine := validate.NewEngine(policy.NewSet(nil))
	trials := trial.NewRunner()
	keeper := enforce.NewKeeper(sources.Library(), log.WithName("policies"))
	keeper.SetCheck(trials.Check)
	sources.OnChange(keeper.SetLibrary)
	keeper.OnChange(func(set *policy.Set) {
		engine.SetPolicies(set)
		store.Announce() // What is computed ahead for the snapshot depends on the policies.
	})
	var files *enforce.Files
	if len(o.Policies) > 0 {
		if files, err = enforce.NewFiles(keeper, o.Policies, log.WithName("policies")); err != nil {
			return fmt.Errorf("policies: %w", err)
		}
	}

	// The manager, which runs everything below.
	config, err := restConfig(o.Kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	certificate := certs.NewSource(certs.Options{
		Dir: o.CertDir, Namespace: process.Namespace(o.Namespace), Secret: o.CertSecret, Service: o.CertService,
		ExtraDNSNames: o.CertExtraDNSNames, WebhookConfiguration: o.WebhookConfiguration,
	})
	clients, err := newClientCA(o.ClientCaFile, log.WithName("clients"))
	if err != nil {
		return err
	}
	mgr, err := newManager(config, &o, log, store, certificate, clients)
	if err != nil {
		return err
	}
	if err := certificate.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}

	// From the cluster to snapshots and audits.
	follower, err := cluster.NewFollower(mgr, store, cluster.FollowOptions{SecretNamespace: o.CalicoNamespace, IPAMBlocks: o.IPAMBlocks})
	if err != nil {
		return err
	}
	policies := newPolicies(mgr, keeper, files, log.WithName("policies"))
	audits, err := newAuditing(mgr, engine, readyCluster{store, policies, sources}, follower, policies, &o, certificate.VerifiedBy, log.WithName("audit"))
	if err != nil {
		return err
	}
	follower.OnChange(func(ctx context.Context, s *state.Snapshot) {
		if err := engine.Warm(ctx, s); err != nil {
			log.Error(err, "Cannot evaluate the policies ahead of the next request")
		}
		audits.Notify()
	})
	if policies.objects != nil {
		policies.objects.WriteStatus(mgr, enforce.StatusOptions{Replica: replica(), Count: audits.Counts, NotAsked: audits.notAsked})
	}
	for _, runnable := range append(audits.runnables(), follower, sources, policies.runnable) {
		if err := mgr.Add(runnable); err != nil {
			return err
		}
	}

	// From requests to answers.
	ledger, err := newLedger(ctx, mgr, store, follower, &o, log.WithName("reservations"))
	if err != nil {
		return err
	}
	admit := admission.New(readyCluster{Store: store, policies: policies}, engine)
	admit.SetLedger(ledger)
	admit.SetRecord(audits.exemptions.Record)
	handler, err := admit.HTTP(log.WithName("admission"), o.RequestTimeout)
	if err != nil {
		return err
	}
	mgr.GetWebhookServer().Register(admission.Path, clients.protect(handler))
	handler, err = admission.NewPolicyHandler(keeper, tryOn(engine, store, trials), policies.notes()...).HTTP(log.WithName("admission"), o.RequestTimeout)
	if err != nil {
		return err
	}
	mgr.GetWebhookServer().Register(admission.PolicyPath, clients.protect(handler))

	stopping := &shutdown{log: log, delay: o.ShutdownDelay}
	if err := process.AddProbes(mgr, map[string]healthz.Checker{
		"cluster":     store.Check,
		"certificate": certificate.Check,
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

// newLedger returns the reservations, which the replicas share in a ConfigMap.
func newLedger(ctx context.Context, mgr manager.Manager, store *cluster.Store, follower *cluster.Follower, o *Options, log logr.Logger) (*reserve.Ledger, error) {
	reservations, err := reserve.NewConfigMap(mgr.GetConfig(), process.Namespace(o.Namespace))
	if err != nil {
		return nil, err
	}
	ledger := reserve.NewLedger(reservations, replica(), log)
	ledger.ExpectLateWatches(follower, o.MaxDataAge)
	store.SetObserver(ledger)
	if err := ledger.Load(ctx); err != nil {
		// The first change reads them.
		log.Error(err, "Cannot read the reservations yet")
	}
	return ledger, mgr.Add(reserve.Follower{Ledger: ledger, ConfigMap: reservations})
}

// tryOn returns a function that evaluates a policy on the current state, one with Rego of its
// own in a trial. Where the state is not known yet it returns no violations: policies may be
// created first.
func tryOn(engine *validate.Engine, store *cluster.Store, trials *trial.Runner) admission.Try {
	return func(ctx context.Context, d *policy.Document, p *policy.Policy) ([]violation.Violation, error) {
		snapshot, _, err := store.Snapshot()
		if errors.Is(err, state.ErrNotSynced) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		evaluate := p.Evaluate
		if d.Spec.Rego != nil {
			evaluate = func(ctx context.Context, input ast.Object, state func() ast.Value) ([]violation.Violation, error) {
				return trials.Evaluate(ctx, d, p, input, state)
			}
		}
		return engine.Try(ctx, snapshot, p, evaluate)
	}
}

func newManager(config *rest.Config, o *Options, log logr.Logger, store *cluster.Store, certificate *certs.Source, clients *clientCA) (manager.Manager, error) {
	scheme, err := process.NewScheme()
	if err != nil {
		return nil, err
	}
	withCertificate := []func(*tls.Config){func(c *tls.Config) {
		c.MinVersion = tls.VersionTLS13
		c.GetCertificate = certificate.GetCertificate
	}}
	return ctrl.NewManager(config, manager.Options{
		Scheme: scheme,
		Logger: log,
		Cache:  store.CacheOptions(),
		Metrics: metricsserver.Options{
			BindAddress:    o.MetricsBindAddress,
			SecureServing:  true,
			FilterProvider: process.Authorization,
			TLSOpts:        withCertificate,
		},
		HealthProbeBindAddress:        o.HealthProbeBindAddress,
		WebhookServer:                 webhook.NewServer(webhook.Options{Host: o.Host, Port: o.Port, TLSOpts: append(withCertificate, clients.configure)}),
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       process.Namespace(o.Namespace),
		LeaderElectionReleaseOnCancel: true,
	})
}

// restConfig returns the configuration of a kubeconfig file; of the cluster that
// the process runs in, or the default kubeconfig, where path is "".
func restConfig(path string) (*rest.Config, error) {
	if path == "" {
		return ctrl.GetConfig()
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "bgpguard"
	config.QPS = -1 // The API server has priority and fairness.
	return config, nil
}
