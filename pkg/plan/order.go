// Package plan finds the way from one state of a cluster to another: an order of changes in
// which each of them is allowed, and numbered steps with what to wait for after each. Every
// step is evaluated by the same engine as in the webhook. The package is pure: it has no
// client, and changes nothing.
package plan

import (
	"context"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// MaxDecisions bounds the decisions of Order. A set of n changes whose given order is allowed
// takes n of them.
const MaxDecisions = 5000

// Ordering is the result of Order.
type Ordering struct {
	// Order has the indexes of the changes in an order in which each is allowed after those
	// before it. It is nil if no such order was found.
	Order []int
	// Decisions are those of Order, one for each change in it.
	Decisions []*validate.Decision
	// Given reports that the changes are allowed in the given order.
	Given bool
	// First is the first change that is denied in the given order, and Denial its decision.
	// Both are unset if Given.
	First  int
	Denial *validate.Decision
	// Knot is the reason why there is no order, nil if there is one.
	Knot *Knot
	// Made counts the decisions that the search made.
	Made int
}

// Knot is a set of changes of which none is allowed before the others.
type Knot struct {
	// After has the changes that are applied before, in order.
	After []int
	// Changes are the changes of the knot, in the given order, and Denials their decisions
	// after After.
	Changes []int
	Denials []*validate.Decision
	// Together reports that all changes of the knot are allowed at once: only the states in
	// between are denied. Otherwise the wanted state itself is.
	Together bool
	// Incomplete reports that the search ended at MaxDecisions: there may be an order.
	Incomplete bool
}

// Order searches for an order in which every change is allowed, each after those before it.
// It prefers the given order: at every point it tries the changes that are left in this order
// and takes the first that is allowed, and it goes back if none is. Changes of one object keep
// their order. Before of each change is replaced by what the snapshot then has.
//
// It makes at most MaxDecisions decisions; no set of applied changes is searched twice. An
// error is that of ctx.
func Order(ctx context.Context, engine *validate.Engine, snapshot *state.Snapshot, changes []validate.Request) (Ordering, error) {
	s := &search{engine: engine, changes: changes, dead: map[string]bool{}, left: MaxDecisions, applied: make([]byte, (len(changes)+7)/8)}
	s.follow()
	found := s.from(ctx, snapshot)
	if err := ctx.Err(); err != nil {
		return Ordering{}, err
	}
	out := Ordering{Given: found && slices.IsSorted(s.path), Made: MaxDecisions - max(s.left, 0)}
	if !out.Given {
		out.First, out.Denial = s.first, s.denial
	}
	if found {
		out.Order, out.Decisions = s.path, s.decisions
		return out, nil
	}
	knot, err := s.knot(ctx, snapshot)
	out.Knot = knot
	return out, err
}

// search is a depth-first search for an order.
type search struct {
	engine  *validate.Engine
	changes []validate.Request
	// earlier has, for each change, the last one before it of the same object, or -1.
	earlier []int
	// applied is the set of changes that are applied, one bit each. path has them in order.
	applied   []byte
	path      []int
	decisions []*validate.Decision
	// dead are the sets from which no order was found.
	dead map[string]bool
	left int // decisions
	// deepest is the longest path that was reached.
	deepest []int
	first   int
	denial  *validate.Decision
}

// follow fills earlier. It keeps the order of changes of one object.
func (s *search) follow() {
	last := make(map[calico.ID]int, len(s.changes))
	s.earlier = make([]int, len(s.changes))
	for i := range s.changes {
		id := s.changes[i].ID()
		s.earlier[i] = -1
		if before, ok := last[id]; ok {
			s.earlier[i] = before
		}
		last[id] = i
	}
}

func (s *search) has(i int) bool { return s.applied[i/8]>>(i%8)&1 == 1 }
func (s *search) flip(i int)     { s.applied[i/8] ^= 1 << (i % 8) }

// from reports whether it found an order of the changes that are left. The path then is the
// whole order.
func (s *search) from(ctx context.Context, now *state.Snapshot) bool {
	if len(s.path) > len(s.deepest) || s.deepest == nil {
		s.deepest = slices.Clone(s.path)
	}
	if len(s.path) == len(s.changes) {
		return true
	}
	key := string(s.applied)
	if s.dead[key] {
		return false
	}
	for i := range s.changes {
		if s.has(i) || s.earlier[i] >= 0 && !s.has(s.earlier[i]) {
			continue
		}
		if s.left <= 0 || ctx.Err() != nil {
			return false
		}
		d := s.decide(ctx, now, i)
		if !d.Allowed {
			if s.denial == nil {
				s.first, s.denial = i, d
			}
			continue
		}
		s.flip(i)
		s.path, s.decisions = append(s.path, i), append(s.decisions, d)
		if s.from(ctx, s.after(now, i)) {
			return true
		}
		s.flip(i)
		s.path, s.decisions = s.path[:len(s.path)-1], s.decisions[:len(s.decisions)-1]
	}
	s.dead[key] = true
	return false
}

// request returns change i as it is made to now.
func (s *search) request(now *state.Snapshot, i int) validate.Request {
	r := s.changes[i]
	r.Before = now.Get(r.ID())
	return r
}

func (s *search) decide(ctx context.Context, now *state.Snapshot, i int) *validate.Decision {
	s.left--
	r := s.request(now, i)
	if r.Before == nil && r.After == nil {
		return &validate.Decision{Allowed: true} // Deleted before.
	}
	return s.engine.Decide(ctx, now, r)
}

func (s *search) after(now *state.Snapshot, i int) *state.Snapshot {
	return now.Apply(s.request(now, i).Informed())
}

// knot describes where the search ended: after the longest path, the smallest set of changes
// found that is allowed at once. If all that is left is not allowed at once either, the knot
// is all of it. It evaluates at most one state for each change that is left.
func (s *search) knot(ctx context.Context, snapshot *state.Snapshot) (*Knot, error) {
	k := &Knot{After: s.deepest, Incomplete: s.left <= 0}
	now := snapshot
	for _, i := range s.deepest {
		now = s.after(now, i)
	}
	for i := range s.changes {
		if !slices.Contains(s.deepest, i) {
			k.Changes = append(k.Changes, i)
		}
	}
	if k.Together = s.together(ctx, now, k.Changes); k.Together && len(k.Changes) <= maxShrink {
		for at := range slices.Backward(k.Changes) {
			smaller := slices.Delete(slices.Clone(k.Changes), at, at+1)
			if len(smaller) > 1 && s.keepsOrder(smaller) && s.together(ctx, now, smaller) {
				k.Changes = smaller
			}
		}
	}
	for _, i := range k.Changes {
		k.Denials = append(k.Denials, s.decide(ctx, now, i))
	}
	return k, ctx.Err()
}

// maxShrink bounds the changes of which the knot is made smaller.
const maxShrink = 200

// keepsOrder reports whether a set contains each change together with the ones of the same
// object before it that are not applied.
func (s *search) keepsOrder(set []int) bool {
	return !slices.ContainsFunc(set, func(i int) bool {
		e := s.earlier[i]
		return e >= 0 && !slices.Contains(set, e) && !slices.Contains(s.deepest, e)
	})
}

// together reports whether all changes of a set are allowed at once.
func (s *search) together(ctx context.Context, now *state.Snapshot, set []int) bool {
	requests, after := make([]validate.Request, len(set)), now
	for n, i := range set {
		requests[n] = s.request(after, i)
		after = after.Apply(requests[n].Informed())
	}
	return s.engine.DecideSet(ctx, now, requests).Allowed
}
