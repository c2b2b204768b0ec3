package bird

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// routerSession is the session of a router with a node.
type routerSession struct {
	protocol string
	node     string
	address  netip.Addr // of the node
	half     topology.HalfSession
}

// Routers returns the routers that the external peers of nodes are, in order of addresses: those that are on the link and
// that nodes connect to on port 179. Such a router has a session with each of these nodes. It sends no routes, and
// accepts the best route of each node to each prefix, also with its own AS number in the path: it has no add-path.
func Routers(nodes []Node) []Node {
	byAddress := map[netip.Addr]*Node{}
	for i := range nodes {
		n := &nodes[i]
		for _, h := range n.HalfSessions {
			address, err := netip.ParseAddr(h.PeerIP)
			if err != nil || h.Status != topology.External || h.PeerPort != 0 && h.PeerPort != defaultPort {
				continue
			}
			f := calico.FamilyOf(address)
			if !linkNetworks[f].Contains(address) || slices.ContainsFunc(nodes, func(o Node) bool { return o.Address[f] == address }) {
				continue
			}
			router := byAddress[address]
			if router == nil {
				router = &Node{Name: "router-" + address.String(), RouterID: hashID(address.String())}
				router.Address[f] = address
				byAddress[address] = router
			}
			router.Router = append(router.Router, routerSession{"to_" + strings.ReplaceAll(n.Name, "-", "_"), n.Name, n.Address[f], h})
		}
	}
	out := make([]Node, 0, len(byAddress))
	for _, router := range byAddress {
		out = append(out, *router)
	}
	slices.SortFunc(out, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// routerConfig returns the configuration of a router.
func (n *Node) routerConfig(f calico.Family) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("router id %s;", n.RouterID)
	line("protocol device { scan time 2; }")
	line("protocol direct { interface \"*\"; }")
	for _, s := range n.Router {
		line("protocol bgp %s {", s.protocol)
		line("  local %s as %d;", n.Address[f], s.half.PeerASN)
		line("  neighbor %s as %d;", s.address, s.half.LocalASN)
		if s.half.TTLSecurity > 0 {
			line("  ttl security on; multihop %d;", s.half.TTLSecurity)
		} else {
			line("  multihop;")
		}
		if s.half.Password != "" {
			line("  password \"%s\";", n.password(s.half.Password))
		}
		line("  passive on; connect delay time 2; error wait time 5,30;")
		line("  allow local as 9; import all; export none;")
		line("}")
	}
	return b.String()
}
