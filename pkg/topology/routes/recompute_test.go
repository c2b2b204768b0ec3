package routes

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRecomputeAgreesWithCompute verifies that the results do not depend on those before, and that no
// routes are followed to a destination that is there before.
func TestRecomputeAgreesWithCompute(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		g := random(r, 3).graph()
		for v := range g.Vertices {
			for k := range g.Vertices[v].Sessions {
				g.Vertices[v].Sessions[k].Policy, g.Vertices[v].Sessions[k].PeerPolicy = r.IntN(3), r.IntN(3)
			}
		}
		list := []Destination{randomDestination(r), randomDestination(r), randomDestination(r)}
		first, second := *g, *g
		first.Destinations, second.Destinations = list[:2], []Destination{list[2], list[1]}
		before := computed(t, &first)
		got, err := Recompute(t.Context(), &second, before)
		if err != nil {
			t.Fatal(err)
		}
		want := computed(t, &second)
		for reading := range Reading(4) {
			a, b := got[reading], want[reading]
			if !slices.Equal(a.has, b.has) || !slices.Equal(a.some, b.some) || !slices.Equal(a.dependencies, b.dependencies) {
				t.Fatalf("seed %d, reading %d: results differ\n%v", seed, reading, g)
			}
			reused := &a.parts[1][0] == &before[reading].parts[1][0] || &a.parts[1][0] == &a.parts[0][0]
			if !reused {
				t.Fatalf("seed %d, reading %d: routes to a known destination are followed again", seed, reading)
			}
		}
	}
}

// randomDestination returns a destination with two policies.
func randomDestination(r *rand.Rand) Destination {
	community := &Community{Parts: [3]uint32{1, uint32(r.IntN(2))}}
	terms := func() Terms {
		one := Term{Learned: r.IntN(2) == 0, EBGP: r.IntN(3) == 0, Accept: r.IntN(2) == 0}
		switch r.IntN(4) {
		case 0:
			one.Community = community
		case 1:
			one.Path = []uint32{64512 + uint32(r.IntN(3))}
		case 2:
			one.Preference = new(uint32(100))
		}
		if one.Accept && r.IntN(2) == 0 {
			one.Add = []Community{*community}
		}
		return Terms{{one}}
	}
	return Destination{Policies: []Policy{{}, {terms(), terms()}, {terms(), terms()}}}
}

// TestDestinationsThatDiffer verifies that each field of a term counts.
func TestDestinationsThatDiffer(t *testing.T) {
	one := func(change func(*Term)) Destination {
		term := Term{
			Community: &NoExport, Path: []uint32{1}, Preference: new(uint32(1)), Accept: true,
			Add: []Community{NoExport}, Prepend: []uint32{1}, Set: new(uint32(1)),
		}
		change(&term)
		return Destination{Policies: []Policy{{}, {Import: Terms{{term}}}}, Communities: [][]Community{{NoExport}}}
	}
	same := one(func(*Term) {})
	if again := one(func(t *Term) { t.Preference = new(uint32(1)) }); !same.equal(&again) {
		t.Error("equal destinations differ")
	}
	for name, change := range map[string]func(*Term){
		"Learned": func(t *Term) { t.Learned = true }, "EBGP": func(t *Term) { t.EBGP = true }, "IBGP": func(t *Term) { t.IBGP = true },
		"Uncertain": func(t *Term) { t.Uncertain = true }, "Accept": func(t *Term) { t.Accept = false },
		"Community": func(t *Term) { t.Community = &NoAdvertise }, "no Community": func(t *Term) { t.Community = nil },
		"Path": func(t *Term) { t.Path = nil }, "Preference": func(t *Term) { t.Preference = new(uint32(2)) }, "no Preference": func(t *Term) { t.Preference = nil },
		"Add": func(t *Term) { t.Add = []Community{NoAdvertise} }, "Prepend": func(t *Term) { t.Prepend = []uint32{2} }, "Set": func(t *Term) { t.Set = nil },
	} {
		if other := one(change); same.equal(&other) {
			t.Errorf("destinations with another %s are equal", name)
		}
	}
	for name, other := range map[string]Destination{
		"direction":   {Policies: []Policy{{}, {Export: same.Policies[1].Import}}, Communities: same.Communities},
		"communities": {Policies: same.Policies}, "tunnel": {Policies: same.Policies, Communities: same.Communities, Tunnelled: true}, "policies": {Policies: same.Policies[:1], Communities: same.Communities},
	} {
		if same.equal(&other) {
			t.Errorf("destinations with other %s are equal", name)
		}
	}
}
