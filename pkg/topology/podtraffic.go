package topology

import (
	"cmp"
	"fmt"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/sessions"
)

// Values of programClusterRoutes. Each names the classes of IPPools whose routes the
// component programs. Felix always programs the routes of pools with VXLAN
// (design/cluster-route-programming/DESIGN.md, section 1).
const (
	programEnabled     = "Enabled"
	programDisabled    = "Disabled"
	programIPIPOnly    = "EnabledIPIPOnly"
	programNoEncapOnly = "EnabledNoEncapOnly"
)

// programming is which components program the routes of the IPPools without VXLAN.
type programming struct {
	// setting is the effective programClusterRoutes, "" if it is unknown.
	setting struct{ Felix, BIRD string }
	// ipip and noEncap are the components for each class. Pools is not set.
	ipip, noEncap PoolClass
	version       *version.Version // nil if it is unknown
}

// newProgramming evaluates programClusterRoutes by the rules of the Calico version:
//
//   - Before v3.31, the field does not exist. BIRD programs both classes.
//   - v3.31 has the field only for Felix and IPIP. BIRD programs both classes.
//   - v3.32 has the field for Felix and BIRD. Enabled and Disabled apply to both
//     classes.
//   - Since v3.33, the field has four values (felix/config/config_params.go and
//     confd/pkg/backends/calico/bgp_processor.go, clusterRoutePolicy). Any other value
//     has the effect of an unset field.
//
// If the version is unknown, the rules since v3.33 apply to a value that is set, and the
// setting is "" for an unset field.
func newProgramming(s *state.Snapshot) programming {
	p := programming{version: sessions.CalicoVersion(s)}
	if c := s.FelixConfiguration(); c != nil {
		p.setting.Felix = c.ProgramClusterRoutes
	}
	if c := s.BGPConfiguration(calico.Default); c != nil {
		p.setting.BIRD = c.ProgramClusterRoutes
	}
	switch {
	case p.version == nil:
		p.setting.Felix, p.setting.BIRD = fourValues(p.setting.Felix, ""), fourValues(p.setting.BIRD, "")
	case p.version.AtLeast(version.MajorMinor(3, 33)):
		p.setting.Felix, p.setting.BIRD = fourValues(p.setting.Felix, programIPIPOnly), fourValues(p.setting.BIRD, programNoEncapOnly)
	default:
		if p.setting.Felix != programEnabled || !p.version.AtLeast(version.MajorMinor(3, 31)) {
			p.setting.Felix = programDisabled
		}
		if p.setting.BIRD != programDisabled || !p.version.AtLeast(version.MajorMinor(3, 32)) {
			p.setting.BIRD = programEnabled
		}
	}
	p.ipip.Felix, p.noEncap.Felix = classes(p.setting.Felix, programDisabled)
	p.ipip.BIRD, p.noEncap.BIRD = classes(p.setting.BIRD, programEnabled)
	if p.version != nil && !p.version.AtLeast(version.MajorMinor(3, 32)) {
		p.noEncap.Felix = false
	}
	return p
}

func fourValues(value, otherwise string) string {
	switch value {
	case programEnabled, programDisabled, programIPIPOnly, programNoEncapOnly:
		return value
	}
	return otherwise
}

// classes returns the classes of IPPools that a value names. If value is empty, it uses
// otherwise.
func classes(value, otherwise string) (ipip, noEncap bool) {
	value = cmp.Or(value, otherwise)
	return value == programEnabled || value == programIPIPOnly, value == programEnabled || value == programNoEncapOnly
}

// class returns the class of a pool, nil for a pool with VXLAN.
func (p *programming) class(pool *calico.IPPool) *PoolClass {
	switch {
	case pool.VXLANMode != string(v3.VXLANModeNever):
		return nil
	case pool.IPIPMode != string(v3.IPIPModeNever):
		return &p.ipip
	}
	return &p.noEncap
}

// needsBGP reports whether pods of a pool need BGP to reach pods on other nodes. They
// do not if Felix programs the routes to them and BIRD does not. If the version is
// unknown, needsBGP returns true for every pool without VXLAN.
func (p *programming) needsBGP(pool *calico.IPPool) bool {
	c := p.class(pool)
	return c != nil && (p.version == nil || c.BIRD || !c.Felix)
}

// clusterRoutes returns which components program the routes to pods on other nodes.
func clusterRoutes(s *state.Snapshot, a *allocations) *ClusterRoutes {
	p := newProgramming(s)
	out := &ClusterRoutes{Setting: ClusterRoutesSetting{Optional(p.setting.Felix), Optional(p.setting.BIRD)}}
	if p.version != nil {
		out.Version = Optional(fmt.Sprintf("%d.%d", p.version.Major(), p.version.Minor()))
	}
	p.ipip.Pools, p.noEncap.Pools = []string{}, []string{}
	for _, pool := range s.IPPools() {
		if c := p.class(pool); c != nil && a.mayRoute(pool) != AllocationsNone {
			c.Pools = append(c.Pools, pool.Name)
		}
	}
	out.IPIP, out.NoEncap = p.ipip, p.noEncap
	return out
}

// podTraffic returns in which families pod traffic between nodes needs BGP. If the
// state has no IPPool for pods, it reports that both families need BGP.
func podTraffic(s *state.Snapshot, a *allocations, needs func(*calico.IPPool) bool) *PerFamily[PodTraffic] {
	out := &PerFamily[PodTraffic]{IPv4: PodTraffic{Pools: []string{}, DisabledPools: []string{}}, IPv6: PodTraffic{Pools: []string{}, DisabledPools: []string{}}}
	known := false
	for _, p := range s.IPPools() {
		has := a.mayRoute(p)
		known = known || has != AllocationsNone
		f := out.In(p.Family)
		switch {
		case has == AllocationsNone || !needs(p):
		case has == AllocationsUnknown:
			f.DisabledPools = append(f.DisabledPools, p.Name)
		default:
			f.NeedsBGP = true
			f.Pools = append(f.Pools, p.Name)
		}
	}
	if !known {
		out.IPv4.NeedsBGP, out.IPv6.NeedsBGP = true, true
	}
	return out
}
