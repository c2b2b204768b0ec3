// Package server is the webhook's process: options, wiring, probes and shutdown.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/opa/v1/ast"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	controllerconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bgpguard/bgpguard/certs"
	"github.com/bgpguard/bgpguard/pkg/admission"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/leader"
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

// permissionTime is how long an API server that has started may need to know what this process may
// do.
const permissionTime = 10 * time.Second

// Run runs the webhook until ctx is done and all requests are answered. It logs
// to w.
func Run(ctx context.Context, o Options, w io.Writer) error {
	if err := errors.Join(o.Validate(), limitMemory()); err != nil {
		return err
	}
	limitGarbage()
	policy.LimitMemory()
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
	store.SetTypha(o.Typha)
	capacity := cluster.NewCapacity(memoryLimit())
	store.SetCapacity(capacity)
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

	// The manager, which runs everything below. The probes answer before it starts.
	config, err := restConfig(o.Kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	probes, err := process.ServeProbes(o.HealthProbeBindAddress, log)
	if err != nil {
		return err
	}
	defer probes.Close()
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
	follower.OnChange(engine.AwaitIdle, func(ctx context.Context, s *state.Snapshot) {
		if err := engine.Warm(ctx, s); err != nil {
			log.Error(err, "Cannot evaluate the policies ahead of the next request")
		}
		audits.Notify()
	})
	exceptions := enforce.NewExceptions(mgr, engine.SetExceptions, log.WithName("exceptions"))
	election, err := newElection(mgr, audits, policies, exceptions, store, &o, log.WithName("leader"))
	if err != nil {
		return err
	}
	for _, runnable := range []manager.Runnable{election, audits.exemptions, follower, sources, policies.runnable, exceptions} {
		if err := mgr.Add(runnable); err != nil {
			return err
		}
	}

	// From requests to answers.
	ledger, err := newLedger(mgr, store, follower, &o, log.WithName("reservations"))
	if err != nil {
		return err
	}
	admit := admission.New(readyCluster{Store: store, policies: policies}, engine)
	admit.SetLedger(ledger)
	admit.SetRoom(capacity.Room)
	admit.SetRecord(recordWith(audits.exemptions, exceptions))
	stopping := &shutdown{log: log, delay: o.ShutdownDelay}
	if err := serveReviews(mgr, map[string]reviews{
		admission.Path:       {by: admit, timeout: o.RequestTimeout},
		admission.PolicyPath: {by: admission.NewPolicyHandler(keeper, tryOn(engine, store, trials), policies.notes()...), timeout: policyTimeout},
	}, func(h http.Handler) http.Handler { return stopping.handler(clients.protect(h)) }, log.WithName("admission")); err != nil {
		return err
	}

	if err := await(ctx, config, probes, ledger, log); err != nil {
		return ignoreDone(ctx, err)
	}
	probes.Check(map[string]healthz.Checker{
		"cluster":     store.Check,
		"certificate": certificate.Check,
		"webhook":     mgr.GetWebhookServer().StartedChecker(),
		"shutdown":    stopping.Check,
		"policies":    policies.check,
		"library":     sources.Check,
	})
	running, stop := stopping.after(ctx)
	defer stop()
	return mgr.Start(running)
}

// reviewer answers reviews.
type reviewer interface {
	HTTP(log logr.Logger, timeout time.Duration, intake *admission.Intake) (http.Handler, error)
}

// reviews are those of one path, each answered within timeout.
type reviews struct {
	by      reviewer
	timeout time.Duration
}

// policyTimeout is timeoutSeconds of the webhook for BGPPolicies. The tests and the first evaluation
// of a policy may use 5 s of CPU time, which takes longer on a busy machine.
const policyTimeout = 10 * time.Second

// serveReviews makes the webhook serve reviews by path. They share the memory for reviews.
func serveReviews(mgr manager.Manager, paths map[string]reviews, wrap func(http.Handler) http.Handler, log logr.Logger) error {
	intake := admission.NewIntake()
	for path, r := range paths {
		handler, err := r.by.HTTP(log, r.timeout, intake)
		if err != nil {
			return err
		}
		mgr.GetWebhookServer().Register(path, wrap(handler))
	}
	return nil
}

// await waits for the API server and then reads the reservations.
func await(ctx context.Context, config *rest.Config, probes *process.Probes, ledger *reserve.Ledger, log logr.Logger) error {
	if err := process.AwaitAPIServer(ctx, config, probes, log); err != nil {
		return err
	}
	// An API server that has just started answers for a moment that nothing is permitted.
	var err error
	_ = wait.PollUntilContextTimeout(ctx, time.Second, permissionTime, true, func(ctx context.Context) (bool, error) {
		err = ledger.Load(ctx)
		return !apierrors.IsForbidden(err), nil
	})
	if err != nil {
		// The first change reads them.
		log.Error(err, "Cannot read the reservations yet")
	}
	return nil
}

// ignoreDone returns nil if ctx is done, because a signal ends the process, otherwise err.
func ignoreDone(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// newElection returns the election of the leader, with all work that depends on it.
func newElection(mgr manager.Manager, audits auditing, p policies, exceptions *enforce.Exceptions, store *cluster.Store, o *Options, log logr.Logger) (*leader.Election, error) {
	election := leader.Alone()
	if o.LeaderElect {
		var err error
		lease := types.NamespacedName{Namespace: process.Namespace(o.Namespace), Name: leaseName}
		if election, err = leader.New(mgr.GetConfig(), lease, replica(), log); err != nil {
			return nil, err
		}
	}
	election.Add(audits.work()...)
	election.Add(leader.Work{Lead: exceptions.Lead})
	if p.objects != nil {
		p.objects.WriteStatus(mgr, enforce.StatusOptions{Replica: replica(), Count: audits.Counts, NotAsked: audits.notAsked, TooLarge: store.Full})
		election.Add(leader.Work{Lead: p.objects.Lead})
	}
	return election, nil
}

// newLedger returns the reservations, which the replicas share in a ConfigMap.
func newLedger(mgr manager.Manager, store *cluster.Store, follower *cluster.Follower, o *Options, log logr.Logger) (*reserve.Ledger, error) {
	reservations, err := reserve.NewConfigMap(mgr.GetConfig(), process.Namespace(o.Namespace))
	if err != nil {
		return nil, err
	}
	ledger := reserve.NewLedger(reservations, replica(), log)
	ledger.ExpectLateWatches(follower, o.MaxDataAge)
	store.SetObserver(ledger)
	return ledger, mgr.Add(reserve.Follower{Ledger: ledger, ConfigMap: reservations})
}

// tryOn returns a function that evaluates a policy on the current state, one with Rego of its
// own in a trial. Where the state is not known yet it returns no violations: policies may be
// created first.
func tryOn(engine *validate.Engine, store *cluster.Store, trials *trial.Runner) admission.Try {
	return func(ctx context.Context, d *policy.Document, p *policy.Policy) ([]violation.Violation, error) {
		snapshot, _, err := store.Snapshot()
		if errors.Is(err, state.ErrNotSynced) || errors.Is(err, state.ErrTooLarge) {
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
		HealthProbeBindAddress: process.NoAddress, // See process.ServeProbes.
		// cert-controller waits for the API server as long as it takes. Otherwise its controller, and
		// with it the process, would end after two minutes.
		Controller:    controllerconfig.Controller{CacheSyncTimeout: 10 * 365 * 24 * time.Hour},
		WebhookServer: newWebhookServer(o.Host, o.Port, max(o.RequestTimeout, policyTimeout), append(withCertificate, clients.configure)...),
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
