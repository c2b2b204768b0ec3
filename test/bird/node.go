// Package bird compares predictions with real BIRD daemons. It writes the bird.cfg and bird6.cfg that calico-node would
// write on each node of a topology, runs BIRD 1.6 on them, one daemon per node and address family, each node in its own
// network namespace, and reads the sessions and routes.
//
// It needs root, bird and ip, and changes nothing outside its namespaces.
package bird

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// The networks of a test, by family. All node addresses are in linkNetworks, which is one link, but for nodes whose mask
// is longer: these reach the other networks only through a gateway. The pods of the Nth node by name, counted from 1, have
// the Nth block of podNetworks.
var (
	linkNetworks = [2]netip.Prefix{netip.MustParsePrefix("10.192.0.0/16"), netip.MustParsePrefix("fd00:192::/64")}
	podNetworks  = [2]netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/32")}
)

// Node is everything that decides what the BIRDs of one node do.
type Node struct {
	Name string
	// Address is the address by family; the zero Addr means that the node has none, and no BIRD.
	Address [2]netip.Addr
	// Network is the network of the interface by family, the zero Prefix for linkNetworks.
	Network [2]netip.Prefix
	// DirectMesh reports that mesh protocols have no "multihop", as Calico writes them up to v3.32.
	DirectMesh bool
	// ListenPort is 0 for BIRD's default, 179.
	ListenPort uint16
	// Pods is the pod block by family.
	Pods [2]netip.Prefix
	// RouterID is the node's IPv4 address, "" if it has none.
	RouterID string
	// ASN is the node's AS number. Reflector reports that the node has a cluster ID.
	ASN       uint32
	Reflector bool
	// HalfSessions are those of both families, sorted by protocol name.
	HalfSessions []topology.HalfSession
	// Settings are those of each family, nil if confd writes no file.
	Settings [2]*Settings
	// Passwords are the values of Secrets, by "name/key". Others hold their own reference.
	Passwords map[string]string
	// Router is the sessions of a router, which is no node of the cluster; nil for nodes.
	Router []routerSession

	unwritten [2]error
}

// runs reports whether the laboratory has a BIRD of the node for a family. calico-node runs both. Without an address in the
// family, only one that rejects its configuration matters: that of a node without a router ID.
func (n *Node) runs(f calico.Family) bool {
	return n.Address[f].IsValid() || n.Router == nil && n.RouterID == "" && n.Address[calico.IPv6].IsValid()
}

// Nodes returns the nodes of s, whose topology is t, sorted by name.
func Nodes(s *state.Snapshot, t *topology.Topology) []Node {
	nodes := make([]Node, 0, len(s.Nodes()))
	for i, n := range s.Nodes() {
		node := Node{
			Name: n.Name, ListenPort: listenPort(s, n.Name), HalfSessions: slices.Collect(t.HalfSessions(n.Name)), RouterID: routerID(s, n),
			ASN: s.BGPConfiguration(calico.Default).ClusterASNumber(), Reflector: n.RouteReflector(),
		}
		if n.ASNumber != nil {
			node.ASN = *n.ASNumber
		}
		if c := s.ClusterInformation(); c != nil && c.Version != nil {
			node.DirectMesh = c.Version.Major() == 3 && c.Version.Minor() < 33 // confd's bird.cfg.template
		}
		for _, f := range calico.Families {
			node.Address[f], node.Pods[f] = n.Address[f].Addr(), podBlock(f, i+1)
			if network := n.Address[f]; n.SpeaksBGP(f) && !network.IsSingleIP() && network.Bits() > linkNetworks[f].Bits() {
				node.Network[f] = network.Masked()
			}
			node.Settings[f], node.unwritten[f] = settingsOf(s, n, f)
		}
		nodes = append(nodes, node)
	}
	return nodes
}

// routerID returns the node's IPv4 address. A cluster without IPv4 addresses has a router ID, and BGP, only if calico-node
// gets CALICO_ROUTER_ID. The tests assume its value "hash" there: a number that is a hash of the node's name.
func routerID(s *state.Snapshot, n *calico.Node) string {
	if n.SpeaksBGP(calico.IPv4) {
		return n.Address[calico.IPv4].Addr().String()
	}
	if slices.ContainsFunc(s.Nodes(), func(o *calico.Node) bool { return o.SpeaksBGP(calico.IPv4) }) {
		return ""
	}
	return hashID(n.Name)
}

// hashID returns a router ID for a name.
func hashID(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // It cannot fail.
	return netip.AddrFrom4([4]byte(h.Sum(nil))).String()
}

// password returns the value of a key of a Secret, by "name/key".
func (n *Node) password(reference string) string {
	if value, ok := n.Passwords[reference]; ok {
		return value
	}
	return reference
}

// listenPort returns the node's listen port, or else the cluster's (confd/pkg/backends/calico/bgp_processor.go).
func listenPort(s *state.Snapshot, node string) uint16 {
	for _, name := range []string{"node." + node, calico.Default} {
		if c := s.BGPConfiguration(name); c != nil && c.ListenPort != 0 {
			return c.ListenPort
		}
	}
	return 0
}

// podBlock returns the pod block of node number n: 10.244.N.0/26 or fd00:244:N::/122, N from 1 to 255.
func podBlock(f calico.Family, n int) netip.Prefix {
	if f == calico.IPv4 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(n)}), 26)
	}
	a := podNetworks[f].Addr().As16()
	a[5] = byte(n)
	return netip.PrefixFrom(netip.AddrFrom16(a), 122)
}

// checkAddresses returns an error for a node whose address is not on the link.
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
