package server

import (
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/bgpguard/bgpguard/pkg/enforce"
)

// A replica that does not lead answers requests too, and needs policies.
func TestPoliciesAreReadOnEveryReplica(t *testing.T) {
	p := newPolicies(nil, nil, &enforce.Files{}, logr.Discard())
	if r, ok := p.runnable.(manager.LeaderElectionRunnable); !ok || r.NeedLeaderElection() {
		t.Error("files are read on the leader alone")
	}
	if r, ok := any(&enforce.Objects{}).(manager.LeaderElectionRunnable); !ok || r.NeedLeaderElection() {
		t.Error("BGPPolicies are read on the leader alone")
	}
}
