package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// progressInterval is how often a line tells how far a reading is, where no bar can
// be drawn.
const progressInterval = 5 * time.Second

// progress tells how far the reading of a cluster is: on a terminal by a bar for
// each kind that takes more than one page, elsewhere by a line now and then, so
// that a short reading says nothing. Neither has colours.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	told     time.Time // when the last line was written, or the reading began
	kind     calico.Kind
	bar      *progressbar.ProgressBar // nil unless one is on the screen
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{
		w: w, now: time.Now, told: time.Now(),
		terminal: ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())),
	}
}

// show shows how far the reading is.
func (p *progress) show(at cluster.Progress) {
	if p.terminal {
		p.draw(at)
		return
	}
	now := p.now()
	if now.Sub(p.told) < progressInterval {
		return
	}
	p.told = now
	of := ""
	if at.Total > 0 {
		of = " of " + text.Number(at.Total)
	}
	fmt.Fprintf(p.w, "reading %s: %s%s\n", at.Kind, text.Number(at.Objects), of)
}

func (p *progress) draw(at cluster.Progress) {
	if at.Kind != p.kind {
		p.end()
		p.kind = at.Kind
	}
	if at.Objects >= at.Total { // The last page, or nobody knows how many there are.
		p.end()
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(at.Total,
			progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription("reading "+string(at.Kind)),
			progressbar.OptionShowCount(), progressbar.OptionUseANSICodes(true), progressbar.OptionClearOnFinish())
	}
	p.bar.ChangeMax(at.Total)
	_ = p.bar.Set(at.Objects) // What cannot be drawn is not worth a word.
}

// end takes the bar off the screen.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
