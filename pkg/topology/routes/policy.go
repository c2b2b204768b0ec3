package routes

import (
	"math"
	"slices"
)

// Destination is prefixes that every policy treats alike.
type Destination struct {
	// Policies are the policies of sessions for routes to the prefixes, by number. The
	// first has no terms.
	Policies []Policy
	// Communities are those that nodes add to routes that no term of an export policy
	// accepts, by Vertex.Adds. Lists at the end may be absent if they are empty.
	Communities [][]Community
	// Disabled reports that nodes export only routes that a term of an export policy accepts.
	Disabled bool
	// Tunnelled reports that nodes send packets to the prefixes through a tunnel to the next hop. A
	// router that sets its own address as next hop does not unpack them; see WithASPaths.
	Tunnelled bool
	// Kernel is, for prefixes to which every node has the routes of all others from elsewhere than BGP, what
	// the export policies do with these routes, by number. It is nil if nodes have no such routes. Nodes send
	// them to external peers over eBGP, unless they also have them by BGP.
	Kernel []Terms
}

// equal reports whether policies treat the routes to two destinations alike.
func (d *Destination) equal(e *Destination) bool {
	samePolicies := len(d.Policies) == len(e.Policies) && len(d.Policies) > 0 && &d.Policies[0] == &e.Policies[0] || slices.EqualFunc(d.Policies, e.Policies, func(a, b Policy) bool {
		return a.Import.equal(b.Import) && a.Export.equal(b.Export)
	})
	return samePolicies && d.Disabled == e.Disabled && d.Tunnelled == e.Tunnelled &&
		slices.EqualFunc(d.Communities, e.Communities, slices.Equal[[]Community]) && (d.Kernel == nil) == (e.Kernel == nil) && slices.EqualFunc(d.Kernel, e.Kernel, Terms.equal)
}

// Policy is what one side of a session does with routes to a destination. A route gets
// the action of the first term that matches it. Routes that no term matches pass.
type Policy struct{ Import, Export Terms }

// Terms are alternatives for the terms of one direction, of which one applies. It is not
// known which, so a route must pass with each of them. The first decides its attributes.
type Terms [][]Term

// equal reports whether the terms of two lists of alternatives are the same.
func (t Terms) equal(u Terms) bool {
	return slices.EqualFunc(t, u, func(a, b []Term) bool {
		return slices.EqualFunc(a, b, func(a, b Term) bool { return a.equal(&b) })
	})
}

// Term is an action on the routes that meet all of its conditions.
type Term struct {
	// Learned is true if only routes that BGP peers sent match.
	Learned bool
	// EBGP and IBGP are true if only sessions of that kind match.
	EBGP, IBGP bool
	// Community is a community that routes must have, nil for any.
	Community *Community
	// Path is the start of the AS path, the nearest AS number first.
	Path []uint32
	// Preference is the local preference, nil for any.
	Preference *uint32
	// Uncertain reports that the term may also have a condition of which the graph has no
	// knowledge. A route that meets all others matches a term that rejects it, and does not
	// match one that accepts it.
	Uncertain bool
	// Accept is false if the term rejects routes. The remaining fields change the attributes
	// of accepted routes.
	Accept  bool
	Add     []Community
	Prepend []uint32 // the nearest AS number first
	Set     *uint32  // local preference, nil for unchanged
}

// Community is a BGP community, or a large one (RFC 1997 and RFC 8092).
type Community struct {
	Large bool
	Parts [3]uint32 // the third is 0 unless Large
}

// equal reports whether two terms are the same.
func (t *Term) equal(u *Term) bool {
	return t.Learned == u.Learned && t.EBGP == u.EBGP && t.IBGP == u.IBGP && t.Uncertain == u.Uncertain && t.Accept == u.Accept &&
		same(t.Community, u.Community) && same(t.Preference, u.Preference) && same(t.Set, u.Set) &&
		slices.Equal(t.Path, u.Path) && slices.Equal(t.Add, u.Add) && slices.Equal(t.Prepend, u.Prepend)
}

// same reports whether two pointers are nil, or point to equal values.
func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// The well-known communities that BIRD 1.6 follows (proto/bgp/attrs.c).
var (
	NoExport           = Community{Parts: [3]uint32{65535, 65281}}
	NoAdvertise        = Community{Parts: [3]uint32{65535, 65282}}
	NoExportSubconfed  = Community{Parts: [3]uint32{65535, 65283}}
	wellKnown          = []Community{NoExport, NoAdvertise, NoExportSubconfed}
	externalPreference = uint32(100) // BIRD's local preference of routes without one
)

// MaxPreference is the highest local preference: Calico uses MaxPreference minus the
// priority of a route.
const MaxPreference = math.MaxInt32

// observed are the attributes that decide whether routes to a destination pass. The others
// need not be followed.
type observed struct {
	path                         int // how many of the nearest AS numbers
	kept                         int // how many of them routes keep, at least path
	communities, preference, any bool
}

// attributes reports whether policies read any attribute.
func (o *observed) attributes() bool { return o.path > 0 || o.communities || o.preference }

// observes returns the attributes that the policies for a destination read.
func (d *Destination) observes() observed {
	var out observed
	added := false
	known := func(list []Community) bool {
		return slices.ContainsFunc(list, func(c Community) bool { return slices.Contains(wellKnown, c) })
	}
	lists := slices.Clone(d.Kernel)
	for i := range d.Policies {
		lists = append(lists, d.Policies[i].Import, d.Policies[i].Export)
	}
	for _, list := range lists {
		for _, terms := range list {
			for k := range terms {
				t := &terms[k]
				out.any = true
				out.path = max(out.path, len(t.Path))
				out.communities = out.communities || t.Community != nil
				out.preference = out.preference || t.Preference != nil
				added = added || known(t.Add)
			}
		}
	}
	for _, list := range d.Communities {
		added = added || known(list)
	}
	out.communities = out.communities || added
	out.any = out.any || added
	out.kept = out.path
	return out
}

// verdict is what the terms of a policy do with a route.
type verdict uint8

const (
	passed   verdict = iota // no term matches
	accepted                // a term accepts it
	rejected                // a term rejects it
)

// apply returns the verdict on a route and, if a term rejects it, which one. It changes the
// attributes of a route that a term accepts. learned and internal describe the route and the
// session, seen the attributes that are observed.
func (t Terms) apply(r *route, learned, internal bool, seen observed) (verdict, TermID) {
	out := accepted
	for i, terms := range t {
		switch k := first(terms, r, learned, internal); {
		case k < 0:
			out = passed
		case !terms[k].Accept:
			return rejected, TermID{i, k}
		case i == 0:
			terms[k].change(r, seen.kept)
		}
	}
	if len(t) == 0 {
		return passed, TermID{}
	}
	return out, TermID{}
}

// TermID is a term of Terms: the index of the alternative, and its index there.
type TermID struct{ Alternative, Index int }

// first returns the index of the first term that matches a route, -1 for none.
func first(terms []Term, r *route, learned, internal bool) int {
	for i := range terms {
		if terms[i].matches(r, learned, internal) {
			return i
		}
	}
	return -1
}

// matches reports whether a term matches a route.
func (t *Term) matches(r *route, learned, internal bool) bool {
	certain := !t.Uncertain
	switch {
	case t.Learned && !learned, t.EBGP && internal, t.IBGP && !internal, t.Preference != nil && *t.Preference != r.preference:
		return false
	}
	if t.Community != nil && !slices.Contains(r.communities, *t.Community) {
		if !r.external {
			return false
		}
		certain = false
	}
	if len(t.Path) > 0 && (len(r.order) < len(t.Path) || !slices.Equal(r.order[:len(t.Path)], t.Path)) {
		if !r.external {
			return false
		}
		certain = false
	}
	return certain || !t.Accept
}

// change changes the attributes of a route as an accepting term says. kept is how many AS
// numbers of paths routes keep.
func (t *Term) change(r *route, kept int) {
	if len(t.Add) > 0 {
		r.add(t.Add)
	}
	if len(t.Prepend) > 0 {
		for _, asn := range slices.Backward(t.Prepend) {
			r.prepend(asn, kept)
		}
	}
	if t.Set != nil {
		r.preference = *t.Set
	}
}

// add adds communities to a route.
func (r *route) add(list []Community) {
	out := slices.Clone(r.communities)
	for _, c := range list {
		if i, ok := slices.BinarySearchFunc(out, c, compareCommunities); !ok {
			out = slices.Insert(out, i, c)
		}
	}
	r.communities = out
}

func compareCommunities(a, b Community) int {
	if a.Large != b.Large {
		return map[bool]int{false: -1, true: 1}[a.Large]
	}
	return slices.Compare(a.Parts[:], b.Parts[:])
}

// prepend prepends an AS number to the path of a route. kept is how many AS numbers of the
// path routes keep in order.
func (r *route) prepend(asn uint32, kept int) {
	if kept > 0 {
		order := append([]uint32{asn}, r.order...)
		r.order = order[:min(len(order), kept)]
	}
	i, _ := slices.BinarySearch(r.path, asn)
	path := make([]uint32, len(r.path)+1)
	copy(path, r.path[:i])
	path[i] = asn
	copy(path[i+1:], r.path[i:])
	r.path = path
}
