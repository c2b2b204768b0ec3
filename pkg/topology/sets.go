package topology

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// nodeSet counts the nodes of a set, nil for none, and names the first few.
func nodeSet(ix *nodes.Index, set *bitset.BitSet, members string) NodeSet {
	out := NodeSet{Sample: []string{}, Members: members}
	if set == nil {
		return out
	}
	out.Nodes = int(set.Count())
	out.Sample = ix.Names(set, SampleSize)
	return out
}

// sample names the first few nodes of a list, which it sorts.
func sample(ix *nodes.Index, list []uint32) []string {
	out := []string{}
	slices.Sort(list)
	for _, i := range list[:min(len(list), SampleSize)] {
		out = append(out, ix.Nodes[i].Name)
	}
	return out
}
