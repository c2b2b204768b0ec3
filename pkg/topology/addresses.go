package topology

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// addresses returns the part of the summary about addresses. O(nodes) with a very small
// constant.
func (t *Topology) addresses() *PerFamily[Addresses] {
	out, ix := &PerFamily[Addresses]{}, t.index
	for _, f := range calico.Families {
		one := out.In(f)
		one.Shared = nodeSet(ix, ix.Shared(f), t.measures.add("addresses/"+f.String()+"/shared", nodesIn(f, func(t *Topology) func(int) bool { return within(t.index.Shared(f)) })))
		one.SharedAddresses = t.sharedAddresses(f)
		one.Misdetected = nodeSet(ix, ix.Misdetected[f], t.measures.add("addresses/"+f.String()+"/misdetected", nodesIn(f, func(t *Topology) func(int) bool { return within(t.index.Misdetected[f]) })))
		one.Subnets = t.subnets(f)
		one.MisdetectedAddresses = []NodeAddress{}
		for _, name := range one.Misdetected.Sample {
			i, _ := ix.Find(name)
			n := ix.Nodes[i]
			a := NodeAddress{Node: name, Address: n.Address[f].Addr().String()}
			if n.InternalIP[f].IsValid() {
				a.InternalIP = Optional(n.InternalIP[f].String())
			}
			one.MisdetectedAddresses = append(one.MisdetectedAddresses, a)
		}
	}
	return out
}

// sharedAddresses lists the first maxNames addresses in family f that several nodes have.
func (t *Topology) sharedAddresses(f calico.Family) []SharedAddress {
	ix := t.index
	var all []netip.Addr
	for i, ok := ix.Shared(f).NextSet(0); ok; i, ok = ix.Shared(f).NextSet(i + 1) {
		all = append(all, ix.Nodes[i].Address[f].Addr())
	}
	slices.SortFunc(all, netip.Addr.Compare)
	all = slices.Compact(all)
	out := make([]SharedAddress, 0, min(len(all), maxNames))
	for _, a := range all[:min(len(all), maxNames)] {
		at := ix.At(a)
		out = append(out, SharedAddress{a.String(), len(at), sample(ix, slices.Clone(at))})
	}
	return out
}

// otherASNumbers returns the part of the summary about AS numbers of BGPPeers. O(BGPPeers
// + nodes of those with another AS number).
func (t *Topology) otherASNumbers() *PerFamily[OtherASNumbers] {
	out := &PerFamily[OtherASNumbers]{}
	type pair struct{ named, actual uint32 }
	var groups [2]map[pair]*OtherASNumber
	var ends [2]*bitset.BitSet
	for _, r := range t.sessions.Peerings {
		actual, ok := r.OtherASNumber()
		if !ok {
			continue
		}
		f := calico.FamilyOf(r.Peer.PeerAddress)
		if groups[f] == nil {
			groups[f], ends[f] = map[pair]*OtherASNumber{}, bitset.New(t.index.Len())
		}
		r.Ends(ends[f])
		key := pair{r.Peer.ASNumber, actual}
		g := groups[f][key]
		if g == nil {
			g = &OtherASNumber{ASNumber: int(key.named), NodeASNumber: int(actual), Sample: []string{}}
			groups[f][key] = g
		}
		g.BGPPeers++
		if len(g.Sample) < maxNames {
			g.Sample = append(g.Sample, r.Peer.Name)
		}
	}
	for _, f := range calico.Families {
		one := out.In(f)
		one.Groups = []OtherASNumber{}
		if ends[f] == nil {
			continue
		}
		one.Nodes = int(ends[f].IntersectionCardinality(t.index.BGP[f]))
		for _, g := range groups[f] {
			one.Groups = append(one.Groups, *g)
		}
		slices.SortFunc(one.Groups, func(a, b OtherASNumber) int {
			return cmp.Or(cmp.Compare(a.ASNumber, b.ASNumber), cmp.Compare(a.NodeASNumber, b.NodeASNumber))
		})
		one.Groups = one.Groups[:min(len(one.Groups), maxNames)]
	}
	return out
}
