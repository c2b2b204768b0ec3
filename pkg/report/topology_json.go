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

// writeTopologyJSON writes what topology.schema.json describes, one element of
// a list on a line. It never holds a list as a whole.
func writeTopologyJSON(w io.Writer, t *Topology) error {
	j := &jsonWriter{w: bufio.NewWriter(w)}
	j.text("{\n  \"summary\": ")
	j.value(t.Summary)
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

// maxYAML bounds the JSON that is turned into YAML, which takes some twenty times
// its size of memory: the half-sessions of a mesh of some 400 nodes.
const maxYAML = 64 << 20

// bounded is a buffer that refuses more than maxYAML.
type bounded struct{ bytes.Buffer }

// Write refuses what would make the buffer larger than maxYAML.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxYAML {
		return 0, errors.New("there is too much to show for -o yaml, which is held in memory whole: use -o json, or --node for one node")
	}
	return b.Buffer.Write(p)
}

// writeTopologyYAML writes the same data as JSON, as far as it holds all of it.
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
	first bool // the next member is the first of its object
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

// list writes a member whose value is an array, an element on a line.
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
