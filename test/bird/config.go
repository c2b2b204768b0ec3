package bird

import (
	"fmt"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// defaultPort is the port that BIRD listens on and connects to by default.
const defaultPort = 179

// Config returns the BIRD 1.6 configuration of the node in family f: the statements of calico-node's bird.cfg, bird_aggr.cfg
// and bird_ipam.cfg, or bird6.cfg, bird6_aggr.cfg and bird6_ipam.cfg, in one text
// (node/filesystem/etc/calico/confd/templates). It omits Services and IPPools, of whose values BIRD rejects none, and local
// workloads, whose addresses are in no API object. The pods of all nodes are in one pool. The error is that of confd, which
// then writes no file. The configuration of a router has its sessions.
func (n *Node) Config(f calico.Family) (string, error) {
	if n.Router != nil {
		return n.routerConfig(f), nil
	}
	settings := n.Settings[f]
	if settings == nil {
		return "", n.unwritten[f]
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("function apply_communities() {")
	for _, a := range settings.Communities {
		line("  if ( net ~ %s ) then { %s }", a.Network, strings.Join(a.Statements, " "))
	}
	line("}")
	n.writeRoutes(line, settings, f)
	n.writeExports(line, settings)
	line("router id %s;", n.RouterID)
	switch {
	case settings.Listen != "" && n.ListenPort != 0:
		line("listen bgp address %s port %d;", settings.Listen, n.ListenPort)
	case settings.Listen != "":
		line("listen bgp address %s;", settings.Listen)
	case n.ListenPort != 0:
		line("listen bgp port %d;", n.ListenPort)
	}
	line("protocol device { scan time 2; }")
	var interfaces strings.Builder
	for _, name := range settings.Ignored {
		interfaces.WriteString(`-"` + name + `", `)
	}
	line("protocol direct { interface %s-\"cali*\", -\"kube-ipvs*\", \"*\"; }", interfaces.String())
	line("protocol kernel {")
	line("  learn; persist; scan time 2; graceful restart; merge paths on;")
	line("  import all; export filter kernel_routes;")
	line("}")
	line("template bgp calico {")
	line("  local as %d;", n.ASN)
	line("  gateway recursive; add paths on; graceful restart;")
	line("  connect delay time 2; connect retry time 5; error wait time 5,30;")
	line("}")
	for _, function := range settings.Filters {
		line("%s", function)
	}
	for _, h := range n.HalfSessions {
		if h.Family == f.String() && h.PeerIP != "" {
			b.WriteString(n.protocol(h, settings))
		}
	}
	return b.String(), nil
}

// writeRoutes writes what bird_aggr.cfg has.
func (n *Node) writeRoutes(line func(string, ...any), settings *Settings, f calico.Family) {
	line("protocol static pods {")
	line("  route %s blackhole;", n.Pods[f])
	for _, cidr := range settings.advertised() {
		line("  route %s blackhole;", cidr)
	}
	for _, route := range settings.Gateways {
		line("  %s", route)
	}
	for _, h := range n.HalfSessions {
		if h.Family == f.String() && h.ReachableBy != "" {
			line("  route %s/%d via %s;", h.PeerIP, addressBits[f], h.ReachableBy)
		}
	}
	line("}")
	line("function own_blocks() {")
	line("  if ( net = %s ) then { accept; }", n.Pods[f])
	line("  if ( net ~ %s && krt_metric < %d ) then { accept; }", n.Pods[f], settings.Priority)
	line("  if ( net ~ %s ) then { reject; }", n.Pods[f])
	line("}")
}

// writeExports writes what bird_ipam.cfg has.
func (n *Node) writeExports(line func(string, ...any), settings *Settings) {
	line("function export_to_peers() {")
	for _, cidr := range settings.Unexported {
		line("  if ( net ~ %s ) then { reject; }", cidr)
	}
	line("  apply_communities();")
	line("  own_blocks();")
	for _, cidr := range settings.advertised() {
		line("  if ( net ~ %s ) then { accept; }", cidr)
	}
	if n.Reflector {
		for _, cidr := range settings.Reflected {
			line("  if ( net ~ %s ) then { accept; }", cidr)
		}
	}
	for _, cidr := range settings.Exported {
		line("  if ( net ~ %s ) then { accept; }", cidr)
	}
	line("}")
	line("filter kernel_routes {")
	for _, cidr := range settings.VXLAN {
		line("  if ( net ~ %s ) then { reject; }", cidr)
	}
	for _, cidr := range settings.Ranges {
		line("  if ( net ~ %s ) then { reject; }", cidr)
	}
	line("  if (defined(source) && (source = RTS_BGP) && !defined(krt_metric)) then { krt_metric = %d; }", settings.Priority)
	line("  accept;")
	line("}")
}

// addressBits is the length of addresses by family.
var addressBits = [2]int{calico.IPv4: 32, calico.IPv6: 128}

// protocol returns the block of one half-session. settings are those of its family.
func (n *Node) protocol(h topology.HalfSession, settings *Settings) string {
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
	switch {
	case n.DirectMesh && strings.HasPrefix(h.Protocol, "Mesh_"):
	case h.TTLSecurity > 0:
		line("  ttl security on; multihop %d;", h.TTLSecurity)
	default:
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
		line("  password \"%s\";", n.password(h.Password))
	}
	if h.NextHopMode != "" {
		line("  next hop %s;", strings.ToLower(h.NextHopMode))
	}
	if h.NumAllowedLocalASNumbers > 0 {
		line("  allow local as %d;", h.NumAllowedLocalASNumbers)
	}
	line("  import filter {")
	for _, name := range h.Filters {
		line("    %s", call(settings.Calls[name][0], &h))
	}
	line("    if (defined(bgp_local_pref)&&(bgp_local_pref > %d)) then preference = 200;", maxPriority-settings.Priority)
	line("    accept;")
	line("  };")
	line("  export filter {")
	line("    if (defined(source) && source = RTS_BGP && defined(bgp_local_pref)) then { krt_metric = %d - bgp_local_pref; }", maxPriority)
	line("    else { if (!defined(krt_metric)) then { krt_metric = %d; } bgp_local_pref = %d - krt_metric; }", settings.Priority, maxPriority)
	for _, name := range h.Filters {
		line("    %s", call(settings.Calls[name][1], &h))
	}
	if h.LocalASN == h.PeerASN {
		line("    if (defined(ifname)) then { if (ifname ~ \"*.calico\") then reject; }")
	}
	line("    export_to_peers();")
	line("    reject;")
	line("  };")
	line("}")
	return b.String()
}

// call returns the call of the function of a BGPFilter. Its argument, if it has one, reports whether the session is iBGP.
func call(text string, h *topology.HalfSession) string {
	if h.LocalASN != h.PeerASN {
		return strings.Replace(text, "(true);", "(false);", 1)
	}
	return text
}
