package server

import (
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/enforce"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// policies is where the policies come from.
type policies struct {
	// runnable keeps the keeper in step with it.
	runnable manager.Runnable
	// check fails until they are known, and recount is told of a new audit.
	check   healthz.Checker
	recount func()
	// objects says that they are the cluster's BGPPolicies.
	objects bool
	// notes are for those who write BGPPolicies.
	notes []string
}

// newPolicies takes the policies from files, and where there are none from the
// cluster's BGPPolicies.
func newPolicies(mgr manager.Manager, keeper *enforce.Keeper, files *enforce.Files, count enforce.Count, log logr.Logger) policies {
	if files != nil {
		return policies{
			runnable: files, check: healthz.Ping, recount: func() {},
			notes: []string{"this bgpguard reads its policies from files (--policies): BGPPolicies in the cluster are not enforced"},
		}
	}
	objects := enforce.NewObjects(mgr, keeper, replica(), count, log.WithName("policies"))
	return policies{runnable: objects, check: objects.Check, recount: objects.Recount, objects: true}
}

// replica names this process: where a pod has the host's network, its node.
func replica() string {
	if name := os.Getenv("HOSTNAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// judgedBy is a cluster that can be judged only when the policies are known.
type judgedBy struct {
	*cluster.Store
	policies healthz.Checker
}

// Snapshot is the store's.
func (c judgedBy) Snapshot() (*state.Snapshot, time.Duration, error) {
	if err := c.policies((*http.Request)(nil)); err != nil {
		return nil, 0, err
	}
	return c.Store.Snapshot()
}
