package health

import (
	"cmp"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// measure returns how long the last start of a node's BIRD took, false if that is not known.
// All times in a status are from one clock. A time of day is unambiguous if the status was
// written less than calico.SinceLimit after the start.
func measure(node *calico.Node, f calico.Family, status *calico.NodeStatus) (Restart, bool) {
	family := &status.Families[f]
	boot, written := family.Daemon.LastBoot, status.LastUpdated
	if !status.Agent || boot.IsZero() || boot.After(written) || written.Sub(boot) >= calico.SinceLimit {
		return Restart{}, false
	}
	out := Restart{Node: node.Name, Family: f.String(), Boot: boot}
	for i := range family.Peers {
		p := &family.Peers[i]
		if p.State != calico.SessionEstablished {
			continue
		}
		at, ok := p.Since.After(boot)
		if !ok || at.After(written) {
			return Restart{}, false // Before the start, or from another clock.
		}
		out.Established++
		out.Seconds = max(out.Seconds, int(at.Sub(boot)/time.Second))
	}
	return out, out.Established > 0
}

// sum returns the restarts, the slowest first.
func sum(restarts []Restart) Restarts {
	slices.SortStableFunc(restarts, func(a, b Restart) int { return cmp.Compare(b.Seconds, a.Seconds) })
	out := Restarts{Measured: List[Restart]{Total: len(restarts), Items: append([]Restart{}, restarts[:min(len(restarts), maxListed)]...)}}
	if n := len(restarts); n > 0 {
		slowest, median := restarts[0].Seconds, restarts[n/2].Seconds
		out.SlowestSeconds, out.MedianSeconds = &slowest, &median
	}
	return out
}
