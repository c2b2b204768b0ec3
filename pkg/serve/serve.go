// Package serve is the process of the web UI: it follows clusters or files, read-only,
// and serves the report of their current audits as a page. It runs beside the webhook, not
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
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/auditor"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/process"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Cluster is a cluster to follow.
type Cluster struct {
	// Name is the name of the cluster on the page, "" for none.
	Name   string
	Config *rest.Config
}

// Options configure the process.
type Options struct {
	// Clusters are shown together, the one with the most severe violations first. With
	// Secure, the API server of the first one authenticates and authorizes the readers.
	Clusters []Cluster
	// Files are files and directories of objects: one state, read again when a file changes.
	// They are shown instead of clusters.
	Files []string
	// ClusterInformation replaces that of Files, which decides the version of Calico; nil for
	// none.
	ClusterInformation calico.Object
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
	// BGPPolicies of the clusters, and for Files the library with its defaults.
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
	// Typha says whether Typha is installed; state.TyphaUnknown means that the
	// ClusterInformation decides.
	Typha state.Typha

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
	check(!o.Secure || len(o.Files) == 0, "secure", "true", "requires clusters, whose API server authenticates the readers")
	check(!slices.Contains(o.Files, manifest.Stdin), "filename", manifest.Stdin, "must be a file or directory, which can be read again")
	check(o.Secure || o.CertDir == "", "cert-dir", o.CertDir, "requires --secure")
	check(process.IsBindAddress(o.HealthProbeBindAddress), "health-probe-bind-address", o.HealthProbeBindAddress, "must be HOST:PORT, :PORT or 0")
	check(slices.Contains(process.LogFormats, o.LogFormat), "log-format", o.LogFormat, "must be "+strings.Join(process.LogFormats, " or "))
	check(slices.Contains(process.LogLevels, o.LogLevel), "log-level", o.LogLevel, "must be one of "+strings.Join(process.LogLevels, ", "))
	return errors.Join(errs...)
}

// runnable runs until ctx is done, or returns an error.
type runnable interface {
	Start(ctx context.Context) error
}

// Run serves the page of the clusters or files of o until ctx is done. It logs to w.
func Run(ctx context.Context, o Options, w io.Writer) error {
	if err := o.Validate(); err != nil {
		return err
	}
	log := process.NewLogger(w, o.LogFormat, o.LogLevel)

	// From files to policies.
	sources, err := enforce.NewSources(enforce.SourceOptions{Paths: o.PolicyDir, BundleConfig: o.OpaConfig}, log.WithName("library"))
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	runnables := []runnable{sources}
	var given *enforce.Keeper // of the policies in files
	if len(o.Policies) > 0 {
		given = enforce.NewKeeper(sources.Library(), log.WithName("policies"))
		files, err := enforce.NewFiles(given, o.Policies, log.WithName("policies"))
		if err != nil {
			return fmt.Errorf("policies: %w", err)
		}
		runnables = append(runnables, files)
	}

	// From states to audits.
	var shown audits
	if len(o.Files) > 0 {
		f := &files{paths: o.Files, information: o.ClusterInformation, typha: o.Typha, now: time.Now}
		if _, err := f.Read(); err != nil {
			return err
		}
		shown = append(shown, newCurrent(strings.Join(o.Files, ", "), f, given, sources, log))
	}
	for _, c := range o.Clusters {
		mgr, current, err := follow(c, given, sources, &o, log)
		if err != nil {
			return fmt.Errorf("cluster %q: %w", c.Name, err)
		}
		runnables, shown = append(runnables, mgr), append(shown, current)
	}
	sources.OnChange(shown.setLibrary)

	// From audits to pages.
	listeners, err := newListeners(newPage(shown, &o, log.WithName("page")), shown.Check, &o, log)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range append(runnables, listeners...) {
		group.Go(func() error { return r.Start(ctx) })
	}
	return group.Wait()
}

// follow returns the current audit of a cluster, and the manager that follows the cluster.
// given holds the policies to evaluate; nil means the BGPPolicies of the cluster.
func follow(c Cluster, given *enforce.Keeper, sources *enforce.Sources, o *Options, log logr.Logger) (manager.Manager, *current, error) {
	if c.Name != "" {
		log = log.WithValues("cluster", c.Name)
	}
	scheme, err := process.NewScheme()
	if err != nil {
		return nil, nil, err
	}
	store := cluster.NewStore(log.WithName("cluster"))
	store.SetTypha(o.Typha)
	config := rest.CopyConfig(c.Config)
	config.QPS = -1 // The API server has priority and fairness.
	mgr, err := ctrl.NewManager(config, manager.Options{
		Scheme: scheme, Logger: log, Cache: store.CacheOptions(),
		Metrics: metricsserver.Options{BindAddress: process.NoAddress}, HealthProbeBindAddress: process.NoAddress,
	})
	if err != nil {
		return nil, nil, err
	}
	follower, err := cluster.NewFollower(mgr, store, cluster.FollowOptions{SecretNamespace: o.CalicoNamespace, IPAMBlocks: o.IPAMBlocks})
	if err != nil {
		return nil, nil, err
	}
	if err := mgr.Add(follower); err != nil {
		return nil, nil, err
	}
	current := newCurrent(c.Name, &clusterState{store}, given, sources, log)
	current.name = c.Name
	namespace := process.Namespace(o.Namespace)
	current.trail = func(ctx context.Context) (*audit.Trail, error) {
		return auditor.ReadTrail(ctx, mgr.GetAPIReader(), namespace, log.WithName("audit"))
	}
	if given == nil {
		objects := enforce.NewObjects(mgr, current.keeper, log.WithName("policies"))
		current.objects = objects.Check
		return mgr, current, mgr.Add(objects)
	}
	return mgr, current, nil
}
