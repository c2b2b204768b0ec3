package report

import (
	"encoding/xml"
	"io"

	"github.com/bgpguard/bgpguard/pkg/report/picture"
)

// writeTopologySVG draws the graph of t as a document.
func writeTopologySVG(w io.Writer, t *Topology) error {
	svg, err := picture.New(t.Graph).Fold().SVG("")
	if err != nil {
		return err
	}
	return writeString(w, xml.Header+string(svg)+"\n")
}
