// Package serve is the process of the web UI: it follows a cluster, read-only, and
// serves the report of the current audit as a page. It runs beside the webhook, not
// in it: drawing needs libraries that have no place in the admission path.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/process"
)

// Options configure the process.
type Options struct {
	// Cluster is the name of the cluster on the page, "" for none.
	Cluster string
	// Version is that of bgpguard.
	Version string

	// BindAddress is the HOST:PORT of the page.
	BindAddress string
	// Secure serves over HTTPS, to users who may "get" the URL /report. Otherwise
	// the page is served over HTTP to everybody, and BindAddress must be a loopback
	// address.
	Secure bool
	// CertDir holds tls.crt and tls.key. With "", the process creates a self-signed
	// certificate.
	CertDir string
	// HealthProbeBindAddress is the HOST:PORT of /healthz and /readyz, "0" for none.
	HealthProbeBindAddress string

	// Policies are files and directories of BGPPolicy documents. They replace the
	// cluster's BGPPolicies.
	Policies []string
	// PolicyDir are directories of Rego modules, or tarballs of bundles, whose
	// policies BGPPolicies can name in addition to the built-in ones.
	PolicyDir []string
	// OpaConfig is the path of an OPA configuration with services, keys and bundles
	// to load policies from; "" for none.
	OpaConfig string

	// Namespace holds bgpguard's own objects; see process.Namespace for "".
	Namespace string
	// CalicoNamespace is the namespace of calico-node. The names and keys of its
	// Secrets are read; "" reads no Secret.
	CalicoNamespace string
	// IPAMBlocks is true if IPAMBlocks are read.
	IPAMBlocks bool

	LogFormat string
	LogLevel  string
}

// DefaultOptions returns the options for a user's own cluster: a page on loopback.
func DefaultOptions() Options {
	return Options{BindAddress: "127.0.0.1:8080", HealthProbeBindAddress: process.NoAddress, LogFormat: process.LogText, LogLevel: "info"}
}

// Validate returns an error that names each flag with an invalid value.
func (o *Options) Validate() error {
	var errs []error
	check := func(ok bool, flag, value, rule string) {
		if !ok {
			errs = append(errs, fmt.Errorf("flag --%s %s, is %q", flag, rule, value))
		}
	}
	valid := o.BindAddress != process.NoAddress && process.IsBindAddress(o.BindAddress)
	check(valid, "bind-address", o.BindAddress, "must be HOST:PORT or :PORT")
	if host, _, err := net.SplitHostPort(o.BindAddress); valid && err == nil {
		check(o.Secure || process.IsLoopback(host), "bind-address", o.BindAddress, "must be a loopback address without --secure")
	}
	check(o.Secure || o.CertDir == "", "cert-dir", o.CertDir, "requires --secure")
	check(process.IsBindAddress(o.HealthProbeBindAddress), "health-probe-bind-address", o.HealthProbeBindAddress, "must be HOST:PORT, :PORT or 0")
	check(slices.Contains(process.LogFormats, o.LogFormat), "log-format", o.LogFormat, "must be "+strings.Join(process.LogFormats, " or "))
	check(slices.Contains(process.LogLevels, o.LogLevel), "log-level", o.LogLevel, "must be one of "+strings.Join(process.LogLevels, ", "))
	return errors.Join(errs...)
}

// Run serves the page of the cluster of config until ctx is done. It logs to w.
func Run(ctx context.Context, config *rest.Config, o Options, w io.Writer) error {
	if err := o.Validate(); err != nil {
		return err
	}
	log := process.NewLogger(w, o.LogFormat, o.LogLevel)

	// From files to policies.
	sources, err := enforce.NewSources(enforce.SourceOptions{Paths: o.PolicyDir, BundleConfig: o.OpaConfig}, log.WithName("library"))
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	keeper := enforce.NewKeeper(sources.Library(), log.WithName("policies"))
	sources.OnChange(keeper.SetLibrary)
	var files *enforce.Files
	if len(o.Policies) > 0 {
		if files, err = enforce.NewFiles(keeper, o.Policies, log.WithName("policies")); err != nil {
			return fmt.Errorf("policies: %w", err)
		}
	}

	// From the cluster to audits.
	scheme, err := process.NewScheme()
	if err != nil {
		return err
	}
	store := cluster.NewStore(log.WithName("cluster"))
	config = rest.CopyConfig(config)
	config.QPS = -1 // The API server has priority and fairness.
	mgr, err := ctrl.NewManager(config, manager.Options{
		Scheme: scheme, Logger: log, Cache: store.CacheOptions(),
		Metrics:                metricsserver.Options{BindAddress: process.NoAddress},
		HealthProbeBindAddress: o.HealthProbeBindAddress,
	})
	if err != nil {
		return err
	}
	follower, err := cluster.NewFollower(mgr, store, cluster.FollowOptions{SecretNamespace: o.CalicoNamespace, IPAMBlocks: o.IPAMBlocks})
	if err != nil {
		return err
	}
	current := newCurrent(store, keeper, sources, mgr.GetAPIReader(), &o, log.WithName("audit"))
	runnables := []manager.Runnable{follower, sources}
	if files != nil {
		runnables = append(runnables, files)
	} else {
		objects := enforce.NewObjects(mgr, keeper, log.WithName("policies"))
		current.objects = objects.Check
		runnables = append(runnables, objects)
	}

	// From audits to pages.
	listener, err := newListener(mgr, newPage(current.Audit, o.Version, log.WithName("page")), &o)
	if err != nil {
		return err
	}
	for _, runnable := range append(runnables, listener) {
		if err := mgr.Add(runnable); err != nil {
			return err
		}
	}
	if err := process.AddProbes(mgr, map[string]healthz.Checker{
		"cluster": store.Check, "policies": current.checkPolicies, "library": sources.Check, "page": listener.Check,
	}); err != nil {
		return err
	}
	return mgr.Start(ctx)
}
