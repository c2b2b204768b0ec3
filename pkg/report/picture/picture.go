// Package picture draws the graph of a topology as SVG and as Graphviz's DOT. Only
// this package imports the layout engine: a binary that imports it contains a JavaScript engine.
//
// Pictures are drawn here and not by a graph library in the reader's browser. Such a library
// makes each page larger by several hundred kilobytes, and draws nothing where scripts do not
// run: in print, in previews of attachments, and for a screen reader. A page shows at most
// maxShapes groups, for which an SVG with a small script for zoom and selection suffices.
package picture

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Picture contains the shapes and links of a drawing: a topology, or those before and
// after a change in one layout.
type Picture struct {
	Shapes []Shape
	Links  []topology.LinkChange
	// Compares is true if the picture shows a change.
	Compares bool
}

// Shape is a group of nodes or of external peers.
type Shape struct {
	ID string
	// Role is that after the change, or before it if the nodes are gone. RoleBefore is
	// that before the change, or Role if the nodes are new.
	Role, RoleBefore string
	// State relates the shape to the change.
	State State
	// Size is the number of nodes or peers, Groups the number of groups.
	Size, Groups int
	// Names are the first few nodes or peers.
	Names []string
	// Detail is the last line of the label; it can be "".
	Detail string
	// Members are all nodes or the first few peers. Of several groups, they are in the
	// order of the groups.
	Members []string
	// Parts are the IDs of the groups.
	Parts []string
}

// State relates a shape or a link to a change.
type State string

// The states. Same is also that of each part of a picture without a change.
const (
	Same    State = "same"
	Added   State = "added"
	Removed State = "removed"
	// Altered is a group whose role changes, or a link whose number of sessions changes.
	Altered State = "altered"
)

const (
	// maxAcross is the largest number of shapes that are drawn from top to bottom;
	// more are drawn in columns, so that the page scrolls downwards.
	maxAcross = 6
	// maxShapes is the largest number of shapes that Fold does not combine.
	maxShapes = 60
)

// New returns the picture of a graph with one shape per group.
func New(g *topology.Graph) *Picture {
	p := &Picture{}
	for i := range g.Externals {
		p.Shapes = append(p.Shapes, external(&g.Externals[i]))
	}
	for i := range g.Groups {
		p.Shapes = append(p.Shapes, group(&g.Groups[i]))
	}
	for _, l := range g.Links {
		p.Links = append(p.Links, topology.LinkChange{From: l.From, To: l.To, Kind: l.Kind, Before: l.Sessions, After: l.Sessions, Families: l.Families, Sources: l.Sources})
	}
	return p
}

// Compare returns the picture of a change.
func Compare(c *topology.GraphChange) *Picture {
	p := &Picture{Compares: true, Links: c.Links}
	for _, e := range c.Externals {
		s := external(cmp.Or(e.After, e.Before))
		s.State = stateOf(e.Before != nil, e.After != nil, false)
		p.Shapes = append(p.Shapes, s)
	}
	for _, g := range c.Groups {
		s := group(cmp.Or(g.After, g.Before))
		if g.Before != nil {
			s.RoleBefore = g.Before.Role
		}
		s.State = stateOf(g.Before != nil, g.After != nil, s.Role != s.RoleBefore)
		p.Shapes = append(p.Shapes, s)
	}
	return p
}

func stateOf(before, after, altered bool) State {
	switch {
	case !before:
		return Added
	case !after:
		return Removed
	case altered:
		return Altered
	default:
		return Same
	}
}

// LinkState relates a link to the change.
func LinkState(l topology.LinkChange) State {
	return stateOf(l.Before > 0, l.After > 0, l.Before != l.After)
}

func external(e *topology.ExternalPeers) Shape {
	s := Shape{ID: e.ID, Role: roleExternal, RoleBefore: roleExternal, State: Same, Size: e.Peers, Groups: 1, Names: e.PeerIPs, Members: e.PeerIPs, Parts: []string{e.ID}}
	if e.ASN != 0 {
		s.Detail = asn(e.ASN)
	}
	return s
}

func group(g *topology.Group) Shape {
	detail := asn(g.ASN)
	if g.ClusterID != "" {
		detail += ", cluster ID " + text.Clean(g.ClusterID)
	}
	return Shape{
		ID: g.ID, Role: g.Role, RoleBefore: g.Role, State: Same, Size: g.Nodes, Groups: 1, Names: g.Sample, Detail: detail, Members: g.Members, Parts: []string{g.ID},
	}
}

// Folds reports whether Fold combines shapes.
func (p *Picture) Folds() bool { return len(p.Shapes) > maxShapes }

// Fold returns p if it has at most maxShapes shapes, else a picture with one shape
// per role, or per pair of roles before and after the change.
func (p *Picture) Fold() *Picture {
	if !p.Folds() {
		return p
	}
	out, shapeOf := &Picture{Compares: p.Compares}, map[string]string{}
	for _, s := range p.Shapes {
		id := s.Role
		if p.Compares {
			id += "-" + string(s.State) + "-" + s.RoleBefore
		}
		shapeOf[s.ID] = id
		i := slices.IndexFunc(out.Shapes, func(f Shape) bool { return f.ID == id })
		if i < 0 {
			s.ID, s.Members, s.Parts = id, slices.Clone(s.Members), slices.Clone(s.Parts)
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
		f.Members, f.Parts = append(f.Members, s.Members...), append(f.Parts, s.Parts...)
		f.Names = slices.Concat(f.Names, s.Names)
		f.Names = f.Names[:min(len(f.Names), topology.SampleSize)]
	}
	for _, l := range p.Links {
		l.From, l.To = shapeOf[l.From], shapeOf[l.To]
		if l.From > l.To {
			l.From, l.To = l.To, l.From
		}
		i := slices.IndexFunc(out.Links, func(f topology.LinkChange) bool { return f.From == l.From && f.To == l.To && f.Kind == l.Kind })
		if i < 0 {
			out.Links = append(out.Links, l)
			continue
		}
		f := &out.Links[i]
		f.Before += l.Before
		f.After += l.After
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
	if note := s.Note(); note != "" {
		lines = append(lines, note)
	}
	return lines
}

// Note describes the state of s, "" for Same.
func (s *Shape) Note() string {
	switch s.State {
	case Added:
		return "added"
	case Removed:
		return "removed"
	case Altered:
		role := lookOf(roles, s.RoleBefore)
		return "before: " + text.Either(s.Size, role.one, role.many)
	default:
		return ""
	}
}

// RoleName returns the role of s in the plural: "route reflectors".
func (s *Shape) RoleName() string { return lookOf(roles, s.Role).many }

// Unit returns what s contains in the singular: "node" or "external peer".
func (s *Shape) Unit() string {
	if s.Role == roleExternal {
		return lookOf(roles, s.Role).one
	}
	return "node"
}

// String returns the name of s in a sentence: "reflector clients a, b and 4,977 more".
func (s *Shape) String() string {
	role := lookOf(roles, s.Role)
	return text.Either(s.Size, role.one, role.many) + " " + text.Names(s.Names, s.Size)
}

// LinkText returns the label of a link: "2 mesh sessions, IPv4 and IPv6". Of a link that
// a change alters, it begins with the change: "removed: ", "added: ", "10 -> ".
func LinkText(l topology.LinkChange) string {
	kind := lookOf(kinds, l.Kind)
	n, change := l.After, ""
	switch LinkState(l) {
	case Removed:
		n, change = l.Before, "removed: "
	case Added:
		change = "added: "
	case Altered:
		change = text.Number(l.Before) + " -> "
	case Same:
	}
	return change + text.Count(n, kind.one, kind.many) + ", " + strings.Join(l.Families, " and ")
}

// linkDifference returns the number of sessions of a link that a change adds or removes: "+39",
// "-1,190".
func linkDifference(l topology.LinkChange) string {
	switch n := l.After - l.Before; {
	case n > 0:
		return "+" + text.Number(n)
	case n < 0:
		return "-" + text.Number(-n)
	default:
		return text.Number(l.After)
	}
}

// LinkKind names the kind and the families of a link: "mesh sessions, IPv4".
func LinkKind(l topology.LinkChange) string {
	return lookOf(kinds, l.Kind).many + ", " + strings.Join(l.Families, " and ")
}

// LinkSources names the objects that configure a link.
func LinkSources(l topology.LinkChange) string {
	if len(l.Sources) == 0 { // Only the mesh has no BGPPeers.
		return "from the node-to-node mesh"
	}
	return "from " + text.Names(l.Sources[:min(len(l.Sources), topology.SampleSize)], len(l.Sources))
}

// ends returns a function that orders the ends of a link by role, the higher first.
func (p *Picture) ends() func(topology.LinkChange) (from, to string) {
	rank := make(map[string]int, len(p.Shapes))
	for _, s := range p.Shapes {
		rank[s.ID] = slices.IndexFunc(roles, func(l look) bool { return l.key == s.Role })
	}
	return func(l topology.LinkChange) (from, to string) {
		if rank[l.From] > rank[l.To] {
			return l.To, l.From
		}
		return l.From, l.To
	}
}

// Label names s: "296 reflector clients (AS 64512)".
func (s *Shape) Label() string {
	role := lookOf(roles, s.Role)
	out := text.Count(s.Size, role.one, role.many)
	if s.Detail != "" {
		out += " (" + s.Detail + ")"
	}
	if note := s.Note(); note != "" {
		out += ", " + note
	}
	return out
}

// Text describes the picture: "3 route reflectors, 4,977 reflector clients".
func (p *Picture) Text() string {
	var parts []string
	for _, role := range roles {
		total := 0
		for _, s := range p.Shapes {
			if s.Role == role.key && s.State != Removed {
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
