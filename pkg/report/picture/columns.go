package picture

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// The layout in columns, in pixels. The text is readable where the picture has its own
// size.
const (
	columnsWidth = 1160
	boxWidth     = 270
	boxHeight    = 52
	boxGap       = 12
	bulge        = 70 // of a curve between two boxes of one column
	legendHeight = 34
	// maxText is the number of characters of a line in a box.
	maxText = 38
	// The size of a label: of a character, and of its line.
	labelChar   = 8
	labelHeight = 14
	loopWidth   = 24 // of a curve from a box to itself
)

// palette is the colors of the layout in columns: fill and stroke by role, stroke by kind
// of link and by state.
var palette = map[string][2]string{
	roleExternal:           {"#E8D9E5", "#6D3A5D"},
	topology.RoleReflector: {"#F6C875", "#7A4B00"},
	topology.RoleClient:    {"#C3E2F8", "#0B4F79"},
	topology.RoleMesh:      {"#B4E2D2", "#00543D"},
	topology.RolePeer:      {"#F5EEA8", "#5C5600"},
	topology.RoleIsolated:  {"#FFFFFF", "#B83200"},

	linkClass(topology.LinkReflector): {"none", "#C07000"},
	linkClass(topology.LinkMesh):      {"none", "#12906B"},
	linkClass(topology.LinkPeer):      {"none", "#2E7DB8"},
	linkClass(topology.LinkExternal):  {"none", "#A5649A"},
	linkClass(topology.LinkBroken):    {"none", "#D0471A"},

	stateClass(Removed): {"none", "#C22F00"},
	stateClass(Added):   {"none", "#0A7D3C"},
	stateClass(Altered): {"none", "#8A3FC0"},
	stateClass(Same):    {"none", "#8A8F9A"},
}

// box is a shape with its place.
type box struct {
	*Shape
	column, row int
	x, y        int
	mean        float64 // of the places of its neighbors
}

// columns lays the shapes out in columns by role: external peers, route reflectors, other
// nodes. Links are curves between the boxes. The label of one that the change alters is the
// difference in sessions, if there is place for it. Each box is as large as its text, so the layout is readable with many groups.
// O(shapes x links).
func (p *Picture) columns() []byte {
	boxes := make([]*box, len(p.Shapes))
	byID := map[string]*box{}
	var lists [3][]*box
	for i := range p.Shapes {
		s := &p.Shapes[i]
		b := &box{Shape: s, column: 2}
		switch s.Role {
		case roleExternal:
			b.column = 0
		case topology.RoleReflector:
			b.column = 1
		}
		boxes[i], byID[s.ID] = b, b
		lists[b.column] = append(lists[b.column], b)
	}
	p.place(lists, byID)

	height := legendHeight
	for _, b := range boxes {
		height = max(height, b.y+boxHeight+padding)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" class="columns" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="12"><g>`,
		columnsWidth, height+legendHeight, columnsWidth, height+legendHeight)
	p.curves(&out, byID)
	for _, b := range boxes {
		b.draw(&out, p.Compares)
	}
	p.legend(&out, height+legendHeight/2)
	out.WriteString("</g></svg>")
	return []byte(out.String())
}

// place orders the boxes of each column by the places of their neighbors, and sets their
// positions.
func (p *Picture) place(lists [3][]*box, byID map[string]*box) {
	longest, used := 0, 0
	for _, list := range lists {
		longest = max(longest, len(list))
		if len(list) > 0 {
			used++
		}
	}
	spread := func(list []*box) {
		for i, b := range list {
			b.row = i
			b.mean = (float64(i) + 0.5) * float64(longest) / float64(len(list))
		}
	}
	for _, list := range lists {
		spread(list)
	}
	for range 4 {
		for _, list := range [][]*box{lists[2], lists[0], lists[1]} {
			sums := map[*box][2]float64{}
			for _, l := range p.Links {
				a, b := byID[l.From], byID[l.To]
				if a == nil || b == nil || a.column == b.column {
					continue
				}
				sa, sb := sums[a], sums[b]
				sums[a], sums[b] = [2]float64{sa[0] + b.mean, sa[1] + 1}, [2]float64{sb[0] + a.mean, sb[1] + 1}
			}
			slices.SortStableFunc(list, func(a, b *box) int {
				at := func(x *box) float64 {
					if s := sums[x]; s[1] > 0 {
						return s[0] / s[1]
					}
					return x.mean
				}
				return cmp.Compare(at(a), at(b))
			})
			spread(list)
		}
	}
	column := 0
	for _, list := range lists {
		if len(list) == 0 {
			continue
		}
		x := padding
		if used > 1 {
			x += column * (columnsWidth - 2*padding - boxWidth) / (used - 1)
		}
		column++
		total := longest * (boxHeight + boxGap)
		each := total / len(list)
		for i, b := range list {
			b.x, b.y = x, padding+i*each+(each-boxHeight-boxGap)/2
		}
	}
}

// curves draws the links, those that the change alters on top.
func (p *Picture) curves(out *strings.Builder, byID map[string]*box) {
	links := slices.SortedStableFunc(slices.Values(p.Links), func(a, b topology.LinkChange) int {
		return cmp.Compare(btoi(LinkState(a) != Same), btoi(LinkState(b) != Same))
	})
	var labels []label
	for _, l := range links {
		a, b := byID[l.From], byID[l.To]
		if a == nil || b == nil {
			continue
		}
		class := p.classOf(l)
		width := 1.2 + 0.5*math.Log10(float64(max(l.Before, l.After, 1)))
		dash := ""
		if p.Compares && LinkState(l) == Same {
			dash = ` stroke-opacity="0.6"`
		}
		if state := LinkState(l); p.Compares && state != Same {
			width += 1.5
			if state == Removed {
				dash = ` stroke-dasharray="7 4"`
			}
		}
		if a.x > b.x {
			a, b = b, a
		}
		y1, y2 := a.y+boxHeight/2, b.y+boxHeight/2
		if state := LinkState(l); p.Compares && a != b { // Two boxes can have removed and added sessions.
			y1, y2 = y1+beside[state], y2+beside[state]
		}
		var path string
		var at func(t float64) (x, y float64)
		switch {
		case a == b:
			x, side := a.x+boxWidth, 1
			if a.column == 2 { // The right edge of the picture is near.
				x, side = a.x, -1
			}
			path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x, y1-9, x+34*side, y1-24, x+34*side, y1+24, x, y1+9)
			center := x + side*(loopWidth+len(linkDifference(l))*labelChar/2) // The box must not cover the label.
			at = func(t float64) (float64, float64) { return float64(center), float64(y1) + (t-0.5)*boxHeight }
		case a.x == b.x:
			x := a.x + boxWidth
			if a.column == 2 { // The right edge of the picture is near.
				path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", a.x, y1, a.x-bulge, y1, a.x-bulge, y2, a.x, y2)
				at = cubic(a.x, y1, a.x-bulge, y1, a.x-bulge, y2, a.x, y2)
				break
			}
			path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x, y1, x+bulge, y1, x+bulge, y2, x, y2)
			at = cubic(x, y1, x+bulge, y1, x+bulge, y2, x, y2)
		default:
			x1, x2 := a.x+boxWidth, b.x
			mid := (x1 + x2) / 2
			path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, mid, y1, mid, y2, x2, y2)
			at = cubic(x1, y1, mid, y1, mid, y2, x2, y2)
		}
		fmt.Fprintf(out, `<g class="%s" data-ends="%s"><title>%s</title><path d="%s" fill="none" stroke="%s" stroke-width="%.1f"%s/>`,
			class, escape(l.From+" "+l.To), escape(a.String()+" and "+b.String()+": "+LinkText(l)), path, palette[class][1], width, dash)
		if p.Compares && LinkState(l) != Same {
			labels = append(labels, label{text: linkDifference(l), class: class, ends: l.From + " " + l.To, at: at, difference: max(l.After-l.Before, l.Before-l.After)})
		}
		out.WriteString("</g>")
	}
	for _, l := range placed(labels) {
		fmt.Fprintf(out, `<g class="%s" data-ends="%s"><text x="%.0f" y="%.0f" text-anchor="middle" font-weight="600" fill="%s" paint-order="stroke" stroke="#FFFFFF" stroke-width="4" class="label">%s</text></g>`,
			l.class, escape(l.ends), l.x, l.y+4, palette[l.class][1], escape(l.text))
	}
}

// beside is how far a link is below the middle of its boxes, in pixels.
var beside = map[State]int{Removed: -4, Added: 4}

// label is a text on a curve, with its center and half of its width.
type label struct {
	text, class, ends string
	at                func(t float64) (x, y float64)
	difference        int
	x, y, width       float64
}

// placed returns the labels that cover no other, those of the largest differences first. The title
// of a curve and the tables have the numbers of the others.
func placed(labels []label) []label {
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(b.difference, a.difference) })
	var out []label
	for _, l := range labels {
		l.width = float64(len(l.text)*labelChar) / 2
		for _, t := range []float64{0.5, 0.35, 0.65, 0.22, 0.78} {
			l.x, l.y = l.at(t)
			if !slices.ContainsFunc(out, func(o label) bool {
				return math.Abs(l.x-o.x) < l.width+o.width && math.Abs(l.y-o.y) < labelHeight
			}) {
				out = append(out, l)
				break
			}
		}
	}
	return out
}

// cubic returns the points of a Bezier curve from (x0, y0) to (x3, y3), for t from 0 to 1.
func cubic(x0, y0, x1, y1, x2, y2, x3, y3 int) func(t float64) (x, y float64) {
	return func(t float64) (x, y float64) {
		u := 1 - t
		at := func(a, b, c, d int) float64 {
			return u*u*u*float64(a) + 3*u*u*t*float64(b) + 3*u*t*t*float64(c) + t*t*t*float64(d)
		}
		return at(x0, x1, x2, x3), at(y0, y1, y2, y3)
	}
}

// classOf returns the class of a link: its state in a picture of a change, else its kind.
func (p *Picture) classOf(l topology.LinkChange) string {
	if state := LinkState(l); p.Compares && (l.Kind != topology.LinkBroken || state == Removed) {
		return stateClass(state)
	}
	return linkClass(l.Kind)
}

// draw draws a box with its label.
func (b *box) draw(out *strings.Builder, compares bool) {
	colors := palette[b.Role]
	stroke, width, dash := colors[1], 1.5, ""
	if b.Role == topology.RoleIsolated {
		width, dash = 3, ` stroke-dasharray="5 3"`
	}
	class := b.Role
	if compares {
		class += " shape-" + string(b.State)
		if b.State != Same && b.Role != topology.RoleIsolated {
			stroke, width = palette[stateClass(b.State)][1], 3
			if b.State == Removed {
				dash = ` stroke-dasharray="7 4"`
			}
		}
	}
	fmt.Fprintf(out, `<g class="%s" data-shape="%s">`, class, escape(b.ID))
	if b.Size > 1 {
		fmt.Fprintf(out, `<rect x="%d" y="%d" width="%d" height="%d" rx="5" fill="%s" stroke="%s"/>`, b.x+4, b.y-4, boxWidth, boxHeight, colors[0], colors[1])
	}
	fmt.Fprintf(out, `<rect x="%d" y="%d" width="%d" height="%d" rx="5" fill="%s" stroke="%s" stroke-width="%g"%s/>`, b.x, b.y, boxWidth, boxHeight, colors[0], stroke, width, dash)
	lines := b.Lines()
	lines[1] = b.fittingNames()
	if len(lines) > 3 {
		lines = append(lines[:2:2], strings.Join(lines[2:], ", "))
	}
	for i, line := range lines {
		weight := ""
		if i == 0 {
			weight = ` font-weight="600"`
		}
		fmt.Fprintf(out, `<text x="%d" y="%d" text-anchor="middle" fill="#111111"%s>%s</text>`, b.x+boxWidth/2, b.y+17+i*14, weight, escape(text.Cut(text.Clean(line), maxText)))
	}
	out.WriteString("</g>")
}

// fittingNames returns as many names of b as fit on a line, and the number of the others.
func (b *box) fittingNames() string {
	for n := len(b.Names); n > 1; n-- {
		if line := text.Names(b.Names[:n], b.Size); len(line) <= maxText {
			return line
		}
	}
	return text.Names(b.Names[:min(len(b.Names), 1)], b.Size)
}

// legend draws the roles and the kinds of links or states that occur, on one line.
func (p *Picture) legend(out *strings.Builder, y int) {
	x := padding
	entry := func(class, name string, line bool) {
		if line {
			fmt.Fprintf(out, `<path d="M%d %dh22" stroke="%s" stroke-width="3" fill="none"/>`, x, y, palette[class][1])
		} else {
			fmt.Fprintf(out, `<rect x="%d" y="%d" width="22" height="14" rx="3" fill="%s" stroke="%s"/>`, x, y-7, palette[class][0], palette[class][1])
		}
		fmt.Fprintf(out, `<text x="%d" y="%d" class="legend">%s</text>`, x+28, y+4, escape(name))
		x += 28 + 7*len(name) + 18
	}
	shapes, links := map[string]bool{}, map[string]bool{}
	for _, s := range p.Shapes {
		shapes[s.Role] = true
	}
	for _, l := range p.Links {
		links[p.classOf(l)] = true
	}
	for _, r := range roles {
		if shapes[r.key] {
			entry(r.key, r.many, false)
		}
	}
	for _, k := range kinds {
		if links[linkClass(k.key)] {
			entry(linkClass(k.key), k.many, true)
		}
	}
	for _, s := range states {
		if class := stateClass(State(s.key)); links[class] {
			entry(class, s.many, true)
		}
	}
}

func escape(s string) string { return html.EscapeString(text.Clean(s)) }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
