package calico

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Advertisement is an entry of prefixAdvertisements: the communities that nodes add to the
// routes that they advertise to prefixes inside Network.
type Advertisement struct {
	Network     netip.Prefix
	Communities []string // "AS:VALUE" or "AS:VALUE:VALUE", in decimal without leading zeros
}

// Advertisements returns the prefixAdvertisements of the configuration for a family, and false
// if it has none: a node without its own uses those of "default". c may be nil. It skips entries
// without a CIDR or a community that Calico writes (confd/pkg/backends/calico/bgp_processor.go).
func (c *BGPConfiguration) Advertisements(f Family) ([]Advertisement, bool) {
	if c == nil || c.Spec["prefixAdvertisements"] == nil {
		return nil, false
	}
	names := map[string]string{}
	for _, one := range entries(c.Spec["communities"]) {
		name, _ := one["name"].(string)
		names[name], _ = one["value"].(string)
	}
	var out []Advertisement
	for _, one := range entries(c.Spec["prefixAdvertisements"]) {
		text, _ := one["cidr"].(string)
		cidr, err := netip.ParsePrefix(text)
		if err != nil || FamilyOf(cidr.Addr()) != f {
			continue
		}
		a := Advertisement{Network: cidr.Masked()}
		list, _ := one["communities"].([]any)
		for _, entry := range list {
			text, _ := entry.(string)
			value, ok := community(text)
			if !ok {
				value, ok = community(names[text])
			}
			if ok && !slices.Contains(a.Communities, value) {
				a.Communities = append(a.Communities, value)
			}
		}
		if len(a.Communities) > 0 {
			out = append(out, a)
		}
	}
	return out, true
}

// community returns a BGP community without leading zeros, and false if it is none.
func community(text string) (string, bool) {
	parts := strings.Split(text, ":")
	bits := map[int]int{2: 16, 3: 32}[len(parts)]
	if bits == 0 {
		return "", false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, bits)
		if err != nil {
			return "", false
		}
		parts[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(parts, ":"), true
}

// entries returns the objects in a list.
func entries(list any) []map[string]any {
	all, _ := list.([]any)
	out := make([]map[string]any, 0, len(all))
	for _, one := range all {
		if object, ok := one.(map[string]any); ok {
			out = append(out, object)
		}
	}
	return out
}

// The fields of a BGPConfiguration with ranges of addresses of Services.
const (
	ClusterIPs      = "serviceClusterIPs"
	ExternalIPs     = "serviceExternalIPs"
	LoadBalancerIPs = "serviceLoadBalancerIPs"
)

// ServiceRange is a range of addresses of Services that nodes advertise.
type ServiceRange struct {
	Field string // of the BGPConfiguration: ClusterIPs, ExternalIPs or LoadBalancerIPs
	CIDR  netip.Prefix
	// Route reports that every node originates a route to the whole range. Otherwise nodes
	// advertise single addresses of Services in it.
	Route bool
}

// ServiceRanges returns the ranges of addresses of Services in a family, without those that a list has
// again. c is the configuration
// "default" and may be nil. aggregation reports whether the version of Calico reads
// serviceLoadBalancerAggregation: v3.31 does. A list with an entry that does not parse has no
// ranges: Calico then does not use it (confd/pkg/backends/calico/client.go and routes.go).
func (c *BGPConfiguration) ServiceRanges(f Family, aggregation bool) []ServiceRange {
	if c == nil {
		return nil
	}
	single := aggregation && c.Spec["serviceLoadBalancerAggregation"] == "Disabled"
	var out []ServiceRange
	for _, field := range []string{ClusterIPs, ExternalIPs, LoadBalancerIPs} {
		var list []ServiceRange
		usable := true
		for _, one := range entries(c.Spec[field]) {
			text, _ := one["cidr"].(string)
			if text == "" {
				continue
			}
			cidr, err := netip.ParsePrefix(text)
			if err != nil {
				usable = false
				break
			}
			if FamilyOf(cidr.Addr()) == f {
				whole := field == ClusterIPs || !cidr.IsSingleIP() && !(field == LoadBalancerIPs && single)
				if r := (ServiceRange{field, cidr.Masked(), whole}); !slices.Contains(list, r) {
					list = append(list, r)
				}
			}
		}
		if usable {
			out = append(out, list...)
		}
	}
	return out
}

// NormalPriority returns the priority of normal routes in a family, as BIRD uses it.
func (c *BGPConfiguration) NormalPriority(f Family) uint32 {
	const unset = 1024
	if c == nil {
		return unset
	}
	n, ok := integer(c.Spec[[2]string{"ipv4NormalRoutePriority", "ipv6NormalRoutePriority"}[f]])
	if !ok || n < 0 || n > maxPriority {
		return unset
	}
	return uint32(n)
}

// ExcludedFromServices selects the nodes that advertise no addresses of Services
// (confd/pkg/backends/calico/routes.go).
const ExcludedFromServices = "node.kubernetes.io/exclude-from-external-load-balancers == 'true'"

// BlockSize returns the length of the blocks of addresses into which the pool is divided.
func (p *IPPool) BlockSize() int {
	n, ok := integer(p.Spec["blockSize"])
	bits := p.CIDR.Addr().BitLen()
	if !ok || int(n) < p.CIDR.Bits() || int(n) > bits {
		n = map[Family]int64{IPv4: 26, IPv6: 122}[p.Family]
	}
	return max(int(n), p.CIDR.Bits())
}
