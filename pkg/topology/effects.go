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

// Effects says in words how a change, which led from the state before to that
// of t, reaches the sessions: what the changed object itself lost or newly is,
// then the BGPPeers whose selectors now match other nodes, with how many and how
// many before, those first whose sessions change most. One sentence each,
// without a full stop; none where the sessions are the same.
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

// moved says which selectors of a BGPPeer match other nodes than before. One
// that matches all nodes, of which there are now more or fewer, is not worth a
// word, nor is one that is not set.
func (t *Topology) moved(before *Topology, r, old *sessions.Peering) []string {
	var out []string
	tell := func(field, phrase, oldText string, now, was *bitset.BitSet) {
		n, m := int(now.Count()), int(was.Count())
		switch {
		case phrase == "", phrase == oldText && n == int(t.index.Len()) && m == int(before.index.Len()):
		// Where nodes have come or gone, the numbers in the sets are others.
		case phrase == oldText && n == m && (sessions.SameSet(now, was) || t.index.Len() != before.index.Len()):
		case phrase == oldText && n == m:
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %q matches other nodes, %s as before", r.Peer.Name, field, phrase, text.Number(n)))
		case phrase == oldText:
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %q matches %s, %s before", r.Peer.Name, field, phrase, text.Count(n, "node"), text.Number(m)))
		default:
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %q matches %s; before, %q matched %s",
				r.Peer.Name, field, phrase, text.Count(n, "node"), oldText, text.Number(m)))
		}
	}
	tell("nodeSelector", r.Peer.NodeSelector, old.Peer.NodeSelector, r.Local, old.Local)
	tell("peerSelector", r.Peer.PeerSelector, old.Peer.PeerSelector, r.Remote, old.Remote)
	return out
}

// ownEffects says what the changed object itself is no longer, or newly is.
func (t *Topology) ownEffects(before *Topology, c state.Change) []string {
	var out []string
	switch kind := c.ID().Kind; {
	case kind == calico.KindBGPConfiguration:
		if t.sessions.Rules.Mesh && !before.sessions.Rules.Mesh {
			out = append(out, "the node-to-node mesh goes on")
		}
		if !t.sessions.Rules.Mesh && before.sessions.Rules.Mesh {
			out = append(out, "the node-to-node mesh goes off, which gave "+text.Count(before.summary.Mesh.Sessions, "session"))
		}
		if t.sessions.Rules.ASN != before.sessions.Rules.ASN {
			out = append(out, fmt.Sprintf("the cluster's AS number becomes %d, %d before", t.sessions.Rules.ASN, before.sessions.Rules.ASN))
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

// peerEffects says what a BGPPeer that is changed itself does, its selectors
// left out, which moved tells.
func (t *Topology) peerEffects(before *Topology, c state.Change) []string {
	name := c.ID().Name
	was, ok := before.snapshot.Get(c.ID()).(*calico.BGPPeer)
	is, ok2 := t.snapshot.Get(c.ID()).(*calico.BGPPeer)
	switch {
	case ok && !ok2:
		return []string{fmt.Sprintf("BGPPeer %s goes, which gave %s", name, before.summary.BGPPeers[name].gives())}
	case !ok && ok2:
		return []string{fmt.Sprintf("BGPPeer %s is new, and gives %s", name, t.summary.BGPPeers[name].gives())}
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
			out = append(out, fmt.Sprintf("BGPPeer %s: %s is %s, %s before", name, field, scalar(is.Spec[field]), scalar(was.Spec[field])))
		}
	}
	return out
}

// gives says in words what sessions the BGPPeer gives. Those with peers that are
// no nodes are not counted, but the nodes that have them are.
func (b *BGPPeer) gives() string {
	switch b.Scope {
	case sessions.ScopeExternal:
		return text.Count(b.LocalNodes, "node") + " sessions with a peer outside the cluster"
	case sessions.ScopeWorkloads:
		return text.Count(b.LocalNodes, "node") + " sessions with pods"
	default:
		return text.Count(b.Sessions, "session")
	}
}

// scalar writes a value of a spec, and of those that are made up of others, such
// as a reference to a Secret, only that they are there.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "not set"
	case map[string]any, []any:
		return "another"
	default:
		return fmt.Sprint(v)
	}
}

// nodeEffect says what a Node is no longer, or newly is, where the mesh was on or off.
func nodeEffect(c state.Change, mesh bool) string {
	was, ok := c.Before.(*calico.Node)
	is, ok2 := c.After.(*calico.Node)
	switch {
	case ok && !ok2:
		return fmt.Sprintf("Node %s goes", was.Name)
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
		return fmt.Sprintf("Node %s has cluster ID %s, %s before", is.Name, is.ClusterID, was.ClusterID)
	}
	for _, f := range calico.Families {
		if was.Address[f].Addr() == is.Address[f].Addr() {
			continue
		}
		if !is.SpeaksBGP(f) {
			return fmt.Sprintf("Node %s has no %s BGP address any more (%s before)", is.Name, f, was.Address[f].Addr())
		}
		if was.SpeaksBGP(f) {
			return fmt.Sprintf("Node %s has the BGP address %s, %s before", is.Name, is.Address[f].Addr(), was.Address[f].Addr())
		}
	}
	if a, b := asnText(is), asnText(was); a != b {
		return fmt.Sprintf("Node %s has the AS number %s, %s before", is.Name, a, b)
	}
	return ""
}

func asnText(n *calico.Node) string {
	if n.ASNumber == nil {
		return "of the cluster"
	}
	return strconv.FormatUint(uint64(*n.ASNumber), 10)
}
