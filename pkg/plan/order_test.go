package plan

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// newLibrary loads the library once.
var newLibrary = sync.OnceValues(func() (*policy.Library, error) { return policy.NewLibrary() })

// allPolicies are those of the library with their defaults.
var allPolicies = sync.OnceValues(func() (*policy.Set, error) {
	library, err := newLibrary()
	if err != nil {
		return nil, err
	}
	documents, err := policy.Defaults()
	if err != nil {
		return nil, err
	}
	return library.Compile(documents)
})

// newEngine returns an engine with the library's defaults, or with some of its policies.
func newEngine(t testing.TB, names ...string) *validate.Engine {
	t.Helper()
	if len(names) == 0 {
		set, err := allPolicies()
		if err != nil {
			t.Fatal(err)
		}
		return validate.NewEngine(set)
	}
	library, err := newLibrary()
	if err != nil {
		t.Fatal(err)
	}
	var documents []policy.Document
	for _, d := range library.Definitions() {
		if slices.Contains(names, d.Name) {
			documents = append(documents, policy.Default(d))
		}
	}
	set, err := library.Compile(documents)
	if err != nil {
		t.Fatal(err)
	}
	return validate.NewEngine(set)
}

func create(o calico.Object) validate.Request {
	return validate.Request{Change: state.Change{After: o}}
}

func change(s *state.Snapshot, o calico.Object) validate.Request {
	return validate.Request{Change: state.Change{Before: s.Get(o.ID()), After: o}}
}

func reflector(t testing.TB, i int) calico.Object {
	return calicotest.NumberedNode(t, i, calicotest.Label("rr", "true"), calicotest.RouteReflector("244.0.0.1"))
}

func peerOf(t testing.TB, name, local, remote string) calico.Object {
	return calicotest.BGPPeer(t, name, calicotest.Spec{"nodeSelector": local, "peerSelector": remote})
}

// meshToReflectors returns a mesh of n nodes, and in the worst order the changes that give it
// two route reflectors.
func meshToReflectors(t testing.TB, n int) (*state.Snapshot, []validate.Request) {
	objects := []calico.Object{calicotest.Mesh(t, true), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"})}
	for i := range n {
		var tweaks []calicotest.Tweak
		if i < 2 {
			tweaks = append(tweaks, calicotest.Label("rr", "true"))
		}
		objects = append(objects, calicotest.NumberedNode(t, i, tweaks...))
	}
	s := state.New(objects...)
	return s, []validate.Request{
		change(s, calicotest.Mesh(t, false)),
		change(s, reflector(t, 0)),
		change(s, reflector(t, 1)),
		create(peerOf(t, "workers", "!has(rr)", "has(rr)")),
		create(peerOf(t, "reflectors", "has(rr)", "has(rr)")),
	}
}

func TestOrderMovesWhatIsDenied(t *testing.T) {
	s, changes := meshToReflectors(t, 8)
	got, err := Order(t.Context(), newEngine(t), s, changes)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{3, 4, 1, 2, 0}; !slices.Equal(got.Order, want) {
		t.Fatalf("got order %v, knot %+v, want %v", got.Order, got.Knot, want)
	}
	if got.Given || got.First != 0 || got.Denial == nil || got.Denial.Allowed {
		t.Errorf("the mesh off first: got given %v, first denied %d, want it denied", got.Given, got.First)
	}
	checkOrder(t, newEngine(t), s, changes, &got)
}

func TestOrderKeepsAnAllowedOrder(t *testing.T) {
	s, changes := meshToReflectors(t, 8)
	slices.Reverse(changes)
	got, err := Order(t.Context(), newEngine(t), s, changes)
	if err != nil || !got.Given || got.Made != len(changes) {
		t.Errorf("got %+v, %v, want the given order after %d decisions", got, err, len(changes))
	}
}

func TestOrderOfOneObjectTwice(t *testing.T) {
	s, _ := meshToReflectors(t, 4)
	first := calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16", "vxlanMode": "Always"})
	changes := []validate.Request{change(s, first), {Change: state.Change{Before: first}}, create(calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.245.0.0/16"}))}
	got, err := Order(t.Context(), newEngine(t, "bird-accepts"), s, changes)
	if err != nil || !slices.Equal(got.Order, []int{0, 1, 2}) {
		t.Errorf("got %+v, %v, want the order of the changes of one object", got, err)
	}
}

func TestOrderOfAKnot(t *testing.T) {
	// Two route reflectors move to a new label at once with the selector that matches it: the
	// selector first or a label first leaves nodes without sessions.
	nodes := []calico.Object{calicotest.Mesh(t, false), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"}), peerOf(t, "all", "all()", "role == 'old'")}
	for i := range 6 {
		if i < 2 {
			nodes = append(nodes, calicotest.NumberedNode(t, i, calicotest.Label("role", "old"), calicotest.RouteReflector("244.0.0.1")))
		} else {
			nodes = append(nodes, calicotest.NumberedNode(t, i))
		}
	}
	s := state.New(nodes...)
	moved := func(i int) calico.Object {
		return calicotest.NumberedNode(t, i, calicotest.Label("role", "new"), calicotest.RouteReflector("244.0.0.1"))
	}
	changes := []validate.Request{
		change(s, moved(0)), change(s, moved(1)),
		change(s, calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16", "natOutgoing": true})),
		change(s, peerOf(t, "all", "all()", "role == 'new'")),
	}
	got, err := Order(t.Context(), newEngine(t), s, changes)
	if err != nil || got.Order != nil || got.Knot == nil {
		t.Fatalf("got %+v, %v, want a knot", got, err)
	}
	if k := got.Knot; !k.Together || k.Incomplete || slices.Contains(k.Changes, 2) || !slices.Contains(k.Changes, 3) {
		t.Errorf("got knot %+v, want the BGPPeer with the labels, and not the IPPool", k)
	}
	for i, d := range got.Knot.Denials {
		if d.Allowed {
			t.Errorf("change %d of the knot is allowed", got.Knot.Changes[i])
		}
	}
}

// checkOrder checks that every change of an order is allowed after those before it.
func checkOrder(t *testing.T, engine *validate.Engine, s *state.Snapshot, changes []validate.Request, got *Ordering) {
	t.Helper()
	for _, i := range got.Order {
		r := changes[i]
		r.Before = s.Get(r.ID())
		if d := engine.Decide(context.Background(), s, r); !d.Allowed {
			t.Errorf("change %d of %v is denied: %s", i, got.Order, d.Message())
		}
		s = s.Apply(r.Change)
	}
}

// TestOrderAgainstBruteForce compares Order with all orders of random sets of changes.
func TestOrderAgainstBruteForce(t *testing.T) {
	engine := newEngine(t, "reachability-preserved", "route-reflectors-required")
	found, knots := 0, 0
	for seed := range 60 {
		r := rand.New(rand.NewPCG(uint64(seed), 13))
		s, changes := randomChanges(t, r)
		got, err := Order(t.Context(), engine, s, changes)
		if err != nil {
			t.Fatal(err)
		}
		checkOrder(t, engine, s, changes, &got)
		want := bruteForce(engine, s, changes, make([]bool, len(changes)))
		if (got.Order != nil) != want {
			t.Errorf("seed %d: got order %v, knot %+v; all orders tried: one is allowed: %v", seed, got.Order, got.Knot, want)
		}
		if want {
			found++
			continue
		}
		knots++
		if got.Knot == nil || len(got.Knot.Changes) == 0 {
			t.Errorf("seed %d: got no knot", seed)
		}
	}
	if found < 10 || knots < 10 {
		t.Errorf("got %d orders and %d knots, want at least 10 of each: the random sets are too simple", found, knots)
	}
}

// randomChanges returns a cluster with or without a mesh, and 3 to 5 changes of its labels,
// cluster IDs, BGPPeers and mesh.
func randomChanges(t *testing.T, r *rand.Rand) (*state.Snapshot, []validate.Request) {
	node := func(i int) calico.Object {
		var tweaks []calicotest.Tweak
		if r.IntN(2) == 0 {
			tweaks = append(tweaks, calicotest.Label("role", []string{"a", "b"}[r.IntN(2)]))
		}
		if r.IntN(3) == 0 {
			tweaks = append(tweaks, calicotest.RouteReflector("244.0.0.1"))
		}
		return calicotest.NumberedNode(t, i, tweaks...)
	}
	selectors := []string{"all()", "role == 'a'", "role == 'b'", "has(role)", "!has(role)"}
	peer := func(i int) calico.Object {
		return peerOf(t, fmt.Sprintf("peer-%d", i), selectors[r.IntN(2)*r.IntN(len(selectors))], selectors[r.IntN(len(selectors))])
	}
	objects := []calico.Object{calicotest.Mesh(t, r.IntN(3) > 0), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16"})}
	for i := range 4 {
		objects = append(objects, node(i))
	}
	for i := range r.IntN(3) {
		objects = append(objects, peer(i))
	}
	s := state.New(objects...)
	var changes []validate.Request
	used := map[calico.ID]bool{}
	for n := 3 + r.IntN(3); len(changes) < n; {
		var o calico.Object
		switch r.IntN(4) {
		case 0:
			o = calicotest.Mesh(t, r.IntN(2) > 0)
		case 1:
			o = node(r.IntN(4))
		default:
			o = peer(r.IntN(4))
		}
		if used[o.ID()] {
			n = max(n-1, 2)
			continue
		}
		used[o.ID()] = true
		c := change(s, o)
		if c.Before != nil && o.ID().Kind == calico.KindBGPPeer && r.IntN(2) == 0 {
			c.After = nil
		}
		changes = append(changes, c)
	}
	return s, changes
}

// bruteForce reports whether one of all orders is allowed.
func bruteForce(engine *validate.Engine, s *state.Snapshot, changes []validate.Request, used []bool) bool {
	left := false
	for i := range changes {
		if used[i] {
			continue
		}
		left = true
		r := changes[i]
		r.Before = s.Get(r.ID())
		if !engine.Decide(context.Background(), s, r).Allowed {
			continue
		}
		used[i] = true
		if bruteForce(engine, s.Apply(r.Change), changes, used) {
			return true
		}
		used[i] = false
	}
	return !left
}
