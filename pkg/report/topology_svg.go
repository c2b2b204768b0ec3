package report

import (
	"encoding/xml"
	"io"
)

// writeTopologySVG draws t, or the change that leads to it, as a document.
func writeTopologySVG(w io.Writer, t *Topology) error {
	svg, err := t.picture().Fold().SVG("")
	if err != nil {
		return err
	}
	return writeString(w, xml.Header+string(svg)+"\n")
}
