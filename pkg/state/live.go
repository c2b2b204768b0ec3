package state

import "github.com/bgpguard/bgpguard/pkg/calico"

// Live returns the snapshot without the objects that are being deleted, and without the
// Nodes that are not ready. It returns s if there are no such objects. Lists without such
// objects are shared with s, and lists that equal those of before, an earlier live snapshot
// or nil, are shared with before.
func (s *Snapshot) Live(before *Snapshot) *Snapshot { return s }

// LiveChange returns the change that c makes to the live snapshot.
func LiveChange(c Change) Change {
	if c.Before != nil && calico.Down(c.Before) {
		c.Before = nil
	}
	if c.After != nil && calico.Down(c.After) {
		c.After = nil
	}
	return c
}

// Down counts the objects that Live leaves out, and names the first few.
func (s *Snapshot) Down() (int, []calico.ID) { return 0, nil }
