package report

import (
	"io"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// writeDiffHTML writes d as one page without external resources: the page of an audit of
// the second state after a change from the first.
func writeDiffHTML(w io.Writer, d *Difference) error {
	after := *d.After
	after.Before = d.Before
	p, err := newAuditPage(&Audit{Report: &audit.Report{Clusters: []*audit.Audit{&after}}, Changes: [][]Checked{d.Objects}})
	if err != nil {
		return err
	}
	p.Title, p.Footer = "Difference of "+clean(d.Names[0])+" and "+clean(d.Names[1]), `Run "bgpguard diff -o json" for the same data in JSON.`
	return execute(w, "audit.html", p)
}
