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
	out := Reflectors{Total: int(reflectors.Count()), Nodes: int(clients.Count()), Levels: []Level{}, BGPPeers: []string{}}

	// least[k] holds the nodes with sessions to at least k+1 reflectors.
	var least []*bitset.BitSet
	for _, p := range t.peerings {
		s := p.sides[f]
		if (s.local.IntersectionCardinality(reflectors) > 0 && s.remote.Any()) || (s.remote.IntersectionCardinality(reflectors) > 0 && s.local.Any()) {
			out.BGPPeers = append(out.BGPPeers, p.peer.Name)
		}
	}
	for r, ok := reflectors.NextSet(0); ok; r, ok = reflectors.NextSet(r + 1) {
		with := t.neighbours(r, f)
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

// neighbours returns the nodes that have a session with node r by BGPPeers in
// family f: a half-session each way, from whichever BGPPeers.
func (t *Topology) neighbours(r uint, f calico.Family) *bitset.BitSet {
	n := t.index.Len()
	out, in := bitset.New(n), bitset.New(n)
	for _, p := range t.peerings {
		s := p.sides[f]
		if s.local.Test(r) {
			out.InPlaceUnion(s.remote)
			if p.reverse {
				in.InPlaceUnion(s.remote)
			}
		}
		if s.remote.Test(r) {
			in.InPlaceUnion(s.local)
			if p.reverse {
				out.InPlaceUnion(s.local)
			}
		}
	}
	out.InPlaceIntersection(in)
	return out.Clear(r)
}
