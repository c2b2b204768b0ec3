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

// newObject decodes a description of an object, as tests write it.
func newObject(t testing.TB, kind, name string, spec map[string]any) calico.Object {
	t.Helper()
	o, err := calico.Decode(map[string]any{"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

type nodeOption func(bgp, labels map[string]any)

func with(key string, value any) nodeOption {
	return func(bgp, _ map[string]any) { bgp[key] = value }
}

func label(key, value string) nodeOption {
	return func(_, labels map[string]any) { labels[key] = value }
}

func node(t testing.TB, name string, options ...nodeOption) calico.Object {
	t.Helper()
	bgp, labels := map[string]any{}, map[string]any{}
	for _, o := range options {
		o(bgp, labels)
	}
	o, err := calico.Decode(map[string]any{"apiVersion": "projectcalico.org/v3", "kind": "Node",
		"metadata": map[string]any{"name": name, "labels": labels}, "spec": map[string]any{"bgp": bgp}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// pair is a session of two nodes in one family.
type pair struct {
	a, b   string
	family calico.Family
}

// half is a half-session: from's bird.cfg names to's address, with the AS that
// it expects there.
type half struct {
	from, to *calico.Node
	family   calico.Family
	asn      uint32
}

// naiveSessions computes the sessions by BGPPeers node by node and pair by
// pair: every half-session that Calico would make, then those that have each
// other. It knows nothing of sets.
func naiveSessions(s *state.Snapshot) map[pair]bool {
	var halves []half
	nodes := s.Nodes()
	matches := func(sel *calico.Selector, n *calico.Node) bool { return sel != nil && sel.Matches(n.Labels) }
	for _, p := range s.BGPPeers() {
		isLocal := func(n *calico.Node) bool {
			switch {
			case p.NodeSelector != "":
				return matches(p.Local(), n)
			case p.Node != "":
				return n.Name == p.Node
			}
			return true
		}
		for _, l := range nodes {
			for _, r := range nodes {
				if l == r || !isLocal(l) {
					continue
				}
				for _, f := range calico.Families {
					if !l.SpeaksBGP(f) || !r.SpeaksBGP(f) {
						continue
					}
					switch {
					case p.LocalWorkloadSelector != "":
					case p.PeerSelector != "":
						if !matches(p.Remote(), r) {
							continue
						}
						halves = append(halves, half{l, r, f, asNumberOf(r, s)})
						if !p.ReverseManual {
							halves = append(halves, half{r, l, f, asNumberOf(l, s)})
						}
					case p.PeerIP != "":
						if p.PeerAddress != r.Address[f].Addr() {
							continue
						}
						halves = append(halves, half{l, r, f, p.ASNumber})
						if !p.ReverseManual && p.ASNumber == asNumberOf(r, s) && p.PeerIP == r.Address[f].Addr().String() {
							halves = append(halves, half{r, l, f, asNumberOf(l, s)})
						}
					}
				}
			}
		}
	}
	good := map[half]bool{}
	for _, h := range halves {
		if h.asn == asNumberOf(h.to, s) {
			good[h] = true
		}
	}
	out := map[pair]bool{}
	for h := range good {
		if good[half{h.to, h.from, h.family, asNumberOf(h.from, s)}] {
			out[pair{h.from.Name, h.to.Name, h.family}] = true
		}
	}
	return out
}

func naiveReflectors(s *state.Snapshot, f calico.Family) Reflectors {
	sessions := naiveSessions(s)
	out := Reflectors{Levels: []Level{}}
	byCount := map[int][]string{}
	for _, n := range s.Nodes() {
		switch {
		case !n.SpeaksBGP(f):
		case n.RouteReflector():
			out.Total++
		default:
			out.Nodes++
			count := 0
			for _, r := range s.Nodes() {
				if r.RouteReflector() && sessions[pair{n.Name, r.Name, f}] {
					count++
				}
			}
			byCount[count] = append(byCount[count], n.Name)
		}
	}
	for count := range 100 {
		if names := byCount[count]; len(names) > 0 {
			out.Levels = append(out.Levels, Level{count, len(names), names[:min(SampleSize, len(names))]})
		}
	}
	return out
}

func randomState(t testing.TB, r *rand.Rand) []calico.Object {
	var objects []calico.Object
	n := 1 + r.IntN(12)
	for i := range n {
		objects = append(objects, randomNode(t, r, i))
	}
	for i := range r.IntN(6) {
		objects = append(objects, randomPeer(t, r, i, n))
	}
	if r.IntN(3) > 0 {
		objects = append(objects, randomConfiguration(t, r))
	}
	return objects
}

func randomNode(t testing.TB, r *rand.Rand, i int) calico.Object {
	var options []nodeOption
	if r.IntN(8) > 0 {
		options = append(options, with("ipv4Address", fmt.Sprintf("10.0.0.%d/24", i+1)))
	}
	if r.IntN(3) == 0 {
		options = append(options, with("ipv6Address", fmt.Sprintf("fd00::%x", i+1)))
	}
	if r.IntN(3) == 0 {
		options = append(options, with("routeReflectorClusterID", "244.0.0.1"), label("rr", ""))
	}
	if r.IntN(5) == 0 {
		options = append(options, with("asNumber", int64(64512+r.IntN(2))))
	}
	options = append(options, label("rack", fmt.Sprint(r.IntN(3))))
	return node(t, fmt.Sprintf("n%02d", i), options...)
}

func randomPeer(t testing.TB, r *rand.Rand, i, nodes int) calico.Object {
	selectors := []string{"", "all()", "has(rr)", "!has(rr)", "rack == '1'", "rack in {'0','2'}", "broken ="}
	spec := map[string]any{"nodeSelector": selectors[r.IntN(len(selectors))]}
	if r.IntN(5) == 0 {
		spec = map[string]any{"node": fmt.Sprintf("n%02d", r.IntN(nodes+1))}
	}
	switch r.IntN(4) {
	case 0:
		spec["peerIP"] = []string{"10.0.0.1", "10.0.0.2", "fd00::1", "fd00:0::2", "172.16.0.1"}[r.IntN(5)]
		spec["asNumber"] = int64(64512 + r.IntN(2))
	default:
		spec["peerSelector"] = selectors[1+r.IntN(len(selectors)-1)]
	}
	if r.IntN(4) == 0 {
		spec["reversePeering"] = "Manual"
	}
	if r.IntN(3) == 0 {
		spec["maxRestartTime"] = []string{"120s", "2m", "90s"}[r.IntN(3)]
	}
	return newObject(t, "BGPPeer", fmt.Sprintf("p%d", i), spec)
}

func randomConfiguration(t testing.TB, r *rand.Rand) calico.Object {
	spec := map[string]any{}
	if r.IntN(3) > 0 {
		spec["nodeToNodeMeshEnabled"] = r.IntN(2) == 0
	}
	if r.IntN(3) == 0 {
		spec["asNumber"] = int64(64512 + r.IntN(2))
	}
	if r.IntN(4) == 0 {
		spec["nodeMeshMaxRestartTime"] = "180s"
	}
	return newObject(t, "BGPConfiguration", calico.Default, spec)
}

func TestReflectorsAgreeWithTheNaivePairwiseModel(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		objects := randomState(t, r)
		s := state.New(objects...)
		got := Compute(s, nil).Summary()
		for _, f := range calico.Families {
			want := naiveReflectors(s, f)
			want.BGPPeers = got.Reflectors.In(f).BGPPeers // See TestBGPPeersThatReachReflectors.
			if !reflect.DeepEqual(*got.Reflectors.In(f), want) {
				t.Fatalf("seed %d, %v:\n got %+v\nwant %+v\nstate %s", seed, f, *got.Reflectors.In(f), want, show(s))
			}
		}
	}
}

func show(s *state.Snapshot) string {
	var b strings.Builder
	for _, n := range s.Nodes() {
		fmt.Fprintf(&b, "\n%+v", *n)
	}
	for _, p := range s.BGPPeers() {
		fmt.Fprintf(&b, "\n%s %v", p.Name, p.Spec)
	}
	return b.String()
}

func TestIncrementalSummaryEqualsFromScratch(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := state.New(randomState(t, r)...)
		topology := Compute(s, nil)
		for range 8 {
			var after calico.Object
			switch r.IntN(4) {
			case 0:
				after = randomNode(t, r, r.IntN(14))
			case 1:
				after = randomPeer(t, r, r.IntN(6), 12)
			case 2:
				after = randomConfiguration(t, r)
			default: // Names no peer, or names one again.
				spec := map[string]any{"nodeSelector": "rack == '1'"}
				if r.IntN(2) == 0 {
					spec["peerSelector"] = "has(rr)"
				}
				after = newObject(t, "BGPPeer", "p0", spec)
			}
			c := state.Change{After: after}
			if r.IntN(3) == 0 {
				c = state.Change{Before: after}
			}
			s = s.Apply(c)
			topology = Compute(s, topology)
			if want := Compute(s, nil).Summary(); !reflect.DeepEqual(topology.Summary(), want) {
				t.Fatalf("seed %d: incremental\n%+v\nfrom scratch\n%+v", seed, topology.Summary(), want)
			}
		}
	}
}

func TestOrderOfObjectsDoesNotMatter(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		objects := randomState(t, r)
		want := Compute(state.New(slices.Clone(objects)...), nil).Summary()
		r.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		if got := Compute(state.New(objects...), nil).Summary(); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: order matters", seed)
		}
	}
}
