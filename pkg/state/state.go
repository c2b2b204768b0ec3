// Package state provides immutable snapshots of the objects that decide BGP in one cluster,
// and of the status that its nodes report. It also describes changes of these objects. The
// package is pure: it has no client and no clock.
package state

import (
	"errors"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// ErrNotSynced means that some objects of the state or some policies have not been read yet.
// Other errors wrap it. The caller can repeat the request.
var ErrNotSynced = errors.New("not ready")

// ErrStale means that the API server has not confirmed the state for too long: it may have
// changed. Other errors wrap it. The caller can repeat the request.
var ErrStale = errors.New("stale data")

// ErrTooLarge means that the state has more objects than fit into the memory of the process. Other errors wrap
// it. The request fails until objects are deleted or the process has more memory.
var ErrTooLarge = errors.New("state too large")

// Snapshot is an immutable copy of the state: a list of objects for each kind in the table
// of kinds. The lists and the objects must not be changed. A nil *Snapshot is the empty
// state.
type Snapshot struct {
	// lists and known are indexed by calico.Kind.Index.
	lists [calico.KindCount]calico.List
	// known reports, for an optional kind, whether the snapshot contains all its objects.
	known [calico.KindCount]bool
	// unread are the objects that exist and do not parse, sorted by kind and name. The lists
	// contain neither them nor the objects that Typha drops.
	unread []*calico.Unparsed
	typha  typha
	group  group
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

// Operation is the operation of a change, with the values of an AdmissionReview.
type Operation string

// The operations.
const (
	Create Operation = "CREATE"
	Update Operation = "UPDATE"
	Delete Operation = "DELETE"
)

// Operation returns Create if Before is nil, Delete if After is nil, else Update.
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

// Differs reports whether the change alters the field at a path of the object's document, such as
// spec, asNumber. A create and a delete alter every field.
func (c Change) Differs(path []string) bool { return calico.Differs(c.Before, c.After, path) }

// ID returns the ID of the changed object.
func (c Change) ID() calico.ID {
	if c.After != nil {
		return c.After.ID()
	}
	return c.Before.ID()
}

// Informed returns c with what it shows about its object and the object alone does not; see
// calico.Informed.
func (c Change) Informed() Change {
	c.After = calico.Informed(c.Before, c.After)
	return c
}

// New returns a snapshot of objects, which may be in any order. If two objects have the same
// ID, the snapshot contains the later one. An Unparsed object is unread; see Unread. An optional
// kind is known if objects contains an object of the kind. The objects in the lists are as the
// version of Calico in the ClusterInformation reads them; see calico.InVersion. The lists lack the
// objects that Typha drops; see Drops. O(n log n).
func New(objects ...calico.Object) *Snapshot {
	var counts [calico.KindCount]int
	for _, o := range objects {
		if i := o.ID().Kind.Index(); i >= 0 {
			counts[i]++
		}
	}
	// All groups share one slice, to allocate once.
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
	s = s.withUnread(objects)
	s.readInVersion()
	s.reject()
	return s
}

// Knowing returns a copy of the snapshot for which Knows returns true for the given kinds,
// even if it contains no objects of them. Kinds that are not optional are always known.
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

// Sharing returns a copy of the snapshot that uses the lists of old where they contain the
// same objects. Comparisons of the copy with old are then as fast as if Apply had created it
// from old. O(n).
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

// Knows reports whether the snapshot contains all objects of a kind. Apply does not change
// this.
func (s *Snapshot) Knows(kind calico.Kind) bool {
	i := kind.Index()
	return i < 0 || calico.Kinds()[i].Need != calico.Optional || s.orEmpty().known[i]
}

// Apply returns the snapshot after a change. It shares all lists that did not change with s.
// Apply reads only the ID of Before. It returns s if the change has no effect. It copies one
// slice of pointers. After the change, the object is unread only if After is Unparsed. A
// change of the ClusterInformation can change what Typha drops, and which fields Calico reads,
// which is O(n).
func (s *Snapshot) Apply(c Change) *Snapshot {
	if c.Before == nil && c.After == nil {
		return s
	}
	id := c.ID()
	i := id.Kind.Index()
	c.After = calico.InVersion(c.After, s.calicoVersion())
	if i < 0 || calico.Equal(s.Get(id), c.After) {
		return s
	}
	n := *s.orEmpty()
	unparsed, _ := c.After.(*calico.Unparsed)
	if unparsed == nil {
		n.put(id, c.After)
	} else {
		n.put(id, nil)
	}
	n.unread = replaceUnread(n.unread, id, unparsed)
	if id.Kind == calico.KindClusterInformation {
		n.reread(s)
	}
	return &n
}

// Get returns the object with the given ID, also if Typha drops it. It returns an
// *calico.Unparsed if the object does not parse, nil if there is no such object.
func (s *Snapshot) Get(id calico.ID) calico.Object {
	i := id.Kind.Index()
	if i < 0 {
		return nil
	}
	if u := s.unreadOf(id); u != nil {
		return u
	}
	if o := s.droppedObject(id); o != nil {
		return o
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

// find returns an object of a list, the zero T if the list does not contain it.
func find[T calico.Object](s *Snapshot, kind calico.Kind, name string) T {
	o, _ := s.orEmpty().lists[kind.Index()].Get(name).(T)
	return o
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

// ClusterInformations returns the ClusterInformations, sorted by name.
func (s *Snapshot) ClusterInformations() []*calico.ClusterInformation {
	return listOf[*calico.ClusterInformation](s)
}

// Secrets returns the Secrets in calico-node's namespace, sorted by name.
func (s *Snapshot) Secrets() []*calico.Secret { return listOf[*calico.Secret](s) }

// IPAMBlocks returns the IPAMBlocks, sorted by name.
func (s *Snapshot) IPAMBlocks() []*calico.IPAMBlock { return listOf[*calico.IPAMBlock](s) }

// NodeStatuses returns the CalicoNodeStatuses, sorted by name.
func (s *Snapshot) NodeStatuses() []*calico.NodeStatus { return listOf[*calico.NodeStatus](s) }

// BGPConfiguration returns the BGPConfiguration with the given name, nil if there is no such
// object.
func (s *Snapshot) BGPConfiguration(name string) *calico.BGPConfiguration {
	return find[*calico.BGPConfiguration](s, calico.KindBGPConfiguration, name)
}

// FelixConfiguration returns the FelixConfiguration "default", nil if it does not exist.
func (s *Snapshot) FelixConfiguration() *calico.FelixConfiguration {
	return find[*calico.FelixConfiguration](s, calico.KindFelixConfiguration, calico.Default)
}

// ClusterInformation returns the ClusterInformation "default", nil if it does not exist.
func (s *Snapshot) ClusterInformation() *calico.ClusterInformation {
	return find[*calico.ClusterInformation](s, calico.KindClusterInformation, calico.Default)
}

// Installations returns the Installations of tigera-operator, sorted by name.
func (s *Snapshot) Installations() []*calico.Installation { return listOf[*calico.Installation](s) }

// Installation returns the Installation with the given name, nil if there is no such object.
func (s *Snapshot) Installation(name string) *calico.Installation {
	return find[*calico.Installation](s, calico.KindInstallation, name)
}

// RunsBIRD reports whether calico-node runs BIRD; see calico.Installation.
func (s *Snapshot) RunsBIRD() bool {
	return s.Installation(calico.Default).RunsBIRD(s.Installation(calico.OverlayInstallation))
}

// SameKind reports whether two snapshots share their list of a kind, and therefore have equal objects
// of it, and agree on whether it is complete. Snapshots that do not share the list may have equal
// objects too. O(unread objects).
func SameKind(a, b *Snapshot, kind calico.Kind) bool {
	i := kind.Index()
	return a.orEmpty().lists[i].Same(b.orEmpty().lists[i]) && a.ReadAll(kind) == b.ReadAll(kind)
}

// SameIPAMBlocks is SameKind for IPAMBlocks.
func SameIPAMBlocks(a, b *Snapshot) bool { return SameKind(a, b, calico.KindIPAMBlock) }

// ReadAll reports whether the snapshot contains all objects of a kind, and each of them
// parses. O(unread objects).
func (s *Snapshot) ReadAll(kind calico.Kind) bool {
	return s.Knows(kind) && !slices.ContainsFunc(s.Unread(), func(u *calico.Unparsed) bool { return u.ID().Kind == kind })
}

// SameConfiguration reports whether two snapshots share the lists of all objects that decide
// BGP, and have the same unread objects and the same objects that Typha drops. Only observations, which are CalicoNodeStatuses, can
// then differ. Snapshots that do not share these lists may contain equal objects too. O(unread
// objects).
func SameConfiguration(a, b *Snapshot) bool { return SameConfigurationBut(a, b, "") }

// SameConfigurationBut is SameConfiguration without the objects of one kind, which may differ.
func SameConfigurationBut(a, b *Snapshot, kind calico.Kind) bool {
	if a == nil || b == nil {
		return a == b
	}
	for i, info := range calico.Kinds() {
		if !info.Observation && info.Kind != kind && (!a.lists[i].Same(b.lists[i]) || a.known[i] != b.known[i]) {
			return false
		}
	}
	return slices.Equal(a.unread, b.unread) && sameTypha(a, b)
}
