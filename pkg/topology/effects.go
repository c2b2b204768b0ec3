package topology

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// Effects describes how a change affects the sessions. The change leads from the state
// of before to the state of t. Effects returns first the changes of the object itself,
// then the BGPPeers whose selectors match other nodes than before. The BGPPeer that
// loses the most sessions comes first. Each element is one sentence without a full
// stop. The result is empty if the sessions are the same.
func (t *Topology) Effects(before *Topology, c state.Change) []string {
	if t.routings == before.routings {
		return nil
	}
	out := t.ownEffects(before, c)
	known := map[string]*sessions.Peering{}
	for _, p := range before.sessions.Peerings {
		known[p.Peer.Name] = p
	}
	type moved struct {
		texts []string
		loss  int // of sessions
	}
	var others []moved
	for _, p := range t.sessions.Peerings {
		if old := known[p.Peer.Name]; old != nil {
			others = append(others, moved{t.moved(before, p, old), before.summary.BGPPeers[p.Peer.Name].Sessions - t.summary.BGPPeers[p.Peer.Name].Sessions})
		}
	}
	slices.SortStableFunc(others, func(a, b moved) int { return cmp.Compare(b.loss, a.loss) })
	for _, m := range others {
		out = append(out, m.texts...)
	}
	return out
}

// moved describes the selectors of a BGPPeer that match other nodes than before.
// It skips a selector that is unset, and one that matches all nodes before and after
// nodes were added or deleted.
func (t *Topology) moved(before *Topology, r, old *sessions.Peering) []string {
	var out []string
	describe := func(field, selector, oldSelector string, now, was *bitset.BitSet) {
		n, m := int(now.Count()), int(was.Count())
		switch {
		case selector == "", selector == oldSelector && n == int(t.index.Len()) && m == int(before.index.Len()):
		// If nodes were added or deleted, the node numbers in the sets cannot be compared.
		case selector == oldSelector && n == m && (now.Equal(was) || int(t.index.Len()) != int(before.index.Len())):
		case selector == oldSelector && n == m:
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %q matches %s as before, but not the same", r.Peer.Name, field, selector, text.Count(n, "node")))
		case selector == oldSelector:
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %q matches %s, %s before", r.Peer.Name, field, selector, text.Count(n, "node"), text.Number(m)))
		default:
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %q matches %s; before, %q matched %s",
				r.Peer.Name, field, selector, text.Count(n, "node"), oldSelector, text.Number(m)))
		}
	}
	describe("nodeSelector", r.Peer.NodeSelector, old.Peer.NodeSelector, r.Local, old.Local)
	describe("peerSelector", r.Peer.PeerSelector, old.Peer.PeerSelector, r.Remote, old.Remote)
	return out
}

// ownEffects describes what changes about the object itself.
func (t *Topology) ownEffects(before *Topology, c state.Change) []string {
	var out []string
	switch kind := c.ID().Kind; {
	case kind == calico.KindBGPConfiguration:
		if t.sessions.Rules.Mesh && !before.sessions.Rules.Mesh {
			out = append(out, "the node-to-node mesh is turned on")
		}
		if !t.sessions.Rules.Mesh && before.sessions.Rules.Mesh {
			out = append(out, "the node-to-node mesh is turned off and its "+text.Count(before.summary.Mesh.Sessions, "session")+" removed")
		}
		if t.sessions.Rules.ASN != before.sessions.Rules.ASN {
			out = append(out, fmt.Sprintf("the cluster's AS number changes from %d to %d", before.sessions.Rules.ASN, t.sessions.Rules.ASN))
		}
	case kind == calico.KindNode:
		if text := nodeEffect(c, before.sessions.Rules.Mesh); text != "" {
			out = append(out, text)
		}
	case kind == calico.KindBGPPeer:
		out = append(out, t.peerEffects(before, c)...)
	}
	return out
}

// peerEffects describes what changes about a BGPPeer, except its selectors, which moved
// describes.
func (t *Topology) peerEffects(before *Topology, c state.Change) []string {
	name := c.ID().Name
	was, ok := before.snapshot.Get(c.ID()).(*calico.BGPPeer)
	is, ok2 := t.snapshot.Get(c.ID()).(*calico.BGPPeer)
	switch {
	case ok && !ok2:
		return []string{fmt.Sprintf("BGPPeer %s is deleted, which configured %s", name, before.summary.BGPPeers[name].configures())}
	case !ok && ok2:
		return []string{fmt.Sprintf("BGPPeer %s is created and configures %s", name, t.summary.BGPPeers[name].configures())}
	case !ok:
		return nil
	}
	var out []string
	fields := map[string]bool{}
	for _, spec := range []map[string]any{was.Spec, is.Spec} {
		for field := range spec {
			fields[field] = field != "nodeSelector" && field != "peerSelector"
		}
	}
	for _, field := range sortedKeys(fields) {
		if fields[field] && !reflect.DeepEqual(was.Spec[field], is.Spec[field]) {
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %s", name, field, changed(was.Spec[field], is.Spec[field])))
		}
	}
	return out
}

// configures describes the sessions that the BGPPeer configures: the number of sessions
// between nodes or, for other peers, the number of nodes with such sessions.
func (b *BGPPeer) configures() string {
	switch b.Scope {
	case sessions.ScopeExternal:
		return "sessions with an external peer on " + text.Count(b.LocalNodes, "node")
	case sessions.ScopeWorkloads:
		return "sessions with pods on " + text.Count(b.LocalNodes, "node")
	default:
		return text.Count(b.Sessions, "session")
	}
}

// changed describes how a field of a spec changes. It does not include the values of
// maps and lists, such as a reference to a Secret.
func changed(was, is any) string {
	a, ok := scalar(was)
	b, ok2 := scalar(is)
	switch {
	case is == nil && ok:
		return "is unset, it was " + a
	case is == nil:
		return "is unset"
	case was == nil && ok2:
		return "is set to " + b
	case was == nil:
		return "is set"
	case ok && ok2:
		return "changes from " + a + " to " + b
	}
	return "changes"
}

// scalar returns the text of a value that is neither a map nor a list.
func scalar(v any) (string, bool) {
	switch v.(type) {
	case map[string]any, []any:
		return "", false
	}
	return fmt.Sprint(v), true
}

// nodeEffect describes what changes about a Node, "" for nothing. mesh reports whether
// the mesh was on before.
func nodeEffect(c state.Change, mesh bool) string {
	was, ok := c.Before.(*calico.Node)
	is, ok2 := c.After.(*calico.Node)
	switch {
	case ok && !ok2:
		return fmt.Sprintf("Node %s is deleted", was.Name)
	case !ok || !ok2:
		return ""
	case was.ClusterID != is.ClusterID && is.ClusterID == "":
		return fmt.Sprintf("Node %s is no longer a route reflector (cluster ID %s before)", is.Name, was.ClusterID)
	case was.ClusterID != is.ClusterID && was.ClusterID == "":
		text := fmt.Sprintf("Node %s becomes a route reflector (cluster ID %s)", is.Name, is.ClusterID)
		if mesh {
			text += " and leaves the node-to-node mesh"
		}
		return text
	case was.ClusterID != is.ClusterID:
		return fmt.Sprintf("the cluster ID of Node %s changes from %s to %s", is.Name, was.ClusterID, is.ClusterID)
	}
	for _, f := range calico.Families {
		if was.Address[f].Addr() == is.Address[f].Addr() {
			continue
		}
		if !is.SpeaksBGP(f) {
			return fmt.Sprintf("Node %s loses its %s BGP address %s", is.Name, f, was.Address[f].Addr())
		}
		if was.SpeaksBGP(f) {
			return fmt.Sprintf("the BGP address of Node %s changes from %s to %s", is.Name, was.Address[f].Addr(), is.Address[f].Addr())
		}
	}
	if a, b := asnText(is), asnText(was); a != b {
		return fmt.Sprintf("the AS number of Node %s changes from %s to %s", is.Name, b, a)
	}
	return ""
}

func asnText(n *calico.Node) string {
	if n.ASNumber == nil {
		return "the cluster's"
	}
	return strconv.FormatUint(uint64(*n.ASNumber), 10)
}
