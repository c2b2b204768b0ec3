// Package bird holds predictions to the real thing: it turns the topology of a state into the bird.cfg and bird6.cfg
// that calico-node would write on each node, runs BIRD 1.6 on them, a daemon for each node and address family in a
// network namespace of its node's own, and tells what sessions and routes there are.
//
// It needs root, bird and ip, and touches nothing outside its own namespaces.
package bird

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// The networks of a test, by family: every node's address is in the first, which is one link, and the pods of node
// N, counted from 1 in order of names, have the Nth block of the second.
var (
	linkNetworks = [2]netip.Prefix{netip.MustParsePrefix("10.192.0.0/16"), netip.MustParsePrefix("fd00:192::/64")}
	podNetworks  = [2]netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/32")}
)

// Node is all that decides what one node's BIRDs do.
type Node struct {
	Name string
	// Address is the node's own by family, the zero Addr where it has none and runs no BIRD.
	Address [2]netip.Addr
	// ListenPort is 0 where BIRD's default, 179, holds.
	ListenPort uint16
	// Pods is the block of the node's pods by family.
	Pods [2]netip.Prefix
	// HalfSessions are the node's, of both families, in order of protocol names.
	HalfSessions []topology.HalfSession
}

// Nodes gives the nodes of s, whose topology is t, in order of names.
func Nodes(s *state.Snapshot, t *topology.Topology) ([]Node, error) {
	nodes := make([]Node, 0, len(s.Nodes()))
	for i, n := range s.Nodes() {
		node := Node{Name: n.Name, ListenPort: listenPort(s, n.Name), HalfSessions: slices.Collect(t.HalfSessions(n.Name))}
		for _, f := range calico.Families {
			node.Address[f], node.Pods[f] = n.Address[f].Addr(), podBlock(f, i+1)
		}
		nodes = append(nodes, node)
	}
	return nodes, checkAddresses(nodes)
}

// listenPort is the node's own, else the cluster's (confd/pkg/backends/calico/bgp_processor.go).
func listenPort(s *state.Snapshot, node string) uint16 {
	for _, name := range []string{"node." + node, calico.Default} {
		if c := s.BGPConfiguration(name); c != nil && c.ListenPort != 0 {
			return c.ListenPort
		}
	}
	return 0
}

// podBlock is the block of the pods of node number n: 10.244.N.0/26 or fd00:244:N::/122, N from 1 to 255.
func podBlock(f calico.Family, n int) netip.Prefix {
	if f == calico.IPv4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(n)}), 26)
	}
	a := podNetworks[f].Addr().As16()
	a[5] = byte(n)
	return netip.PrefixFrom(netip.AddrFrom16(a), 122)
}

// checkAddresses reports a node that would be off the link.
func checkAddresses(nodes []Node) error {
	for _, n := range nodes {
		for f, a := range n.Address {
			if a.IsValid() && !linkNetworks[f].Contains(a) {
				return fmt.Errorf("node %s has the address %s, but the link of the test is %s", n.Name, a, linkNetworks[f])
			}
		}
	}
	return nil
}
