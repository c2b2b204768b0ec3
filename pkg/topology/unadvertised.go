package topology

import (
	"context"
	"fmt"
	"slices"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions/bgpfilter"
)

// unadvertised is the IPPools without encapsulation of one family whose routes external peers do not
// receive.
type unadvertised struct {
	routing *routing
	key     string // equal for equal IPPools
	pools   []UnadvertisedPool
}

// newUnadvertised returns the unadvertised of a family over the sessions of its routing. It returns
// before, which may be nil, if it is the same. O(IPPools), and the cost of routes.Leaves for each kind of
// prefixes that the sessions treat differently.
func (t *Topology) newUnadvertised(ctx context.Context, f calico.Family, before *unadvertised) (*unadvertised, error) {
	out := &unadvertised{routing: t.routings[f], pools: []UnadvertisedPool{}}
	var pools []*calico.IPPool
	if pairs := t.index.SubnetPairs(f); pairs.Different+pairs.Uneven > 0 {
		for _, p := range t.snapshot.IPPools() {
			if p.Family == f && p.CIDR.IsValid() && p.VXLANMode == string(v3.VXLANModeNever) && p.IPIPMode == string(v3.IPIPModeNever) {
				pools = append(pools, p)
				out.key += fmt.Sprint(p.Name, p.CIDR, p.BlockSize(), p.DisableBGPExport, " ")
			}
		}
	}
	if before != nil && before.routing == out.routing && before.key == out.key {
		return before, nil
	}
	kinds := map[string][]bool{}
	for _, p := range pools {
		leaves := make([]bool, len(out.routing.vertices))
		if !p.DisableBGPExport {
			var err error
			if leaves, err = out.routing.leaves(ctx, p, kinds); err != nil {
				return nil, err
			}
		}
		one := UnadvertisedPool{IPPool: p.Name}
		var first []uint32
		for v := range leaves {
			if !leaves[v] {
				one.Nodes += out.routing.graph.Vertices[v].Nodes
				first = append(first, out.routing.vertices[v].first...)
			}
		}
		if one.Sample = sample(t.index, first); one.Nodes > 0 {
			out.pools = append(out.pools, one)
		}
	}
	return out, nil
}

// leaves reports for each vertex whether external peers receive the routes of its nodes to all blocks of
// an IPPool. kinds are the results for the kinds of prefixes that are known.
func (r *routing) leaves(ctx context.Context, p *calico.IPPool, kinds map[string][]bool) ([]bool, error) {
	out := slices.Repeat([]bool{true}, len(r.vertices))
	advertised, rules := r.distinguishing()
	regions, _ := bgpfilter.Regions(p.CIDR, p.BlockSize(), advertised, rules...)
	for _, region := range regions {
		key := r.matches(region.Prefix, false)
		leaves, known := kinds[key]
		if !known {
			if len(kinds) == maxDestinations {
				break
			}
			var err error
			if leaves, err = routes.Leaves(ctx, &r.graph, r.destination(region.Prefix, false)); err != nil {
				return nil, fmt.Errorf("following the routes to external peers: %w", err)
			}
			kinds[key] = leaves
		}
		for v := range out {
			out[v] = out[v] && leaves[v]
		}
	}
	return out, nil
}
