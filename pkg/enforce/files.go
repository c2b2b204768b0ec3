package enforce

import (
	"context"
	"reflect"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/loop"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// reloadInterval is how often files are read again. Comparing contents works on
// every file system, also where a mounted ConfigMap is replaced by swapping
// symbolic links, and takes less than a millisecond.
const reloadInterval = time.Second

// Files updates a keeper when files of BGPPolicy documents change. Either all documents of a
// version are in force or none. It is a manager.Runnable.
type Files struct {
	paths  []string
	log    logr.Logger
	keeper *Keeper

	documents []policy.Document
	failure   loop.Failure
}

// NewFiles loads the documents into the keeper. An error names file, line and
// field.
func NewFiles(keeper *Keeper, paths []string, log logr.Logger) (*Files, error) {
	f := &Files{paths: paths, log: log, keeper: keeper}
	err := f.load()
	return f, err
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica
// reads its files.
func (f *Files) NeedLeaderElection() bool { return false }

// Start reloads the files until ctx is done.
func (f *Files) Start(ctx context.Context) error {
	loop.Every(ctx, reloadInterval, f.reload)
	return nil
}

// reload keeps the last valid documents if the new ones are rejected: a typo in a ConfigMap
// must neither stop enforcement nor end the process.
func (f *Files) reload() {
	err := f.load()
	if err == nil {
		f.failure.Clear()
		return
	}
	if f.failure.Changed(err) {
		reloadFailures.Inc()
		f.log.Error(err, "Changed policies are rejected, the last valid ones stay in force")
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
