package report

import (
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// picture is a graph as it is drawn.
type picture struct {
	shapes []shape
	links  []topology.Link
}

// shape is a group of nodes, or one or more peers outside.
type shape struct {
	id, role string
	// size is how many nodes or peers it stands for, groups how many groups.
	size, groups int
	names        []string
	// last is the last line of its label.
	last string
}

// wide is how many shapes a picture has at the most beside each other; with more
// it grows downwards, where a page can be scrolled.
const wide = 8

// manyShapes is how many shapes a person takes in; with more, those of one role
// become one.
const manyShapes = 24

func newPicture(g *topology.Graph) *picture {
	p := &picture{links: g.Links}
	for _, o := range g.Externals {
		last := ""
		if o.ASN != 0 {
			last = asn(o.ASN)
		}
		p.shapes = append(p.shapes, shape{o.ID, roleOutside, o.Peers, 1, o.PeerIPs, last})
	}
	for _, group := range g.Groups {
		last := asn(group.ASN)
		if group.ClusterID != "" {
			last += ", cluster ID " + clean(group.ClusterID)
		}
		p.shapes = append(p.shapes, shape{group.ID, group.Role, group.Nodes, 1, group.Sample, last})
	}
	return p
}

// folded is p, or where that has too many shapes, p with one shape for each role.
func (p *picture) folded() *picture {
	if len(p.shapes) <= manyShapes {
		return p
	}
	out, roleOf := &picture{}, map[string]string{}
	for _, s := range p.shapes {
		roleOf[s.id] = s.role
		i := slices.IndexFunc(out.shapes, func(f shape) bool { return f.role == s.role })
		if i < 0 {
			s.id = s.role
			out.shapes = append(out.shapes, s)
			continue
		}
		f := &out.shapes[i]
		f.size += s.size
		f.groups++
		f.last = ""
		if s.role != roleOutside {
			f.last = "in " + Count(f.groups, "group") + " that peer alike"
		}
		f.names = slices.Concat(f.names, s.names)
		f.names = f.names[:min(len(f.names), topology.SampleSize)]
	}
	for _, l := range p.links {
		l.From, l.To = roleOf[l.From], roleOf[l.To]
		if l.From > l.To {
			l.From, l.To = l.To, l.From
		}
		i := slices.IndexFunc(out.links, func(f topology.Link) bool { return f.From == l.From && f.To == l.To && f.Kind == l.Kind })
		if i < 0 {
			out.links = append(out.links, l)
			continue
		}
		f := &out.links[i]
		f.Sessions += l.Sessions
		f.Families, f.Sources = union(f.Families, l.Families), union(f.Sources, l.Sources)
	}
	return out
}

// union returns what is in a or b, sorted.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// sideways tells that the picture is to grow downwards, its links from left to right.
func (p *picture) sideways() bool { return len(p.shapes) > wide }

// lines are the label of s.
func (s *shape) lines() []string {
	role := lookOf(roles, s.role)
	lines := []string{Count(s.size, role.one, role.many), names(s.names, s.size)}
	if s.last != "" {
		lines = append(lines, s.last)
	}
	return lines
}

// called is what s is called elsewhere: "reflector clients a, b and 4,977 more".
func (s *shape) called() string {
	role := lookOf(roles, s.role)
	return either(s.size, role.one, role.many) + " " + names(s.names, s.size)
}

// linkText is what stands beside a link.
func linkText(l topology.Link) string {
	kind := lookOf(kinds, l.Kind)
	return Count(l.Sessions, kind.one, kind.many) + ", " + strings.Join(l.Families, " and ")
}

// linkSources names the objects behind a link.
func linkSources(l topology.Link) string {
	if len(l.Sources) == 0 {
		return "no object, by default"
	}
	return "from " + names(l.Sources[:min(len(l.Sources), topology.SampleSize)], len(l.Sources))
}

// downwards returns what gives the ends of a link, the one of the higher role first.
func (p *picture) downwards() func(topology.Link) (from, to string) {
	rank := make(map[string]int, len(p.shapes))
	for _, s := range p.shapes {
		rank[s.id] = slices.IndexFunc(roles, func(l look) bool { return l.key == s.role })
	}
	return func(l topology.Link) (from, to string) {
		if rank[l.From] > rank[l.To] {
			return l.To, l.From
		}
		return l.From, l.To
	}
}

// text says in words what the picture shows.
func (p *picture) text() string {
	var parts []string
	for _, role := range roles {
		total := 0
		for _, s := range p.shapes {
			if s.role == role.key {
				total += s.size
			}
		}
		if total > 0 {
			parts = append(parts, Count(total, role.one, role.many))
		}
	}
	return strings.Join(parts, ", ")
}
