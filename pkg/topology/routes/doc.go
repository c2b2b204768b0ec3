// Package routes computes which BGP speakers get the routes of which others, by
// RFC 4271 and RFC 4456, over a plain graph. It reads no objects: it knows
// neither Calico nor Kubernetes.
//
// # The graph
//
// A vertex stands for nodes with the same sessions on the same terms, so that
// the work depends on how many kinds of nodes there are and not on how many
// nodes. A session runs from every node of a vertex to every node of another
// one, or to every other node of its own. Of external peers, only the sessions
// with them are known: Compute answers for both readings, with transit and
// without.
//
// # The rules
//
// One node of each vertex originates a route, and the route is followed over
// every session that carries it on:
//
//   - What a node originates or learns over eBGP goes to all its peers. What it
//     learns over iBGP goes to no iBGP peer (RFC 4271 section 9.2), unless the
//     node is a route reflector: it reflects from clients to all, and from
//     others to clients (RFC 4456 section 6).
//   - A reflector prepends its cluster ID to the cluster list of what it
//     reflects. A route is dropped where the list has the ID already (RFC 4456
//     section 8). BIRD checks this on sessions with clients only, and resets the
//     list on eBGP sessions.
//   - A node drops a route with its own AS number in the AS path (RFC 4271
//     section 9.1.2), unless the session accepts it so many times.
//   - A node with several AS numbers does not treat what it learned under one of
//     them as iBGP on a session under another (BIRD 1.6, proto/bgp/attrs.c).
//   - Nodes advertise every path that they have (RFC 7911), not the best alone.
//     So of two paths only the one that goes no further than the other is
//     dropped.
//   - With transit, an external peer that gets the route hands it to every node
//     that has a session with any external peer, without AS path and cluster
//     list.
//
// # Results
//
// The result is a matrix "the nodes of b have the routes of the nodes of a", from
// which isolated vertices, partitions, pairs of nodes without a route, and what
// the nodes of a vertex depend on alone are read.
package routes
