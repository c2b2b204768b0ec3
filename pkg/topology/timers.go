package topology

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// seconds is a timer as Calico writes it into bird.cfg: rounded to seconds
// (confd/pkg/backends/calico/bgp_processor.go).
func seconds(d time.Duration) int { return int(math.Round(d.Seconds())) }

// restartTime returns a graceful restart time in seconds, BIRD's default for
// nil. 0 is a value.
func restartTime(d *time.Duration) int {
	if d == nil {
		return seconds(calico.DefaultRestartTime)
	}
	return seconds(*d)
}

// keepaliveTime returns a keepalive time in seconds, BIRD's default for nil
// and for what rounds to 0, which BIRD takes as unset.
func keepaliveTime(d *time.Duration) int {
	if d == nil || seconds(*d) == 0 {
		return seconds(calico.DefaultKeepaliveTime)
	}
	return seconds(*d)
}

// optionalSeconds is a timer as it is written, unset for nil.
func optionalSeconds(d *time.Duration) int {
	if d == nil {
		return unset
	}
	return seconds(*d)
}

// timers groups the mesh and the BGPPeers by their timers.
func (t *Topology) timers(s *Summary) *Timers {
	out := &Timers{}
	restart, keepalive := timerGroups{}, timerGroups{}
	c := t.snapshot.BGPConfiguration(calico.Default)
	var meshRestart *time.Duration
	if c != nil && c.NodeMeshMaxRestartTime != nil {
		meshRestart = c.NodeMeshMaxRestartTime
		out.MeshRestartTime = OptionalSeconds{true, seconds(*meshRestart)}
	}
	if s.Mesh.Enabled {
		sessions := t.tallies[0].byMesh + t.tallies[1].byMesh
		o := TimerObject{Kind: string(calico.KindBGPConfiguration), Name: calico.Default, Sessions: sessions}
		keepalive.add(keepaliveTime(nil), scopeNodes, o) // The mesh's cannot be set.
		o.Set = meshRestart != nil
		restart.add(restartTime(meshRestart), scopeNodes, o)
	}
	for _, r := range t.peerings {
		p, b := r.peer, s.BGPPeers[r.peer.Name]
		scope := b.Scope
		if scope != scopeNodes {
			scope = scopeExternal
		}
		o := TimerObject{Kind: string(calico.KindBGPPeer), Name: p.Name, Sessions: b.Sessions}
		o.Set = p.MaxRestartTime != nil
		restart.add(b.RestartTime, scope, o)
		o.Set = p.KeepaliveTime != nil
		keepalive.add(b.KeepaliveTime, scope, o)
	}
	out.RestartTime, out.KeepaliveTime = restart.sorted(), keepalive.sorted()
	return out
}

type timerKey struct {
	seconds int
	scope   string
}

type timerGroups map[timerKey]*TimerGroup

func (g timerGroups) add(seconds int, scope string, o TimerObject) {
	k := timerKey{seconds, scope}
	if g[k] == nil {
		g[k] = &TimerGroup{Seconds: seconds, Scope: scope}
	}
	g[k].Sessions += o.Sessions
	g[k].Objects = append(g[k].Objects, o)
}

func (g timerGroups) sorted() []TimerGroup {
	out := make([]TimerGroup, 0, len(g))
	for _, v := range g {
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b TimerGroup) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Seconds, b.Seconds))
	})
	return out
}
