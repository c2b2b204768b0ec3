package topology

import (
	"cmp"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// restartTime returns a graceful restart time in seconds, BIRD's default for
// nil. 0 is a value.
func restartTime(d *time.Duration) int {
	if d == nil {
		return sessions.Seconds(calico.DefaultRestartTime)
	}
	return sessions.Seconds(*d)
}

// keepaliveTime returns a keepalive time in seconds, BIRD's default for nil
// and for what rounds to 0, which BIRD takes as unset.
func keepaliveTime(d *time.Duration) int {
	if d == nil || sessions.Seconds(*d) == 0 {
		return sessions.Seconds(calico.DefaultKeepaliveTime)
	}
	return sessions.Seconds(*d)
}

// timers groups the mesh and the BGPPeers by their timers.
func (t *Topology) timers(s, old *Summary) *Timers {
	out := &Timers{}
	restart, keepalive := newTimerGroups(len(t.sessions.Peerings)), newTimerGroups(len(t.sessions.Peerings))
	c := t.snapshot.BGPConfiguration(calico.Default)
	var meshRestart *time.Duration
	if c != nil && c.NodeMeshMaxRestartTime != nil {
		meshRestart = c.NodeMeshMaxRestartTime
		out.MeshRestartTime = OptionalSeconds{true, sessions.Seconds(*meshRestart)}
	}
	if s.Mesh.Enabled {
		o := TimerObject{Kind: string(calico.KindBGPConfiguration), Name: calico.Default, Sessions: t.tallies[0].byMesh + t.tallies[1].byMesh}
		keepalive.add(keepaliveTime(nil), sessions.ScopeNodes, o) // The mesh's cannot be set.
		o.Set = meshRestart != nil
		restart.add(restartTime(meshRestart), sessions.ScopeNodes, o)
	}
	for i, r := range t.sessions.Peerings {
		p, scope := r.Peer, r.Scope
		if scope != sessions.ScopeNodes {
			scope = sessions.ScopeExternal
		}
		o := TimerObject{Kind: string(calico.KindBGPPeer), Name: p.Name, Sessions: t.sessionsOf(i)}
		o.Set = p.MaxRestartTime != nil
		restart.add(restartTime(p.MaxRestartTime), scope, o)
		o.Set = p.KeepaliveTime != nil
		keepalive.add(keepaliveTime(p.KeepaliveTime), scope, o)
	}
	out.RestartTime, out.KeepaliveTime = restart.sorted(), keepalive.sorted()
	if old.Timers != nil {
		reuse(&out.RestartTime, old.Timers.RestartTime, TimerGroup.equal)
		reuse(&out.KeepaliveTime, old.Timers.KeepaliveTime, TimerGroup.equal)
	}
	return out
}

func (g TimerGroup) equal(h TimerGroup) bool {
	return g.Seconds == h.Seconds && g.Scope == h.Scope && g.Sessions == h.Sessions && slices.Equal(g.Objects, h.Objects)
}

type timerKey struct {
	seconds int
	scope   string
}

// timerGroups collects TimerGroups.
type timerGroups struct {
	known map[timerKey]*TimerGroup
	// last is the group that was added to last, as most objects are in one group.
	last    *TimerGroup
	objects int // how many there may be
}

func newTimerGroups(objects int) *timerGroups {
	return &timerGroups{known: map[timerKey]*TimerGroup{}, objects: objects + 1}
}

func (g *timerGroups) add(seconds int, scope string, o TimerObject) {
	if g.last == nil || g.last.Seconds != seconds || g.last.Scope != scope {
		k := timerKey{seconds, scope}
		if g.known[k] == nil {
			g.known[k] = &TimerGroup{Seconds: seconds, Scope: scope}
			if len(g.known) == 1 {
				g.known[k].Objects = make([]TimerObject, 0, g.objects)
			}
		}
		g.last = g.known[k]
	}
	g.last.Sessions += o.Sessions
	g.last.Objects = append(g.last.Objects, o)
}

func (g *timerGroups) sorted() []TimerGroup {
	out := make([]TimerGroup, 0, len(g.known))
	for _, v := range g.known {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b TimerGroup) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Seconds, b.Seconds))
	})
	return out
}
