// Package sessions computes the half-sessions that Calico would configure on each node,
// and on which of them a BGP session comes up. It follows confd
// (confd/pkg/backends/calico), which renders bird.cfg from BGPPeers, BGPConfigurations
// and Nodes, and BIRD 1.6, which reads bird.cfg. It does not compute routes.
//
//   - Every BGPPeer is resolved to the sets of nodes on both sides (Peering).
//     BGPPeers that differ only in their nodes share a PeerGroup.
//   - Nodes with the same peering are one class of package nodes. A Link is the
//     half-sessions from all nodes of one class to all nodes of another. For each
//     pair of classes, the precedence of confd's passes decides which BGPPeer
//     configures them (Network). The node-to-node mesh is a formula and not a list of
//     links, except for classes that a BGPPeer also connects.
//   - A peer that is not a node is an ExternalPeer. Its configuration is unknown.
//   - The package compares the two half-sessions of a link. If no session comes up, the
//     link has a Reason. A Rejection is a value that BIRD rejects.
//   - A half-session is ambiguous if several BGPPeers configure it with different
//     settings. confd uses one of them, and which one is undefined.
//
// The results are sets and classes. Half-sessions are listed one by one only on
// demand.
package sessions
