// Package state holds every object that decides BGP in one cluster, and what its
// nodes report of it: an immutable snapshot of them, and the change of one. It is
// pure: no client, no clock.
package state

import (
	"errors"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// ErrNotSynced is wrapped by errors that say that not all objects, of the state or of
// the policies, have been read yet. The request can be repeated.
var ErrNotSynced = errors.New("not ready")

// Snapshot is an immutable state at one moment: a list of the objects of each kind in
// the table of kinds. Neither the lists nor the objects may be changed. A nil *Snapshot
// is the empty state.
type Snapshot struct {
	// lists and known are indexed by calico.Kind.Index.
	lists [calico.KindCount]calico.List
	// known is whether the snapshot holds all objects of a kind that is optional.
	known [calico.KindCount]bool
}

// empty is the empty state.
var empty = func() *Snapshot {
	s := &Snapshot{}
	for i, info := range calico.Kinds() {
		s.lists[i] = info.Empty
	}
	return s
}()

func (s *Snapshot) orEmpty() *Snapshot {
	if s == nil {
		return empty
	}
	return s
}

// Change is one create, update or delete of one object.
type Change struct {
	// Before is nil for a create, After for a delete.
	Before, After calico.Object
}

// Operation is what a change does, in the words of an AdmissionReview.
type Operation string

// The operations.
const (
	Create Operation = "CREATE"
	Update Operation = "UPDATE"
	Delete Operation = "DELETE"
)

// Operation derives what the change does from which side is absent.
func (c Change) Operation() Operation {
	switch {
	case c.Before == nil:
		return Create
	case c.After == nil:
		return Delete
	default:
		return Update
	}
}

// ID returns the id of the changed object.
func (c Change) ID() calico.ID {
	if c.After != nil {
		return c.After.ID()
	}
	return c.Before.ID()
}

// New returns a snapshot of objects, in any order. Of two with the same id the later
// one holds. An optional kind is known if there is an object of it. O(n log n).
func New(objects ...calico.Object) *Snapshot {
	var counts [calico.KindCount]int
	for _, o := range objects {
		if i := o.ID().Kind.Index(); i >= 0 {
			counts[i]++
		}
	}
	// One slice holds the objects of each kind in turn.
	all := make([]calico.Object, len(objects))
	var groups [calico.KindCount][]calico.Object
	for i, n := range counts {
		groups[i], all = all[:0:n], all[n:]
	}
	for _, o := range objects {
		if i := o.ID().Kind.Index(); i >= 0 {
			groups[i] = append(groups[i], o)
		}
	}
	s := &Snapshot{}
	for i, info := range calico.Kinds() {
		s.lists[i] = info.Empty.Of(groups[i])
		s.known[i] = info.Need == calico.Optional && s.lists[i].Len() > 0
	}
	return s
}

// Knowing returns the snapshot as one that is known to hold all objects of the given
// kinds, even if there are none. Kinds that are not optional always are.
func (s *Snapshot) Knowing(kinds ...calico.Kind) *Snapshot {
	n := *s.orEmpty()
	changed := false
	for _, kind := range kinds {
		if !s.Knows(kind) {
			n.known[kind.Index()], changed = true, true
		}
	}
	if !changed {
		return s
	}
	return &n
}

// Sharing returns the snapshot with each list of old that holds the same objects in
// place of its own. What compares snapshots is then as fast as if Apply had made the
// snapshot from old. O(n).
func (s *Snapshot) Sharing(old *Snapshot) *Snapshot {
	if s == nil || old == nil {
		return s
	}
	n := *s
	for i := range n.lists {
		n.lists[i] = n.lists[i].Sharing(old.lists[i])
	}
	return &n
}

// Knows reports whether the snapshot holds all objects of a kind. Creating an object
// does not change this.
func (s *Snapshot) Knows(kind calico.Kind) bool {
	i := kind.Index()
	return i < 0 || calico.Kinds()[i].Need != calico.Optional || s.orEmpty().known[i]
}

// Apply returns the snapshot after a change; it shares with s all that did not change.
// Of the change's Before only the id matters. A change that leaves the state as it was
// returns s. The cost is a copy of one slice of pointers.
func (s *Snapshot) Apply(c Change) *Snapshot {
	if c.Before == nil && c.After == nil {
		return s
	}
	id := c.ID()
	i := id.Kind.Index()
	if i < 0 || calico.Equal(s.orEmpty().lists[i].Get(id.Name), c.After) {
		return s
	}
	n := *s.orEmpty()
	n.lists[i] = n.lists[i].With(id.Name, c.After)
	return &n
}

// Get returns the object with the given id, nil when there is none.
func (s *Snapshot) Get(id calico.ID) calico.Object {
	i := id.Kind.Index()
	if i < 0 {
		return nil
	}
	return s.orEmpty().lists[i].Get(id.Name)
}

// listOf returns the objects of a type.
func listOf[T interface {
	comparable
	calico.Object
}](s *Snapshot) []T {
	for _, list := range s.orEmpty().lists {
		if typed, ok := list.(calico.Objects[T]); ok {
			return typed
		}
	}
	return nil
}

// Nodes returns the nodes, sorted by name.
func (s *Snapshot) Nodes() []*calico.Node { return listOf[*calico.Node](s) }

// BGPPeers returns the BGPPeers, sorted by name.
func (s *Snapshot) BGPPeers() []*calico.BGPPeer { return listOf[*calico.BGPPeer](s) }

// BGPConfigurations returns the BGPConfigurations, sorted by name.
func (s *Snapshot) BGPConfigurations() []*calico.BGPConfiguration {
	return listOf[*calico.BGPConfiguration](s)
}

// IPPools returns the IPPools, sorted by name.
func (s *Snapshot) IPPools() []*calico.IPPool { return listOf[*calico.IPPool](s) }

// FelixConfigurations returns the FelixConfigurations, sorted by name.
func (s *Snapshot) FelixConfigurations() []*calico.FelixConfiguration {
	return listOf[*calico.FelixConfiguration](s)
}

// BGPFilters returns the BGPFilters, sorted by name.
func (s *Snapshot) BGPFilters() []*calico.BGPFilter { return listOf[*calico.BGPFilter](s) }

// Secrets returns the Secrets in calico-node's namespace, sorted by name.
func (s *Snapshot) Secrets() []*calico.Secret { return listOf[*calico.Secret](s) }

// NodeStatuses returns the CalicoNodeStatuses, sorted by name.
func (s *Snapshot) NodeStatuses() []*calico.NodeStatus { return listOf[*calico.NodeStatus](s) }

// BGPConfiguration returns the BGPConfiguration of the given name, nil when
// there is none.
func (s *Snapshot) BGPConfiguration(name string) *calico.BGPConfiguration {
	c, _ := s.Get(calico.ID{Kind: calico.KindBGPConfiguration, Name: name}).(*calico.BGPConfiguration)
	return c
}

// FelixConfiguration returns the FelixConfiguration "default", nil when there
// is none.
func (s *Snapshot) FelixConfiguration() *calico.FelixConfiguration {
	c, _ := s.Get(calico.ID{Kind: calico.KindFelixConfiguration, Name: calico.Default}).(*calico.FelixConfiguration)
	return c
}

// ClusterInformation returns the ClusterInformation "default", nil when there
// is none.
func (s *Snapshot) ClusterInformation() *calico.ClusterInformation {
	c, _ := s.Get(calico.ID{Kind: calico.KindClusterInformation, Name: calico.Default}).(*calico.ClusterInformation)
	return c
}

// SameNodes reports whether two snapshots share their Nodes, because no change of a
// Node lies between them. It may be false where none does. O(1).
func SameNodes(a, b *Snapshot) bool {
	i := calico.KindNode.Index()
	return a.orEmpty().lists[i].Same(b.orEmpty().lists[i])
}

// SameConfiguration reports whether two snapshots share all that decides BGP, because
// nothing but observations, which are CalicoNodeStatuses, changed between them. It may
// be false where nothing else did. O(1).
func SameConfiguration(a, b *Snapshot) bool {
	if a == nil || b == nil {
		return a == b
	}
	for i, info := range calico.Kinds() {
		if !info.Observation && (!a.lists[i].Same(b.lists[i]) || a.known[i] != b.known[i]) {
			return false
		}
	}
	return true
}
