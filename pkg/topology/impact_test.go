package topology

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// naiveSession is a session that comes up, by its protocols: two between nodes, one with
// another peer.
type naiveSession struct {
	nodes []string
	peer  string // the address of an external peer, "" for others
	kind  string
	// text is what the protocols of the session are in bird.cfg.
	text string
}

// sessions lists the sessions that come up, by a name that does not depend on what
// configures them.
func (m *naive) sessions() map[string]naiveSession {
	out := map[string]naiveSession{}
	for _, s := range m.slots {
		if s.status == Broken {
			continue
		}
		far := m.owner(s.family, s.peer)
		text := fmt.Sprintf("%s %s %s", s.node.Address[calico.IPv4].Addr(), s.node.Address[calico.IPv6].Addr(), s.rendered())
		switch {
		case s.workload():
			out[fmt.Sprint(s.family, " pods ", s.node.Name, " ", s.protocol())] = naiveSession{[]string{s.node.Name}, "", "external", text}
		case far == nil:
			out[fmt.Sprint(s.family, " peer ", s.node.Name, " ", s.peer)] = naiveSession{[]string{s.node.Name}, s.peer.String(), "external", text}
		default:
			back := m.operative[naiveNeighbour{far, s.node.Address[s.family].Addr()}]
			both := []string{s.node.Name, far.Name}
			slices.Sort(both)
			key := fmt.Sprint(s.family, " nodes ", both)
			one := out[key]
			one.nodes, one.kind = both, "reflector"
			if strings.HasPrefix(s.protocol(), "Mesh_") || strings.HasPrefix(back.protocol(), "Mesh_") {
				one.kind = "mesh"
			}
			texts := []string{text, fmt.Sprintf("%s %s %s", far.Address[calico.IPv4].Addr(), far.Address[calico.IPv6].Addr(), back.rendered())}
			slices.Sort(texts)
			one.text = strings.Join(texts, "\n")
			out[key] = one
		}
	}
	return out
}

// rendered returns what bird.cfg has of a slot, in any order of the candidates.
func (s *naiveSlot) rendered() string {
	var all []string
	for _, h := range s.candidates {
		const unset = -1 << 40
		timers := []int{unset, unset}
		for i, p := range []*int{h.GracefulRestartTime, h.KeepaliveTime} {
			if p != nil {
				timers[i] = *p
			}
		}
		h.Sources, h.Filters, h.ReachableBy, h.Status, h.PeerNode, h.GracefulRestartTime, h.KeepaliveTime = nil, nil, "", "", "", nil, nil
		all = append(all, fmt.Sprintf("%+v %v", h, timers))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), "|")
}

func naiveImpact(was, is *naive) *Impact {
	out := &Impact{}
	a, b := was.sessions(), is.sessions()
	nodes, peers := map[string]bool{}, map[string]bool{}
	count := func(k *Kinds, kind string) {
		*map[string]*int{"mesh": &k.Mesh, "reflector": &k.Reflector, "external": &k.External}[kind]++
	}
	differs := func(s naiveSession) {
		for _, n := range s.nodes {
			nodes[n] = true
		}
		if s.peer != "" {
			peers[s.peer] = true
		}
	}
	stays, had, has := map[string]bool{}, map[string]bool{}, map[string]bool{}
	mixed := map[string][2]bool{} // by family: something ends, something begins
	mark := func(key string, ends, begins bool) {
		m := mixed[key[:4]]
		mixed[key[:4]] = [2]bool{m[0] || ends, m[1] || begins}
	}
	end := func(set map[string]bool, key string, s naiveSession) {
		for _, n := range s.nodes {
			set[key[:4]+" "+n] = true
		}
	}
	for key, s := range a {
		end(had, key, s)
		o, ok := b[key]
		switch {
		case !ok:
			count(&out.Removed, s.kind)
			mark(key, true, false)
			differs(s)
		case o.text != s.text:
			count(&out.Reset, o.kind)
			mark(key, true, true)
			if s.kind != o.kind {
				out.Switched++
			}
			differs(o)
		default:
			count(&out.Kept, o.kind)
			end(stays, key, s)
		}
	}
	for key, s := range b {
		end(has, key, s)
		if _, ok := a[key]; !ok {
			count(&out.Added, s.kind)
			mark(key, false, true)
			differs(s)
		}
	}
	out.Nodes, out.ExternalPeers = len(nodes), len(peers)
	idle := map[string]bool{}
	for family, m := range mixed {
		if !m[0] || !m[1] {
			continue
		}
		out.Interruption.Seconds, out.Interruption.AtWorst = 2, 35
		for key := range had {
			if n, ok := strings.CutPrefix(key, family+" "); ok && has[key] && !stays[key] {
				idle[n] = true
			}
		}
	}
	out.Interruption.Nodes = len(idle)
	for _, n := range is.nodes {
		for _, old := range was.nodes {
			if old.Name == n.Name && speaks(n) && speaks(old) && naivePort(is.listenPort(n)) != naivePort(was.listenPort(old)) {
				out.Restart.Nodes++
				out.Restart.Ports++
			}
		}
	}
	return out
}

func speaks(n *calico.Node) bool { return n.SpeaksBGP(calico.IPv4) || n.SpeaksBGP(calico.IPv6) }

// naiveRoutes compares the routes of all pairs of nodes that exist in both topologies.
func naiveRoutes(now, before *Topology, f calico.Family, transit bool) RoutesDifference {
	var out RoutesDifference
	lost, gained := map[string]bool{}, map[string]bool{}
	for _, a := range now.index.Nodes {
		for _, b := range now.index.Nodes {
			if _, ok := before.index.Find(a.Name); !ok || a == b {
				continue
			}
			if _, ok := before.index.Find(b.Name); !ok {
				continue
			}
			is, was := now.HasRoute(f, a.Name, b.Name, transit), before.HasRoute(f, a.Name, b.Name, transit)
			switch {
			case was && !is:
				out.LostPairs++
				lost[a.Name], lost[b.Name] = true, true
			case is && !was:
				out.GainedPairs++
				gained[a.Name], gained[b.Name] = true, true
			}
		}
	}
	out.LostNodes, out.GainedNodes = len(lost), len(gained)
	return out
}

func TestImpactAgreesWithTheNaiveModel(t *testing.T) {
	seen := Impact{}
	forRandomStates(t, 31, seeds, func(r *rand.Rand, objects []calico.Object) string {
		s := state.New(objects...)
		next := s
		g := newGenerator(t, r)
		for range 1 + r.IntN(2) {
			next = next.Apply(g.change())
		}
		if onTwoPorts(next) || underTwoNumbers(next) {
			return ""
		}
		before := compute(t, s, nil)
		now := compute(t, next, before)
		got, want := now.Impact(before), naiveImpact(newNaive(s), newNaive(next))
		for _, f := range calico.Families {
			*want.Routes.In(f) = RoutesImpact{naiveRoutes(now, before, f, true), naiveRoutes(now, before, f, false)}
		}
		if want.Restart.Nodes > 0 {
			want.Restart.Seconds = got.Start.Seconds
			seen.Restart.Nodes += want.Restart.Nodes
		}
		want.Start, want.Peers, want.Reflectors, want.Clients, want.Causes = got.Start, got.Peers, got.Reflectors, got.Clients, got.Causes
		seen.Added, seen.Removed, seen.Reset = seen.Added.plus(got.Added), seen.Removed.plus(got.Removed), seen.Reset.plus(got.Reset)
		seen.Kept, seen.Switched = seen.Kept.plus(got.Kept), seen.Switched+got.Switched
		if !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("got %+v, want %+v\nnow:\n%s", *got, *want, show(next))
		}
		return ""
	})
	for name, n := range map[string]int{
		"added mesh": seen.Added.Mesh, "added reflector": seen.Added.Reflector, "added external": seen.Added.External,
		"removed mesh": seen.Removed.Mesh, "removed reflector": seen.Removed.Reflector, "removed external": seen.Removed.External,
		"reset mesh": seen.Reset.Mesh, "reset reflector": seen.Reset.Reflector, "reset external": seen.Reset.External, "switched": seen.Switched,
	} {
		if n < 20 {
			t.Errorf("only %d sessions of the random changes are %s", n, name)
		}
	}
	if seen.Restart.Nodes == 0 {
		t.Error("no random change moves a listening socket")
	}
}
