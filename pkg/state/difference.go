package state

import "github.com/bgpguard/bgpguard/pkg/calico"

// Difference lists the changes that lead from one snapshot to another, by kind and name,
// without those of observations. O(n) in the number of objects, without a comparison of
// objects that both share.
func Difference(before, after *Snapshot) []Change {
	var out []Change
	add := func(before, after calico.Object) { out = append(out, Change{Before: before, After: after}) }
	for i, info := range calico.Kinds() {
		if !info.Observation {
			before.orEmpty().lists[i].Changes(after.orEmpty().lists[i], add)
		}
	}
	return out
}
