// Package wrap breaks the lines of a text at the width of a terminal.
package wrap

import (
	"bytes"
	"io"
	"regexp"
	"strings"

	"github.com/clipperhouse/displaywidth"
)

const (
	// minWidth is the minimum width, in columns, at which lines are broken. A narrower
	// line would contain about one word.
	minWidth = 20
	// hang is the additional indentation of the continuation of a line, in columns.
	hang = 2
)

// columnsOf measures texts in columns of a terminal, and ignores ANSI control sequences.
var columnsOf = displaywidth.Options{ControlSequences: true}

// colors matches the ANSI control sequences that set colors.
var colors = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// indentation matches the spaces at the start of a line, and colors before them.
var indentation = regexp.MustCompile(`^(?:\x1b\[[0-9;]*m)*( *)`)

// Line breaks a line at spaces so that each part has at most width columns. All parts but
// the first are indented by two columns more than the line. A longer word, such as a URL,
// is not broken and has its own line.
//
// Line returns a line with two consecutive spaces after its indentation unchanged, because
// it belongs to a table. If width is less than 20, it returns every line unchanged.
//
// A wide character has two columns. A combining character or an ANSI control sequence has
// none.
func Line(line string, width int) string {
	if width < minWidth || columnsOf.String(line) <= width {
		return line
	}
	start := indentation.FindStringSubmatch(line)
	if strings.Contains(colors.ReplaceAllString(line[len(start[0]):], ""), "  ") {
		return line
	}
	margin := strings.Repeat(" ", min(len(start[1])+hang, width/2))
	var b strings.Builder
	column := 0
	begun := false // the present part has a word
	for i, word := range strings.Split(line, " ") {
		columns := columnsOf.String(word)
		switch {
		case i == 0:
		case begun && column+1+columns > width:
			b.WriteString("\n" + margin)
			column = len(margin)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += columns
		begun = begun || columns > 0
	}
	return b.String()
}

// Writer breaks lines with Line and writes them to another writer.
type Writer struct {
	w     io.Writer
	width int
	rest  []byte // the beginning of a line whose end is not written yet
}

// NewWriter returns a Writer to w for a terminal of width columns.
func NewWriter(w io.Writer, width int) *Writer { return &Writer{w: w, width: width} }

// Write implements io.Writer. It keeps an incomplete line at the end for the next call or
// for Flush.
func (w *Writer) Write(p []byte) (int, error) {
	var out bytes.Buffer
	for rest := p; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			w.rest = append(w.rest, rest...)
			break
		}
		w.rest = append(w.rest, rest[:i]...)
		out.WriteString(Line(string(w.rest), w.width) + "\n")
		w.rest, rest = w.rest[:0], rest[i+1:]
	}
	if out.Len() > 0 {
		if _, err := w.w.Write(out.Bytes()); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// Flush writes the incomplete line at the end, if there is one.
func (w *Writer) Flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	_, err := io.WriteString(w.w, Line(string(w.rest), w.width))
	w.rest = nil
	return err
}
