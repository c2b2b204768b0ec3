package topology

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bits-and-blooms/bitset"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions/bgpfilter"
)

// services is the ranges of addresses of Services in one family, and who receives routes to them.
type services struct {
	routing *routing
	list    []calico.ServiceRange
	// excluded are the nodes that originate no routes to the ranges.
	excluded *bitset.BitSet
	// reflectsExternal reports that route reflectors also pass on routes to external IPs of others.
	reflectsExternal bool
	key              string // equal for equal list and reflectsExternal
	summary          []ServiceRange
}

// excludedFromServices is calico.ExcludedFromServices.
var excludedFromServices = func() *calico.Selector {
	s, err := calico.ParseSelector(calico.ExcludedFromServices)
	if err != nil {
		panic(err) // It is a constant.
	}
	return s
}()

// newServices returns the services of a family over the sessions of its routing. It returns before,
// which may be nil, if they are the same. O(IPPools + half-sessions with external peers), and the
// cost of routes.Advertise for each kind of ranges that the sessions treat differently.
func (t *Topology) newServices(ctx context.Context, f calico.Family, before *services) (*services, error) {
	v := sessions.CalicoVersion(t.snapshot)
	since := func(minor uint) bool { return v == nil || v.AtLeast(version.MajorMinor(3, minor)) }
	list := t.snapshot.BGPConfiguration(calico.Default).ServiceRanges(f, since(31))
	s := &services{routing: t.routings[f], list: list, reflectsExternal: since(33), summary: []ServiceRange{}}
	if len(list) == 0 {
		if before != nil && len(before.list) == 0 {
			return before, nil
		}
		return s, nil
	}
	s.excluded = t.index.Select(calico.ExcludedFromServices, excludedFromServices)
	s.key = fmt.Sprint(list, s.reflectsExternal)
	if before != nil && before.routing == s.routing && before.excluded == s.excluded && before.key == s.key {
		return before, nil
	}
	if err := s.summarize(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// summarize sets summary.
func (s *services) summarize(ctx context.Context) error {
	n := s.routing.network
	advertising := int(n.Index.BGP[n.Family].DifferenceCardinality(s.excluded))
	outlets, origins := s.outlets(), s.origins()
	kinds := map[string][][]routes.Sent{}
	for _, one := range s.list {
		part := ServiceRange{Field: one.Field, CIDR: one.CIDR.String(), Nodes: advertising}
		regions, complete := s.regions(one, s)
		whole := slices.Repeat([]bool{true}, 2*len(outlets)) // of each outlet, by nodes that originate routes and others
		some := make([]bool, 2*len(outlets))
		without := &ServiceAddresses{Sample: []string{}}
		for _, region := range regions {
			key := s.kind(region.Prefix)
			sent, known := kinds[key]
			switch {
			case known:
			case len(kinds) == maxDestinations:
				complete = false
				continue
			default:
				var err error
				if sent, err = s.sent(ctx, region.Prefix, origins, outlets); err != nil {
					return err
				}
				kinds[key] = sent
			}
			carried := false
			for i, o := range outlets {
				for k, nodes := range o.nodes {
					carries := !slices.ContainsFunc(o.sessions, func(x int) bool { return !sent[o.vertex][x].Of(k) })
					whole[2*i+k] = whole[2*i+k] && carries
					some[2*i+k] = some[2*i+k] || carries
					carried = carried || carries && nodes > 0
				}
			}
			if !carried {
				without.add(region)
			}
		}
		if complete {
			part.Sessions, part.PartSessions, part.Unadvertised = new(int), new(int), without
			for i, o := range outlets {
				for k, nodes := range o.nodes {
					if whole[2*i+k] {
						*part.Sessions += nodes
					}
					if some[2*i+k] {
						*part.PartSessions += nodes
					}
				}
			}
		}
		s.summary = append(s.summary, part)
	}
	slices.SortStableFunc(s.summary, func(a, b ServiceRange) int { return cmp.Compare(a.Field, b.Field) })
	return nil
}

// origins reports for each vertex whether some of its nodes originate routes to the ranges. O(nodes).
func (s *services) origins() []bool {
	out := make([]bool, len(s.routing.vertices))
	for i, g := range s.routing.network.Classes.Of {
		if v := s.routing.vertexOf[g]; v >= 0 && !out[v] {
			out[v] = !s.excluded.Test(uint(i))
		}
	}
	return out
}

// outlet is the half-sessions of the nodes of a vertex with external peers on the same terms.
type outlet struct {
	vertex   int
	sessions []int // indexes into Vertex.External; several if the half-session is ambiguous
	// nodes are the numbers of half-sessions of nodes that originate routes to the ranges, and of
	// others.
	nodes [2]int
}

// outlets returns the half-sessions with external peers. O(half-sessions with external peers).
func (s *services) outlets() []outlet {
	r := s.routing
	n := r.network
	type key struct {
		vertex int
		exits  string
	}
	number := map[key]int{}
	var out []outlet
	n.EachExit(n.Passing[routes.WithTransit].Counted, func(exits []sessions.Exit, nodes *bitset.BitSet) {
		text := fmt.Sprint(exits)
		at := map[int]int{} // of each vertex, an index into out, -1 for none
		for i, ok := nodes.NextSet(0); ok; i, ok = nodes.NextSet(i + 1) {
			v := r.vertex(i)
			if v < 0 {
				continue
			}
			k, known := at[v]
			if !known {
				if k, known = number[key{v, text}]; !known {
					k = -1
					if list := r.externalSessions(exits, v); list != nil {
						k = len(out)
						out = append(out, outlet{vertex: v, sessions: list})
					}
					number[key{v, text}] = k
				}
				at[v] = k
			}
			if k < 0 {
				continue
			}
			if s.excluded.Test(i) {
				out[k].nodes[1]++
			} else {
				out[k].nodes[0]++
			}
		}
	})
	return out
}

// externalSessions returns the indexes of the sessions of a vertex with the given exits, nil if BIRD
// rejects one of them.
func (r *routing) externalSessions(exits []sessions.Exit, v int) []int {
	var list []routes.ExternalSession
	if external := r.graph.Vertices[v].External; external != nil {
		list = external[routes.WithTransit]
	}
	class := &r.network.Classes.List[r.vertices[v].classes[0]]
	var out []int
	for _, k := range exits {
		i := slices.Index(list, r.externalSession(k, class))
		if i < 0 {
			return nil
		}
		out = append(out, i)
	}
	return out
}

// regions divides the prefixes to which nodes advertise routes in a range into regions that the sessions of
// each of some services, usually s alone, treat alike. It returns false if there are too many.
func (s *services) regions(one calico.ServiceRange, by ...*services) ([]bgpfilter.Region, bool) {
	if one.Route {
		return []bgpfilter.Region{{CIDR: one.CIDR, Prefix: one.CIDR}}, true
	}
	var advertised []netip.Prefix
	var rules []bgpfilter.Rules
	for _, o := range by {
		networks, list := o.routing.distinguishing()
		advertised, rules = append(advertised, networks...), append(rules, list...)
		for _, p := range o.routing.pods.exports.pools {
			advertised = append(advertised, p.cidr)
		}
		for _, other := range o.list {
			advertised = append(advertised, other.CIDR)
		}
	}
	return bgpfilter.Regions(one.CIDR, one.CIDR.Addr().BitLen(), advertised, rules...)
}

// add adds the addresses of a region.
func (a *ServiceAddresses) add(r bgpfilter.Region) {
	a.Addresses += addressesIn(r.CIDR)
	for _, c := range r.Except {
		a.Addresses -= addressesIn(c)
	}
	if len(a.Sample) < SampleSize {
		a.Sample = append(a.Sample, regionText(r))
	}
}

// addressesIn returns the number of addresses in a prefix.
func addressesIn(p netip.Prefix) float64 { return math.Ldexp(1, p.Addr().BitLen()-p.Bits()) }

// regionText returns a region as text: "10.1.0.0/28 except 10.1.0.8/30".
func regionText(r bgpfilter.Region) string {
	if len(r.Except) == 0 {
		return r.CIDR.String()
	}
	texts := make([]string, len(r.Except))
	for i, c := range r.Except {
		texts[i] = c.String()
	}
	return r.CIDR.String() + " except " + strings.Join(texts, ", ")
}

// kind returns a text that is equal for prefixes whose routes all sessions treat alike.
func (s *services) kind(p netip.Prefix) string {
	exported, _ := s.routing.pods.exports.of(p)
	key := strconv.AppendBool([]byte(s.routing.matches(p, true)), exported)
	return string(strconv.AppendBool(key, s.reflected(p)))
}

// reflected reports whether route reflectors pass on routes to a prefix that they do not originate
// (the same template).
func (s *services) reflected(p netip.Prefix) bool {
	return slices.ContainsFunc(s.list, func(one calico.ServiceRange) bool {
		return (one.Field == calico.LoadBalancerIPs || one.Field == calico.ExternalIPs && s.reflectsExternal) && contains(one.CIDR, p)
	})
}

// sent returns which sessions with external peers carry routes to a prefix.
func (s *services) sent(ctx context.Context, p netip.Prefix, origins []bool, outlets []outlet) ([][]routes.Sent, error) {
	one := s.shared(p, origins)
	if !slices.ContainsFunc(outlets, func(o outlet) bool { return o.nodes[1] > 0 }) {
		one.Passes = nil
	}
	return routes.Advertise(ctx, &s.routing.graph, one)
}

// shared returns the routes to a prefix that the nodes of origins originate.
func (s *services) shared(p netip.Prefix, origins []bool) *routes.Shared {
	r := s.routing
	exported, _ := r.pods.exports.of(p)
	one := &routes.Shared{Destination: r.destination(p, true), Origins: origins, Passes: make([]bool, len(r.vertices))}
	for v := range r.vertices {
		one.Passes[v] = exported || r.graph.Vertices[v].Cluster != routes.NoCluster && s.reflected(p)
	}
	return one
}

// CarriesService returns a function that reports whether the session of a node with an external peer
// carries a route to a prefix of addresses of Services. Like RoutesTo, it serves to compare
// predictions with a running BIRD. It returns an error only if ctx is done.
func (t *Topology) CarriesService(ctx context.Context, prefix netip.Prefix) (func(node string, peer netip.Addr) bool, error) {
	s := t.services[calico.FamilyOf(prefix.Addr())]
	if len(s.list) == 0 {
		return func(string, netip.Addr) bool { return false }, nil
	}
	r := s.routing
	n := r.network
	sent, err := s.sent(ctx, prefix, s.origins(), s.outlets())
	if err != nil {
		return nil, err
	}
	return func(node string, peer netip.Addr) bool {
		i, ok := t.index.Find(node)
		k := slices.IndexFunc(n.Externals, func(o *sessions.ExternalPeer) bool { return o.Address == peer })
		return ok && k >= 0 && s.carriers(sent, n.Externals[k]).Test(i)
	}, nil
}

// carriers returns the nodes whose session with an external peer carries routes to the prefix of
// sent. O(half-sessions with the external peer).
func (s *services) carriers(sent [][]routes.Sent, peer *sessions.ExternalPeer) *bitset.BitSet {
	r := s.routing
	out := bitset.New(r.network.Index.Len())
	r.network.EachExit([]*sessions.ExternalPeer{peer}, func(exits []sessions.Exit, nodes *bitset.BitSet) {
		known := map[int][]int{} // of each vertex
		for i, ok := nodes.NextSet(0); ok; i, ok = nodes.NextSet(i + 1) {
			v := r.vertex(i)
			if v < 0 {
				continue
			}
			list, ok := known[v]
			if !ok {
				list = r.externalSessions(exits, v)
				known[v] = list
			}
			if list != nil && !slices.ContainsFunc(list, func(x int) bool {
				one := sent[v][x]
				return s.excluded.Test(i) && !one.Learned || !s.excluded.Test(i) && !one.Own
			}) {
				out.Set(i)
			}
		}
	})
	return out
}
