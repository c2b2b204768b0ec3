package picture

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"oss.terrastruct.com/d2/d2ast"
	"oss.terrastruct.com/d2/d2format"
	"oss.terrastruct.com/d2/d2graph"
	"oss.terrastruct.com/d2/d2layouts/d2dagrelayout"
	"oss.terrastruct.com/d2/d2lib"
	"oss.terrastruct.com/d2/d2renderers/d2svg"
	"oss.terrastruct.com/d2/d2themes/d2themescatalog"
	"oss.terrastruct.com/d2/lib/log"
	"oss.terrastruct.com/d2/lib/textmeasure"

	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// padding is the margin of a picture, in pixels.
const padding = 20

// SVG returns p as an svg element with its font in it, for light and dark pages. D2
// measures the text, computes the layout and draws. Pictures on one page need
// different names; otherwise they share fonts.
func (p *Picture) SVG(name string) ([]byte, error) {
	if len(p.Shapes) > maxAcross {
		return p.columns(), nil
	}
	ruler, err := textmeasure.NewRuler()
	if err != nil {
		return nil, fmt.Errorf("loading the fonts of the picture: %w", err)
	}
	// The library logs durations.
	ctx := log.With(context.Background(), slog.New(slog.DiscardHandler))
	options := &d2svg.RenderOpts{
		Pad: new(int64(padding)), ThemeID: &d2themescatalog.NeutralDefault.ID, DarkThemeID: &d2themescatalog.DarkMauve.ID,
		NoXMLTag: new(true), OmitVersion: new(true), Salt: &name, Scale: new(1.0),
	}
	diagram, _, err := d2lib.Compile(ctx, d2(p), &d2lib.CompileOptions{
		Ruler: ruler,
		LayoutResolver: func(string) (d2graph.LayoutGraph, error) {
			return func(ctx context.Context, g *d2graph.Graph) error { return d2dagrelayout.Layout(ctx, g, nil) }, nil
		},
	}, options)
	if err != nil {
		return nil, fmt.Errorf("laying out the picture: %w", err)
	}
	svg, err := d2svg.Render(diagram, options)
	if err != nil {
		return nil, fmt.Errorf("drawing the picture: %w", err)
	}
	return svg, nil
}

// d2 returns p in D2 (https://d2lang.com), with a legend.
func d2(p *Picture) string {
	var b strings.Builder
	used := map[string]bool{}
	for _, s := range p.Shapes {
		used[s.Role] = true
		classes := []string{s.Role}
		if s.Size > 1 {
			classes = append(classes, "many")
		}
		if p.Compares {
			if s.Role != topology.RoleIsolated { // The look of isolated nodes says more.
				classes = append(classes, "shape-"+string(s.State))
				used[stateClass(s.State)] = used[stateClass(s.State)] || s.State != Same
			}
		}
		fmt.Fprintf(&b, "%s: %s {class: [%s]}\n", d2Quote(s.ID), d2Quote(s.Lines()...), strings.Join(classes, "; "))
	}
	ends := p.ends()
	for _, l := range p.Links {
		class := p.classOf(l) // The label has the kind.
		used[class] = true
		from, to := ends(l)
		fmt.Fprintf(&b, "%s %s %s: %s {class: [%s]}\n", d2Quote(from), d2Arrow(l.Kind), d2Quote(to), d2Quote(LinkText(l)), class)
	}
	return d2Legend(used) + d2Classes() + b.String()
}

// stateClass returns the class of links in a state.
func stateClass(s State) string { return "change-" + string(s) }

// linkClass returns the class of a kind of link; classes of roles have no prefix.
func linkClass(kind string) string { return "link-" + kind }

// d2Arrow returns the connection of a kind of link. Only broken links have heads,
// which are crosses.
func d2Arrow(kind string) string {
	if kind == topology.LinkBroken {
		return "<->"
	}
	return "--"
}

// d2Classes returns the classes of roles and of kinds of links.
func d2Classes() string {
	var b strings.Builder
	b.WriteString("classes: {\n  many: {style.multiple: true}\n")
	for _, r := range roles {
		fmt.Fprintf(&b, "  %s: {%s}\n", r.key, r.d2)
	}
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %s: {%s}\n", linkClass(k.key), k.d2)
	}
	for _, s := range states {
		fmt.Fprintf(&b, "  %s: {%s}\n", stateClass(State(s.key)), s.d2)
		look := s.d2
		if s.key == string(Same) {
			look = "" // The role decides the look of a shape that does not change.
		}
		fmt.Fprintf(&b, "  shape-%s: {%s}\n", s.key, look)
	}
	b.WriteString("}\n")
	return b.String()
}

// d2Legend returns a legend of the used classes.
func d2Legend(used map[string]bool) string {
	var b strings.Builder
	b.WriteString("vars: {d2-legend: {\n")
	for _, r := range roles {
		if used[r.key] {
			fmt.Fprintf(&b, "  %s: %s {class: %s}\n", r.key, r.many, r.key)
		}
	}
	// A connection needs ends; these are transparent.
	b.WriteString("  from: {style.opacity: 0}\n  to: {style.opacity: 0}\n")
	for _, k := range kinds {
		if used[linkClass(k.key)] {
			fmt.Fprintf(&b, "  from %s to: %s {class: %s}\n", d2Arrow(k.key), k.many, linkClass(k.key))
		}
	}
	for _, s := range states {
		if class := stateClass(State(s.key)); used[class] {
			fmt.Fprintf(&b, "  from -- to: %s {class: %s}\n", s.many, class)
		}
	}
	b.WriteString("}}\n")
	return b.String()
}

// d2Quote returns lines as one quoted string.
func d2Quote(lines ...string) string {
	cleaned := make([]string, len(lines))
	for i, line := range lines {
		cleaned[i] = text.Clean(line)
	}
	return d2format.Format(d2ast.FlatDoubleQuotedString(strings.Join(cleaned, "\n")))
}
