package topology

import (
	"fmt"
	"strconv"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Effects says in words how a change, which led from the state before to that
// of t, reaches the sessions: the BGPPeers whose selectors now match other
// nodes, with how many and how many before, and what the object itself lost.
// One sentence each, without a full stop, in a fixed order; none where the
// sessions are the same.
func (t *Topology) Effects(before *Topology, c state.Change) []string {
	if t.routings == before.routings {
		return nil
	}
	var out []string
	if text := t.ownEffect(before, c); text != "" {
		out = append(out, text)
	}
	known := map[string]*peering{}
	for _, p := range before.peerings {
		known[p.peer.Name] = p
	}
	for _, p := range t.peerings {
		old := known[p.peer.Name]
		delete(known, p.peer.Name)
		if old != nil {
			out = append(out, t.moved(before, p, old)...)
		}
	}
	for _, name := range sortedKeys(known) {
		sessions := before.summary.BGPPeers[name].Sessions
		out = append(out, fmt.Sprintf("BGPPeer %s goes, which gave %s", name, counted(sessions, "session")))
	}
	return out
}

// moved says which selectors of a BGPPeer match other nodes than before. One
// that matches all nodes, of which there are now more or fewer, is not worth a
// word.
func (t *Topology) moved(before *Topology, r, old *peering) []string {
	var out []string
	tell := func(field, text, oldText string, now, was uint) {
		switch {
		case now == was, now == t.index.Len() && was == before.index.Len():
		case text == oldText && text != "":
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %q matches %s, %d before", r.peer.Name, field, text, counted(int(now), "node"), was))
		case text != oldText:
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %q matches %s; before, %q matched %d", r.peer.Name, field, text, counted(int(now), "node"), oldText, was))
		}
	}
	tell("nodeSelector", r.peer.NodeSelector, old.peer.NodeSelector, r.local.Count(), old.local.Count())
	tell("peerSelector", r.peer.PeerSelector, old.peer.PeerSelector, r.remote.Count(), old.remote.Count())
	return out
}

// ownEffect says what the changed object itself, a Node or the cluster's
// configuration, is no longer, or newly is.
func (t *Topology) ownEffect(before *Topology, c state.Change) string {
	switch id := c.ID(); {
	case id.Kind == calico.KindBGPConfiguration && t.rules.mesh != before.rules.mesh:
		if t.rules.mesh {
			return "the node-to-node mesh goes on"
		}
		return fmt.Sprintf("the node-to-node mesh goes off, which gave %s", counted(before.summary.Mesh.Sessions, "session"))
	case id.Kind == calico.KindBGPConfiguration && t.rules.asn != before.rules.asn:
		return fmt.Sprintf("the cluster's AS number becomes %d, %d before", t.rules.asn, before.rules.asn)
	case id.Kind == calico.KindNode:
		return nodeEffect(c)
	}
	return ""
}

func nodeEffect(c state.Change) string {
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
		return fmt.Sprintf("Node %s becomes a route reflector (cluster ID %s) and leaves the node-to-node mesh", is.Name, is.ClusterID)
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

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
