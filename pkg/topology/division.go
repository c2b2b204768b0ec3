package topology

import (
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// division divides the nodes of the vertices of a routing into kinds: the nodes of a kind originate routes to
// the same prefixes of pods, as far as the sessions treat prefixes differently. Nodes that originate none are a
// kind too, because IPAM allocates a block when the first pod starts on a node.
type division struct {
	of      []int32                // of each node, its kind; -1 without an address
	first   [][]uint32             // of each kind, the first few nodes, in order of names
	results []*routes.Reachability // by reading, with kinds as vertices
}

// maxKinds bounds the kinds of a division, beside two for each vertex. If there are more, the nodes are not
// divided: each node then needs routes to all prefixes of pods.
const maxKinds = 512

// divide sets division. O(1) if the sessions treat all prefixes of pods alike, else O(IPAMBlocks + nodes), the
// cost of routes.Groups and, for each reading, that of routes.Reachability.Divide.
func (r *routing) divide() {
	r.division = nil
	if r.pods.blocks == nil || r.partial || len(r.graph.Destinations) < 2 {
		return
	}
	groups := routes.Groups(r.results)
	if groups == nil {
		return
	}
	ix := r.network.Index
	masks := make([]uint64, ix.Len())
	find := numbersOf(ix)
	var all, future uint64
	for i := range r.classes {
		bit := uint64(1) << groups[i]
		all |= bit
		if r.classes[i].future {
			future |= bit
		}
		origins, _ := r.pods.blocks.origins(r.classes[i].parts, ix, find)
		for node, ok := origins.NextSet(0); ok; node, ok = origins.NextSet(node + 1) {
			masks[node] |= bit
		}
	}
	if future == 0 {
		future = all
	}
	out := &division{of: make([]int32, ix.Len())}
	type kind struct {
		vertex int
		mask   uint64
	}
	known := map[kind]int32{}
	var origins []routes.Origins
	for node, mask := range masks {
		v := r.vertex(uint(node))
		if v < 0 {
			out.of[node] = -1
			continue
		}
		k, ok := known[kind{v, mask}]
		if !ok {
			if len(origins) == 2*len(r.vertices)+maxKinds {
				return
			}
			k = int32(len(origins))
			known[kind{v, mask}] = k
			origins, out.first = append(origins, routes.Origins{Vertex: v, Groups: mask}), append(out.first, nil)
		}
		out.of[node] = k
		origins[k].Nodes++
		if len(out.first[k]) < nodes.MaxFirst {
			out.first[k] = append(out.first[k], uint32(node))
		}
	}
	out.results = make([]*routes.Reachability, len(r.results))
	for i, one := range r.results {
		if same := slices.Index(r.results, one); same < i {
			out.results[i] = out.results[same]
		} else {
			out.results[i] = one.Divide(origins, groups, future)
		}
	}
	r.division = out
}

// numbersOf returns a function that finds the number of a node by its name.
func numbersOf(ix *nodes.Index) func(name string) (uint, bool) {
	numbers := make(map[string]uint, len(ix.Nodes))
	for i, n := range ix.Nodes {
		numbers[n.Name] = uint(i)
	}
	return func(name string) (uint, bool) {
		i, ok := numbers[name]
		return i, ok
	}
}

// origins returns the nodes that originate routes to pods in some parts of IPPools, and the number of these
// routes in each part. Every node may originate a route whose node is not known. find finds a node of ix by its
// name. O(IPAMBlocks).
func (b *podBlocks) origins(parts []poolPart, ix *nodes.Index, find func(string) (uint, bool)) (*bitset.BitSet, []int) {
	out, counts := bitset.New(ix.Len()), make([]int, len(parts))
	for i := range parts {
		for name := range b.originated(parts[i].Region, parts[i].length) {
			counts[i]++
			if name == "" {
				out.InPlaceUnion(ix.Speakers)
			} else if node, ok := find(name); ok {
				out.Set(node)
			}
		}
	}
	return out, counts
}

// kind returns the kind of a node by the routes that it originates, -1 for one without an address. It is the
// number of its vertex if nodes are not divided.
func (r *routing) kind(node uint) int {
	if r.division == nil {
		return r.vertex(node)
	}
	return int(r.division.of[node])
}

// kinds returns the number of kinds.
func (r *routing) kinds() int {
	if r.division == nil {
		return len(r.vertices)
	}
	return len(r.division.first)
}

// firstOf returns the first few nodes of a kind, in order of names.
func (r *routing) firstOf(kind int) []uint32 {
	if r.division == nil {
		return r.vertices[kind].first
	}
	return r.division.first[kind]
}

// existing returns which nodes have the routes of others to the blocks and borrowed addresses that these have.
// Its vertices are kinds.
func (r *routing) existing(reading routes.Reading) *routes.Reachability {
	if r.division == nil {
		return r.results[reading]
	}
	return r.division.results[reading]
}
