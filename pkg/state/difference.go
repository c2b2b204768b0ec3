package state

import "github.com/bgpguard/bgpguard/pkg/calico"

// Difference lists the changes from before to after, sorted by kind and name. It ignores
// observations. It does not compare objects that both snapshots share. O(n) in the number of
// objects.
func Difference(before, after *Snapshot) []Change {
	var out []Change
	add := func(before, after calico.Object) { out = append(out, Change{Before: before, After: after}) }
	for i, info := range calico.Kinds() {
		if !info.Observation {
			before.orEmpty().lists[i].Changes(after.orEmpty().lists[i], add)
		}
	}
	return unlistedChanges(out, before, after)
}
