package enforce

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/plugins"
	bundleplugin "github.com/open-policy-agent/opa/v1/plugins/bundle"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// opaID is the ID of this process in OPA's labels, and the name of its listener.
const opaID = "bgpguard"

// bundles loads policies from OPA bundles. OPA's bundle plugin downloads them,
// verifies their signatures, polls for new ones and persists them.
type bundles struct {
	manager *plugins.Manager
	plugin  *bundleplugin.Plugin
	names   []string
}

// newBundles reads an OPA configuration file.
func newBundles(path string, log logr.Logger) (*bundles, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	logger := opaLogger{log}
	manager, err := plugins.New(text, opaID, inmem.New(), plugins.Logger(logger), plugins.ConsoleLogger(logger))
	if err != nil {
		return nil, err
	}
	config, err := bundleplugin.NewConfigBuilder().WithBytes(manager.Config.Bundles).WithServices(manager.Services()).
		WithKeyConfigs(manager.PublicKeys()).Parse()
	if err != nil {
		return nil, err
	}
	if config == nil || len(config.Bundles) == 0 {
		return nil, errors.New("bundles: is missing or empty, so nothing would be loaded")
	}
	b := &bundles{manager: manager, plugin: bundleplugin.New(config, manager), names: slices.Sorted(maps.Keys(config.Bundles))}
	manager.Register(bundleplugin.Name, b.plugin)
	return b, nil
}

// start loads the bundles in the background. It calls update with the source of
// each bundle that was loaded, and with the reason if one was not, or not written to the disk.
func (b *bundles) start(ctx context.Context, update func(name string, source policy.Source, err error)) error {
	b.plugin.Register(opaID, func(s bundleplugin.Status) {
		source, err := b.read(ctx, s.Name)
		if s.Code != "" {
			// OPA has activated a bundle that it then could not write to the disk.
			err = errors.Join(append([]error{err, errors.New(s.Message)}, s.Errors...)...)
		}
		update(sourceName(s.Name), source, err)
	})
	if err := b.manager.Start(ctx); err != nil {
		return err
	}
	// OPA does not report the bundles that it read from disk.
	for _, name := range b.names {
		if source, err := b.read(ctx, name); err == nil && len(source.Modules) > 0 {
			update(source.Name, source, nil)
		}
	}
	return nil
}

func (b *bundles) stop(ctx context.Context) { b.manager.Stop(ctx) }

// sourceName is the name of a bundle among the sources.
func sourceName(bundleName string) string { return "bundle " + bundleName }

// read returns the modules of a bundle in OPA's store. The data is the data of all bundles,
// each below its own roots.
func (b *bundles) read(ctx context.Context, name string) (policy.Source, error) {
	source := policy.Source{Name: sourceName(name), Modules: map[string]string{}}
	store := b.manager.Store
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
		delete(source.Data, bundle.BundlesBasePath[0]) // OPA's own records of bundles.
		return nil
	})
	return source, err
}
