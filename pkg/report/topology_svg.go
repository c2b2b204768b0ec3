package report

import (
	"context"
	"fmt"
	"io"
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

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// padding is the white space around a picture, in pixels.
const padding = 20

// writeTopologySVG draws the graph of t. D2 measures the text, lays the graph out
// and draws it, with the font within the file and for light and dark pages.
func writeTopologySVG(w io.Writer, t *Topology) error {
	svg, err := draw(newPicture(t.Graph).folded(), "")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, xmlHeader+string(svg)+"\n")
	return err
}

const xmlHeader = `<?xml version="1.0" encoding="utf-8"?>` + "\n"

// draw returns the svg element of a picture. Elements of one page need different
// names, or each would take the other's fonts.
func draw(p *picture, name string) ([]byte, error) {
	ruler, err := textmeasure.NewRuler()
	if err != nil {
		return nil, fmt.Errorf("loading the fonts of the picture: %w", err)
	}
	// What the library logs are its own figures.
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

// d2 writes p in D2 (https://d2lang.com), with a legend of what is in it.
func d2(p *picture) string {
	var b strings.Builder
	if p.sideways() {
		b.WriteString("direction: right\n")
	}
	used := map[string]bool{}
	for _, s := range p.shapes {
		used[s.role] = true
		class := s.role
		if s.size > 1 {
			class = "[" + class + "; many]"
		}
		fmt.Fprintf(&b, "%s: %s {class: %s}\n", d2Quote(s.id), d2Quote(s.lines()...), class)
	}
	ends := p.downwards()
	for _, l := range p.links {
		used[linkClass(l.Kind)] = true
		from, to := ends(l)
		fmt.Fprintf(&b, "%s %s %s: %s {class: %s}\n", d2Quote(from), d2Arrow(l.Kind), d2Quote(to), d2Quote(linkText(l)), linkClass(l.Kind))
	}
	return d2Legend(used) + d2Classes() + b.String()
}

// linkClass keeps the classes of links apart from those of roles.
func linkClass(kind string) string { return "link-" + kind }

// d2Arrow is the connection of a kind of link: only broken ones have heads, crosses.
func d2Arrow(kind string) string {
	if kind == topology.LinkBroken {
		return "<->"
	}
	return "--"
}

func d2Classes() string {
	var b strings.Builder
	b.WriteString("classes: {\n  many: {style.multiple: true}\n")
	for _, r := range roles {
		fmt.Fprintf(&b, "  %s: {%s}\n", r.key, r.d2)
	}
	for _, k := range kinds {
		fmt.Fprintf(&b, "  %s: {%s}\n", linkClass(k.key), k.d2)
	}
	b.WriteString("}\n")
	return b.String()
}

// d2Legend explains the classes in use.
func d2Legend(used map[string]bool) string {
	var b strings.Builder
	b.WriteString("vars: {d2-legend: {\n")
	for _, r := range roles {
		if used[r.key] {
			fmt.Fprintf(&b, "  %s: %s {class: %s}\n", r.key, r.many, r.key)
		}
	}
	// The ends of a connection have to be there; hidden, they are not drawn.
	b.WriteString("  from: {style.opacity: 0}\n  to: {style.opacity: 0}\n")
	for _, k := range kinds {
		if used[linkClass(k.key)] {
			fmt.Fprintf(&b, "  from %s to: %s {class: %s}\n", d2Arrow(k.key), k.many, linkClass(k.key))
		}
	}
	b.WriteString("}}\n")
	return b.String()
}

// d2Quote writes lines as one quoted string.
func d2Quote(lines ...string) string {
	cleaned := make([]string, len(lines))
	for i, line := range lines {
		cleaned[i] = clean(line)
	}
	return d2format.Format(d2ast.FlatDoubleQuotedString(strings.Join(cleaned, "\n")))
}
