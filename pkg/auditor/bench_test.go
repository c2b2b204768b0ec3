package auditor

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// library returns the policies of the library with their defaults.
func library(b *testing.B) *policy.Set {
	b.Helper()
	docs, err := policy.Defaults()
	if err != nil {
		b.Fatal(err)
	}
	set, err := policy.Compile(docs)
	if err != nil {
		b.Fatal(err)
	}
	return set
}

// large returns a cluster of n nodes in 95 racks with 3 route reflectors, and 100 BGPPeers:
// one for each rack, one among the route reflectors and 4 to routers.
func large(b *testing.B, n int) *state.Snapshot {
	b.Helper()
	objects := []calico.Object{calicotest.Object(b, "BGPConfiguration", calico.Default, map[string]any{"nodeToNodeMeshEnabled": false, "asNumber": int64(64512)})}
	const racks = 95
	for i := range n {
		tweaks := []calicotest.Tweak{
			calicotest.IPv4(fmt.Sprintf("10.0.%d.%d/16", i>>8, i&255)), calicotest.Label("rack", fmt.Sprintf("r%02d", i%racks)),
			calicotest.Label("kubernetes.io/hostname", calicotest.NodeName(i)), calicotest.Label("topology.kubernetes.io/zone", fmt.Sprintf("z%d", i%3)),
		}
		if i < 3 {
			tweaks = append(tweaks, calicotest.RouteReflector("244.0.0.1"), calicotest.Label("rr", "true"))
		}
		objects = append(objects, calicotest.NumberedNode(b, i, tweaks...))
	}
	for i := range racks {
		objects = append(objects, calicotest.Object(b, "BGPPeer", fmt.Sprintf("rack-%02d", i), map[string]any{"nodeSelector": fmt.Sprintf("rack == 'r%02d' && !has(rr)", i), "peerSelector": "has(rr)"}))
	}
	objects = append(objects, calicotest.Object(b, "BGPPeer", "reflectors", map[string]any{"nodeSelector": "has(rr)", "peerSelector": "has(rr)"}))
	for i := range 4 {
		objects = append(objects, calicotest.Object(b, "BGPPeer", fmt.Sprintf("tor-%d", i), map[string]any{"nodeSelector": fmt.Sprintf("rack == 'r%02d'", i), "peerIP": fmt.Sprintf("172.16.0.%d", i+1), "asNumber": int64(64600 + i)}))
	}
	return state.New(objects...)
}

// userTime returns the CPU time that this process has used outside of the kernel.
func userTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano())
}

// BenchmarkAudit measures one audit of 5,000 nodes and 100 BGPPeers with the whole library:
// without a cache, as after a start, and after a change of a BGPPeer. Its CPU time includes
// the garbage collector.
func BenchmarkAudit(b *testing.B) {
	const nodes = 5000
	set, s := library(b), large(b, nodes)
	if n := len(s.BGPPeers()); n != 100 {
		b.Fatalf("%d BGPPeers", n)
	}
	options := audit.Options{Time: began}
	measure := func(b *testing.B, run func(i int) *audit.Audit) {
		b.Helper()
		b.ReportAllocs()
		before, i, violations := userTime(b), 0, 0
		for b.Loop() {
			a := run(i)
			if len(a.Failures) > 0 {
				b.Fatal(a.Failures)
			}
			violations = len(a.Violations)
			i++
		}
		b.ReportMetric(float64((userTime(b)-before).Microseconds())/float64(i)/1000, "cpu-ms/op")
		b.ReportMetric(float64(violations), "violations")
	}
	b.Run("from=nothing", func(b *testing.B) {
		measure(b, func(int) *audit.Audit { return audited(b, validate.NewEngine(set), s, options) })
	})
	b.Run("from=change", func(b *testing.B) {
		engine := validate.NewEngine(set)
		before := audited(b, engine, s, options)
		trail := followed(b, nil, before, engine, audit.Step{})
		other := calicotest.Object(b, "BGPPeer", "rack-07", map[string]any{"nodeSelector": "rack == 'r07' && !has(rr)", "peerSelector": "has(rr)", "keepOriginalNextHop": true})
		states := []*state.Snapshot{s.Apply(state.Change{Before: s.Get(calico.ID{Kind: calico.KindBGPPeer, Name: "rack-07"}), After: other}), s}
		measure(b, func(i int) *audit.Audit {
			a := audited(b, engine, states[i%2], options)
			trail = followed(b, trail, a, validate.NewEngine(set), audit.Step{Before: states[(i+1)%2]})
			return a
		})
	})
}

// followed returns the trail after an audit.
func followed(b *testing.B, trail *audit.Trail, a *audit.Audit, engine *validate.Engine, step audit.Step) *audit.Trail {
	b.Helper()
	next, err := trail.Follow(b.Context(), a, engine, step)
	if err != nil {
		b.Fatal(err)
	}
	return next
}
