// Package topology computes, from a snapshot, the BGP sessions that Calico would
// configure, the routes that they carry, and the summary that policies read. It is
// pure: no client, no clock.
//
// # Cost
//
// Nodes are bit sets and a full mesh is a formula. The cost of a summary grows with
// the number of BGPPeers, with the number of kinds of nodes and, with a very small
// constant, with the number of nodes and IPAMBlocks. It never grows with nodes x nodes,
// nodes x BGPPeers or nodes x prefixes.
// Compute stops when its context is done: each potentially long loop checks it.
//
// # The algorithm
//
// Steps 1, 2 and 5 are in package nodes, steps 3, 4 and 6 to 9 in package sessions,
// step 11 in package routes, and the other steps in this package. N is the
// number of nodes, P of BGPPeers, C of classes, L of links between classes, and V of
// vertices.
//
//  1. Number the nodes in order of their names. Every set of nodes is a bit set over
//     these numbers. (nodes.New, O(N log N))
//  2. For each label that a selector reads, keep a column: the value on each node. A
//     condition is evaluated once for each distinct value. An equality is a lookup.
//     (nodes.Index.Select, O(N) for each selector, cached)
//  3. Resolve each BGPPeer to three sets of nodes: those that get half-sessions,
//     their peers, and those on which Calico configures the reverse half-session.
//     (sessions/peering.go, O(P) set operations)
//  4. Put BGPPeers that differ only in the nodes of one side into one peer group:
//     one BGPPeer per node or per rack costs as much as one BGPPeer with a selector.
//     (sessions/peergroup.go, O(P + nodes on these sides))
//  5. Put nodes into one class if they are in the same sets of step 3 and have the
//     same AS number, cluster ID, address families and listen port. In the later
//     steps, the result for a class is the result for each of its nodes.
//     (nodes.Index.Divide, partition refinement, O(N + members of the sets))
//  6. For each pair of classes that a BGPPeer connects, make a link: the
//     half-sessions that Calico configures. Calico's passes are, in order, global
//     BGPPeers, BGPPeers for nodes, reverse peering and mesh. The first pass with a
//     neighbor and port configures them. Different settings from one pass make a
//     half-session ambiguous.
//     (sessions/network.go, O(L log L))
//  7. Do not store the full mesh. Compute it by a formula over four kinds of
//     classes, and correct the result for classes that a link connects. (sessions/network.go, O(C))
//  8. Keep external peers and pods separate from the classes, as address, nodes and
//     settings, because each node may have its own router. (sessions/external.go,
//     O(P) set operations)
//  9. A session comes up on a link if the first half-sessions of both ends match: AS
//     numbers, password, TTL security, and one side that connects. Otherwise it has a
//     Reason. (sessions/pairing.go, O(L))
//  10. Count sessions, broken and ambiguous half-sessions, nodes whose BIRD rejects its
//     configuration, and the half-sessions per node. (count.go, frozen.go, load.go,
//     marks.go, O(L + C + external peers); sessions/refusal.go)
//  11. Merge classes that have the same neighbors on the same terms into vertices.
//     Routes cannot distinguish such classes. Find the kinds of prefixes of pods that
//     BGPFilters and prefixAdvertisements treat differently. Follow one route of each vertex to up to 64 kinds
//     at once by RFC 4271 and RFC 4456 in each reading of external peers. Each result is a matrix: entry
//     (a, b) reports whether the nodes of b have the routes of the nodes of a.
//     (routing.go and policies.go, O(N + L + V squared); routes.Compute, O(V x sessions) for kinds that are treated
//     alike, and O(kinds of prefixes x V x sessions) at worst, if routes are reflected once or twice)
//     If the state has the IPAMBlocks and the matrices of some kinds of prefixes differ, divide the nodes of
//     a vertex by the kinds of prefixes that they originate, because pods have addresses there. The matrix
//     between these kinds of nodes has the routes that exist; the one between vertices also has those to
//     blocks that IPAM may allocate. (division.go, O(A + N + kinds of nodes squared); the number of kinds is bounded)
//     If some mesh sessions come up only on links that are not known, do all of this a second time without these
//     sessions. (sessions/mesh.go)
//     Follow the routes to each kind of range of addresses of Services to the sessions with external
//     peers. (services.go, O(half-sessions with external peers); routes.Advertise, O(kinds of
//     ranges x sessions)) Find the nodes whose address, as a next hop, others resolve through a
//     route to a range. (nexthops.go, O(ranges x log nodes))
//  12. Read from the matrices: isolated nodes, pairs without a route, partitions, and
//     single points of failure. (reach.go, points.go, O(V squared), O(N) for single
//     points)
//  13. Make the Summary. Parts that equal those of the previous summary keep their
//     pointers, so policies that read only these parts are not evaluated again.
//     (summarize.go, convergence.go, podtraffic.go, timers.go, O(P + C);
//     allocations.go, O(A) for A IPAMBlocks if IPPools or IPAMBlocks change)
//  14. Name each set in the summary ("members") and register under this name a
//     function that reports its members. A policy returns names in its violations,
//     and the engine looks up which nodes entered the set. (measures.go, O(N) for each question)
//  15. Make lists, graphs and sentences only on demand. (list.go and neighbours.go,
//     O(half-sessions that are listed); graph.go; impact.go, which compares two
//     topologies by classes; causes.go)
//
// # From one snapshot to the next
//
// Compute accepts the previous topology and compares objects by identity. If few
// nodes change, nodes.New edits copies of the index, its columns and its sets. Equal
// parts keep their pointers, so later steps detect unchanged input by comparing
// pointers. If nothing that decides sessions changed, steps 4 to 12 are skipped
// (sessions.Compute), except that routes are followed again if IPPools change which
// prefixes BGPFilters apply to. If only rules of BGPFilters changed, the sessions are the same, and
// routes are followed to the kinds of prefixes that the rules treat otherwise. The same holds if sessions changed, and those
// between vertices are the same as before (routes.Recompute). A
// property test verifies that the result does not depend on the
// previous topology.
//
// # Sources
//
// Comments name the source of each rule: Calico's confd for the half-sessions
// (confd/pkg/backends/calico), BIRD 1.6 for the routes that it accepts and sends, and
// the RFCs. A second, naive model in the tests follows every half-session and every
// path, and test/bird runs BIRD on the predicted configuration.
package topology
