package validate

import (
	"context"
	"reflect"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// affectedPeers are the BGPPeers of two states that differ, and those with the address of one that differs, by name and in order.
type affectedPeers struct{ before, after []string }

// newAffectedPeers compares the BGPPeers of two summaries. named is the name of a further BGPPeer that counts as different, "" for none.
// O(BGPPeers) with a very small constant.
func newAffectedPeers(before, after map[string]*topology.BGPPeer, named string) *affectedPeers {
	differ := map[string]bool{}
	if before[named] != nil || after[named] != nil {
		differ[named] = true
	}
	if !sameMap(before, after) {
		for name, p := range after {
			if before[name] != p {
				differ[name] = true
			}
		}
		for name := range before {
			if after[name] == nil {
				differ[name] = true
			}
		}
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
	among := func(peers map[string]*topology.BGPPeer) (names []string) {
		for name := range differ {
			if peers[name] != nil {
				names = append(names, name)
			}
		}
		if len(addresses) > 0 || nowhere {
			for name, p := range peers {
				if (p.Address != nil && addresses[*p.Address] || p.Address == nil && nowhere && p.Scope == topology.ScopeExternal) && !differ[name] {
					names = append(names, name)
				}
			}
		}
		slices.Sort(names)
		return names
	}
	out := &affectedPeers{before: among(before)}
	if out.after = out.before; !sameMap(before, after) {
		out.after = among(after)
	}
	return out
}

// sameMap reports whether two summaries share their BGPPeers.
func sameMap(a, b map[string]*topology.BGPPeer) bool {
	return reflect.ValueOf(a).UnsafePointer() == reflect.ValueOf(b).UnsafePointer()
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

// affected returns the BGPPeers that differ between the two evaluations.
func (s *similarEvaluation) affected(v *Evaluation) *affectedPeers {
	if s.peers == nil {
		s.peers = newAffectedPeers(s.Topology.Summary().BGPPeers, v.Topology.Summary().BGPPeers, "")
	}
	return s.peers
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
		peers := known.affected(v)
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
