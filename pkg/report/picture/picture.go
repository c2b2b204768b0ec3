// Package picture draws the graph of a topology as SVG and as Graphviz's DOT. Only
// this package imports the layout engine: a binary that imports it contains a JavaScript engine.
package picture

import (
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Picture contains the shapes and links of a drawing.
type Picture struct {
	Shapes []Shape
	Links  []topology.Link
}

// Shape is a group of nodes or of external peers.
type Shape struct {
	ID, Role string
	// Size is the number of nodes or peers, Groups the number of groups.
	Size, Groups int
	// Names are the first few nodes or peers.
	Names []string
	// Detail is the last line of the label; it can be "".
	Detail string
}

const (
	// maxAcross is the largest number of shapes that are drawn from top to bottom;
	// more are drawn from left to right, so that the page scrolls downwards.
	maxAcross = 8
	// maxShapes is the largest number of shapes that Fold does not combine.
	maxShapes = 24
)

// New returns the picture of a graph with one shape per group.
func New(g *topology.Graph) *Picture {
	p := &Picture{Links: g.Links}
	for _, e := range g.Externals {
		detail := ""
		if e.ASN != 0 {
			detail = asn(e.ASN)
		}
		p.Shapes = append(p.Shapes, Shape{e.ID, roleExternal, e.Peers, 1, e.PeerIPs, detail})
	}
	for _, group := range g.Groups {
		detail := asn(group.ASN)
		if group.ClusterID != "" {
			detail += ", cluster ID " + text.Clean(group.ClusterID)
		}
		p.Shapes = append(p.Shapes, Shape{group.ID, group.Role, group.Nodes, 1, group.Sample, detail})
	}
	return p
}

// Fold returns p if it has at most maxShapes shapes, else a picture with one shape
// per role.
func (p *Picture) Fold() *Picture {
	if len(p.Shapes) <= maxShapes {
		return p
	}
	out, roleOf := &Picture{}, map[string]string{}
	for _, s := range p.Shapes {
		roleOf[s.ID] = s.Role
		i := slices.IndexFunc(out.Shapes, func(f Shape) bool { return f.Role == s.Role })
		if i < 0 {
			s.ID = s.Role
			out.Shapes = append(out.Shapes, s)
			continue
		}
		f := &out.Shapes[i]
		f.Size += s.Size
		f.Groups++
		f.Detail = ""
		if s.Role != roleExternal {
			f.Detail = "in " + text.Count(f.Groups, "group")
		}
		f.Names = slices.Concat(f.Names, s.Names)
		f.Names = f.Names[:min(len(f.Names), topology.SampleSize)]
	}
	for _, l := range p.Links {
		l.From, l.To = roleOf[l.From], roleOf[l.To]
		if l.From > l.To {
			l.From, l.To = l.To, l.From
		}
		i := slices.IndexFunc(out.Links, func(f topology.Link) bool { return f.From == l.From && f.To == l.To && f.Kind == l.Kind })
		if i < 0 {
			out.Links = append(out.Links, l)
			continue
		}
		f := &out.Links[i]
		f.Sessions += l.Sessions
		f.Families, f.Sources = union(f.Families, l.Families), union(f.Sources, l.Sources)
	}
	return out
}

// union returns the strings of a and b, sorted.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// leftToRight reports whether links are drawn from left to right.
func (p *Picture) leftToRight() bool { return len(p.Shapes) > maxAcross }

// Lines returns the lines of the label of s.
func (s *Shape) Lines() []string {
	role := lookOf(roles, s.Role)
	lines := []string{text.Count(s.Size, role.one, role.many), text.Names(s.Names, s.Size)}
	if s.Detail != "" {
		lines = append(lines, s.Detail)
	}
	return lines
}

// RoleName returns the role of s in the plural: "route reflectors".
func (s *Shape) RoleName() string { return lookOf(roles, s.Role).many }

// String returns the name of s in a sentence: "reflector clients a, b and 4,977 more".
func (s *Shape) String() string {
	role := lookOf(roles, s.Role)
	return text.Either(s.Size, role.one, role.many) + " " + text.Names(s.Names, s.Size)
}

// LinkText returns the label of a link: "2 mesh sessions, IPv4 and IPv6".
func LinkText(l topology.Link) string {
	kind := lookOf(kinds, l.Kind)
	return text.Count(l.Sessions, kind.one, kind.many) + ", " + strings.Join(l.Families, " and ")
}

// LinkSources names the objects that configure a link.
func LinkSources(l topology.Link) string {
	if len(l.Sources) == 0 {
		return "no object: Calico's default"
	}
	return "from " + text.Names(l.Sources[:min(len(l.Sources), topology.SampleSize)], len(l.Sources))
}

// ends returns a function that orders the ends of a link by role, the higher first.
func (p *Picture) ends() func(topology.Link) (from, to string) {
	rank := make(map[string]int, len(p.Shapes))
	for _, s := range p.Shapes {
		rank[s.ID] = slices.IndexFunc(roles, func(l look) bool { return l.key == s.Role })
	}
	return func(l topology.Link) (from, to string) {
		if rank[l.From] > rank[l.To] {
			return l.To, l.From
		}
		return l.From, l.To
	}
}

// Text describes the picture: "3 route reflectors, 4,977 reflector clients".
func (p *Picture) Text() string {
	var parts []string
	for _, role := range roles {
		total := 0
		for _, s := range p.Shapes {
			if s.Role == role.key {
				total += s.Size
			}
		}
		if total > 0 {
			parts = append(parts, text.Count(total, role.one, role.many))
		}
	}
	return strings.Join(parts, ", ")
}

// asn formats an AS number.
func asn(n uint32) string { return "AS " + strconv.FormatUint(uint64(n), 10) }
