// Package routes computes which BGP speakers receive the routes of which others, by
// RFC 4271 and RFC 4456, over a plain graph. It reads no objects and does
// not depend on Calico or Kubernetes.
//
// # The graph
//
// A vertex represents nodes with the same sessions on the same terms, so the cost
// depends on the number of kinds of nodes and not on the number of nodes. A session
// connects every node of a vertex with every node of another vertex, or with every
// other node of the same vertex. Of external peers, only the sessions
// with them are known. A Reading assumes which of them pass routes on, and Compute
// returns a result for each reading.
//
// # The rules
//
// One node of each vertex originates a route, and Compute follows the route over
// every session that passes it on:
//
//   - What a node originates or learns over eBGP goes to all its peers. What it
//     learns over iBGP goes to no iBGP peer (RFC 4271 section 9.2), unless the
//     node is a route reflector: it reflects from clients to all, and from
//     others to clients (RFC 4456 section 6).
//   - A reflector prepends its cluster ID to the cluster list of what it
//     reflects. A reflector drops a route whose list already has its ID (RFC 4456
//     section 8). BIRD checks this on sessions with clients only, and resets the
//     list on eBGP sessions.
//   - A node drops a route with its own AS number in the AS path (RFC 4271
//     section 9.1.2), unless the session accepts that many occurrences.
//   - A node with several AS numbers does not treat what it learned under one of
//     them as iBGP on a session under another (BIRD 1.6, proto/bgp/attrs.c).
//   - Nodes advertise every path that they have (RFC 7911), not only the
//     best one. Compute keeps at most maxRoutes paths per vertex, and drops a path if
//     another path reaches at least the same vertices.
//   - An external peer that passes routes on and receives the route passes it to every
//     node that has a session with any such peer, without AS path and cluster list.
//
// # Results
//
// The result is a matrix: the nodes of b have the routes of the nodes of a. Its
// methods return isolated vertices, partitions, pairs of nodes without a route, and
// what all sessions of a vertex depend on.
package routes
