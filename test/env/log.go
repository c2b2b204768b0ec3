package env

import (
	"bytes"
	"os"
)

// tailBytes is about forty lines of a log, which fit on a screen below a failed test.
const tailBytes = 8 << 10

// tail returns the end of a file, from the beginning of a line.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error() + "\n"
	}
	if len(text) > tailBytes {
		text = text[len(text)-tailBytes:]
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return string(text)
}
