package topology

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// seeds is the number of random states for each property.
const seeds = 1500

// forRandomStates calls check with random states. If check returns a text, the test fails
// with this text, the seed and the state.
func forRandomStates(t *testing.T, stream, seeds uint64, check func(r *rand.Rand, objects []calico.Object) string) {
	t.Helper()
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, stream))
		objects := slices.Concat(newGenerator(t, r).state(), newGenerator(t, rand.New(rand.NewPCG(seed, ^stream))).blocks())
		if first := state.New(slices.Clone(objects)...); onTwoPorts(first) || underTwoNumbers(first) {
			continue
		}
		if fault := check(r, slices.Clone(objects)); fault != "" {
			t.Fatalf("seed %d of stream %d: %s\nstate:\n%s", seed, stream, fault, show(state.New(objects...)))
		}
	}
}

// onTwoPorts reports whether nodes that share an address listen on different ports. For a
// peerIP without a port, Calico uses one of these ports at random. The models do not
// cover this.
func onTwoPorts(s *state.Snapshot) bool {
	m := &naive{state: s}
	ports := map[string]uint16{}
	for _, n := range s.Nodes() {
		for _, f := range calico.Families {
			text, port := addressText(n, f), m.listenPort(n)
			if before, ok := ports[text]; ok && n.SpeaksBGP(f) && before != port {
				return true
			}
			ports[text] = port
		}
	}
	return false
}

// underTwoNumbers reports whether Calico chooses one of several pairs of AS numbers for a half-session with an
// external peer. Of routes that arrive with one of them only, one model may follow those with the first, and the other
// those with any.
func underTwoNumbers(s *state.Snapshot) bool {
	return slices.ContainsFunc(newNaive(s).slots, func(slot *naiveSlot) bool {
		return slot.status == External && slices.ContainsFunc(slot.candidates, func(h HalfSession) bool {
			return h.LocalASN != slot.candidates[0].LocalASN || h.PeerASN != slot.candidates[0].PeerASN
		})
	})
}

func TestSessionsAgreeWithTheNaiveModel(t *testing.T) {
	forRandomStates(t, 11, seeds, func(_ *rand.Rand, objects []calico.Object) string {
		s := state.New(objects...)
		return sessionsDiffer(viewOf(compute(t, s, nil)), newNaive(s))
	})
}

// sessionsDiffer compares the lists of sessions of an implementation with those of the
// naive model.
func sessionsDiffer(got *view, m *naive) string {
	want := m.view()
	plain := func(list []BrokenSession) []BrokenSession {
		list = slices.Clone(list)
		for i := range list {
			list[i].Message = ""
		}
		return list
	}
	return difference("half-sessions", got.halves, want.halves) +
		difference("broken", plain(got.broken), plain(want.broken)) +
		difference("ambiguous", ordered(got.ambiguous), ordered(want.ambiguous)) +
		difference("frozen", got.frozen, want.frozen)
}

// ordered sorts ambiguous half-sessions by peer, because the candidates of one may have
// different protocol names. It sorts the candidates by BGPPeer and text. One BGPPeer has
// several candidates if two nodes share an address.
func ordered(list []AmbiguousSession) []AmbiguousSession {
	list = slices.Clone(list)
	for i := range list {
		list[i].Candidates = slices.Clone(list[i].Candidates)
		slices.SortStableFunc(list[i].Candidates, func(a, b HalfSession) int {
			return cmp.Or(slices.Compare(a.Sources, b.Sources), slices.Compare(texts([]HalfSession{a}), texts([]HalfSession{b})))
		})
	}
	slices.SortStableFunc(list, func(a, b AmbiguousSession) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Family, b.Family), cmp.Compare(a.PeerIP, b.PeerIP))
	})
	return list
}

// difference returns the elements that are in only one of two lists, or that the order
// differs, and "" for equal lists. It compares the JSON of the elements.
func difference[T any](what string, got, want []T) string {
	g, w := texts(got), texts(want)
	if slices.Equal(g, w) {
		return ""
	}
	var b strings.Builder
	for _, s := range g {
		if !slices.Contains(w, s) {
			fmt.Fprintf(&b, "\n%s: got       %s", what, s)
		}
	}
	for _, s := range w {
		if !slices.Contains(g, s) {
			fmt.Fprintf(&b, "\n%s: want      %s", what, s)
		}
	}
	if b.Len() == 0 {
		fmt.Fprintf(&b, "\n%s: got other order or number: %q, want %q", what, g, w)
	}
	return b.String()
}

func texts[T any](list []T) []string {
	out := []string{}
	for _, v := range list {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		out = append(out, string(text))
	}
	return out
}

func TestRoutesAgreeWithTheNaiveModel(t *testing.T) {
	forRandomStates(t, 2, seeds, func(_ *rand.Rand, objects []calico.Object) string {
		s := state.New(objects...)
		topology, model := compute(t, s, nil), newNaive(s).view()
		for _, f := range calico.Families {
			for _, from := range s.Nodes() {
				for _, to := range s.Nodes() {
					for _, transit := range []bool{false, true} {
						got, want := topology.HasRoute(f, from.Name, to.Name, transit), model.hasRoute(f, from.Name, to.Name, transit)
						if from != to && got != want {
							return fmt.Sprintf("%s route from %s to %s, transit %v: got %v, want %v", f, from.Name, to.Name, transit, got, want)
						}
					}
				}
			}
		}
		return ""
	})
}

func TestTheSummaryAgreesWithTheNaiveModel(t *testing.T) {
	forRandomStates(t, 3, seeds, func(r *rand.Rand, objects []calico.Object) string {
		s := state.New(objects...)
		topology, err := Compute(t.Context(), s, nil, transitLists(r)...)
		if err != nil {
			return err.Error()
		}
		return summaryDiffers(topology.Summary(), newNaive(s)) + withoutLinksDiffers(topology.Summary(), s)
	})
}

// transitLists returns up to two lists of peers that random states may have.
func transitLists(c choices) []*TransitPeers {
	var out []*TransitPeers
	for range c.IntN(3) {
		var entries []string
		for range 1 + c.IntN(2) {
			entries = append(entries, pick(c, "p0", "p1", "p2", "192.0.2.1", "192.0.2.0/24", "2001:db8::1", "64512", "64513", "127.0.0.1", "0.0.0.0/0"))
		}
		out = append(out, NewTransitPeers(entries))
	}
	return out
}

// summaryDiffers compares a summary with that of the naive model.
func summaryDiffers(got *Summary, m *naive) string {
	if g, w := nodeSetOf(got.Mesh.NotReady), nodeSetOf(m.meshNotReady()); g != w {
		return fmt.Sprintf("not ready in the mesh: got %s, want %s", g, w)
	}
	for _, f := range calico.Families {
		if g, w := addressesOf(got.Addresses.In(f)), m.addresses(f); g != w {
			return fmt.Sprintf("%s addresses: got %s, want %s", f, g, w)
		}
		if g, w := fmt.Sprint(*got.OtherASNumbers.In(f)), m.otherASNumbers(f); g != w {
			return fmt.Sprintf("%s other AS numbers: got %s, want %s", f, g, w)
		}
	}
	for _, p := range m.state.BGPPeers() {
		if g, w := got.BGPPeers[p.Name].Unusable != "", m.unusable(p); g != w {
			return fmt.Sprintf("unusable %s: got %v, want %v", p.Name, g, w)
		}
		if g, w := got.BGPPeers[p.Name].ExternalSessions, m.externalSessions(p); g != w {
			return fmt.Sprintf("sessions of %s with external peers: got %d, want %d", p.Name, g, w)
		}
		if g, w := peerOfPart(got.BGPPeers[p.Name]), m.peer(p); g != w {
			return fmt.Sprintf("peer of %s: got %s, want %s", p.Name, g, w)
		}
		if g, w := selectorsOfPart(got.BGPPeers[p.Name].Selectors), m.selectors(p); g != w {
			return fmt.Sprintf("selectors of %s: got %s, want %s", p.Name, g, w)
		}
	}
	for _, f := range calico.Families {
		if g, w := levelsOf(got.Reflectors.In(f)), m.levels(f); g != w {
			return fmt.Sprintf("%s reflectors: got %s, want %s", f, g, w)
		}
		if g, w := totalsOf(got.Sessions.In(f)), m.totals(f); g != w {
			return fmt.Sprintf("%s sessions: got %s, want %s", f, g, w)
		}
		if g, w := serviceRangesOf(*got.ServiceRanges.In(f)), m.serviceRanges(f); g != w {
			return fmt.Sprintf("%s ranges of Services: got %s, want %s", f, g, w)
		}
		if fault := readingsDiffer(f, readingsOf(got.Routes.In(f)), m); fault != "" {
			return fault
		}
	}
	return ""
}

func readingsOf(r *Routes) *Readings {
	return &Readings{r.WithTransit, r.WithoutTransit, r.WithASPaths, r.KnownTransit}
}

// readingsDiffer compares the readings of external peers with those of the naive model.
func readingsDiffer(f calico.Family, got *Readings, m *naive) string {
	for transit, reach := range map[bool]*Reach{false: got.WithoutTransit, true: got.WithTransit} {
		if g, w := reachOf(reach), m.reach(f, m.reading(transit)); g != w {
			return fmt.Sprintf("%s routes, transit %v: got %s, want %s", f, transit, g, w)
		}
	}
	if g, w := reachOf(got.WithASPaths), m.reach(f, m.withASPaths()); g != w {
		return fmt.Sprintf("%s routes, AS paths kept: got %s, want %s", f, g, w)
	}
	for _, known := range got.KnownTransit {
		if g, w := reachOf(known.Reach), m.reach(f, m.known(known.TransitPeers)); g != w {
			return fmt.Sprintf("%s routes, transit by %q: got %s, want %s", f, known.TransitPeers, g, w)
		}
	}
	return ""
}

// withoutLinksDiffers compares the readings without links that are not known with those of the naive model. Without them,
// the sessions must be the same.
func withoutLinksDiffers(got *Summary, s *state.Snapshot) string {
	m, doubtful := newNaive(s), newNaiveOf(s, true)
	for _, f := range calico.Families {
		readings := got.Routes.In(f).WithoutLinks
		if readings == nil {
			for i, slot := range doubtful.slots {
				if slot.family == f && slot.status != m.slots[i].status {
					return fmt.Sprintf("%s: no readings without links, but %s of %s is %s only with them", f, slot.protocol(), slot.node.Name, m.slots[i].status)
				}
			}
			continue
		}
		if fault := readingsDiffer(f, readings, doubtful); fault != "" {
			return "without links, " + fault
		}
	}
	return ""
}

func TestASessionStandsOnBothSides(t *testing.T) {
	forRandomStates(t, 4, seeds, func(_ *rand.Rand, objects []calico.Object) string {
		v := viewOf(compute(t, state.New(objects...), nil))
		type end struct{ node, family, peer string }
		stands := map[end]int{}
		for _, h := range v.halves {
			if h.Status == Paired {
				stands[end{h.Node, h.Family, h.PeerNode}]++
			}
		}
		for _, a := range v.ambiguous { // An ambiguous half-session may be the other side of a Paired one.
			stands[end{a.Node, a.Family, a.PeerNode}]++
		}
		for _, h := range v.halves {
			if h.Status == Paired && stands[end{h.PeerNode, h.Family, h.Node}] == 0 {
				return fmt.Sprintf("%s %s is Paired on one side only", h.Node, h.Protocol)
			}
		}
		return ""
	})
}

func TestOrderOfObjectsDoesNotMatter(t *testing.T) {
	forRandomStates(t, 5, seeds/8, func(r *rand.Rand, objects []calico.Object) string {
		want := compute(t, state.New(slices.Clone(objects)...), nil)
		r.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		return topologiesDiffer(compute(t, state.New(objects...), nil), want)
	})
}

// topologiesDiffer compares all results of two topologies.
func topologiesDiffer(got, want *Topology) string {
	a, b := reflect.ValueOf(*got.Summary()), reflect.ValueOf(*want.Summary())
	for i := range a.NumField() {
		if g, w := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(g, w) {
			return difference("summary, "+a.Type().Field(i).Name, []any{g}, []any{w})
		}
	}
	g, w := viewOf(got), viewOf(want)
	fault := difference("half-sessions", g.halves, w.halves) + difference("broken", g.broken, w.broken) +
		difference("ambiguous", g.ambiguous, w.ambiguous) + difference("frozen", got.Frozen(), want.Frozen()) +
		difference("ignored", got.Ignored(), want.Ignored()) +
		difference("graph", []*Graph{got.Graph()}, []*Graph{want.Graph()})
	return fault
}
