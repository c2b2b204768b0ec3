// Package nodes holds the nodes of a cluster as sets. It knows no sessions and no
// routes.
//
// Node i is the node with the i-th name, and a set of nodes is a bit set over
// these numbers. An Index finds the nodes that a selector matches, that have an
// address, or that have a name. The index of nodes of which a few have changed is
// made from the index before, with which it shares what is the same: two indexes
// have equal sets where their pointers are equal.
//
// Classes divides the nodes into classes whose nodes are in the same sets and have
// the same BGP identity. What holds for one node of a class holds for all, so that
// work on classes does not grow with the number of nodes.
package nodes
