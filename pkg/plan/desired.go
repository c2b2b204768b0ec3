package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/apply"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// KnotError reports that the changes to a wanted state have no order in which each is allowed.
type KnotError struct {
	Knot    *Knot
	Changes []validate.Request
}

// Error names the changes of the knot and has why each of them is denied.
func (e *KnotError) Error() string {
	var b strings.Builder
	name := func(list []int) []string {
		var out []string
		for _, i := range list {
			c := e.Changes[i].Change
			out = append(out, strings.ToLower(string(c.Operation()))+" of "+c.ID().String())
		}
		return out
	}
	stuck := name(e.Knot.Changes)
	switch {
	case e.Knot.Incomplete:
		fmt.Fprintf(&b, "no plan was written: no order was found in %s in which each change is allowed", text.Count(MaxDecisions, "decision"))
	case !e.Knot.Together:
		b.WriteString("no plan was written: the policies deny the wanted state")
	default:
		b.WriteString("no plan was written: the wanted state is allowed, and no order to it")
	}
	if n := len(e.Knot.After); n > 0 {
		fmt.Fprintf(&b, "; %s can be made first", text.Count(n, "change"))
	}
	fmt.Fprintf(&b, "; %s left: %s", text.Count(len(stuck), "change is", "changes are"), strings.Join(stuck[:min(len(stuck), mostNamed)], ", "))
	if len(stuck) > mostNamed {
		fmt.Fprintf(&b, " and %s more", text.Number(len(stuck)-mostNamed))
	}
	for i, d := range e.Knot.Denials[:min(len(e.Knot.Denials), mostNamed)] {
		fmt.Fprintf(&b, "\n%s would be denied:\n%s", stuck[i], denial(d.Message()))
	}
	if e.Knot.Together {
		b.WriteString("\nAn intermediate object can help: create a new BGPPeer with the wanted selectors beside the old one, make the other changes, and delete the old one last.")
	}
	return b.String()
}

// mostNamed bounds the changes that a KnotError names.
const mostNamed = 5

// denial returns the lines of a message that begin with a policy.
func denial(message string) string {
	var out []string
	for line := range strings.Lines(message) {
		if strings.HasPrefix(line, "[") {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return strings.Join(out, "\n")
}

// ToDesired returns a plan that leads to the state after "kubectl apply" of the wanted
// documents; see apply.Apply. Objects that differ only in what the API server or kubectl writes
// are skipped. With prune, the plan deletes the objects of the state that wanted does not have,
// of the kinds of which wanted has an object, except Nodes.
//
// The order is found by search; see Order. If there is none, the plan first creates a new
// BGPPeer with the wanted fields beside one that it changes, and deletes it last, if there is
// an order with it. Otherwise the error is a *KnotError.
func ToDesired(ctx context.Context, in Input, wanted []map[string]any, prune bool) (*Plan, error) {
	changes, err := differences(in, wanted, prune)
	if err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return nil, errors.New("no plan: the state has all wanted objects already")
	}
	b := newBuilder(in, Desired, "Change the cluster to the wanted state")
	ordering, err := Order(ctx, in.Engine, in.Snapshot, changes)
	if err != nil {
		return nil, err
	}
	if k := ordering.Knot; k != nil {
		extended, found, err := b.untie(ctx, changes, k)
		if err != nil {
			return nil, err
		}
		if !found.Given && found.Order == nil {
			return nil, &KnotError{k, changes}
		}
		changes, ordering = extended, found
	}
	switch {
	case ordering.Given:
		b.choose("The order is that of the files: it is allowed as it is.")
	case ordering.Denial != nil:
		b.choose("The order was found by search. In the order of the files, %s would be denied: %s", changes[ordering.First].ID(), strings.ReplaceAll(denial(ordering.Denial.Message()), "\n", "; "))
	}
	for _, i := range ordering.Order {
		c := changes[i].Change
		c.Before = b.now.Get(c.ID())
		e, err := editOf(c, in.Snapshot)
		if err != nil {
			return nil, err
		}
		step := Step{
			Name: string(c.ID().Kind) + "-" + c.ID().Name, Title: title(c), Edits: []Edit{e},
			Why: "It is part of the wanted state.", Wait: Wait{Text: "Wait until the sessions that the step changes are established."},
		}
		if strings.HasSuffix(c.ID().Name, intermediate) {
			step.Why = "It is an intermediate object, without which there is no order of allowed changes."
		}
		if n, ok := c.After.(*calico.Node); ok && n.RouteReflector() {
			step.Wait = Wait{Text: "Wait until all sessions of " + n.Name + " are established.", Nodes: []string{n.Name}}
		}
		if err := b.add(ctx, step); err != nil {
			return nil, err
		}
	}
	return b.finish(ctx)
}

// differences returns the changes from the state to the wanted objects, in their order, then
// the deletions by kind and name.
func differences(in Input, wanted []map[string]any, prune bool) ([]validate.Request, error) {
	var out []validate.Request
	kinds, there := map[calico.Kind]bool{}, map[calico.ID]bool{}
	s := in.Snapshot
	request := func(c state.Change) validate.Request {
		return validate.Request{Change: c, User: in.User, Groups: in.Groups}
	}
	for _, document := range wanted {
		o, err := calico.Decode(document)
		if err != nil {
			return nil, err
		}
		id := o.ID()
		if id.Kind.Info().Observation || id.Kind.Info().Review == calico.ReviewNone {
			continue
		}
		kinds[id.Kind], there[id] = true, true
		before := s.Get(id)
		after, err := apply.Apply(before, clean(document)) // The files may be exports, and the plan writes its own.
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		c := state.Change{Before: before, After: after}
		e, err := editOf(c, s)
		if err != nil {
			return nil, err
		}
		if e.Object != nil || len(e.Patch) > 0 {
			out = append(out, request(c))
		}
	}
	if prune {
		for _, c := range state.Difference(s, nil) {
			if id := c.ID(); kinds[id.Kind] && !there[id] && id.Kind != calico.KindNode {
				out = append(out, request(state.Change{Before: c.Before}))
			}
		}
	}
	return out, nil
}

// intermediate is the suffix of the names of intermediate BGPPeers.
const intermediate = "-next"

// untie adds, for each BGPPeer that the knot changes or deletes, a new BGPPeer with the
// wanted fields to the changes, which is created first and deleted last. It returns the
// changes with the order that it found, or an order that is empty.
func (b *builder) untie(ctx context.Context, changes []validate.Request, k *Knot) ([]validate.Request, Ordering, error) {
	var first, last []validate.Request
	for _, i := range k.Changes {
		peer, ok := changes[i].After.(*calico.BGPPeer)
		if !ok || changes[i].Before == nil {
			continue
		}
		name := peer.Name + intermediate
		if b.Snapshot.Get(calico.ID{Kind: calico.KindBGPPeer, Name: name}) != nil {
			continue
		}
		document := clean(calico.Manifest(peer))
		document["metadata"] = map[string]any{"name": name}
		o, err := calico.Decode(document)
		if err != nil {
			return nil, Ordering{}, err
		}
		create, remove := changes[i], changes[i]
		create.Change, remove.Change = state.Change{After: o}, state.Change{Before: o}
		first, last = append(first, create), append(last, remove)
	}
	if len(first) == 0 {
		return nil, Ordering{}, nil
	}
	extended := slices.Concat(first, changes, last)
	ordering, err := Order(ctx, b.Engine, b.Snapshot, extended)
	if err == nil && ordering.Order != nil {
		b.note("There is no order of the wanted changes alone in which each is allowed. The plan therefore creates %s and deletes %s at the end.",
			text.Count(len(first), "intermediate BGPPeer"), text.Either(len(first), "it", "them"))
	}
	return extended, ordering, err
}
