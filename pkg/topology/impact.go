package topology

import (
	"fmt"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// Impact is what a change does to the sessions and routes of a cluster: the difference
// between two topologies. Sessions and nodes are counted over both families, a node
// once. Its size does not depend on the number of nodes.
type Impact struct {
	// Added, Removed and Reset count sessions. A session is between two nodes, or
	// between a node and an external peer or pods, in one family. A session is reset if
	// it exists before and after the change and BIRD closes and opens it, because a
	// parameter of it or an address changes. Kept counts the sessions that stay up.
	// Sessions that cannot come up are not counted.
	Added   Kinds `json:"added"`
	Removed Kinds `json:"removed"`
	Reset   Kinds `json:"reset"`
	Kept    Kinds `json:"kept"`
	// Switched counts the sessions in Reset that the mesh configures on one side of the
	// change and BGPPeers on the other. Reset has them by what configures them after it.
	Switched int `json:"switched"`
	// Nodes counts the nodes with an added, removed or reset session, also those that
	// the change deletes. ExternalPeers counts the addresses of external peers with such
	// a session.
	Nodes         int `json:"nodes"`
	ExternalPeers int `json:"externalPeers"`
	// Interruption is the time without routes that nodes have before and after the change.
	Interruption Interruption `json:"interruption"`
	// Start is how the next start of calico-node changes.
	Start StartImpact `json:"start"`
	// Restart is the nodes on which the change takes effect only when calico-node restarts.
	Restart Restart `json:"restart"`
	// Routes is which routes nodes lose and gain, by family. It compares nodes that
	// exist before and after the change.
	Routes PerFamily[RoutesImpact] `json:"routes"`
	// Peers is which routes external peers lose and gain.
	Peers PeersImpact `json:"peers"`
	// Reflectors counts the route reflectors to which other nodes have sessions after the
	// change, and Clients these nodes. Both are the larger number of the two families.
	Reflectors int `json:"reflectors"`
	Clients    int `json:"clients"`
	// Causes describes the changes of objects that lead to all this, at most maxCauses
	// sentences without a full stop: the changes of objects, then the BGPPeers whose
	// selectors match other nodes than before. The BGPPeer that loses the most sessions
	// comes first. It is empty if the sessions are the same.
	Causes []string `json:"causes"`
}

// Kinds counts sessions by what configures them.
type Kinds struct {
	// Mesh counts the sessions with at least one half-session of the node-to-node mesh.
	Mesh int `json:"mesh"`
	// Reflector counts the sessions between nodes that BGPPeers configure.
	Reflector int `json:"reflector"`
	// External counts the sessions with external peers and with pods.
	External int `json:"external"`
}

// Total returns the number of sessions of all kinds.
func (k Kinds) Total() int { return k.Mesh + k.Reflector + k.External }

// Interruption is how long nodes have no routes while sessions are reset or replaced.
type Interruption struct {
	// Seconds is the usual time, and AtWorst the longest. Both are 0 if every route that
	// nodes have after the change also comes over a session that stays up.
	Seconds int `json:"seconds"`
	AtWorst int `json:"atWorst"`
	// Nodes counts the nodes with a session before and after the change in a family, of
	// which none stays up.
	Nodes int `json:"nodes"`
}

// StartImpact is the time that a node is without routes after calico-node starts; see
// Convergence.
type StartImpact struct {
	// SecondsBefore and Seconds are the longest time on any node.
	SecondsBefore int `json:"secondsBefore"`
	Seconds       int `json:"seconds"`
	// WaitingBefore and Waiting count the nodes that wait the whole graceful-restart wait.
	WaitingBefore int `json:"waitingBefore"`
	Waiting       int `json:"waiting"`
}

// Restart is the nodes whose BIRD must restart, because it must listen on another port or
// address. It does not move its listening socket while it runs: it logs a warning (conf/conf.c of
// BIRD 1.6, global_commit), and its neighbors connect to the new port at once.
type Restart struct {
	// Nodes counts the nodes, and Ports those of them that must listen on another port.
	Nodes int `json:"nodes"`
	Ports int `json:"ports"`
	// Seconds is the longest time that one of them is without routes after its restart.
	Seconds int `json:"seconds"`
}

// RoutesImpact is the routes that nodes lose and gain in one family, if external peers
// pass routes on between nodes, and if not.
type RoutesImpact struct {
	WithTransit    RoutesDifference `json:"withTransit"`
	WithoutTransit RoutesDifference `json:"withoutTransit"`
}

// RoutesDifference counts ordered pairs of nodes (a, b) for which b has the routes to
// the pods of a on one side of the change only, and the nodes in such pairs.
type RoutesDifference struct {
	LostPairs   int `json:"lostPairs"`
	LostNodes   int `json:"lostNodes"`
	GainedPairs int `json:"gainedPairs"`
	GainedNodes int `json:"gainedNodes"`
}

// The times of a session that is reset or replaced, in seconds. BIRD connects again
// after the connect delay. At worst, errors follow each other until the error wait has its
// longest value, and a connection that fails is tried again after the connect retry.
const (
	resetUsual   = connectDelay
	resetAtWorst = errorWaitMax + connectRetry
)

// Empty reports that the change alters no session, no route and no start.
func (i *Impact) Empty() bool {
	return i.Added == Kinds{} && i.Removed == Kinds{} && i.Reset == Kinds{} && i.Routes == PerFamily[RoutesImpact]{} && i.Peers.Losing+i.Peers.Gaining == 0 &&
		i.Start.Seconds == i.Start.SecondsBefore && i.Start.Waiting == i.Start.WaitingBefore && i.Restart.Nodes == 0
}

// Impact returns what the change from the topology before to t does.
//
// O(nodes + links between classes + classes x kinds of classes in the mesh + half-sessions
// with external peers that changed), and for routes O(kinds of nodes squared + half-sessions with external
// peers) for each kind of prefixes. O(1) if no session and no route differs.
func (t *Topology) Impact(before *Topology) *Impact {
	out := &Impact{Causes: []string{}, Peers: PeersImpact{Groups: []PeerGroupImpact{}, Complete: true}}
	a, b := before.summary, t.summary
	out.Start = StartImpact{a.Convergence.Start.Seconds, b.Convergence.Start.Seconds, a.Convergence.Waiting.Nodes, b.Convergence.Waiting.Nodes}
	for _, f := range calico.Families {
		r := b.Reflectors.In(f)
		out.Reflectors = max(out.Reflectors, r.Peered)
		clients := 0
		for _, l := range r.Levels {
			if l.Reflectors > 0 {
				clients += l.Nodes
			}
		}
		out.Clients = max(out.Clients, clients)
	}
	if t.networks == before.networks && t.routings == before.routings && t.services == before.services {
		out.keep(t)
		return out
	}
	out.Causes = append(out.Causes, t.causes(before)...)
	out.Restart = t.restart(before)
	c := newComparison(t, before)
	c.compare(out)
	for _, f := range calico.Families {
		*out.Routes.In(f) = RoutesImpact{
			WithTransit: c.routes(f, routes.WithTransit), WithoutTransit: c.routes(f, routes.WithoutTransit),
		}
	}
	out.Peers = c.peerRoutes()
	return out
}

// restart returns Impact.Restart. Nodes that are new start with the new settings. O(nodes) if a
// setting differs, else O(1).
func (t *Topology) restart(before *Topology) Restart {
	var out Restart
	is, was := &t.sessions.Rules, &before.sessions.Rules
	if !is.BIRD || !was.BIRD || is.BindMode == was.BindMode && is.SamePorts(was) {
		return out
	}
	t.matched(before, func(i, k int) {
		if k < 0 || !t.index.Speakers.Test(uint(i)) || !before.index.Speakers.Test(uint(k)) {
			return
		}
		moves := t.sessions.Port(i) != before.sessions.Port(k)
		if moves {
			out.Ports++
		}
		if moves || is.BindMode != was.BindMode {
			out.Nodes++
		}
	})
	if out.Nodes > 0 {
		out.Seconds = t.summary.Convergence.Start.Seconds
	}
	return out
}

// keep sets Kept to all sessions of t.
func (i *Impact) keep(t *Topology) {
	for f, y := range t.tallies {
		n := t.networks[f]
		regular := n.regular()
		i.Kept.Mesh += y.byMesh
		i.Kept.Reflector += y.Total - y.byMesh
		for _, o := range n.Externals {
			if regular && simple(o) {
				i.Kept.External += o.List.Len
			} else {
				i.Kept.External += int(n.workingWith(o).Count())
			}
		}
		for _, p := range n.Workloads {
			i.Kept.External += int(p.Local.IntersectionCardinality(n.Index.BGP[f]))
		}
	}
}

// String returns what the change does in one line, without a full stop.
func (i *Impact) String() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, one := range []struct {
		verb  string
		kinds Kinds
	}{{"adds", i.Added}, {"removes", i.Removed}, {"resets", i.Reset}} {
		if one.kinds.Total() > 0 {
			add("%s %s", one.verb, one.kinds)
		}
	}
	if i.Switched > 0 {
		add("%s between mesh and BGPPeers", text.Count(i.Switched, "of these sessions switches", "of these sessions switch"))
	}
	if len(parts) > 0 {
		concerned := text.Count(i.Nodes, "node")
		if i.ExternalPeers > 0 {
			concerned += " and " + text.Count(i.ExternalPeers, "external peer")
		}
		parts[len(parts)-1] += " (on " + concerned + ")"
	}
	if i.Removed.Mesh > 0 && i.Kept.Reflector > 0 {
		if i.Clients > 0 {
			add("keeps %s by BGPPeers, of %s to %s", text.Count(i.Kept.Reflector, "session"), text.Count(i.Clients, "node"), text.Count(i.Reflectors, "route reflector"))
		} else {
			add("keeps %s by BGPPeers", text.Count(i.Kept.Reflector, "session"))
		}
	}
	changes := len(parts) > 0
	parts = append(parts, i.routesText(changes)...)
	parts = append(parts, i.Peers.sentences()...)
	if i.Interruption.AtWorst > 0 {
		which := "interrupts " + text.Count(i.Interruption.Nodes, "node")
		if i.Interruption.Nodes == 0 {
			which = "may interrupt routes"
		}
		add("%s for about %d s, %d s at worst", which, i.Interruption.Seconds, i.Interruption.AtWorst)
	}
	if i.Start.Seconds != i.Start.SecondsBefore || i.Start.Waiting != i.Start.WaitingBefore {
		if i.Start.Waiting > 0 {
			add("at its next start, calico-node is without routes for %d s on %s (on %s before)", i.Start.Seconds, text.Count(i.Start.Waiting, "node"), text.Number(i.Start.WaitingBefore))
		} else {
			add("at its next start, calico-node is without routes for %d s (%d s before)", i.Start.Seconds, i.Start.SecondsBefore)
		}
	}
	if r := i.Restart; r.Nodes > 0 {
		line := fmt.Sprintf("%s until calico-node restarts there, and each restart leaves its node without routes for about %d s",
			text.Count(r.Nodes, "node listens as before", "nodes listen as before"), r.Seconds)
		if r.Ports > 0 {
			line += "; before, no neighbor connects to them on the new port"
		}
		parts = append(parts, line)
	}
	if len(parts) == 0 {
		return "changes no session and no route between nodes"
	}
	return strings.Join(parts, "; ")
}

// String lists the numbers that are not 0.
func (k Kinds) String() string {
	var parts []string
	for _, one := range []struct {
		n          int
		name, many string
	}{
		{k.Mesh, "mesh session", "mesh sessions"}, {k.Reflector, "session between nodes by BGPPeers", "sessions between nodes by BGPPeers"},
		{k.External, "session with external peers", "sessions with external peers"},
	} {
		if one.n > 0 {
			parts = append(parts, text.Count(one.n, one.name, one.many))
		}
	}
	return strings.Join(parts, ", ")
}

// routesText says which routes are lost and gained. changes reports that sessions change.
func (i *Impact) routesText(changes bool) []string {
	var out []string
	lost := false
	for _, f := range calico.Families {
		r := i.Routes.In(f)
		for _, one := range []struct {
			verb string
			of   func(*RoutesDifference) (pairs, nodes int)
		}{
			{"lose", func(d *RoutesDifference) (int, int) { return d.LostPairs, d.LostNodes }},
			{"gain", func(d *RoutesDifference) (int, int) { return d.GainedPairs, d.GainedNodes }},
		} {
			pairs, nodes := one.of(&r.WithTransit)
			without, nodesWithout := one.of(&r.WithoutTransit)
			condition := ""
			if pairs != without {
				condition = ", if external peers pass routes on"
				if without > pairs {
					pairs, nodes, condition = without, nodesWithout, ", if external peers pass no routes on"
				}
			}
			if pairs == 0 {
				continue
			}
			lost = lost || one.verb == "lose"
			out = append(out, fmt.Sprintf("%s %s %s routes to nodes (%s)%s", text.Count(nodes, "node"), text.Either(nodes, one.verb+"s", one.verb), f, text.Count(pairs, "ordered pair"), condition))
		}
	}
	which := "no route"
	if i.Peers.Losing > 0 {
		which = "no route between nodes"
	}
	switch {
	case lost || !changes:
	case i.Interruption.AtWorst > 0:
		out = append([]string{which + " is lost"}, out...)
	default:
		out = append([]string{which + " is lost or interrupted"}, out...)
	}
	return out
}
