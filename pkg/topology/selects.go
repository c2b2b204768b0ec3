package topology

import (
	"maps"
	"slices"
)

// maxUnused is the maximum length of Selectors.Unused.
const maxUnused = 10

// selecting is a field of a BGPPeer that selects nodes or peers, and its path.
type selecting struct{ field, path string }

// localFields and remoteFields select the nodes and the peers of a BGPPeer. Of those that are set, Calico reads the first.
var (
	localFields  = []selecting{{"nodeSelector", "spec.nodeSelector"}, {"node", "spec.node"}}
	remoteFields = []selecting{{"peerSelector", "spec.peerSelector"}, {"localWorkloadSelector", "spec.localWorkloadSelector"}, {"peerIP", "spec.peerIP"}}
)

// sides returns the paths of the fields of a BGPPeer that select its nodes and its peers, "" for none.
func sides(spec map[string]any) (local, remote string) {
	first := func(fields []selecting) string {
		for _, f := range fields {
			if text, _ := spec[f.field].(string); text != "" {
				return f.path
			}
		}
		return ""
	}
	return first(localFields), first(remoteFields)
}

// selects returns the paths of the fields of a BGPPeer that select its nodes and its peers.
func selects(spec map[string]any) []string {
	local, remote := sides(spec)
	return slices.DeleteFunc([]string{local, remote}, func(field string) bool { return field == "" })
}

// unused returns the paths of the fields of a BGPPeer that select no node.
func (p *BGPPeer) unused() []string {
	local, remote := sides(p.Spec)
	out := []string{}
	if p.LocalNodes == 0 && local != "" {
		out = append(out, local)
	}
	if p.RemoteNodes == 0 && p.Scope == "nodes" && remote != "" {
		out = append(out, remote)
	}
	return out
}

// selectors returns what the BGPPeers of s select. It returns the part of before, which may be nil, if nothing of it differs.
// O(BGPPeers that changed), and O(BGPPeers) if one of them has other labels or other fields that select no node.
func (t *Topology) selectors(s *Summary, before *Topology) *Selectors {
	if before != nil && sameMap(before.summary.BGPPeers, t.peersSince.of) && !slices.ContainsFunc(t.peersSince.changed, func(name string) bool {
		return !selectAlike(before.summary.BGPPeers[name], s.BGPPeers[name])
	}) {
		return before.summary.Selectors
	}
	out := &Selectors{Unused: []UnusedBGPPeer{}}
	labels := map[string]bool{}
	last := ""
	for _, r := range t.sessions.Peerings { // in order of names
		if r.Peer.Name == last {
			continue
		}
		last = r.Peer.Name
		p := s.BGPPeers[last]
		for _, selector := range p.Selectors {
			for _, label := range selector.Labels {
				labels[label] = true
			}
		}
		if len(out.Unused) == maxUnused {
			continue
		}
		if fields := p.unused(); len(fields) > 0 {
			out.Unused = append(out.Unused, UnusedBGPPeer{last, fields})
		}
	}
	out.Labels = slices.AppendSeq(make([]string, 0, len(labels)), maps.Keys(labels))
	slices.Sort(out.Labels)
	return out
}

// selectAlike reports whether two states of a BGPPeer, nil for none, have the same labels in their selectors and the same fields
// that select no node.
func selectAlike(a, b *BGPPeer) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.Equal(a.unused(), b.unused()) && slices.EqualFunc(a.Selectors, b.Selectors, func(x, y Selector) bool { return slices.Equal(x.Labels, y.Labels) })
}
