package topology

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// nodeSet returns a set of nodes as a NodeSet. A nil set is empty.
func nodeSet(ix *nodes.Index, set *bitset.BitSet, members string) NodeSet {
	out := NodeSet{Sample: []string{}, Members: members}
	if set == nil {
		return out
	}
	out.Nodes = int(set.Count())
	out.Sample = ix.Names(set, SampleSize)
	return out
}

// sample returns the names of the first SampleSize nodes of a list. It sorts the list.
func sample(ix *nodes.Index, list []uint32) []string {
	out := []string{}
	slices.Sort(list)
	for _, i := range list[:min(len(list), SampleSize)] {
		out = append(out, ix.Nodes[i].Name)
	}
	return out
}
