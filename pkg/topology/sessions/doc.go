// Package sessions computes who peers with whom: the half-sessions that Calico
// would configure on each node, and on which of them a BGP session comes up. It
// follows confd (confd/pkg/backends/calico), which makes bird.cfg of BGPPeers,
// BGPConfigurations and Nodes, and BIRD 1.6, which reads it. It computes no routes.
//
//   - Every BGPPeer is resolved to the sets of nodes on both sides (Peering).
//     BGPPeers that differ only in their nodes are counted as one (PeerGroup).
//   - Nodes that peer alike are one class of package nodes. A Link is the
//     half-sessions from all nodes of one class to all nodes of another; for each
//     pair of classes, the precedence of confd's passes decides which BGPPeer gives
//     them (Network). The node-to-node mesh is no list of links but a formula, apart
//     from the classes that a BGPPeer connects too.
//   - A peer that is no node is an ExternalPeer. Nothing is known of its side.
//   - The two half-sessions of a link are compared, which gives the Reason why no
//     session comes up, if any. What BIRD does not accept at all is a Refusal.
//   - A half-session for which several BGPPeers give different settings is
//     ambiguous: confd takes one of them, which one is not determined.
//
// The results are sets and classes. Half-sessions are listed one by one on demand
// only.
package sessions
