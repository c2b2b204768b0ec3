package enforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// SourceOptions name the sources of policies in Rego, besides the built-in ones.
type SourceOptions struct {
	// Paths are directories of Rego modules, or tarballs of bundles.
	Paths []string
	// BundleConfig is the path of an OPA configuration with services, keys and
	// bundles; "" for no bundles.
	BundleConfig string
}

// Sources updates the library, which contains the policies that BGPPolicies can name, when
// directories or OPA bundles change. It is a manager.Runnable.
type Sources struct {
	paths    []string
	log      logr.Logger
	bundles  *bundles // nil without bundles
	onChange func(*policy.Library)

	mu      sync.Mutex
	library *policy.Library
	// good holds the last valid source of each directory and bundle, by name.
	good map[string]policy.Source
	// failures holds the reason why the current source of a name is rejected.
	failures map[string]*loop.Failure
}

// NewSources reads the directories and the configuration. The library does not
// contain the bundles yet: OPA loads them after Start. An error names file and
// line.
func NewSources(o SourceOptions, log logr.Logger) (*Sources, error) {
	s := &Sources{
		paths: o.Paths, log: log, onChange: func(*policy.Library) {},
		good: map[string]policy.Source{}, failures: map[string]*loop.Failure{},
	}
	var err error
	if o.BundleConfig != "" {
		if s.bundles, err = newBundles(o.BundleConfig, log); err != nil {
			return nil, fmt.Errorf("%s: %w", o.BundleConfig, err)
		}
	}
	var errs []error
	for _, path := range o.Paths {
		source, err := policy.SourceFromPath(path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.good[path] = source
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.library, err = s.compile()
	return s, err
}

// OnChange sets the function that is called with each new library, never more
// than once at a time. Call it before Start.
func (s *Sources) OnChange(f func(*policy.Library)) { s.onChange = f }

// Library returns the current library.
func (s *Sources) Library() *policy.Library {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.library
}

// compile compiles all sources together.
func (s *Sources) compile() (*policy.Library, error) {
	sources := slices.SortedFunc(maps.Values(s.good), func(a, b policy.Source) int { return cmp.Compare(a.Name, b.Name) })
	return policy.NewLibrary(sources...)
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica
// has its own library.
func (s *Sources) NeedLeaderElection() bool { return false }

// Start follows the sources until ctx is done.
func (s *Sources) Start(ctx context.Context) error {
	if s.bundles != nil {
		if err := s.bundles.start(ctx, s.update); err != nil {
			return fmt.Errorf("following bundles: %w", err)
		}
		defer s.bundles.stop(context.WithoutCancel(ctx))
	}
	loop.Every(ctx, reloadInterval, func() {
		for _, path := range s.paths {
			source, err := policy.SourceFromPath(path)
			s.update(path, source, err)
		}
	})
	return nil
}

// Check is a healthz.Checker for readiness: it fails until every bundle was
// loaded once, because BGPPolicies may name the policies in it.
func (s *Sources) Check(*http.Request) error {
	if s.bundles == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []string
	for _, name := range s.bundles.names {
		if _, loaded := s.good[sourceName(name)]; loaded {
			continue
		}
		if failure := s.failures[sourceName(name)]; failure != nil {
			name += " (" + failure.String() + ")"
		}
		missing = append(missing, name)
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("not ready: still loading bundle %s", strings.Join(missing, ", "))
}

// update replaces the source of a name, or records why it cannot be read. err may also be a
// reason why a source that is used has a problem.
func (s *Sources) update(name string, source policy.Source, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || len(source.Modules) > 0 {
		err = errors.Join(err, s.replace(name, source))
	}
	if err != nil {
		s.fail(name, err)
		return
	}
	delete(s.failures, name)
}

// replace replaces the source of a name. A rejected source leaves the last valid one in the
// library.
func (s *Sources) replace(name string, source policy.Source) error {
	old, had := s.good[name]
	if had && reflect.DeepEqual(old, source) {
		return nil
	}
	s.good[name] = source
	library, err := s.compile()
	if err != nil {
		if s.good[name] = old; !had {
			delete(s.good, name)
		}
		return err
	}
	s.library = library
	s.onChange(library)
	s.log.Info("The policy library changed", "source", name, "policies", len(library.Definitions()))
	return nil
}

func (s *Sources) fail(name string, err error) {
	if s.failures[name] == nil {
		s.failures[name] = &loop.Failure{}
	}
	if s.failures[name].Changed(err) {
		libraryReloadFailures.Inc()
		s.log.Error(err, "Cannot load all policies of a source, the library keeps the last valid ones", "source", name)
	}
}
