package validate

import (
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// stateInput is a summary as input.state. It is built part by part, and parts
// that two summaries share are the same values in both inputs, so that what
// did not change is neither converted nor compared again.
type stateInput struct {
	summary *topology.Summary
	value   ast.Object
}

// parts lists what a summary consists of: the pointer or map that tells two
// parts apart, and how to convert it.
func newStateInput(s *topology.Summary, before *stateInput) *stateInput {
	if before != nil && before.summary == s {
		return before
	}
	old := &topology.Summary{}
	if before != nil {
		old = before.summary
	}
	in := &stateInput{summary: s, value: ast.NewObject()}
	put := func(key string, same bool, convert func() ast.Value) {
		k := ast.InternedTerm(key)
		if same && before != nil {
			in.value.Insert(k, before.value.Get(k))
			return
		}
		in.value.Insert(k, ast.NewTerm(convert()))
	}
	put("calicoVersion", s.CalicoVersion == old.CalicoVersion, func() ast.Value { return ast.String(s.CalicoVersion) })
	put("nodes", s.Nodes == old.Nodes, func() ast.Value { return policy.Value(s.Nodes) })
	put("mesh", s.Mesh == old.Mesh, func() ast.Value { return policy.Value(s.Mesh) })
	put("reflectors", s.Reflectors == old.Reflectors, func() ast.Value { return policy.Value(s.Reflectors) })
	put("podTraffic", s.PodTraffic == old.PodTraffic, func() ast.Value { return policy.Value(s.PodTraffic) })
	put("timers", s.Timers == old.Timers, func() ast.Value { return policy.Value(s.Timers) })
	putObjects(in, before, "bgpPeers", s.BGPPeers, old.BGPPeers)
	putObjects(in, before, "bgpConfigurations", s.BGPConfigurations, old.BGPConfigurations)
	putObjects(in, before, "ipPools", s.IPPools, old.IPPools)
	return in
}

// putObjects converts a map of objects; those that before has too are shared.
func putObjects[T any](in, before *stateInput, key string, objects, old map[string]*T) {
	k := ast.InternedTerm(key)
	var known ast.Object
	if before != nil {
		known = before.value.Get(k).Value.(ast.Object)
	}
	obj := ast.NewObject()
	same := known != nil && len(objects) == len(old)
	for name, o := range objects {
		n := ast.StringTerm(name)
		if known != nil && old[name] == o {
			obj.Insert(n, known.Get(n))
			continue
		}
		same = false
		obj.Insert(n, ast.NewTerm(policy.Value(o)))
	}
	if same {
		obj = known
	}
	in.value.Insert(k, ast.NewTerm(obj))
}

// document is the whole input of a policy, but for its parameters.
func (in *stateInput) document(now time.Time) ast.Object {
	return ast.NewObject(
		[2]*ast.Term{ast.InternedTerm("state"), ast.NewTerm(in.value)},
		[2]*ast.Term{ast.InternedTerm("now"), ast.NewTerm(ast.IntNumberTerm(int(now.UnixNano())).Value)},
	)
}
