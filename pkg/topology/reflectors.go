package topology

import (
	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// reflectorsIn tells how many route reflectors the other nodes have sessions
// to in family f. O(reflectors x (BGPPeers + MaxLevel)) set operations.
func (t *Topology) reflectorsIn(f calico.Family) Reflectors {
	ix := t.index
	reflectors := ix.bgp[f].Intersection(ix.reflectors)
	clients := ix.bgp[f].Difference(ix.reflectors)
	out := Reflectors{Total: int(reflectors.Count()), Nodes: int(clients.Count()), Levels: []Level{}}

	// least[k] holds the nodes with sessions to at least k+1 reflectors.
	var least []*bitset.BitSet
	sides := make([]familySides, 0, len(t.peerings))
	for _, p := range t.peerings {
		local, remote := p.sides(f)
		if local.Any() && remote.Any() {
			sides = append(sides, familySides{local, remote, p.reverse})
		}
	}
	for r, ok := reflectors.NextSet(0); ok; r, ok = reflectors.NextSet(r + 1) {
		with := neighbours(r, sides, ix.Len())
		with.InPlaceIntersection(clients)
		for k := range least {
			// Those that had at least k+1 before and this one too have k+2.
			again := least[k].Intersection(with)
			least[k].InPlaceUnion(with)
			with = again
		}
		if with.Any() && len(least) < MaxLevel {
			least = append(least, with)
		}
	}

	rest := clients
	for k := 0; k <= len(least); k++ {
		exactly, more := rest, bitset.New(0)
		if k < len(least) {
			exactly, more = rest.Difference(least[k]), least[k]
		}
		if exactly.Any() {
			out.Levels = append(out.Levels, Level{Reflectors: k, Nodes: int(exactly.Count()), Sample: ix.sample(exactly)})
		}
		rest = more
	}
	return out
}

type familySides struct {
	local, remote *bitset.BitSet
	reverse       bool
}

// neighbours returns the nodes that have a session with node r by BGPPeers: a
// half-session each way, from whichever BGPPeers.
func neighbours(r uint, peerings []familySides, n uint) *bitset.BitSet {
	out, in := bitset.New(n), bitset.New(n)
	for _, p := range peerings {
		if p.local.Test(r) {
			out.InPlaceUnion(p.remote)
			if p.reverse {
				in.InPlaceUnion(p.remote)
			}
		}
		if p.remote.Test(r) {
			in.InPlaceUnion(p.local)
			if p.reverse {
				out.InPlaceUnion(p.local)
			}
		}
	}
	out.InPlaceIntersection(in)
	return out.Clear(r)
}
