package topology

import "github.com/bgpguard/bgpguard/pkg/calico"

// subnets returns the part of the summary about the networks of nodes in a family. O(1).
func (t *Topology) subnets(f calico.Family) Subnets {
	networks, pairs := t.index.Subnets(f), t.index.SubnetPairs(f)
	out := Subnets{Subnets: len(networks), Sample: []string{}, Same: pairs.Same, Different: pairs.Different, Uneven: pairs.Uneven, Unadvertised: t.unadvertised[f].pools}
	for _, n := range networks[:min(len(networks), SampleSize)] {
		out.Sample = append(out.Sample, n.String())
	}
	out.Wider = nodeSet(t.index, pairs.Wider, t.measures.add("addresses/"+f.String()+"/wider", nodesIn(f, func(t *Topology) func(int) bool {
		return within(t.index.SubnetPairs(f).Wider)
	})))
	return out
}
