package policy

import "github.com/open-policy-agent/opa/v1/ast"

// Difference compares two inputs for several policies. It is not safe for concurrent use.
type Difference struct {
	before, after ast.Object
	// changed are the pairs of different values of two collections with the same keys, by the collections. Each pair of
	// collections is compared once, in O(keys), for all policies and all of their reads.
	changed map[[2]ast.Value]changes
}

// changes are what differs between the values of two collections.
type changes struct {
	// keys reports that the keys differ.
	keys  bool
	pairs [][2]ast.Value
}

// NewDifference returns the difference between two inputs without parameters.
func NewDifference(before, after ast.Object) *Difference {
	return &Difference{before: before, after: after, changed: map[[2]ast.Value]changes{}}
}

// Unaffected reports whether a policy has the same result for both inputs because what it reads of them is equal, apart from
// data.state. Comparing a value with itself is O(1).
func (d *Difference) Unaffected(p *Policy) bool {
	return d.equal(p.Definition.reads, d.before, d.after)
}

// UnaffectedBesidesBGPPeers is Unaffected for what the policy reads besides BGPPeers. It returns false for a policy that is not
// evaluated for each BGPPeer.
func (d *Difference) UnaffectedBesidesBGPPeers(p *Policy) bool {
	return p.Definition.EachBGPPeer && d.equal(p.Definition.otherReads, d.before, d.after)
}

// equal reports whether what is read of two values is equal.
func (d *Difference) equal(r *reads, a, b ast.Value) bool {
	if a == b {
		return true
	}
	if r.whole {
		return identical(a, b)
	}
	x, ok := a.(ast.Object)
	y, ok2 := b.(ast.Object)
	if len(r.fields) > 0 && (!ok || !ok2) {
		return identical(a, b)
	}
	for _, of := range r.fields {
		v, w := x.Get(of.term), y.Get(of.term)
		switch {
		case v == nil && w == nil:
		case v == nil || w == nil || !d.equal(of, v.Value, w.Value):
			return false
		}
	}
	if r.each == nil {
		return true
	}
	c := d.of(a, b)
	if c.keys {
		return false
	}
	for _, pair := range c.pairs {
		if !d.equal(r.each, pair[0], pair[1]) {
			return false
		}
	}
	return true
}

// of returns the changes between two values. Two values that are not both objects or both arrays have different keys, unless they
// are equal.
func (d *Difference) of(a, b ast.Value) changes {
	switch x := a.(type) {
	case ast.Object:
		if y, ok := b.(ast.Object); ok {
			return d.once(a, b, func() changes { return changedValues(x, y) })
		}
	case *ast.Array:
		if y, ok := b.(*ast.Array); ok {
			return d.once(a, b, func() changes { return changedElements(x, y) })
		}
	}
	return changes{keys: !identical(a, b)}
}

// identical reports whether two values of JSON are equal and have the same text. Rego's 1 and 1.0 are equal, but a message that holds
// one of them is not. O(size of the values). Values have their hashes, so that it is O(1) for nearly all that differ.
func identical(a, b ast.Value) bool {
	if a.Hash() != b.Hash() {
		return false
	}
	switch x := a.(type) {
	case ast.Object:
		y, ok := b.(ast.Object)
		return ok && x.Len() == y.Len() && !x.Until(func(key, value *ast.Term) bool {
			other := y.Get(key)
			return other == nil || value.Value != other.Value && !identical(value.Value, other.Value)
		})
	case *ast.Array:
		y, ok := b.(*ast.Array)
		if !ok || x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if v, w := x.Elem(i).Value, y.Elem(i).Value; v != w && !identical(v, w) {
				return false
			}
		}
		return true
	default: // The text of a number is its value in Go.
		return a == b
	}
}

func (d *Difference) once(a, b ast.Value, compare func() changes) changes {
	key := [2]ast.Value{a, b}
	c, known := d.changed[key]
	if !known {
		c = compare()
		d.changed[key] = c
	}
	return c
}

func changedValues(a, b ast.Object) (c changes) {
	if a.Len() != b.Len() {
		return changes{keys: true}
	}
	if a.Until(func(key, value *ast.Term) bool {
		other := b.Get(key)
		if other != nil && other.Value != value.Value {
			c.pairs = append(c.pairs, [2]ast.Value{value.Value, other.Value})
		}
		return other == nil
	}) {
		return changes{keys: true}
	}
	return c
}

func changedElements(a, b *ast.Array) (c changes) {
	if a.Len() != b.Len() {
		return changes{keys: true}
	}
	for i := range a.Len() {
		if v, w := a.Elem(i).Value, b.Elem(i).Value; v != w {
			c.pairs = append(c.pairs, [2]ast.Value{v, w})
		}
	}
	return c
}
