package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// progressInterval is the time between two lines of progress if w is not a terminal.
const progressInterval = 5 * time.Second

// progress shows the progress of reading a cluster: on a terminal, a bar for each kind that
// has more than one page; elsewhere, a line every progressInterval, so a fast read shows
// nothing. It uses no colors.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	written  time.Time // time of the last line, at first the start
	kind     calico.Kind
	bar      *progressbar.ProgressBar // nil if none is on the screen
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, now: time.Now, written: time.Now(), terminal: isTerminal(w)}
}

// show implements cluster.ReadOptions.Progress.
func (p *progress) show(at cluster.Progress) {
	if p.terminal {
		p.draw(at)
		return
	}
	now := p.now()
	if now.Sub(p.written) < progressInterval {
		return
	}
	p.written = now
	of := ""
	if at.Total > 0 {
		of = " of " + text.Number(at.Total)
	}
	fmt.Fprintf(p.w, "Reading %s: %s%s\n", plural(string(at.Kind)), text.Number(at.Objects), of)
}

func (p *progress) draw(at cluster.Progress) {
	if at.Kind != p.kind {
		p.end()
		p.kind = at.Kind
	}
	if at.Objects >= at.Total { // The last page, or the total is unknown.
		p.end()
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(at.Total,
			progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription("Reading "+plural(string(at.Kind))),
			progressbar.OptionShowCount(), progressbar.OptionUseANSICodes(true), progressbar.OptionClearOnFinish())
	}
	p.bar.ChangeMax(at.Total)
	_ = p.bar.Set(at.Objects) // A bar that cannot be drawn does no harm.
}

// end removes the bar from the screen.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
