package auditor

import (
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/state"
)

// pastLimit is how far back the state is remembered: from the last time that the trail
// was written, which is at most trailRefresh before the elected replica ends, until
// another one is elected, some 20 s later.
const pastLimit = 2 * time.Minute

// past remembers how the state was. Snapshots share what did not change.
type past []moment

// moment is the state from a time on, until the next moment.
type moment struct {
	from     time.Time
	snapshot *state.Snapshot
}

// add remembers the state as it is, and forgets what was over pastLimit ago.
func (p *past) add(now time.Time, s *state.Snapshot) {
	if n := len(*p); n == 0 || (*p)[n-1].snapshot != s {
		*p = append(*p, moment{now, s})
	}
	old := 0
	for old+1 < len(*p) && (*p)[old+1].from.Before(now.Add(-pastLimit)) {
		(*p)[old] = moment{} // Or the array would hold it.
		old++
	}
	*p = (*p)[old:]
}

// at returns the state at a time, nil where it is not known. Between two moments it is
// that of the first, which is the state then or a little before.
func (p *past) at(t time.Time) *state.Snapshot {
	for _, m := range slices.Backward(*p) {
		if !m.from.After(t) {
			return m.snapshot
		}
	}
	return nil
}
