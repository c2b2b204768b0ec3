// Package library keeps the library of policies in step with directories and
// with OPA bundles, which OPA's own machinery downloads, verifies, polls for and
// persists.
package library

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/plugins"
	bundleplugin "github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// Options says where policies come from, beside those that are built in.
type Options struct {
	// Paths are directories of Rego modules, or tarballs of bundles.
	Paths []string
	// Config is the path of an OPA configuration whose services, keys and bundles
	// are used; "" for no bundles.
	Config string
}

// reloadInterval is how often directories are read again.
const reloadInterval = time.Second

// Follower keeps a library in step with its sources. It is a manager.Runnable.
type Follower struct {
	options Options
	log     logr.Logger
	use     func(*policy.Library)

	manager *plugins.Manager // nil without bundles
	plugin  *bundleplugin.Plugin
	names   []string // of the bundles

	mu sync.Mutex
	// sources holds the last good source of each directory and bundle, by name.
	sources map[string]policy.Source
	// failures holds why the present source of a name cannot be used.
	failures map[string]*loop.Failure
}

// New reads the directories and the configuration and returns a follower and
// the library as it is without bundles, which come when it has been started. An
// error names file and line. use is called with each further library, never more
// than once at a time.
func New(o Options, log logr.Logger, use func(*policy.Library)) (*Follower, *policy.Library, error) {
	f := &Follower{options: o, log: log, use: use, sources: map[string]policy.Source{}, failures: map[string]*loop.Failure{}}
	if o.Config != "" {
		if err := f.configure(); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", o.Config, err)
		}
	}
	var errs []error
	for _, path := range o.Paths {
		source, err := policy.SourceFromPath(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f.sources[path] = source
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	library, err := f.library()
	return f, library, err
}

func (f *Follower) configure() error {
	text, err := os.ReadFile(f.options.Config)
	if err != nil {
		return err
	}
	logger := opaLogger{f.log}
	f.manager, err = plugins.New(text, "bgpguard", inmem.New(), plugins.Logger(logger), plugins.ConsoleLogger(logger))
	if err != nil {
		return err
	}
	config, err := bundleplugin.NewConfigBuilder().WithBytes(f.manager.Config.Bundles).WithServices(f.manager.Services()).
		WithKeyConfigs(f.manager.PublicKeys()).Parse()
	if err != nil {
		return err
	}
	if config == nil || len(config.Bundles) == 0 {
		return errors.New("bundles: is missing or empty, so nothing would be loaded")
	}
	f.names = slices.Sorted(maps.Keys(config.Bundles))
	f.plugin = bundleplugin.New(config, f.manager)
	f.manager.Register(bundleplugin.Name, f.plugin)
	return nil
}

// library compiles all sources. Those of one name are one source, so that what
// cannot be used does not take the others with it.
func (f *Follower) library() (*policy.Library, error) {
	sources := slices.SortedFunc(maps.Values(f.sources), func(a, b policy.Source) int { return cmp.Compare(a.Name, b.Name) })
	return policy.NewLibrary(sources...)
}

// NeedLeaderElection tells the manager that every replica has its library.
func (f *Follower) NeedLeaderElection() bool { return false }

// Start follows the sources until ctx is done.
func (f *Follower) Start(ctx context.Context) error {
	if f.plugin != nil {
		f.plugin.Register("bgpguard", func(s bundleplugin.Status) { f.bundleChanged(ctx, s) })
		if err := f.manager.Start(ctx); err != nil {
			return fmt.Errorf("following bundles: %w", err)
		}
		defer f.manager.Stop(context.WithoutCancel(ctx))
		f.takePersisted(ctx)
	}
	ticker := time.NewTicker(reloadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			for _, path := range f.options.Paths {
				source, err := policy.SourceFromPath(path)
				f.changed(path, source, err)
			}
		}
	}
}

// Check is a healthz.Checker for readiness: it fails until every bundle was
// loaded once, as BGPPolicies may name what is in it.
func (f *Follower) Check(*http.Request) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var missing []string
	for _, name := range f.names {
		if _, loaded := f.sources[bundleName(name)]; loaded {
			continue
		}
		if failure := f.failures[bundleName(name)]; failure != nil {
			name += " (" + failure.String() + ")"
		}
		missing = append(missing, name)
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("not ready: still loading bundle %s", strings.Join(missing, ", "))
}

func bundleName(name string) string { return "bundle " + name }

// bundleChanged is told by OPA that a bundle was loaded, or could not be.
func (f *Follower) bundleChanged(ctx context.Context, s bundleplugin.Status) {
	if s.Code != "" {
		errs := []error{errors.New(s.Message)}
		f.changed(bundleName(s.Name), policy.Source{}, errors.Join(append(errs, s.Errors...)...))
		return
	}
	source, err := f.readBundle(ctx, s.Name)
	f.changed(bundleName(s.Name), source, err)
}

// takePersisted takes the bundles that OPA has read from its disk, of which it
// does not tell.
func (f *Follower) takePersisted(ctx context.Context) {
	for _, name := range f.names {
		if source, err := f.readBundle(ctx, name); err == nil && len(source.Modules) > 0 {
			f.changed(source.Name, source, nil)
		}
	}
}

// readBundle reads what OPA has put into its store for a bundle. Data is that of
// all bundles, each below its own roots.
func (f *Follower) readBundle(ctx context.Context, name string) (policy.Source, error) {
	source := policy.Source{Name: bundleName(name), Modules: map[string]string{}}
	store := f.manager.Store
	err := storage.Txn(ctx, store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		ids, err := store.ListPolicies(ctx, txn)
		if err != nil {
			return err
		}
		for _, id := range ids {
			file, own := strings.CutPrefix(id, name+"/")
			if !own {
				continue
			}
			text, err := store.GetPolicy(ctx, txn, id)
			if err != nil {
				return err
			}
			source.Modules[file] = string(text)
		}
		data, err := store.Read(ctx, txn, storage.Path{})
		if err != nil {
			return err
		}
		source.Data = maps.Clone(data.(map[string]any))
		delete(source.Data, bundle.BundlesBasePath[0]) // What OPA notes down about bundles.
		return nil
	})
	return source, err
}

// changed takes in a source, or why there is none. What cannot be used leaves
// the last good one in force.
func (f *Follower) changed(name string, source policy.Source, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old, had := f.sources[name]
	if err == nil && had && reflect.DeepEqual(old, source) {
		delete(f.failures, name)
		return
	}
	var library *policy.Library
	if err == nil {
		f.sources[name] = source
		library, err = f.library()
	}
	if err != nil {
		if f.sources[name] = old; !had {
			delete(f.sources, name)
		}
		if f.failures[name] == nil {
			f.failures[name] = &loop.Failure{}
		}
		if f.failures[name].Changed(err) {
			failures.Inc()
			f.log.Error(err, "Cannot use changed policies, the last good ones stay in the library", "source", name)
		}
		return
	}
	delete(f.failures, name)
	f.use(library)
	f.log.Info("The library of policies changed", "source", name, "policies", len(library.Definitions()))
}
