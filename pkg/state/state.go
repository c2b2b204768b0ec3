// Package state holds every object that decides BGP in one cluster, and what its
// nodes report of it: an immutable snapshot of them, and the change of one. It is
// pure: no client, no clock.
package state

import (
	"cmp"
	"errors"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// ErrNotSynced is wrapped by errors that say that not all objects, of the state or of
// the policies, have been read yet. The request can be repeated.
var ErrNotSynced = errors.New("not ready")

// Snapshot is an immutable state at one moment. The slices are sorted by name;
// neither they nor the objects may be changed. A nil *Snapshot is the empty
// state.
type Snapshot struct {
	nodes          []*calico.Node
	peers          []*calico.BGPPeer
	configurations []*calico.BGPConfiguration
	pools          []*calico.IPPool
	felix          []*calico.FelixConfiguration
	clusters       []*calico.ClusterInformation
	filters        []*calico.BGPFilter
	secrets        []*calico.Secret
	statuses       []*calico.NodeStatus
	// filtersKnown, secretsKnown and statusesKnown tell that there are no others.
	filtersKnown, secretsKnown, statusesKnown bool
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

// New returns a snapshot of objects, in any order. Of two with the same id the
// later one holds. BGPFilters, Secrets and CalicoNodeStatuses, which may be missing
// from a state that nobody asked for them, are known if there is one. O(n log n).
func New(objects ...calico.Object) *Snapshot {
	s := &Snapshot{}
	for _, o := range objects {
		switch o := o.(type) {
		case *calico.Node:
			s.nodes = append(s.nodes, o)
		case *calico.BGPPeer:
			s.peers = append(s.peers, o)
		case *calico.BGPConfiguration:
			s.configurations = append(s.configurations, o)
		case *calico.IPPool:
			s.pools = append(s.pools, o)
		case *calico.FelixConfiguration:
			s.felix = append(s.felix, o)
		case *calico.ClusterInformation:
			s.clusters = append(s.clusters, o)
		case *calico.BGPFilter:
			s.filters = append(s.filters, o)
		case *calico.Secret:
			s.secrets = append(s.secrets, o)
		case *calico.NodeStatus:
			s.statuses = append(s.statuses, o)
		}
	}
	s.nodes, s.peers, s.configurations = sorted(s.nodes), sorted(s.peers), sorted(s.configurations)
	s.pools, s.felix, s.clusters = sorted(s.pools), sorted(s.felix), sorted(s.clusters)
	s.filters, s.secrets, s.statuses = sorted(s.filters), sorted(s.secrets), sorted(s.statuses)
	s.filtersKnown, s.secretsKnown, s.statusesKnown = len(s.filters) > 0, len(s.secrets) > 0, len(s.statuses) > 0
	return s
}

// Knowing returns the snapshot of which it is known that it holds all objects of
// the given kinds, also where there are none. Kinds other than BGPFilter, Secret
// and CalicoNodeStatus always are.
func (s *Snapshot) Knowing(kinds ...calico.Kind) *Snapshot {
	n := Snapshot{}
	if s != nil {
		n = *s
	}
	n.filtersKnown = n.filtersKnown || slices.Contains(kinds, calico.KindBGPFilter)
	n.secretsKnown = n.secretsKnown || slices.Contains(kinds, calico.KindSecret)
	n.statusesKnown = n.statusesKnown || slices.Contains(kinds, calico.KindCalicoNodeStatus)
	if n.filtersKnown == s.Knows(calico.KindBGPFilter) && n.secretsKnown == s.Knows(calico.KindSecret) && n.statusesKnown == s.Knows(calico.KindCalicoNodeStatus) {
		return s
	}
	return &n
}

// Sharing returns the snapshot with those lists of old that hold the same objects in
// the place of its own, so that a snapshot that was made anew is told as quickly from
// the one before as if Apply had made it. O(n).
func (s *Snapshot) Sharing(old *Snapshot) *Snapshot {
	if s == nil || old == nil {
		return s
	}
	n := *s
	n.nodes, n.peers, n.configurations = shared(old.nodes, n.nodes), shared(old.peers, n.peers), shared(old.configurations, n.configurations)
	n.pools, n.felix, n.clusters = shared(old.pools, n.pools), shared(old.felix, n.felix), shared(old.clusters, n.clusters)
	n.filters, n.secrets, n.statuses = shared(old.filters, n.filters), shared(old.secrets, n.secrets), shared(old.statuses, n.statuses)
	return &n
}

func shared[T comparable](old, list []T) []T {
	if slices.Equal(old, list) {
		return old
	}
	return list
}

// Knows reports whether the snapshot holds all objects of a kind. What a change
// creates makes no difference to that.
func (s *Snapshot) Knows(kind calico.Kind) bool {
	switch kind {
	case calico.KindBGPFilter:
		return s != nil && s.filtersKnown
	case calico.KindSecret:
		return s != nil && s.secretsKnown
	case calico.KindCalicoNodeStatus:
		return s != nil && s.statusesKnown
	default:
		return true
	}
}

// Apply returns the snapshot after a change; it shares with s all that did not
// change. What the change's Before says does not matter, only its id. A change
// that leaves the state as it was returns s. The cost is a copy of one slice
// of pointers.
func (s *Snapshot) Apply(c Change) *Snapshot {
	if c.Before == nil && c.After == nil {
		return s
	}
	id := c.ID()
	if calico.Equal(s.Get(id), c.After) {
		return s
	}
	n := Snapshot{}
	if s != nil {
		n = *s
	}
	switch id.Kind {
	case calico.KindNode:
		n.nodes = with(n.nodes, id.Name, c.After)
	case calico.KindBGPPeer:
		n.peers = with(n.peers, id.Name, c.After)
	case calico.KindBGPConfiguration:
		n.configurations = with(n.configurations, id.Name, c.After)
	case calico.KindIPPool:
		n.pools = with(n.pools, id.Name, c.After)
	case calico.KindFelixConfiguration:
		n.felix = with(n.felix, id.Name, c.After)
	case calico.KindClusterInformation:
		n.clusters = with(n.clusters, id.Name, c.After)
	case calico.KindBGPFilter:
		n.filters = with(n.filters, id.Name, c.After)
	case calico.KindSecret:
		n.secrets = with(n.secrets, id.Name, c.After)
	case calico.KindCalicoNodeStatus:
		n.statuses = with(n.statuses, id.Name, c.After)
	}
	return &n
}

// Get returns the object with the given id, nil when there is none.
func (s *Snapshot) Get(id calico.ID) calico.Object {
	if s == nil {
		return nil
	}
	switch id.Kind {
	case calico.KindNode:
		return find(s.nodes, id.Name)
	case calico.KindBGPPeer:
		return find(s.peers, id.Name)
	case calico.KindBGPConfiguration:
		return find(s.configurations, id.Name)
	case calico.KindIPPool:
		return find(s.pools, id.Name)
	case calico.KindFelixConfiguration:
		return find(s.felix, id.Name)
	case calico.KindClusterInformation:
		return find(s.clusters, id.Name)
	case calico.KindBGPFilter:
		return find(s.filters, id.Name)
	case calico.KindSecret:
		return find(s.secrets, id.Name)
	case calico.KindCalicoNodeStatus:
		return find(s.statuses, id.Name)
	}
	return nil
}

// Nodes returns the nodes, sorted by name.
func (s *Snapshot) Nodes() []*calico.Node {
	if s == nil {
		return nil
	}
	return s.nodes
}

// SameNodes reports whether two snapshots share their nodes, because no change
// of a node lies between them. It may be false where none does.
func SameNodes(a, b *Snapshot) bool { return identical(a.Nodes(), b.Nodes()) }

// SameConfiguration reports whether two snapshots share all that decides BGP, because
// nothing lies between them but changes of CalicoNodeStatuses. It may be false where
// nothing does. O(1).
func SameConfiguration(a, b *Snapshot) bool {
	if a == nil || b == nil {
		return a == b
	}
	return identical(a.nodes, b.nodes) && identical(a.peers, b.peers) && identical(a.configurations, b.configurations) && identical(a.pools, b.pools) &&
		identical(a.felix, b.felix) && identical(a.clusters, b.clusters) && identical(a.filters, b.filters) && identical(a.secrets, b.secrets) &&
		a.filtersKnown == b.filtersKnown && a.secretsKnown == b.secretsKnown
}

func identical[T any](x, y []T) bool {
	return len(x) == len(y) && (len(x) == 0 || &x[0] == &y[0])
}

// BGPPeers returns the BGPPeers, sorted by name.
func (s *Snapshot) BGPPeers() []*calico.BGPPeer {
	if s == nil {
		return nil
	}
	return s.peers
}

// BGPConfigurations returns the BGPConfigurations, sorted by name.
func (s *Snapshot) BGPConfigurations() []*calico.BGPConfiguration {
	if s == nil {
		return nil
	}
	return s.configurations
}

// IPPools returns the IPPools, sorted by name.
func (s *Snapshot) IPPools() []*calico.IPPool {
	if s == nil {
		return nil
	}
	return s.pools
}

// FelixConfigurations returns the FelixConfigurations, sorted by name.
func (s *Snapshot) FelixConfigurations() []*calico.FelixConfiguration {
	if s == nil {
		return nil
	}
	return s.felix
}

// BGPFilters returns the BGPFilters, sorted by name.
func (s *Snapshot) BGPFilters() []*calico.BGPFilter {
	if s == nil {
		return nil
	}
	return s.filters
}

// Secrets returns the Secrets in calico-node's namespace, sorted by name.
func (s *Snapshot) Secrets() []*calico.Secret {
	if s == nil {
		return nil
	}
	return s.secrets
}

// NodeStatuses returns the CalicoNodeStatuses, sorted by name.
func (s *Snapshot) NodeStatuses() []*calico.NodeStatus {
	if s == nil {
		return nil
	}
	return s.statuses
}

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

// sorted sorts list by name and keeps the last of those that share one.
func sorted[T calico.Object](list []T) []T {
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(a.ID().Name, b.ID().Name) })
	out := list[:0]
	for i, o := range list {
		if i+1 == len(list) || list[i+1].ID().Name != o.ID().Name {
			out = append(out, o)
		}
	}
	return out
}

func search[T calico.Object](list []T, name string) (int, bool) {
	return slices.BinarySearchFunc(list, name, func(o T, name string) int { return cmp.Compare(o.ID().Name, name) })
}

func find[T calico.Object](list []T, name string) calico.Object {
	if i, ok := search(list, name); ok {
		return list[i]
	}
	return nil
}

// with returns a copy of list in which the object of the given name is after,
// or is not there when after is nil.
func with[T calico.Object](list []T, name string, after calico.Object) []T {
	i, found := search(list, name)
	end := i
	if found {
		end++
	}
	var middle []T
	if after != nil {
		middle = []T{after.(T)}
	}
	return slices.Concat(list[:i], middle, list[end:])
}
