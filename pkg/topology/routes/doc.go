// Package routes computes which BGP speakers receive the routes of which other BGP
// speakers, over a plain graph. It follows RFC 4271 and RFC 4456. It reads no objects
// and does not depend on Calico or Kubernetes.
//
// # The graph
//
// A vertex represents nodes with the same sessions on the same terms, so the cost
// depends on the number of kinds of nodes and not on the number of nodes. A session
// connects every node of a vertex with every node of another vertex, or with every
// other node of the same vertex. The graph contains the sessions with external peers,
// but not the sessions between external peers. A Reading assumes which external peers pass
// routes on, and Compute returns a result for each reading.
//
// # The rules
//
// One node of each vertex originates a route, and Compute follows the route over
// every session that passes it on:
//
//   - A node advertises the routes that it originates or learns over eBGP to all its
//     peers. It does not advertise a route learned over iBGP to an iBGP peer (RFC 4271
//     section 9.2), unless it is a route reflector. A route reflector reflects routes
//     from clients to all peers, and routes from other peers to clients (RFC 4456
//     section 6).
//   - A node does not send a route back over the session from which it has it (BIRD 1.6,
//     proto/bgp/attrs.c).
//   - A route reflector prepends its cluster ID to the cluster list of a route that it
//     reflects. It drops a route whose list already contains its ID (RFC 4456
//     section 8). BIRD checks this only on sessions with clients, and resets the
//     list on eBGP sessions.
//   - A node drops a route with its own AS number in the AS path (RFC 4271
//     section 9.1.2), unless the session accepts that many occurrences.
//   - A node may have several AS numbers. For a session under one of them, a route
//     learned under another is not an iBGP route (BIRD 1.6, proto/bgp/attrs.c).
//   - Nodes advertise every path that they have (RFC 7911), not only the
//     best one. Compute keeps at most maxRoutes paths per vertex, and drops a path if
//     another path reaches at least the same vertices.
//   - An external peer that passes routes on and receives the route passes it to every
//     node that has a session with any such peer, without cluster list and, except in
//     WithASPaths, without AS path.
//   - In WithASPaths, routes that an eBGP external peer passes on are of no use to nodes that send
//     packets through a tunnel to the next hop: Destination.Tunnelled.
//   - Nodes send the routes of other nodes that they have from elsewhere than BGP (Destination.Kernel) to external peers
//     over eBGP, unless they also have them by BGP.
//   - The policies of a session reject routes, or change their attributes, by Destination:
//     prefixes that all policies treat alike. A route with a well-known community is not
//     passed on (RFC 1997).
//
// # Results
//
// The result is a matrix: entry (a, b) reports whether the nodes of b have the routes
// of the nodes of a to all destinations. Its methods return isolated vertices, partitions, pairs of nodes
// without a route, and the node, zone or external peers that a vertex depends on.
//
// Advertise follows routes that many nodes originate to the sessions with external peers.
package routes
