package routes

import (
	"math/bits"
	"slices"
)

// set is destinations of a batch, one bit for each of their numbers there.
type set uint64

// each calls visit with the numbers in the set, in order.
func (s set) each(visit func(number int)) {
	for ; s != 0; s &= s - 1 {
		visit(bits.TrailingZeros64(uint64(s)))
	}
}

// maxBatch is the maximum number of destinations in a batch.
const maxBatch = 64

// batch is destinations that a flood follows routes to at once: a route of the flood is that to a set of
// them, and divides where policies do different things with it. They differ in Policies and Communities
// only, and their policies read the same attributes. So a flood makes the same steps for each of them, in
// the same order, as a flood for it alone.
type batch struct {
	numbers []int        // in Graph.destinations
	first   *Destination // for the fields that all of them have in common
	all     set
	// observed are the attributes that policies read.
	observed observed
	// imports and exports are what the policies of sessions do, by their numbers, and communities those
	// that nodes add, by Vertex.Adds. Each contains all destinations.
	imports, exports [][]choice[Terms]
	communities      [][]choice[[]Community]
}

// choice is the destinations to which a policy has one value.
type choice[T any] struct {
	to    set
	value T
}

// batchKey is equal for destinations that may be in one batch.
type batchKey struct {
	observed            observed
	disabled, tunnelled bool
}

// newBatches divides those destinations of a list for which wanted returns true into batches.
// O(destinations x policies x destinations with different policies).
func newBatches(list []Destination, wanted func(i int) bool) []*batch {
	var out []*batch
	open := map[batchKey]*batch{}
	for i := range list {
		if !wanted(i) {
			continue
		}
		d := &list[i]
		key := batchKey{d.observes(), d.Disabled, d.Tunnelled}
		reads := key.observed.any
		key.observed.any = false // Policies without terms do the same if they are evaluated.
		b := open[key]
		if b == nil || len(b.numbers) == maxBatch {
			b = &batch{first: d, observed: key.observed}
			open[key] = b
			out = append(out, b)
		}
		b.observed.any = b.observed.any || reads
		b.add(i, d)
	}
	return out
}

// batchOf returns the batch of one destination.
func batchOf(d *Destination) *batch {
	b := &batch{first: d, observed: d.observes()}
	b.add(0, d)
	return b
}

// add adds a destination.
func (b *batch) add(number int, d *Destination) {
	one := set(1) << len(b.numbers)
	b.numbers = append(b.numbers, number)
	for i := range max(len(d.Policies), len(b.imports)) {
		var p Policy
		if i < len(d.Policies) {
			p = d.Policies[i]
		}
		b.imports = choose(b.imports, i, b.all, one, p.Import, Terms.equal)
		b.exports = choose(b.exports, i, b.all, one, p.Export, Terms.equal)
	}
	for i := range max(len(d.Communities), len(b.communities)) {
		var list []Community
		if i < len(d.Communities) {
			list = d.Communities[i]
		}
		b.communities = choose(b.communities, i, b.all, one, list, slices.Equal[[]Community])
	}
	b.all |= one
}

// choose adds a destination to the choice of element i with a value. The element may be new: the value for
// the destinations in before is then the zero one.
func choose[T any](list [][]choice[T], i int, before, one set, value T, equal func(a, b T) bool) [][]choice[T] {
	if i == len(list) {
		var first []choice[T]
		if before != 0 {
			first = make([]choice[T], 1, 2)
			first[0].to = before
		}
		list = append(list, first)
	}
	k := slices.IndexFunc(list[i], func(c choice[T]) bool { return equal(c.value, value) })
	if k < 0 {
		list[i] = append(list[i], choice[T]{one, value})
	} else {
		list[i][k].to |= one
	}
	return list
}

// chosen returns element i of a list of choices, none without it.
func chosen[T any](list [][]choice[T], i int, none []choice[T]) []choice[T] {
	if i < len(list) {
		return list[i]
	}
	return none
}

// noTerms and noCommunities are the choices of a policy and of nodes that no destination of a batch has.
var (
	noTerms       = []choice[Terms]{{to: ^set(0)}}
	noCommunities = []choice[[]Community]{{to: ^set(0)}}
)
