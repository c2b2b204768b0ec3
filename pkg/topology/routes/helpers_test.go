package routes

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// speaker is a vertex of a graph that a test describes. The zero asn is 64512,
// the zero nodes is 1.
type speaker struct {
	name    string
	nodes   int
	asn     uint32
	cluster string // the cluster ID of a route reflector
	zone    int    // 0 for NoZone
}

// link is the sessions between two speakers, or among the nodes of one.
type link struct {
	a, b string
	// asn is the AS number of a on the sessions, 0 for that of the speaker.
	asn uint32
	// allowed is how often each side accepts its own AS number.
	allowed int
}

// external is a session of a speaker with an external peer of the given AS
// number.
type external struct {
	name string
	asn  uint32
	// known means that the peer passes routes on in the last reading too.
	known bool
	// allowed is how often the speaker accepts its own AS number.
	allowed int
}

// network describes a graph.
type network struct {
	speakers []speaker
	links    []link
	external []external
}

func (n *network) index(name string) int {
	i := slices.IndexFunc(n.speakers, func(s speaker) bool { return s.name == name })
	if i < 0 {
		panic("no speaker " + name)
	}
	return i
}

// graph returns the network as a graph. The clients of a route reflector are all iBGP
// peers except route reflectors with the same cluster ID.
func (n *network) graph() *Graph {
	g := &Graph{Readings: 4}
	clusters := map[string]int{}
	for i := range n.speakers {
		s := &n.speakers[i]
		s.asn, s.nodes = cmp.Or(s.asn, 64512), max(s.nodes, 1)
		v := Vertex{Nodes: s.nodes, Cluster: NoCluster, Zone: s.zone}
		if s.zone == 0 {
			v.Zone = NoZone
		}
		if s.cluster != "" {
			if _, ok := clusters[s.cluster]; !ok {
				clusters[s.cluster] = len(clusters)
			}
			v.Cluster = clusters[s.cluster]
		}
		g.Vertices = append(g.Vertices, v)
	}
	for _, l := range n.links {
		a, b := n.index(l.a), n.index(l.b)
		asnA, asnB := n.speakers[a].asn, n.speakers[b].asn
		if l.asn != 0 {
			asnA = l.asn
		}
		ibgp := asnA == asnB
		client := func(of, is int) bool {
			return ibgp && n.speakers[of].cluster != "" && n.speakers[of].cluster != n.speakers[is].cluster
		}
		g.Vertices[a].Sessions = append(g.Vertices[a].Sessions, Session{
			To: int32(b), Internal: ibgp, Client: client(a, b), ASN: asnA, PeerClient: client(b, a), PeerASN: asnB, PeerAllowed: l.allowed,
		})
		if a != b {
			g.Vertices[b].Sessions = append(g.Vertices[b].Sessions, Session{
				To: int32(a), Internal: ibgp, Client: client(b, a), ASN: asnB, PeerClient: client(a, b), PeerASN: asnA, PeerAllowed: l.allowed,
			})
		}
	}
	for _, x := range n.external {
		s := &n.speakers[n.index(x.name)]
		ibgp := x.asn == s.asn
		v := &g.Vertices[n.index(x.name)]
		if v.External == nil {
			v.External = make([][]ExternalSession, 4)
		}
		session := ExternalSession{Internal: ibgp, Client: ibgp && s.cluster != "", ASN: s.asn, Allowed: x.allowed}
		for reading := WithTransit; reading <= WithASPaths+1; reading++ {
			if reading <= WithASPaths || x.known {
				v.External[reading] = append(v.External[reading], session)
			}
		}
	}
	return g
}

// missing returns the missing routes as text: "a>b" if b has no route to a.
func (n *network) missing(r *Reachability) string {
	var out []string
	for i, a := range n.speakers {
		for j, b := range n.speakers {
			if (i != j || a.nodes > 1) && !r.Has(i, j) {
				out = append(out, a.name+">"+b.name)
			}
		}
	}
	return strings.Join(out, " ")
}

func computed(t *testing.T, g *Graph) []*Reachability {
	t.Helper()
	r, err := Compute(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// speakers returns speakers with the given names and otherwise default values.
func speakers(names ...string) []speaker {
	out := make([]speaker, len(names))
	for i, name := range names {
		out[i].name = name
	}
	return out
}

// chain links each speaker with the next.
func chain(list ...speaker) *network {
	n := &network{speakers: list}
	for i := range list[1:] {
		n.links = append(n.links, link{a: list[i].name, b: list[i+1].name})
	}
	return n
}

// String returns the graph as text for test messages.
func (g *Graph) String() string {
	var b strings.Builder
	for i, v := range g.Vertices {
		fmt.Fprintf(&b, "%d: %d nodes, cluster %d, zone %d, sessions %+v, external %+v\n", i, v.Nodes, v.Cluster, v.Zone, v.Sessions, v.External)
	}
	return b.String()
}
