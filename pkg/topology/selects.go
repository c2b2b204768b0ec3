package topology

import (
	"maps"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// maxUnused is the maximum length of Selectors.Unused, and maxWide that of a list of Selectors.Wide.
const (
	maxUnused = 10
	maxWide   = 3
)

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

// findUnused sets the paths of the fields that select no node.
func (p *BGPPeer) findUnused() {
	local, remote := sides(p.Spec)
	p.unused = []string{}
	if p.LocalNodes == 0 && local != "" {
		p.unused = append(p.unused, local)
	}
	if p.RemoteNodes == 0 && p.Scope == "nodes" && remote != "" {
		p.unused = append(p.unused, remote)
	}
}

// selectors returns what the BGPPeers of s select. It returns the part of before, which may be nil, if nothing of it differs.
// O(BGPPeers that changed), and O(BGPPeers) if keep returns false for one of them or
// the route reflectors differ.
func (t *Topology) selectors(s *Summary, before *Topology) *Selectors {
	if before != nil && s.Reflectors == before.summary.Reflectors && s.Nodes.Reflectors == before.summary.Nodes.Reflectors && sameMap(before.summary.BGPPeers, t.peersSince.of) && !slices.ContainsFunc(t.peersSince.changed, func(name string) bool {
		return !before.summary.Selectors.keep(before.summary.BGPPeers[name], s.BGPPeers[name])
	}) {
		return before.summary.Selectors
	}
	out := &Selectors{Unused: []SelectingBGPPeer{}}
	for _, f := range calico.Families {
		*out.Wide.In(f) = s.wide(f)
	}
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
		if len(p.unused) > 0 {
			out.Unused = append(out.Unused, SelectingBGPPeer{last, p.unused})
		}
	}
	out.Labels = slices.AppendSeq(make([]string, 0, len(labels)), maps.Keys(labels))
	slices.Sort(out.Labels)
	return out
}

// wide returns the list of Selectors.Wide. O(BGPPeers with sessions of route reflectors).
func (s *Summary) wide(f calico.Family) []SelectingBGPPeer {
	out := []SelectingBGPPeer{}
	for _, name := range s.Reflectors.In(f).BGPPeers {
		p := s.BGPPeers[name]
		if max(p.LocalNodes, p.RemoteNodes) <= s.Nodes.Reflectors {
			continue
		}
		if len(out) == maxWide {
			return []SelectingBGPPeer{}
		}
		out = append(out, SelectingBGPPeer{name, p.Selects})
	}
	return out
}

// keep reports whether the part stays the same if a BGPPeer becomes another one; nil is none. False does not prove the opposite.
func (s *Selectors) keep(was, is *BGPPeer) bool {
	if was == nil || is == nil {
		return was == is || was == nil && len(is.unused) == 0 && !slices.ContainsFunc(is.Selectors, func(one Selector) bool {
			return slices.ContainsFunc(one.Labels, func(label string) bool {
				_, known := slices.BinarySearch(s.Labels, label)
				return !known
			})
		})
	}
	return was.LocalNodes == is.LocalNodes && was.RemoteNodes == is.RemoteNodes && slices.Equal(was.Selects, is.Selects) &&
		slices.Equal(was.unused, is.unused) && slices.EqualFunc(was.Selectors, is.Selectors, func(x, y Selector) bool { return slices.Equal(x.Labels, y.Labels) })
}
