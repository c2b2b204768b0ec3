package validate

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The work of a change does not grow with the BGPPeers that it does not affect: what OPA does shows in the number of allocations, of
// which Go code makes few for each BGPPeer.
func TestAChangeCostsNoMoreBesideMoreBGPPeers(t *testing.T) {
	const few, many = 200, 800
	set := defaults(t)
	for way := range ways {
		allocations := map[string][2]float64{}
		for k, n := range []int{few, many} {
			s := perNode(t, way, 2*n, n)
			e := NewEngine(set)
			for name, c := range perNodeChanges(t, way) {
				// Its message names what selects nodes, which the policies look for in all BGPPeers.
				if name == "rack-delete" {
					continue
				}
				e.Decide(t.Context(), s, Request{Change: known(s, c)})
				of := allocations[name]
				of[k] = testing.AllocsPerRun(3, func() {
					e.forget()
					e.Decide(t.Context(), s, Request{Change: known(s, c)})
				})
				allocations[name] = of
			}
		}
		for name, of := range allocations {
			t.Logf("by %s, %s: %.0f allocations beside %d BGPPeers, %.0f beside %d", way, name, of[0], few, of[1], many)
			if of[1] > 1.1*of[0] {
				t.Errorf("by %s, %s: %.0f allocations beside %d BGPPeers, %.0f beside %d", way, name, of[0], few, of[1], many)
			}
		}
	}
}

// A policy finds the same on the BGPPeers that a change affects, together with the violations of the others, as on all of them.
func TestPoliciesOfEachBGPPeerFindTheSameOnAll(t *testing.T) {
	set := defaults(t)
	r := rand.New(rand.NewPCG(11, 12))
	specs := faulty(t, 64)
	spec := func() map[string]any {
		p := specs[r.IntN(len(specs))].(*calico.BGPPeer)
		if r.IntN(4) > 0 {
			return p.Spec
		}
		return map[string]any{"node": calicotest.NodeName(r.IntN(growthNodes)), "peerIP": []string{"172.16.0.8", "172.16.0.8:1790", "172.16.0.8:99999", "::1"}[r.IntN(4)], "asNumber": int64(65535)}
	}
	partly, worse := map[string]int{}, 0
	for round := range 60 {
		objects := append(nodes(t, growthNodes, 3), calicotest.Mesh(t, round%2 == 0))
		for i := range 24 {
			objects = append(objects, calicotest.BGPPeer(t, fmt.Sprint("peer-", i), spec()))
		}
		s := state.New(objects...)
		next := s
		for range 1 + r.IntN(2) {
			name := fmt.Sprint("peer-", r.IntN(26))
			c := known(s, state.Change{After: calicotest.BGPPeer(t, name, spec())})
			if c.Before != nil && r.IntN(3) == 0 {
				c.After = nil
			}
			next = next.Apply(c)
		}
		e := NewEngine(set)
		before := e.Evaluate(t.Context(), s)
		v, err := e.start(t.Context(), next, set, before)
		if err != nil {
			t.Fatal(err)
		}
		similar := v.similar(before, nil)
		for i, p := range set.Policies() {
			if p.Definition.Judges == policy.JudgesChange {
				continue
			}
			evaluate := similar.partly(v, i)
			if evaluate == nil {
				continue
			}
			want, err := run(t.Context(), p, (*policy.Policy).Evaluate, v.document, v.data)
			if err != nil {
				t.Fatal(err)
			}
			got, err := evaluate(t.Context(), (*policy.Policy).Evaluate)
			if err != nil {
				t.Fatal(err)
			}
			partly[p.Name]++
			if len(want) > 0 {
				worse++
			}
			if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("round %d, %s:\n got %v\nwant %v", round, p.Name, got, want)
			}
		}
	}
	for _, p := range set.Policies() {
		if d := p.Definition; d.EachBGPPeer && d.Judges == policy.JudgesState && partly[p.Name] < 20 {
			t.Errorf("%s was evaluated on some BGPPeers %d times", p.Name, partly[p.Name])
		}
	}
	if worse < 40 {
		t.Errorf("%d states had a violation", worse)
	}
}

func TestAffectedPeers(t *testing.T) {
	address := func(a string) *topology.BGPPeer { return &topology.BGPPeer{Scope: topology.ScopeExternal, Address: &a} }
	a, b, other := address("10.0.0.1"), address("10.0.0.1"), address("10.0.0.2")
	invalid, invalidToo, nodesOnly := &topology.BGPPeer{Scope: topology.ScopeExternal}, &topology.BGPPeer{Scope: topology.ScopeExternal}, &topology.BGPPeer{Scope: "nodes"}
	type peers = map[string]*topology.BGPPeer
	for name, test := range map[string]struct {
		before, after peers
		changed       []string
		want          affectedPeers
	}{
		"nothing":                   {peers{"a": a, "b": b}, peers{"a": a, "b": b}, nil, affectedPeers{}},
		"one that is the same":      {peers{"a": a, "b": b}, peers{"a": a, "b": b}, []string{"a"}, affectedPeers{[]string{"a", "b"}, []string{"a", "b"}}},
		"one that does not exist":   {peers{"a": a, "b": b}, peers{"a": a, "b": b}, []string{"x"}, affectedPeers{}},
		"a create":                  {peers{"other": other}, peers{"a": a, "other": other}, []string{"a"}, affectedPeers{nil, []string{"a"}}},
		"beside the same address":   {peers{"a": a, "other": other}, peers{"a": a, "b": b, "other": other}, []string{"b"}, affectedPeers{[]string{"a"}, []string{"a", "b"}}},
		"a delete":                  {peers{"a": a, "b": b, "other": other}, peers{"b": b, "other": other}, []string{"a", "a"}, affectedPeers{[]string{"a", "b"}, []string{"b"}}},
		"another address":           {peers{"a": a, "b": b, "other": other}, peers{"a": address("10.0.0.2"), "b": b, "other": other}, []string{"a"}, affectedPeers{[]string{"a", "b", "other"}, []string{"a", "b", "other"}}},
		"addresses that are none":   {peers{"x": invalid, "n": nodesOnly}, peers{"x": invalid, "y": invalidToo, "n": nodesOnly}, []string{"y"}, affectedPeers{[]string{"x"}, []string{"x", "y"}}},
		"peers that are only nodes": {peers{"n": nodesOnly, "m": {Scope: "nodes"}}, peers{"n": {Scope: "nodes"}}, []string{"m", "n"}, affectedPeers{[]string{"m", "n"}, []string{"n"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := newAffectedPeers(test.before, test.after, test.changed); !slices.Equal(got.before, test.want.before) || !slices.Equal(got.after, test.want.after) {
				t.Errorf("got %v, want %v", *got, test.want)
			}
		})
	}
}

func TestReplacedViolations(t *testing.T) {
	of := func(ids ...string) (out []violation.Violation) {
		for _, id := range ids {
			out = append(out, violation.Violation{Policy: "p", ID: id})
		}
		return out
	}
	for name, test := range map[string]struct {
		all, was, is, want []violation.Violation
		ok                 bool
	}{
		"others stay":               {of("a", "b", "c"), of("b"), of("b"), of("a", "b", "c"), true},
		"one is resolved":           {of("a", "b", "c"), of("b"), nil, of("a", "c"), true},
		"one is new":                {of("a", "c"), nil, of("b"), of("a", "b", "c"), true},
		"one was not found before":  {of("a"), of("b"), nil, nil, false},
		"one would be there twice":  {of("a", "b"), nil, of("b"), nil, false},
		"nothing, before and after": {nil, nil, nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := replaced(test.all, test.was, test.is)
			if ok != test.ok || !slices.EqualFunc(got, test.want, func(a, b violation.Violation) bool { return a.ID == b.ID }) {
				t.Errorf("got %v, %t", got, ok)
			}
		})
	}
}
