package topology

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/bits-and-blooms/bitset"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// maxCauses bounds Impact.Causes.
const maxCauses = 20

// causes returns Impact.Causes. O(BGPPeers), and O(nodes) if nodes differ.
func (t *Topology) causes(before *Topology) []string {
	out := t.configurationCauses(before)
	if t.index != before.index {
		out = append(out, t.nodeCauses(before)...)
	}
	type change struct {
		texts []string
		loss  int // of sessions
	}
	var others []change
	eachByName(before.sessions.Peerings, t.sessions.Peerings, func(old, p *sessions.Peering) {
		switch {
		case old == nil:
			out = append(out, fmt.Sprintf("BGPPeer %s is created and configures %s", p.Peer.Name, t.summary.BGPPeers[p.Peer.Name].configures()))
		case p == nil:
			out = append(out, fmt.Sprintf("BGPPeer %s is deleted, which configured %s", old.Peer.Name, before.summary.BGPPeers[old.Peer.Name].configures()))
		default:
			out = append(out, fieldCauses(old.Peer, p.Peer)...)
			if texts := t.moved(before, p, old); len(texts) > 0 {
				others = append(others, change{texts, before.summary.BGPPeers[p.Peer.Name].Sessions - t.summary.BGPPeers[p.Peer.Name].Sessions})
			}
		}
	})
	slices.SortStableFunc(others, func(a, b change) int { return cmp.Compare(b.loss, a.loss) })
	for _, m := range others {
		out = append(out, m.texts...)
	}
	if more := len(out) - maxCauses; more > 0 {
		out = append(out[:maxCauses], fmt.Sprintf("and %s more", text.Number(more)))
	}
	return out
}

// eachByName calls visit with the peerings of each BGPPeer that differ, in order of names.
// One of them is nil for a BGPPeer that only one list has.
func eachByName(was, is []*sessions.Peering, visit func(old, now *sessions.Peering)) {
	for len(was) > 0 || len(is) > 0 {
		switch {
		case len(was) > 0 && len(is) > 0 && was[0] == is[0]:
			was, is = was[1:], is[1:]
		case len(is) == 0 || len(was) > 0 && was[0].Peer.Name < is[0].Peer.Name:
			visit(was[0], nil)
			was = was[1:]
		case len(was) == 0 || is[0].Peer.Name < was[0].Peer.Name:
			visit(nil, is[0])
			is = is[1:]
		default:
			visit(was[0], is[0])
			was, is = was[1:], is[1:]
		}
	}
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

// configurationCauses describes what changes about the BGPConfiguration "default" and the Installation.
func (t *Topology) configurationCauses(before *Topology) []string {
	var out []string
	is, was := &t.sessions.Rules, &before.sessions.Rules
	switch {
	case is.BIRD && !was.BIRD:
		out = append(out, "calico-node starts BIRD, because tigera-operator turns BGP on")
	case !is.BIRD && was.BIRD:
		out = append(out, "calico-node no longer runs BIRD, because tigera-operator turns BGP off")
	case is.Mesh && !was.Mesh:
		out = append(out, "the node-to-node mesh is turned on")
	case !is.Mesh && was.Mesh:
		out = append(out, "the node-to-node mesh is turned off")
	}
	if is.ASN != was.ASN {
		out = append(out, fmt.Sprintf("the cluster's AS number changes from %d to %d", was.ASN, is.ASN))
	}
	return out
}

// nodeCauses describes the nodes that change.
func (t *Topology) nodeCauses(before *Topology) []string {
	var out []string
	deleted := bitset.New(before.index.Len()).Complement()
	t.matched(before, func(i, k int) {
		if k < 0 {
			return // Created nodes end nothing.
		}
		deleted.Clear(uint(k))
		if text := nodeCause(before.index.Nodes[k], t.index.Nodes[i], before.sessions.Rules.Mesh); text != "" {
			out = append(out, text)
		}
	})
	for k, ok := deleted.NextSet(0); ok; k, ok = deleted.NextSet(k + 1) {
		out = append(out, fmt.Sprintf("Node %s is deleted", before.index.Nodes[k].Name))
	}
	return out
}

// fieldCauses describes the fields of a BGPPeer that change, except its selectors, which
// moved describes.
func fieldCauses(was, is *calico.BGPPeer) []string {
	if was == is {
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
			out = append(out, fmt.Sprintf("BGPPeer %s: %s %s", is.Name, field, changed(was.Spec[field], is.Spec[field])))
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

// nodeCause describes what changes about a Node, "" for nothing. mesh reports whether
// the mesh was on before.
func nodeCause(was, is *calico.Node, mesh bool) string {
	switch {
	case was == is:
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
