package auditor

import (
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/state"
)

// pastLimit is how far back states are remembered. The record of a leader is at most
// trailRefresh old when it ends, and the next one is elected some 20 s later.
const pastLimit = 2 * time.Minute

// past is a list of earlier states. Snapshots share the objects that did not change.
type past []moment

// moment is a state and the time from which it was current, until the next moment.
type moment struct {
	from     time.Time
	snapshot *state.Snapshot
}

// add remembers the current state, and forgets states older than pastLimit.
func (p *past) add(now time.Time, s *state.Snapshot) {
	if n := len(*p); n == 0 || (*p)[n-1].snapshot != s {
		*p = append(*p, moment{now, s})
	}
	old := 0
	for old+1 < len(*p) && (*p)[old+1].from.Before(now.Add(-pastLimit)) {
		(*p)[old] = moment{} // The array must not keep it alive.
		old++
	}
	*p = (*p)[old:]
}

// at returns the state at time t, nil if it is not known.
func (p *past) at(t time.Time) *state.Snapshot {
	for _, m := range slices.Backward(*p) {
		if !m.from.After(t) {
			return m.snapshot
		}
	}
	return nil
}
