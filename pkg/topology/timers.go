package topology

import (
	"cmp"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// restartTime returns a graceful restart time in seconds, BIRD's default for nil. For
// BIRD, 0 is a value and does not select the default.
func restartTime(d *time.Duration) int {
	if d == nil {
		return calico.Seconds(calico.DefaultRestartTime)
	}
	return calico.Seconds(*d)
}

// keepaliveTime returns a keepalive time in seconds, BIRD's default for nil and for a
// time that rounds to 0. For BIRD, 0 is unset.
func keepaliveTime(d *time.Duration) int {
	if d == nil || calico.Seconds(*d) == 0 {
		return calico.Seconds(calico.DefaultKeepaliveTime)
	}
	return calico.Seconds(*d)
}

// timers groups the mesh and the BGPPeers by their timers. old is the Timers of an
// earlier summary, or nil; timers reuses its lists that are equal. O(BGPPeers).
func (t *Topology) timers(mesh bool, old *Timers) *Timers {
	if old == nil {
		old = &Timers{}
	}
	out := &Timers{}
	restart, keepalive := newTimerGroups(old.RestartTime, len(t.sessions.Peerings)), newTimerGroups(old.KeepaliveTime, len(t.sessions.Peerings))
	c := t.snapshot.BGPConfiguration(calico.Default)
	var meshRestart *time.Duration
	if c != nil && c.NodeMeshMaxRestartTime != nil {
		meshRestart = c.NodeMeshMaxRestartTime
		out.MeshRestartTime = OptionalSeconds{true, new(calico.Seconds(*meshRestart))}
	}
	if mesh {
		o := TimerObject{Kind: string(calico.KindBGPConfiguration), Name: calico.Default, Sessions: t.tallies[0].byMesh + t.tallies[1].byMesh}
		keepalive.add(keepaliveTime(nil), sessions.ScopeNodes, o) // Calico has no keepalive setting for the mesh.
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
	return out
}

type timerKey struct {
	seconds int
	scope   string
}

// timerGroups collects TimerGroups.
type timerGroups struct {
	known map[timerKey]*timerGroup
	// last is the group of the last object. Most objects are in one group.
	last *timerGroup
	old  []TimerGroup // of an earlier summary
	// objects is the maximum number of objects.
	objects int
}

// timerGroup collects the objects of a TimerGroup. It does not allocate a list while
// the objects equal those of an earlier group, in the same order.
type timerGroup struct {
	TimerGroup
	old  []TimerObject
	same int // the number of objects equal to the first ones of old, while Objects is nil
}

func newTimerGroups(old []TimerGroup, objects int) *timerGroups {
	return &timerGroups{known: map[timerKey]*timerGroup{}, old: old, objects: objects + 1}
}

func (g *timerGroups) add(seconds int, scope string, o TimerObject) {
	if g.last == nil || g.last.Seconds != seconds || g.last.Scope != scope {
		k := timerKey{seconds, scope}
		if g.known[k] == nil {
			g.known[k] = g.group(seconds, scope)
		}
		g.last = g.known[k]
	}
	g.last.add(o)
}

func (g *timerGroups) group(seconds int, scope string) *timerGroup {
	out := &timerGroup{TimerGroup: TimerGroup{Seconds: seconds, Scope: scope}}
	if i := slices.IndexFunc(g.old, func(o TimerGroup) bool { return o.Seconds == seconds && o.Scope == scope }); i >= 0 {
		out.old = g.old[i].Objects
	} else if len(g.known) == 0 {
		out.Objects = make([]TimerObject, 0, g.objects)
	}
	return out
}

func (g *timerGroup) add(o TimerObject) {
	g.Sessions += o.Sessions
	if g.Objects == nil && g.same < len(g.old) && g.old[g.same] == o {
		g.same++
		return
	}
	if g.Objects == nil {
		g.Objects = append(make([]TimerObject, 0, len(g.old)+1), g.old[:g.same]...)
	}
	g.Objects = append(g.Objects, o)
}

func (g *timerGroups) sorted() []TimerGroup {
	out := make([]TimerGroup, 0, len(g.known))
	for _, v := range g.known {
		if v.Objects == nil {
			v.Objects = v.old[:v.same:v.same]
		}
		out = append(out, v.TimerGroup)
	}
	slices.SortFunc(out, func(a, b TimerGroup) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Seconds, b.Seconds))
	})
	return out
}
