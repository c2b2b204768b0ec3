package routes

import (
	"math"
	"slices"
)

// Graph is the BGP sessions of one address family.
type Graph struct {
	Vertices []Vertex
	// Readings is the number of readings of external peers.
	Readings int
	// Preference is the local preference of the routes that nodes originate.
	Preference uint32
	// Destinations are the kinds of prefixes that the policies of sessions distinguish.
	// Without any, there is one kind, and sessions have no policies.
	Destinations []Destination
}

// Reading is a number of a reading of external peers: it assumes which of them pass
// routes on.
type Reading int

// The readings that every graph has. In WithoutTransit, no external peer passes routes
// on. In WithTransit, external peers pass routes on without AS path. In WithASPaths, they do what
// routers do by default: they keep the AS numbers that nodes prepended, so a node may find its own,
// and those of eBGP set their own address as next hop.
const (
	WithoutTransit Reading = iota
	WithTransit
	WithASPaths
)

// Anonymous is the AS number of each node of a vertex whose nodes have AS numbers of their
// own that occur nowhere else. The nodes peer with each other over eBGP. RFC 7300 reserves
// the number.
const Anonymous uint32 = math.MaxUint32

// Vertex is nodes that have the same sessions.
type Vertex struct {
	// Nodes is the number of nodes, at least 1.
	Nodes int
	// Cluster is the number of their cluster ID, NoCluster if they are not route
	// reflectors.
	Cluster int
	// Zone is the number of the zone of all the nodes, NoZone if they are in several
	// zones or the zone is unknown.
	Zone int
	// Sessions are the sessions with nodes, one for each vertex at the other end.
	Sessions []Session
	// External are the sessions with external peers that pass routes on, by Reading. Readings
	// at the end may be absent if there are none.
	External [][]ExternalSession
	// Adds is the number, in Destination.Communities, of the communities that the nodes add
	// to the routes that they advertise.
	Adds int
}

// NoCluster and NoZone are the Cluster and the Zone of a vertex without one.
const (
	NoCluster = -1
	NoZone    = -1
)

// Session is the sessions of every node of a vertex with every node of the vertex To.
// It describes the direction to To; another Session describes the opposite direction.
type Session struct {
	To int32
	// Internal is true for iBGP.
	Internal bool
	// Client is true if the sending nodes are route reflectors and the nodes of To are
	// their clients. ASN is the AS number of the sending nodes on the session.
	Client bool
	ASN    uint32
	// PeerClient is true if the nodes of To are route reflectors and the sending nodes
	// are their clients. PeerASN is the AS number of the nodes of To on the session.
	// PeerAllowed is how often they accept it in the AS path of a route.
	PeerClient  bool
	PeerASN     uint32
	PeerAllowed int
	// Policy and PeerPolicy are the numbers, in Destination.Policies, of the policies of the
	// sending nodes and of the nodes of To on the session. 0 is no policy.
	Policy, PeerPolicy int
	// NextHop is the mode of the sending nodes. Only Trace reads it.
	NextHop NextHopMode
}

// ExternalSession is a session of every node of a vertex with an external peer.
// Internal is true for iBGP, Client if the peer is a client of the nodes. ASN is the
// AS number of the nodes on the session, Allowed how often they accept it in the AS path
// of a route, and Policy the number of their policy.
type ExternalSession struct {
	Internal, Client bool
	ASN              uint32
	Allowed          int
	Policy           int
}

// Nodes returns the number of nodes of all vertices.
func (g *Graph) Nodes() int {
	n := 0
	for i := range g.Vertices {
		n += g.Vertices[i].Nodes
	}
	return n
}

// destinations returns Destinations or, without any, the one kind of prefixes.
func (g *Graph) destinations() []Destination {
	if len(g.Destinations) == 0 {
		return []Destination{{}}
	}
	return g.Destinations
}

// externalIn returns the sessions of a vertex with external peers that pass routes on
// in a reading.
func (v *Vertex) externalIn(reading Reading) []ExternalSession {
	if int(reading) >= len(v.External) {
		return nil
	}
	return v.External[reading]
}

// sameReadings reports whether the same sessions pass the same routes on in two readings.
func (g *Graph) sameReadings(a, b Reading) bool {
	for i := range g.Vertices {
		x := g.Vertices[i].externalIn(a)
		if !slices.Equal(x, g.Vertices[i].externalIn(b)) || len(x) > 0 && (a == WithASPaths) != (b == WithASPaths) {
			return false
		}
	}
	return true
}

// manyNodes is a number of nodes of a vertex from which it makes no difference to a flood how many there are: of
// the receivers of a route, at most three are left out. See flood.receivers.
const manyNodes = 4

// likeIn reports whether routes to the same destinations are the same in another graph: the numbers of nodes
// differ only where that makes no difference, and zones may differ. O(sessions).
func (g *Graph) likeIn(other *Graph) bool {
	return g == other || g.Readings == other.Readings && g.Preference == other.Preference && slices.EqualFunc(g.Vertices, other.Vertices, func(a, b Vertex) bool {
		return min(a.Nodes, manyNodes) == min(b.Nodes, manyNodes) && a.Cluster == b.Cluster && a.Adds == b.Adds &&
			slices.Equal(a.Sessions, b.Sessions) && slices.EqualFunc(a.External, b.External, slices.Equal[[]ExternalSession])
	})
}

// relays reports whether the nodes of a vertex may advertise routes that they
// learned over iBGP.
func (v *Vertex) relays(reading Reading) bool {
	if len(v.externalIn(reading)) > 0 {
		return true
	}
	for i := range v.Sessions {
		if s := &v.Sessions[i]; s.Client || !s.Internal || s.ASN != v.Sessions[0].ASN {
			return true
		}
	}
	return false
}

// severalNumbers reports whether the nodes of a vertex have different AS numbers on different
// sessions.
func (v *Vertex) severalNumbers(reading Reading) bool {
	external := v.externalIn(reading)
	for i := range v.Sessions {
		if v.Sessions[i].ASN != v.Sessions[0].ASN {
			return true
		}
	}
	for i := range external {
		if external[i].ASN != external[0].ASN {
			return true
		}
	}
	return len(v.Sessions) > 0 && len(external) > 0 && v.Sessions[0].ASN != external[0].ASN
}

// components returns the number of the connected component of each vertex. All vertices
// with sessions with external peers that pass routes on are in one component.
func (g *Graph) components(reading Reading) []int {
	sets := newDisjoint(len(g.Vertices))
	external := -1
	for i := range g.Vertices {
		v := &g.Vertices[i]
		for k := range v.Sessions {
			sets.union(i, int(v.Sessions[k].To))
		}
		if len(v.externalIn(reading)) > 0 {
			if external >= 0 {
				sets.union(i, external)
			}
			external = i
		}
	}
	out := make([]int, len(sets))
	for i := range out {
		out[i] = sets.find(i)
	}
	return out
}

// disjoint is a union-find structure over the indexes of the slice. Each element is
// the parent of its index.
type disjoint []int

// newDisjoint returns n sets with one element each.
func newDisjoint(n int) disjoint {
	d := make(disjoint, n)
	for i := range d {
		d[i] = i
	}
	return d
}

// find returns the representative of the set of i.
func (d disjoint) find(i int) int {
	for d[i] != i {
		d[i] = d[d[i]]
		i = d[i]
	}
	return i
}

// union merges the sets of i and j.
func (d disjoint) union(i, j int) { d[d.find(i)] = d.find(j) }
