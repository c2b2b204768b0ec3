package validate

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/operator"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// stateInput holds a summary and its conversion to input.state. It is built part by part.
// Two inputs share the values of the parts that their summaries share, so that unchanged
// parts are neither converted nor compared again.
type stateInput struct {
	topology *topology.Topology
	value    ast.Object
}

// newStateInput converts the parts of the summary of a topology that policies read. before is an input
// for the same policies, or nil.
func newStateInput(t *topology.Topology, reads func(part string) bool, before *stateInput) *stateInput {
	s := t.Summary()
	old := &topology.Summary{}
	if before != nil {
		old = before.topology.Summary()
	}
	if old == s {
		return before
	}
	in := &stateInput{topology: t, value: ast.NewObject()}
	put := func(key string, same bool, convert func(known ast.Object) ast.Value) {
		if !reads(key) {
			return
		}
		k := ast.InternedTerm(key)
		var known *ast.Term
		if before != nil {
			known = before.value.Get(k)
		}
		switch {
		case known != nil && same:
			in.value.Insert(k, known)
		case known != nil:
			objects, _ := known.Value.(ast.Object)
			in.value.Insert(k, ast.NewTerm(convert(objects)))
		default:
			in.value.Insert(k, ast.NewTerm(convert(nil)))
		}
	}
	whole := func(v any) func(ast.Object) ast.Value { return func(ast.Object) ast.Value { return policy.Value(v) } }
	put("calicoVersion", s.CalicoVersion == old.CalicoVersion, whole(s.CalicoVersion))
	put("bgp", s.BGP == old.BGP, whole(s.BGP))
	put("nodes", s.Nodes == old.Nodes, whole(s.Nodes))
	put("addresses", s.Addresses == old.Addresses, whole(s.Addresses))
	put("otherASNumbers", s.OtherASNumbers == old.OtherASNumbers, like(s.OtherASNumbers, old.OtherASNumbers))
	put("mesh", s.Mesh == old.Mesh, whole(s.Mesh))
	put("reflectors", s.Reflectors == old.Reflectors, like(s.Reflectors, old.Reflectors))
	put("sessions", s.Sessions == old.Sessions, like(s.Sessions, old.Sessions))
	put("routes", s.Routes == old.Routes, like(s.Routes, old.Routes))
	put("serviceRanges", s.ServiceRanges == old.ServiceRanges, whole(s.ServiceRanges))
	put("convergence", s.Convergence == old.Convergence, whole(s.Convergence))
	put("podTraffic", s.PodTraffic == old.PodTraffic, like(s.PodTraffic, old.PodTraffic))
	put("podAddresses", s.PodAddresses == old.PodAddresses, whole(s.PodAddresses))
	put("clusterRoutes", s.ClusterRoutes == old.ClusterRoutes, like(s.ClusterRoutes, old.ClusterRoutes))
	put("timers", s.Timers == old.Timers, like(s.Timers, old.Timers))
	put("selectors", s.Selectors == old.Selectors, whole(s.Selectors))
	put("bgpPeers", false, func(known ast.Object) ast.Value {
		if known == nil {
			return each(s.BGPPeers, slices.Collect(maps.Keys(s.BGPPeers)), ast.NewObject())
		}
		return each(s.BGPPeers, t.ChangedBGPPeers(before.topology), known)
	})
	put("bgpConfigurations", false, parts(s.BGPConfigurations, old.BGPConfigurations))
	put("ipPools", false, parts(s.IPPools, old.IPPools))
	put("felixConfigurations", false, parts(s.FelixConfigurations, old.FelixConfigurations))
	put("clusterInformations", false, parts(s.ClusterInformations, old.ClusterInformations))
	put("bgpFilters", s.BGPFilters == old.BGPFilters, like(s.BGPFilters, old.BGPFilters))
	put("secrets", s.Secrets == old.Secrets, like(s.Secrets, old.Secrets))
	put("typha", s.Typha == old.Typha, whole(s.Typha))
	return in
}

// like converts a part that differs little from old, whose value is known.
func like[T any](part, old *T) func(known ast.Object) ast.Value {
	return func(known ast.Object) ast.Value { return policy.ValueLike(part, old, known) }
}

// parts converts a map of objects. Values of known are reused for the objects that are the same in old.
func parts[T any](objects, old map[string]*T) func(known ast.Object) ast.Value {
	return func(known ast.Object) ast.Value {
		if known == nil {
			known, old = ast.NewObject(), nil
		}
		return each(objects, topology.ChangedNames(old, objects), known)
	}
}

// each converts a map of objects. known is the value of another one, of which the objects with other names than changed are the same.
// The keys are in order, so that OPA need not sort them. O(objects) with a small constant.
func each[T any](objects map[string]*T, changed []string, known ast.Object) ast.Value {
	if len(changed) == 0 {
		return known
	}
	differs := make(map[string]bool, len(changed))
	var fresh []string
	for _, name := range changed {
		differs[name] = true
		if objects[name] != nil {
			fresh = append(fresh, name)
		}
	}
	slices.Sort(fresh)
	items := make([][2]*ast.Term, 0, len(objects))
	add := func() {
		items = append(items, [2]*ast.Term{ast.StringTerm(fresh[0]), ast.NewTerm(policy.Value(objects[fresh[0]]))})
		fresh = fresh[1:]
	}
	known.Foreach(func(key, value *ast.Term) {
		name, _ := key.Value.(ast.String)
		for len(fresh) > 0 && fresh[0] <= string(name) {
			add()
		}
		if !differs[string(name)] {
			items = append(items, [2]*ast.Term{key, value})
		}
	})
	for len(fresh) > 0 {
		add()
	}
	return ast.NewObject(items...)
}

// newDocument returns the whole input of a policy without its parameters.
func newDocument(state ast.Object, now time.Time) ast.Object {
	return ast.NewObject(
		[2]*ast.Term{ast.InternedTerm("state"), ast.NewTerm(state)},
		[2]*ast.Term{ast.InternedTerm("now"), ast.NewTerm(ast.IntNumberTerm(int(now.UnixNano())).Value)},
	)
}

// changeDocuments return the input of policies that evaluate changes, without their parameters. The first call of each builds the
// input.
type changeDocuments struct {
	all func() ast.Object
	// eachPeer is that of policies that are evaluated for each BGPPeer.
	eachPeer func() ast.Object
}

// of returns the input of a policy.
func (d *changeDocuments) of(p *policy.Policy) ast.Object {
	if p.Definition.EachBGPPeer {
		return d.eachPeer()
	}
	return d.all()
}

// changeDocuments returns the input of policies that evaluate changes.
func (e *Engine) changeDocuments(before, after *Evaluation, r *Request) *changeDocuments {
	change := sync.OnceValue(func() *ast.Term { return changeTerm(r) })
	with := func(before, after ast.Object) ast.Object {
		out := newDocument(after, e.now())
		out.Insert(ast.InternedTerm("before"), ast.NewTerm(before))
		out.Insert(ast.InternedTerm("change"), change())
		return out
	}
	return &changeDocuments{
		all: sync.OnceValue(func() ast.Object { return with(before.input.value, after.input.value) }),
		eachPeer: sync.OnceValue(func() ast.Object {
			peers := after.affectedSince(before)
			if r.ID().Kind == calico.KindBGPPeer {
				// A policy may look for the changed one, also if all that it can read of it is the same.
				peers = peers.with(r.ID().Name, before, after)
			}
			return with(before.input.withPeers(peers.before), after.input.withPeers(peers.after))
		}),
	}
}

// changeTerm returns input.change.
func changeTerm(r *Request) *ast.Term {
	change := struct {
		Operation string         `json:"operation"`
		Kind      string         `json:"kind"`
		Name      string         `json:"name"`
		User      string         `json:"user"`
		Groups    []string       `json:"groups"`
		DryRun    bool           `json:"dryRun"`
		Object    map[string]any `json:"object"`
		OldObject map[string]any `json:"oldObject"`
		// Installation is that for which tigera-operator makes the change.
		Installation map[string]any `json:"installation"`
	}{string(r.Operation()), string(r.ID().Kind), r.ID().Name, r.User, r.Groups, r.DryRun, calico.Manifest(r.After), calico.Manifest(r.Before), calico.Manifest(r.installation)}
	value, _ := policy.Value(change).(ast.Object)
	for key, object := range map[string]calico.Object{"object": r.After, "oldObject": r.Before, "installation": r.installation} {
		if calico.Manifest(object) == nil { // Value converts a nil map to {}, which would mean that the object exists.
			value.Insert(ast.InternedTerm(key), ast.NullTerm())
		}
	}
	return ast.NewTerm(value)
}

// Input returns the input of policies, without their parameters, and data.state. Decide
// evaluates policies on the same input, but converts only the parts of the state that
// policies in force read; Input converts all parts. Without a change, Input returns the
// input for the state alone, without the parts before and change. The only error is that of
// ctx.
func (e *Engine) Input(ctx context.Context, s *state.Snapshot, r Request) (input ast.Object, data ast.Value, err error) {
	policies := e.policies.Load()
	r.Change = r.Informed()
	if r.Before == nil && r.After == nil {
		j, err := e.prepare(ctx, s, policies, everyPart, nil, false)
		if err != nil {
			return nil, nil, err
		}
		return j.document, j.data.value(everyPart), nil
	}
	s = asKnown(s, r.Change)
	before, err := e.prepare(ctx, s, policies, everyPart, nil, false)
	if err != nil {
		return nil, nil, err
	}
	next := s
	for _, w := range withWrites(s, []Request{r}) {
		next = next.Apply(operator.Effect(w.Change))
	}
	after, err := e.prepare(ctx, next, policies, everyPart, before, true)
	if err != nil {
		return nil, nil, err
	}
	return e.changeDocuments(before, after, &r).all(), after.data.value(everyPart), nil
}
