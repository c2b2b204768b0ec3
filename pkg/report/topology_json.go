package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// writeTopologyJSON writes the document that topology.schema.json describes, one list
// element per line. It never holds a list in memory.
func writeTopologyJSON(w io.Writer, t *Topology) error {
	j := &jsonWriter{w: bufio.NewWriter(w)}
	j.text("{\n  \"summary\": ")
	j.value(t.Summary)
	if t.Described != nil {
		j.text(",\n  \"node\": ")
		j.value(t.Described)
	}
	list(j, "  ", "sessions", t.Sessions)
	broken, ambiguous := t.totals()
	list(j, "  ", "broken", take(t.Broken, broken))
	list(j, "  ", "ambiguous", take(t.Ambiguous, ambiguous))
	list(j, "  ", "ignored", slices.Values(t.Ignored))
	list(j, "  ", "frozen", slices.Values(t.Frozen))
	if t.Before != nil {
		j.text(",\n  \"changes\": {")
		j.first = true
		list(j, "    ", "added", t.added())
		list(j, "    ", "removed", t.removed())
		list(j, "    ", "altered", t.altered())
		j.text("\n  }")
	}
	j.text("\n}\n")
	if j.err != nil {
		return j.err
	}
	return j.w.Flush()
}

// maxYAML is the largest JSON document that is converted to YAML: the half-sessions of
// a mesh of about 400 nodes. The conversion needs about twenty times that memory.
const maxYAML = 64 << 20

// bounded is a buffer with at most maxYAML bytes.
type bounded struct{ bytes.Buffer }

// Write returns an error if the buffer would exceed maxYAML.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxYAML {
		return 0, errors.New("the topology is too large for -o yaml: use -o json, or --node for one node")
	}
	return b.Buffer.Write(p)
}

// writeTopologyYAML writes the document of writeTopologyJSON as YAML, or returns an
// error if it exceeds maxYAML.
func writeTopologyYAML(w io.Writer, t *Topology) error {
	var b bounded
	if err := writeTopologyJSON(&b, t); err != nil {
		return err
	}
	return text.YAMLOf(w, b.Bytes())
}

// jsonWriter writes JSON piece by piece and keeps the first error.
type jsonWriter struct {
	w     *bufio.Writer
	buf   bytes.Buffer
	first bool // whether the next member is the first of its object
	err   error
}

func (j *jsonWriter) text(s string) {
	if j.err == nil {
		_, j.err = j.w.WriteString(s)
	}
}

func (j *jsonWriter) value(v any) {
	if j.err != nil {
		return
	}
	j.buf.Reset()
	e := json.NewEncoder(&j.buf)
	e.SetEscapeHTML(false)
	if j.err = e.Encode(v); j.err == nil {
		_, j.err = j.w.Write(bytes.TrimSuffix(j.buf.Bytes(), []byte("\n")))
	}
}

// list writes an array member, one element per line.
func list[T any](j *jsonWriter, indent, name string, seq iter.Seq[T]) {
	if !j.first {
		j.text(",")
	}
	j.first = false
	j.text("\n" + indent + "\"" + name + "\": [")
	end := "]"
	for v := range seq {
		if end != "]" {
			j.text(",")
		}
		end = "\n" + indent + "]"
		j.text("\n" + indent + "  ")
		j.value(v)
		if j.err != nil {
			return
		}
	}
	j.text(end)
}
