package main

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/text/wrap"
)

// colorful reports whether to write colors to w: it is a terminal, and the user does not
// disable colors (no-color.org).
func colorful(w io.Writer) bool { return os.Getenv("NO_COLOR") == "" && isTerminal(w) }

// isTerminal reports whether w is a terminal that understands control sequences.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// terminalWidth returns the number of columns of the terminal w, 0 if w is not a terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// writeFormat writes v in a format of a command. Text on a terminal is wrapped at the width
// of the terminal; other formats, pipes and files get lines as they are.
func writeFormat[T any](w io.Writer, formats report.Formats[T], format string, v T) error {
	width := terminalWidth(w)
	if format != report.Text || width == 0 {
		return formats.Write(w, format, v)
	}
	wrapped := wrap.NewWriter(w, width)
	if err := formats.Write(wrapped, format, v); err != nil {
		return err
	}
	return wrapped.Flush()
}
