package report

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"iter"
)

// rowsShown is the number of rows of a table that a page shows before it counts the
// rest.
const rowsShown = 50

// The pages and their shared parts. The style is not a template.
//
//go:embed *.html
var pages embed.FS

//go:embed page.css
var pageStyle string

//go:embed parts.css
var partsStyle string

// pageScript is the only script of a page: the content security policy has its digest.
//
//go:embed page.js
var pageScript string

var pageTemplates = template.Must(template.ParseFS(pages, "*.html"))

// shell is the frame of a page.
type shell struct {
	Title, Subtitle string
	// ScriptHash is the digest of the only script that may run. Styles are not
	// restricted, because D2's pictures contain some.
	ScriptHash string
	Style      template.CSS
	Script     template.JS
	// Footer says where the same data is.
	Footer string
	// Live is the version of a page that a server updates; "" for a page in a file.
	Live string
	// Logout is the URL where readers of a served page log out, "" for none.
	Logout string
}

// newShell returns the frame of a page.
func newShell(title, subtitle, footer string) shell {
	digest := sha256.Sum256([]byte("\n" + pageScript))
	return shell{
		Title: title, Subtitle: subtitle, Footer: footer,
		ScriptHash: "sha256-" + base64.StdEncoding.EncodeToString(digest[:]),
		Style:      template.CSS(pageStyle + partsStyle), Script: template.JS(pageScript), //nolint:gosec // They are files of this package.
	}
}

type routes struct {
	Title    string
	Findings []string
}

// table is the first few rows of a list of Total; Rest counts the others.
type table struct {
	Title  string
	Total  string
	Header []string
	Rows   [][]string
	Rest   string
}

// factsTable returns facts as a table.
func factsTable(title string, header []string, facts []fact) table {
	t := table{Title: title, Header: header}
	for _, f := range facts {
		t.Rows = append(t.Rows, []string{f.Name, f.Value})
	}
	return t
}

// comparisonTable compares the states before and after the change of t; nil if there
// is no change.
func comparisonTable(t *Topology) *table {
	if t.Before == nil {
		return nil
	}
	out := &table{Title: "Before and after the change", Header: []string{"Figure", "Before", "After"}}
	for _, r := range comparison(t.Before, t) {
		out.Rows = append(out.Rows, []string{r.Name, r.Before, r.After})
	}
	return out
}

func tableOf[T any](title string, header []string, seq iter.Seq[T], total int, cells func(T) []string) table {
	list, total := first(seq, rowsShown, total)
	out := table{Title: title, Total: number(total), Header: header}
	for _, v := range list {
		row := cells(v)
		for i, cell := range row {
			row[i] = clean(cell)
		}
		out.Rows = append(out.Rows, row)
	}
	if rest := total - len(list); rest > 0 {
		out.Rest = "and " + number(rest) + " more"
	}
	return out
}
