// Package nodes holds the nodes of a cluster as sets. It does not depend on sessions
// or routes.
//
// Node i is the node with the i-th name, and a set of nodes is a bit set over these
// numbers. An Index finds nodes by selector, by address and by name. If few nodes change
// and keep their names, New edits a copy of the previous index and shares the unchanged
// sets with it.
//
// Classes divides the nodes into classes whose nodes are in the same sets and have
// the same BGP identity. The result for one node of a class is the result for all of
// them, so the cost of work on classes does not grow with the number of nodes.
package nodes
