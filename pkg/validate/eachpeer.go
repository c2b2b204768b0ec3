package validate

import (
	"context"
	"slices"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// affectedPeers are the BGPPeers of two states that differ, and those with the address of one that differs, by name and in order.
type affectedPeers struct{ before, after []string }

// newAffectedPeers returns the affected BGPPeers of two states, by their parts. changed are the names of those that differ, and of others
// that count as different. O(BGPPeers) with a very small constant.
func newAffectedPeers(before, after map[string]*topology.BGPPeer, changed []string) *affectedPeers {
	differ := make(map[string]bool, len(changed))
	for _, name := range changed {
		differ[name] = true
	}
	addresses, nowhere := map[string]bool{}, false
	for name := range differ {
		for _, p := range []*topology.BGPPeer{before[name], after[name]} {
			switch {
			case p == nil:
			case p.Address != nil:
				addresses[*p.Address] = true
			default:
				nowhere = nowhere || p.Scope == topology.ScopeExternal
			}
		}
	}
	var same []string // They are in both states.
	if len(addresses) > 0 || nowhere {
		for name, p := range after {
			if (p.Address != nil && addresses[*p.Address] || p.Address == nil && nowhere && p.Scope == topology.ScopeExternal) && !differ[name] {
				same = append(same, name)
			}
		}
	}
	with := func(peers map[string]*topology.BGPPeer) []string {
		names := slices.Clone(same)
		for name := range differ {
			if peers[name] != nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	return &affectedPeers{with(before), with(after)}
}

// with returns the BGPPeers with a further one that is the same in both states.
func (a *affectedPeers) with(name string, before, after *Evaluation) *affectedPeers {
	from, to := before.Topology.Summary().BGPPeers, after.Topology.Summary().BGPPeers
	if from[name] != to[name] || from[name] == nil || slices.Contains(a.after, name) {
		return a
	}
	return newAffectedPeers(from, to, append(slices.Clip(after.Topology.ChangedBGPPeers(before.Topology)), name))
}

// affectedCache holds the BGPPeers of a state that differ from those of an earlier one. It is safe for concurrent use.
type affectedCache struct {
	mu    sync.Mutex
	since *topology.Topology
	peers *affectedPeers
}

// affectedSince returns the BGPPeers that differ between the evaluation of an earlier state and v.
func (v *Evaluation) affectedSince(before *Evaluation) *affectedPeers {
	c := v.affected
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.since != before.Topology {
		c.since = before.Topology
		c.peers = newAffectedPeers(before.Topology.Summary().BGPPeers, v.Topology.Summary().BGPPeers, v.Topology.ChangedBGPPeers(before.Topology))
	}
	return c.peers
}

// withPeers returns input.state with only the BGPPeers of the given names.
func (in *stateInput) withPeers(names []string) ast.Object {
	key := ast.InternedTerm(policy.PartBGPPeers)
	all := in.value.Get(key)
	if all == nil { // No policy reads BGPPeers.
		return in.value
	}
	peers, _ := all.Value.(ast.Object)
	items := make([][2]*ast.Term, len(names))
	for i, name := range names {
		k := ast.StringTerm(name)
		items[i] = [2]*ast.Term{k, peers.Get(k)}
	}
	out := ast.NewObject()
	in.value.Foreach(func(k, v *ast.Term) {
		if k.Equal(key) {
			v = ast.NewTerm(ast.NewObject(items...))
		}
		out.Insert(k, v)
	})
	return out
}

// partly returns an evaluation of policy number i on the BGPPeers that differ from those of a similar evaluation, whose violations
// of all others hold. It returns nil if there is no such evaluation. A policy that finds other violations than it found
// before, or one twice, does depend on other BGPPeers, and is evaluated on all of them.
func (s similar) partly(v *Evaluation, i int) func(ctx context.Context, evaluate method) ([]violation.Violation, error) {
	p := v.Policies.Policies()[i]
	if !p.Definition.EachBGPPeer {
		return nil
	}
	for k := range s {
		known := &s[k]
		if known.results[i].err != nil || !v.data.sameFor(p, known.data) || !known.difference.UnaffectedBesidesBGPPeers(p) {
			continue
		}
		peers := v.affectedSince(known.Evaluation)
		if 2*(len(peers.before)+len(peers.after)) > len(v.Topology.Summary().BGPPeers) {
			continue
		}
		return func(ctx context.Context, evaluate method) ([]violation.Violation, error) {
			was, err := run(ctx, p, evaluate, newDocument(known.input.withPeers(peers.before), known.at), known.data)
			if err != nil {
				return nil, err
			}
			is, err := run(ctx, p, evaluate, newDocument(v.input.withPeers(peers.after), v.at), v.data)
			if err != nil {
				return nil, err
			}
			if out, ok := replaced(known.results[i].violations, was, is); ok {
				return out, nil
			}
			return run(ctx, p, evaluate, v.document, v.data)
		}
	}
	return nil
}

// replaced returns violations with those of is in place of those of was, all sorted by policy and id. It returns false if one of was is
// not among the violations, or one of is would be there twice.
func replaced(violations, was, is []violation.Violation) ([]violation.Violation, bool) {
	out := make([]violation.Violation, 0, len(violations)+len(is))
	for i := range violations {
		if _, found := slices.BinarySearchFunc(was, violations[i], violation.ByPolicyAndID); !found {
			out = append(out, violations[i])
		}
	}
	if len(out)+len(was) != len(violations) {
		return nil, false
	}
	out = append(out, is...)
	slices.SortFunc(out, violation.ByPolicyAndID)
	for i := 1; i < len(out); i++ {
		if violation.ByPolicyAndID(out[i-1], out[i]) == 0 {
			return nil, false
		}
	}
	return out, true
}
