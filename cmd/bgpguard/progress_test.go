package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/cluster"
)

func TestProgressWithoutATerminalIsLines(t *testing.T) {
	at := func(objects, total int) cluster.Progress {
		return cluster.Progress{Kind: calico.KindNode, Objects: objects, Total: total}
	}
	tests := map[string]struct {
		pages []cluster.Progress // one each 2 seconds
		want  string
	}{
		"a short read":           {[]cluster.Progress{at(500, 900), at(900, 900)}, ""},
		"a line after 5 seconds": {[]cluster.Progress{at(500, 5000), at(1000, 5000), at(1500, 5000), at(2000, 5000)}, "Reading Nodes: 1,500 of 5,000\n"},
		"a line every 5 seconds": {[]cluster.Progress{at(1, 9), at(2, 9), at(3, 9), at(4, 9), at(5, 9), at(6, 9)}, "Reading Nodes: 3 of 9\nReading Nodes: 6 of 9\n"},
		"an unknown total":       {[]cluster.Progress{at(1, 0), at(2, 0), at(3, 0)}, "Reading Nodes: 3\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			now := time.Unix(0, 0)
			p := newProgress(&out)
			p.now, p.written = func() time.Time { return now }, now
			for _, page := range test.pages {
				now = now.Add(2 * time.Second)
				p.show(page)
			}
			p.end()
			if out.String() != test.want {
				t.Errorf("got %q, want %q", out.String(), test.want)
			}
		})
	}
}

func TestProgressOnATerminalIsABarThatIsCleared(t *testing.T) {
	at := func(kind calico.Kind, objects, total int) cluster.Progress {
		return cluster.Progress{Kind: kind, Objects: objects, Total: total}
	}
	var out bytes.Buffer
	p := newProgress(&out)
	p.terminal = true
	p.show(at(calico.KindIPPool, 2, 2))
	if out.Len() > 0 {
		t.Errorf("a kind of one page drew %q", out.String())
	}
	for _, n := range []int{500, 1000, 500, 1203} { // The list restarted.
		p.show(at(calico.KindNode, n, 1203))
	}
	p.show(at(calico.KindBGPPeer, 500, 501))
	p.end()
	text := out.String()
	for _, want := range []string{"Reading Nodes", "(500/1203)", "(1000/1203)", "Reading BGPPeers", "(500/501)"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %q", want, text)
		}
	}
	if !strings.HasSuffix(text, "\x1b[2K\r") || strings.Contains(text, "\x1b[3") {
		t.Errorf("%q must end with a cleared line and contain no color", text)
	}
}
