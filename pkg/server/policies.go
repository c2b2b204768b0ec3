package server

import (
	"context"
	"reflect"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// reloadInterval is how often the policies' files are read again. Looking at
// what they say works on every file system, also where a mounted ConfigMap is
// replaced by swapping symbolic links; it costs less than a millisecond.
const reloadInterval = time.Second

// policies keeps a policy set in step with its files. It is a
// manager.Runnable.
type policies struct {
	paths []string
	log   logr.Logger
	use   func(*policy.Set)

	documents []policy.Document
	// failed is the last error, so that a bad set is told once.
	failed string
}

// loadPolicies returns the set that the process starts with. An error names
// file, line and field.
func loadPolicies(paths []string, log logr.Logger) (*policies, *policy.Set, error) {
	p := &policies{paths: paths, log: log}
	var err error
	if p.documents, err = p.read(); err != nil {
		return nil, nil, err
	}
	set, err := policy.Compile(p.documents)
	if err != nil {
		return nil, nil, err
	}
	p.loaded("Loaded policies", set)
	return p, set, nil
}

func (p *policies) read() ([]policy.Document, error) {
	if len(p.paths) == 0 {
		return policy.Defaults()
	}
	return policy.Load(p.paths)
}

// NeedLeaderElection tells the manager that every replica reads its policies.
func (p *policies) NeedLeaderElection() bool { return false }

// Start reads the files again and again until ctx is done.
func (p *policies) Start(ctx context.Context) error {
	ticker := time.NewTicker(reloadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			p.reload()
		}
	}
}

// reload keeps the last good set where the new one cannot be used: a typing
// error in a ConfigMap must neither stop enforcement nor take the guard down.
func (p *policies) reload() {
	documents, err := p.read()
	if err == nil && reflect.DeepEqual(documents, p.documents) {
		p.failed = ""
		return
	}
	var set *policy.Set
	if err == nil {
		set, err = policy.Compile(documents)
	}
	if err != nil {
		if err.Error() != p.failed {
			p.failed = err.Error()
			policyReloadFailures.Inc()
			p.log.Error(err, "Cannot use the changed policies, the last good ones stay in force")
		}
		return
	}
	p.documents, p.failed = documents, ""
	p.use(set)
	p.loaded("Policies changed", set)
}

func (p *policies) loaded(message string, set *policy.Set) {
	names := set.Names()
	policiesLoaded.Set(float64(len(names)))
	p.log.Info(message, "policies", names)
}
