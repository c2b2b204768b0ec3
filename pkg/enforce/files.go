package enforce

import (
	"context"
	"reflect"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// reloadInterval is how often the policies' files are read again. Looking at
// what they say works on every file system, also where a mounted ConfigMap is
// replaced by swapping symbolic links; it costs less than a millisecond.
const reloadInterval = time.Second

// Files keeps a keeper in step with files of BGPPolicy documents, of which
// either all hold or none. It is a manager.Runnable.
type Files struct {
	paths  []string
	log    logr.Logger
	keeper *Keeper

	documents []policy.Document
	failure   loop.Failure
}

// NewFiles puts what the files hold in force, and returns what keeps it so. An
// error names file, line and field.
func NewFiles(keeper *Keeper, paths []string, log logr.Logger) (*Files, error) {
	f := &Files{paths: paths, log: log, keeper: keeper}
	err := f.load()
	return f, err
}

// NeedLeaderElection tells the manager that every replica reads its policies.
func (f *Files) NeedLeaderElection() bool { return false }

// Start reads the files again and again until ctx is done.
func (f *Files) Start(ctx context.Context) error {
	ticker := time.NewTicker(reloadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			f.reload()
		}
	}
}

// reload keeps the last good set where the new one cannot be used: a typing
// error in a ConfigMap must neither stop enforcement nor take the guard down.
func (f *Files) reload() {
	err := f.load()
	if err == nil {
		f.failure.Clear()
		return
	}
	if f.failure.Changed(err) {
		reloadFailures.Inc()
		f.log.Error(err, "Cannot use the changed policies, the last good ones stay in force")
	}
}

func (f *Files) load() error {
	documents, err := policy.Load(f.paths)
	if err != nil || reflect.DeepEqual(documents, f.documents) {
		return err
	}
	if err := f.keeper.SetAll(documents); err != nil {
		return err
	}
	f.documents = documents
	return nil
}
