package topology

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Topology is what a snapshot comes to. It is immutable.
type Topology struct {
	snapshot *state.Snapshot
	index    *index
	peerings []*peering // in order of the BGPPeers
	summary  *Summary
}

// Summary returns the summary that policies read.
func (t *Topology) Summary() *Summary { return t.summary }

// Compute returns the topology of s. before is that of an earlier snapshot, or
// nil: what did not change since is taken from it, and the parts of the
// summary that are equal are shared with it. The result does not depend on
// before. Without before, O(nodes x labels that selectors name); with it,
// what the change touches plus O(reflectors x BGPPeers) set operations.
func Compute(s *state.Snapshot, before *Topology) *Topology {
	if before != nil && before.snapshot == s {
		return before
	}
	t := &Topology{snapshot: s}
	if before != nil && slices.Equal(before.index.nodes, s.Nodes()) {
		t.index = before.index
	} else {
		t.index = newIndex(s.Nodes())
	}
	t.resolve(before)
	t.summarize(before)
	return t
}

// resolve resolves the BGPPeers, as far as before has not done so.
func (t *Topology) resolve(before *Topology) {
	known := map[string]*peering{}
	sameConfigurations := false
	if before != nil && before.index == t.index {
		sameConfigurations = slices.Equal(before.snapshot.BGPConfigurations(), t.snapshot.BGPConfigurations())
		for _, p := range before.peerings {
			known[p.peer.Name] = p
		}
	}
	t.peerings = make([]*peering, 0, len(t.snapshot.BGPPeers()))
	for _, p := range t.snapshot.BGPPeers() {
		r := known[p.Name]
		// What is not given by selectors rests on AS numbers and ports too.
		if r == nil || r.peer != p || (p.PeerSelector == "" && !sameConfigurations) {
			r = resolve(p, t.index, t.snapshot, r)
			if before != nil {
				r.part = share(before.summary.BGPPeers[p.Name], r.part)
			}
		}
		t.peerings = append(t.peerings, r)
	}
}

// sameSessions reports whether the BGPPeers give the same nodes the same
// half-sessions as in before, whatever else in them changed.
func (t *Topology) sameSessions(before *Topology) bool {
	return t.index == before.index && slices.EqualFunc(t.peerings, before.peerings, (*peering).sameSessions)
}

func (t *Topology) summarize(before *Topology) {
	old := &Summary{}
	if before != nil {
		old = before.summary
	}
	peers := make(map[string]*BGPPeer, len(t.peerings))
	for _, r := range t.peerings {
		peers[r.peer.Name] = r.part
	}
	s := &Summary{
		Nodes:    share(old.Nodes, t.index.counts),
		Mesh:     share(old.Mesh, t.mesh()),
		BGPPeers: shareAll(old.BGPPeers, peers),
	}
	if v := calicoVersion(t.snapshot); v != nil {
		s.CalicoVersion = v.String()
	}
	if before != nil && t.sameSessions(before) {
		s.Reflectors = old.Reflectors
	} else {
		s.Reflectors = share(old.Reflectors, &PerFamily[Reflectors]{t.reflectorsIn(calico.IPv4), t.reflectorsIn(calico.IPv6)})
	}
	s.Timers = share(old.Timers, t.timers(s.Mesh))
	needs := func(p *calico.IPPool) bool { return poolNeedsBGP(p, t.snapshot) }
	s.PodTraffic = share(old.PodTraffic, podTraffic(t.snapshot, needs))
	s.IPPools = parts(t.snapshot.IPPools(), old.IPPools, func(p *calico.IPPool) *IPPool {
		return &IPPool{object(&p.Metadata, nil), p.Family.String(), needs(p)}
	})
	s.BGPConfigurations = parts(t.snapshot.BGPConfigurations(), old.BGPConfigurations, func(c *calico.BGPConfiguration) *BGPConfiguration {
		return &BGPConfiguration{object(&c.Metadata, nil), c.NodeOf()}
	})
	t.summary = s
}

// mesh is the node-to-node mesh under the BGPConfiguration "default".
func (t *Topology) mesh() *Mesh {
	c := t.snapshot.BGPConfiguration(calico.Default)
	m := t.index.mesh
	m.Enabled, m.Source = c.MeshEnabled(), "set"
	switch {
	case c == nil:
		m.Source = "absent"
	case c.NodeToNodeMeshEnabled == nil:
		m.Source = "unset"
	}
	if !m.Enabled {
		m.SessionsPerNode, m.Sessions = 0, 0
	}
	return &m
}

func peerPart(r *peering) *BGPPeer {
	p := r.peer
	b := &BGPPeer{
		Object: object(&p.Metadata, r.problems), Scope: r.scope, Sessions: r.sessions(),
		RestartTime: restartTime(p.MaxRestartTime), KeepaliveTime: keepaliveTime(p.KeepaliveTime),
	}
	b.LocalNodes = int(r.local.IntersectionCardinality(r.index.speakers))
	b.RemoteNodes = int(r.remote.IntersectionCardinality(r.index.speakers))
	return b
}

func object(m *calico.Metadata, problems []string) Object {
	o := Object{Name: m.Name, Labels: m.Labels, Annotations: m.Annotations, Spec: m.Spec, Problems: []string{}}
	for _, p := range m.Problems() {
		o.Problems = append(o.Problems, p.String())
	}
	o.Problems = append(o.Problems, problems...)
	return o
}

// share returns old where it says the same as new.
func share[T any](old, fresh *T) *T {
	if old != nil && reflect.DeepEqual(old, fresh) {
		return old
	}
	return fresh
}

// shareAll returns old where it holds the same pointers as fresh.
func shareAll[T any](old, fresh map[string]*T) map[string]*T {
	if len(old) != len(fresh) {
		return fresh
	}
	for k, v := range fresh {
		if old[k] != v {
			return fresh
		}
	}
	if old == nil {
		return fresh
	}
	return old
}

// parts makes the summary's part of each object in list, sharing with old what
// is equal.
func parts[O calico.Object, T any](list []O, old map[string]*T, part func(O) *T) map[string]*T {
	out := make(map[string]*T, len(list))
	for _, o := range list {
		name := o.ID().Name
		out[name] = share(old[name], part(o))
	}
	return shareAll(old, out)
}

// Problems lists what Calico would ignore or refuse in the object of the given
// id: what the object itself shows and, for a BGPPeer, what only the state
// shows.
func (t *Topology) Problems(id calico.ID) []string {
	out := []string{}
	if o := t.snapshot.Get(id); o != nil {
		for _, p := range o.Problems() {
			out = append(out, p.String())
		}
	}
	for _, r := range t.peerings {
		if id.Kind == calico.KindBGPPeer && r.peer.Name == id.Name {
			out = append(out, r.problems...)
			if !r.local.Any() {
				out = append(out, fmt.Sprintf("spec: selects no local node out of %d", len(t.index.nodes)))
			}
			if r.peer.PeerSelector != "" && !r.remote.Any() {
				out = append(out, fmt.Sprintf("spec.peerSelector: selects no node out of %d", len(t.index.nodes)))
			}
		}
	}
	return out
}
