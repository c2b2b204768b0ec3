package bird

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// defaultPort is the port that BIRD listens on and connects to by default.
const defaultPort = 179

// Config returns the BIRD 1.6 configuration of the node in family f: the statements of calico-node's
// node/filesystem/etc/calico/confd/templates/bird.cfg.template that decide sessions and routes. It omits what no test
// uses: service ranges, communities, filters, and local workloads, whose addresses are in no API object.
func (n *Node) Config(f calico.Family) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("router id %s;", n.routerID())
	if n.ListenPort != 0 {
		line("listen bgp port %d;", n.ListenPort)
	}
	line("filter pods_only { if net ~ %s then accept; reject; }", podNetworks[f])
	line("protocol device { scan time 2; }")
	line("protocol direct { interface -\"cali*\", -\"kube-ipvs*\", \"*\"; }")
	line("protocol static pods { route %s blackhole; }", n.Pods[f])
	line("protocol kernel {")
	line("  learn; persist; scan time 2; graceful restart; merge paths on;")
	line("  import all; export all;")
	line("}")
	line("template bgp calico {")
	line("  gateway recursive; add paths on; graceful restart;")
	line("  connect delay time 2; connect retry time 5; error wait time 5,30;")
	line("  import all; export filter pods_only;")
	line("}")
	for _, h := range n.HalfSessions {
		if h.Family == f.String() && h.PeerIP != "" {
			b.WriteString(protocol(h))
		}
	}
	return b.String()
}

// routerID returns the node's IPv4 address. A node without one has a router ID, and BGP, only if calico-node gets
// CALICO_ROUTER_ID. The tests assume its value "hash": a number that is a hash of the node's name.
func (n *Node) routerID() netip.Addr {
	if a := n.Address[calico.IPv4]; a.IsValid() {
		return a
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(n.Name)) // It cannot fail.
	return netip.AddrFrom4([4]byte(h.Sum(nil)))
}

// protocol returns the block of one half-session.
func protocol(h topology.HalfSession) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	port := ""
	if h.PeerPort != 0 && h.PeerPort != defaultPort {
		port = fmt.Sprintf(" port %d", h.PeerPort)
	}
	line("protocol bgp %s from calico {", h.Protocol)
	line("  local as %d;", h.LocalASN)
	line("  neighbor %s%s as %d;", h.PeerIP, port, h.PeerASN)
	if h.SourceAddress != "" {
		line("  source address %s;", h.SourceAddress)
	}
	if h.TTLSecurity > 0 {
		line("  ttl security on; multihop %d;", h.TTLSecurity)
	} else {
		line("  ttl security off; multihop;")
	}
	if h.Passive {
		line("  passive on;")
	}
	if h.GracefulRestartTime != nil {
		line("  graceful restart time %d;", *h.GracefulRestartTime)
	}
	if h.KeepaliveTime != nil {
		line("  keepalive time %d;", *h.KeepaliveTime)
	}
	if h.RouteReflectorClient {
		line("  rr client; rr cluster id %s;", h.ClusterID)
	}
	if h.Password != "" {
		line("  password %q;", h.Password) // Secrets of other names hold other passwords.
	}
	if h.NextHopMode != "" {
		line("  next hop %s;", strings.ToLower(h.NextHopMode))
	}
	if h.NumAllowedLocalASNumbers > 0 {
		line("  allow local as %d;", h.NumAllowedLocalASNumbers)
	}
	line("}")
	return b.String()
}
