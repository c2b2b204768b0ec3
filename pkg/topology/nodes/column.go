package nodes

import (
	"slices"
	"sync"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Column is the values of one label on all nodes. Each value has an ID. The ID of a node
// without the label is 0.
type Column struct {
	ids    []uint32
	values []string // by ID
	known  map[string]uint32

	once   sync.Once
	byID   []uint32 // the nodes in order of their values
	starts []uint32 // of each value, the index of its first node in byID
}

func newColumn(label string, nodes []*calico.Node) *Column {
	c := &Column{ids: make([]uint32, len(nodes)), values: []string{""}, known: map[string]uint32{}}
	for i, node := range nodes {
		c.ids[i] = c.id(label, node)
	}
	return c
}

// ID returns the ID of the value of node i, 0 if the node does not have the label.
func (c *Column) ID(i uint32) uint32 { return c.ids[i] }

// Value returns the value with an ID, "" for 0.
func (c *Column) Value(id uint32) string { return c.values[id] }

// nodesWith returns the nodes whose value has the given ID. O(nodes) the first
// time, then O(1).
func (c *Column) nodesWith(id uint32) []uint32 {
	c.once.Do(func() {
		c.starts = make([]uint32, len(c.values)+1)
		for _, id := range c.ids {
			c.starts[id+1]++
		}
		for id := range c.values {
			c.starts[id+1] += c.starts[id]
		}
		next := slices.Clone(c.starts)
		c.byID = make([]uint32, len(c.ids))
		for i, id := range c.ids {
			c.byID[next[id]] = uint32(i)
			next[id]++
		}
	})
	return c.byID[c.starts[id]:c.starts[id+1]]
}

// id returns the ID of the value of a node. It adds a new value to c.
func (c *Column) id(label string, node *calico.Node) uint32 {
	v, ok := node.Labels[label]
	if !ok {
		return 0
	}
	id, known := c.known[v]
	if !known {
		id = uint32(len(c.values))
		c.known[v] = id
		c.values = append(c.values, v)
	}
	return id
}

// edited returns the column after an edit. It returns c if the column is unchanged, and
// nil if a value is new. The next read then makes the column from the nodes, which drops
// unused values.
func (c *Column) edited(label string, nodes []*calico.Node, e *edit) *Column {
	same := !e.shifts()
	for i, n := range nodes[e.at : e.at+e.added] {
		v, ok := n.Labels[label]
		id, known := c.known[v]
		switch {
		case !ok:
			id = 0
		case !known:
			return nil
		}
		same = same && c.ids[e.at+i] == id
	}
	if same {
		return c
	}
	ids := make([]uint32, 0, len(nodes))
	ids = append(ids, c.ids[:e.at]...)
	for _, n := range nodes[e.at : e.at+e.added] {
		ids = append(ids, c.id(label, n))
	}
	return &Column{ids: append(ids, c.ids[e.at+e.removed:]...), values: c.values, known: c.known}
}
