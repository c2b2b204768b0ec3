package state

import (
	"cmp"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Difference lists the changes that lead from one snapshot to another, by kind and
// name; those of CalicoNodeStatuses, which decide nothing, are left out. O(n) in the number of objects, with no look into those that both share.
func Difference(before, after *Snapshot) []Change {
	if before == after {
		return nil
	}
	return slices.Concat(
		difference(before.Nodes(), after.Nodes()), difference(before.BGPConfigurations(), after.BGPConfigurations()),
		difference(before.BGPPeers(), after.BGPPeers()), difference(before.BGPFilters(), after.BGPFilters()),
		difference(before.IPPools(), after.IPPools()), difference(before.FelixConfigurations(), after.FelixConfigurations()),
		difference(before.clusterInformations(), after.clusterInformations()), difference(before.Secrets(), after.Secrets()),
	)
}

func (s *Snapshot) clusterInformations() []*calico.ClusterInformation {
	if s == nil {
		return nil
	}
	return s.clusters
}

// difference walks two lists that are sorted by name.
func difference[T interface {
	comparable
	calico.Object
}](before, after []T) []Change {
	if identical(before, after) {
		return nil
	}
	var out []Change
	for len(before) > 0 || len(after) > 0 {
		var order int
		switch {
		case len(before) == 0:
			order = 1
		case len(after) == 0:
			order = -1
		default:
			order = cmp.Compare(before[0].ID().Name, after[0].ID().Name)
		}
		switch {
		case order < 0:
			out = append(out, Change{Before: before[0]})
			before = before[1:]
		case order > 0:
			out = append(out, Change{After: after[0]})
			after = after[1:]
		default:
			if before[0] != after[0] && !calico.Equal(before[0], after[0]) {
				out = append(out, Change{Before: before[0], After: after[0]})
			}
			before, after = before[1:], after[1:]
		}
	}
	return out
}
