package report

import (
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/report/picture"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// The bounds of the part about the picture: names of nodes, groups and links in tables,
// groups in the matrix, and groups whose members have a fold-out each.
const (
	membersShown = 12_000
	groupsShown  = 200
	matrixShown  = 60
	groupsOpen   = 6
)

// figure is a picture with its groups.
type figure struct {
	ID, Title, Text string
	SVG             template.HTML
	// Compares is true if the picture shows a change.
	Compares bool
	// Shapes has one line for each shape of the picture: its ID, the IDs of its groups and
	// its label, separated by tabs.
	Shapes string
	// Folded is the number of groups that the picture combines; "" if it shows each.
	Folded string
	// Groups are the groups with their members, in the order of the picture.
	Groups []groupPart
	// Many counts the groups if their members are in one fold-out; else "".
	Many string
	// Rest counts the groups without a list of their members; "" for none.
	Rest   string
	Tables []cells
}

// groupPart is a group of nodes with the names of its members.
type groupPart struct{ ID, Label, Names string }

// newFigure draws t, or the change that leads to it. id is unique on the page.
func newFigure(t *Topology, id string) (*figure, error) {
	p := t.picture()
	folded := p.Fold()
	svg, err := folded.SVG("topology" + id)
	if err != nil {
		return nil, err
	}
	f := &figure{ID: id, Title: "Topology", Text: folded.Text(), SVG: template.HTML(svg), Compares: p.Compares} //nolint:gosec // D2 escapes the text in what it draws.
	if p.Compares {
		f.Title = "Before and after the change"
		f.Text = p.Text() + " after it"
	}
	var shapes []string
	for i := range folded.Shapes {
		s := &folded.Shapes[i]
		shapes = append(shapes, s.ID+"\t"+strings.Join(s.Parts, " ")+"\t"+clean(s.Label()))
	}
	f.Shapes = strings.Join(shapes, "\n")
	if p.Folds() {
		f.Folded = Count(len(p.Shapes), "group")
	}
	f.members(p)
	if n := len(f.Groups); n > groupsOpen {
		f.Many = Count(n, "group")
	}
	f.Tables = []cells{groupCells(p), linkCells(p)}
	if p.Folds() {
		f.Tables = append(f.Tables, matrixCells(p))
	}
	f.Tables = slices.DeleteFunc(f.Tables, func(c cells) bool { return len(c.Rows) == 0 })
	return f, nil
}

// members adds the groups with the names of their nodes, as many as the page holds.
func (f *figure) members(p *picture.Picture) {
	names := 0
	for i := range p.Shapes {
		s := &p.Shapes[i]
		if names+len(s.Members) > membersShown || len(f.Groups) == groupsShown {
			f.Rest = "The members of " + Count(len(p.Shapes)-i, "more group") + " are not on this page."
			return
		}
		names += len(s.Members)
		f.Groups = append(f.Groups, groupPart{s.ID, clean(s.Label()), clean(strings.Join(s.Members, ", "))})
	}
}

// groupCells lists the groups of the picture.
func groupCells(p *picture.Picture) cells {
	c := cells{Title: "Groups of nodes and external peers", Sortable: true, Header: append(heads("Group"), numberHead("Nodes or peers"), columnHead{Text: "Members"}, columnHead{Text: "AS"})}
	if p.Compares {
		c.Header = append(c.Header, columnHead{Text: "Change"})
	}
	for i := range p.Shapes {
		s := &p.Shapes[i]
		row := []cell{{Text: s.RoleName()}, numberCell(s.Size), {Text: clean(text.Names(s.Names, s.Size))}, {Text: clean(s.Detail)}}
		if p.Compares {
			row = append(row, cell{Text: s.Note()})
		}
		c.Rows = append(c.Rows, cellRow{Cells: row, Groups: s.ID})
	}
	c.limit(groupsShown)
	return c
}

// linkCells lists the links of the picture.
func linkCells(p *picture.Picture) cells {
	names := map[string]string{}
	for i := range p.Shapes {
		names[p.Shapes[i].ID] = clean(p.Shapes[i].String())
	}
	c := cells{Title: "Sessions between the groups", Sortable: true, Header: heads("Between", "And", "Sessions", "Objects")}
	for _, l := range p.Links {
		c.Rows = append(c.Rows, cellRow{Groups: l.From + " " + l.To, Cells: []cell{
			{Text: names[l.From]}, {Text: names[l.To]}, {Text: picture.LinkText(l), Value: strconv.Itoa(max(l.Before, l.After))}, {Text: clean(picture.LinkSources(l))},
		}})
	}
	c.limit(groupsShown)
	return c
}

// matrixCells shows the numbers of sessions between groups, for pictures that cannot show
// each group. Rows and columns have the same order; columns have the numbers of the rows.
func matrixCells(p *picture.Picture) cells {
	list, total := head(p.Shapes, matrixShown)
	index := map[string]int{}
	c := cells{Class: "matrix", Title: "Sessions between the groups as a matrix", Header: heads("Group")}
	for i := range list {
		index[list[i].ID] = i
		c.Header = append(c.Header, columnHead{number(i + 1), "number"})
	}
	type counts struct{ before, after int }
	sums := make([]counts, len(list)*len(list))
	for _, l := range p.Links {
		i, ok := index[l.From]
		j, ok2 := index[l.To]
		if !ok || !ok2 {
			continue
		}
		for _, at := range []int{i*len(list) + j, j*len(list) + i} {
			sums[at].before += l.Before
			sums[at].after += l.After
			if i == j {
				break
			}
		}
	}
	for i := range list {
		row := cellRow{Groups: list[i].ID, Cells: []cell{{Text: number(i+1) + " " + clean(list[i].String())}}}
		for _, n := range sums[i*len(list) : (i+1)*len(list)] {
			one := cell{Class: "number"}
			switch {
			case n.before > n.after:
				one = cell{Text: number(n.before) + " > " + number(n.after), Class: "number del"}
			case n.before < n.after:
				one = cell{Text: number(n.before) + " > " + number(n.after), Class: "number add"}
			case n.after > 0:
				one.Text = number(n.after)
			}
			row.Cells = append(row.Cells, one)
		}
		c.Rows = append(c.Rows, row)
	}
	if rest := total - len(list); rest > 0 {
		c.Rest = "and " + Count(rest, "more group")
	}
	return c
}
