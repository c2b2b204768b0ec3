package topology

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology/routes"
)

// exports is the IPPools of one family, by which nodes decide whether to export routes that no rule of
// a BGPFilter accepts. BGPFilters come first: a route that a rule accepts needs no IPPool, and
// disableBGPExport does not apply to it (node/filesystem/etc/calico/confd/templates/bird.cfg.template
// and bird_ipam.cfg.template).
type exports struct {
	pools []exportedPool
	key   string // equal for equal exports
}

// exportedPool is the name and CIDR of an IPPool. disabled is its disableBGPExport.
type exportedPool struct {
	name     string
	cidr     netip.Prefix
	disabled bool
}

// exports returns the IPPools of a family. O(IPPools).
func (t *Topology) exports(f calico.Family) exports {
	var out exports
	for _, p := range t.snapshot.IPPools() {
		if p.Family == f && p.CIDR.IsValid() {
			out.pools = append(out.pools, exportedPool{p.Name, p.CIDR, p.DisableBGPExport})
			out.key += fmt.Sprint(" ", p.Name, p.CIDR, p.DisableBGPExport)
		}
	}
	return out
}

// of reports whether an IPPool that Calico exports contains a prefix, and whether one with
// disableBGPExport does: nodes then export only routes that a rule of a BGPFilter accepts. O(IPPools).
func (e exports) of(p netip.Prefix) (exported, disabled bool) {
	for _, pool := range e.pools {
		if contains(pool.cidr, p) {
			exported, disabled = exported || !pool.disabled, disabled || pool.disabled
		}
	}
	return exported, disabled
}

// disabling adds the names of the IPPools with disableBGPExport that contain a prefix to a set.
func (e exports) disabling(p netip.Prefix, names map[string]bool) {
	for _, pool := range e.pools {
		if pool.disabled && contains(pool.cidr, p) {
			names[pool.name] = true
		}
	}
}

// disabled returns the CIDRs of the IPPools with disableBGPExport.
func (e exports) disabled() []netip.Prefix {
	var out []netip.Prefix
	for _, pool := range e.pools {
		if pool.disabled {
			out = append(out, pool.cidr)
		}
	}
	return out
}

// exported reports whether nodes may export routes to a destination: unless disableBGPExport applies
// to it, or a rule of a BGPFilter of some session accepts them.
func exported(d *routes.Destination) bool {
	return !d.Disabled || slices.ContainsFunc(d.Policies, func(p routes.Policy) bool {
		return slices.ContainsFunc(p.Export, func(terms []routes.Term) bool {
			return slices.ContainsFunc(terms, func(t routes.Term) bool { return t.Accept })
		})
	})
}

// findClasses sets classes, notExported and disabling: it divides the prefixes of pods by what this routing and
// others do with them. It sets partial if there are too many kinds. O(IPPools x CIDRs of rules squared) at worst.
func (r *routing) findClasses(others ...*routing) {
	all, complete := r.prefixClasses(others...)
	r.classes, r.partial = nil, !complete
	unexported, disabling := map[*podPool]bool{}, map[string]bool{}
	for _, c := range all {
		d := r.destination(c.prefix, false)
		if !exported(&d) {
			for _, part := range c.parts {
				if !r.pods.inSmaller(part) {
					unexported[part.pool] = true
					r.pods.exports.disabling(part.CIDR, disabling)
				}
			}
			continue
		}
		if len(r.classes) == maxDestinations {
			r.partial = true
			continue
		}
		d.Tunnelled, d.Kernel = c.tunnelled, r.kernelTerms(c.prefix, c.kernel)
		c.destination = d
		r.classes = append(r.classes, c)
	}
	r.notExported, r.disabling = []string{}, sortedKeys(disabling)
	for i := range r.pods.pools {
		if unexported[&r.pods.pools[i]] {
			r.notExported = append(r.notExported, r.pods.pools[i].name)
		}
	}
}

// inheritClasses sets what findClasses sets to that of before, which may be nil, and reports whether it is the same:
// the pods, the policies by number and the prefixAdvertisements are. O(IPPools + policies).
func (r *routing) inheritClasses(before *routing) bool {
	if before == nil || !reflect.DeepEqual(r.pods, before.pods) || !r.policies.equal(&before.policies) || !r.network.SameAdvertised(before.network.Network) {
		return false
	}
	r.classes, r.partial, r.notExported, r.disabling = before.classes, before.partial, before.notExported, before.disabling
	return true
}

// inSmaller reports whether an IPPool inside that of a part contains the part.
func (p *podPrefixes) inSmaller(part poolPart) bool {
	return slices.ContainsFunc(p.pools, func(pool podPool) bool {
		return pool.cidr.Bits() > part.pool.cidr.Bits() && contains(pool.cidr, part.CIDR)
	})
}
