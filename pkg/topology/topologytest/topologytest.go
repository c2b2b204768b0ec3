// Package topologytest computes topologies for the tests of other packages.
package topologytest

import (
	"testing"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Compute returns the topology of s. before is the topology of an earlier snapshot, or
// nil.
func Compute(t testing.TB, s *state.Snapshot, before *topology.Topology) *topology.Topology {
	t.Helper()
	out, err := topology.Compute(t.Context(), s, before)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
