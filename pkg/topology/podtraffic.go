package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

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
	// setting is the effective programClusterRoutes, "" if it is unknown. Felix is that of the
	// nodes that are not in others.
	setting struct{ Felix, BIRD string }
	// ipip and noEncap are the components for each class. Pools is not set.
	ipip, noEncap PoolClass
	others        []NodeSetting
	needs         needs
	version       *version.Version // nil if it is unknown
}

// needs reports which classes of IPPools need BGP, and whether BIRD alone is known to program routes to
// IPPools with IPIP.
type needs struct{ ipip, noEncap, tunnels bool }

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
// setting is "" for an unset field. Where calico-node does not run BIRD, BIRD programs none,
// whatever is set. A FelixConfiguration can set the field for some nodes only,
// a BGPConfiguration cannot.
func (t *Topology) newProgramming(scopes []felixScope) *programming {
	s := t.snapshot
	p := &programming{version: sessions.CalicoVersion(s)}
	if c := s.FelixConfiguration(); c != nil {
		p.setting.Felix = c.ProgramClusterRoutes
	}
	if c := s.BGPConfiguration(calico.Default); c != nil {
		p.setting.BIRD = c.ProgramClusterRoutes
	}
	p.setting.Felix, p.setting.BIRD = felixSetting(p.version, p.setting.Felix), birdSetting(p.version, p.setting.BIRD)
	if !s.RunsBIRD() {
		p.setting.BIRD = programDisabled
	}
	values := t.clusterRoutesValues(scopes)
	rest := t.index.Len()
	for _, v := range values {
		rest -= v.nodes.Count()
	}
	if rest == 0 && len(values) > 0 { // No node has the setting of "default".
		most := slices.MaxFunc(values, func(a, b felixValue[string]) int { return cmp.Compare(a.nodes.Count(), b.nodes.Count()) })
		p.setting.Felix = most.value
		values = slices.DeleteFunc(values, func(v felixValue[string]) bool { return v.value == most.value })
	}
	p.ipip.Felix, p.noEncap.Felix = felixClasses(p.version, p.setting.Felix)
	p.ipip.BIRD, p.noEncap.BIRD = classes(p.setting.BIRD, programEnabled)
	everywhere := needs{ipip: p.ipip.Felix, noEncap: p.noEncap.Felix}
	for _, v := range values {
		one := NodeSetting{Setting: Optional(v.value), FelixConfigurations: v.objects, NodeSet: t.felixNodes(fieldProgramClusterRoutes, v.value, v.nodes)}
		one.IPIP, one.NoEncap = felixClasses(p.version, v.value)
		everywhere.ipip, everywhere.noEncap = everywhere.ipip && one.IPIP, everywhere.noEncap && one.NoEncap
		p.others = append(p.others, one)
	}
	p.needs.ipip = p.version == nil || p.ipip.BIRD || !everywhere.ipip
	p.needs.tunnels = p.version != nil && p.ipip.BIRD && !p.ipip.Felix
	p.needs.noEncap = p.version == nil || p.noEncap.BIRD || !everywhere.noEncap
	return p
}

// felixSetting returns the effective programClusterRoutes of Felix, "" if it is unknown. v is
// nil for an unknown version.
func felixSetting(v *version.Version, text string) string {
	switch {
	case v == nil:
		return fourValues(text, "")
	case calico.SplitClusterRoutes.In(v):
		return fourValues(text, programIPIPOnly)
	case text == programEnabled && calico.HasField(v, calico.KindFelixConfiguration, fieldProgramClusterRoutes):
		return programEnabled
	}
	return programDisabled
}

// birdSetting returns the effective programClusterRoutes of BIRD, like felixSetting.
func birdSetting(v *version.Version, text string) string {
	switch {
	case v == nil:
		return fourValues(text, "")
	case calico.SplitClusterRoutes.In(v):
		return fourValues(text, programNoEncapOnly)
	case text == programDisabled && calico.HasField(v, calico.KindBGPConfiguration, fieldProgramClusterRoutes):
		return programDisabled
	}
	return programEnabled
}

// felixClasses returns the classes of IPPools whose routes Felix programs.
func felixClasses(v *version.Version, setting string) (ipip, noEncap bool) {
	ipip, noEncap = classes(setting, programDisabled)
	return ipip, noEncap && calico.FelixRoutesNoEncap.In(v)
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
// do not if Felix of every node programs the routes to them and BIRD does not. If the version
// is unknown, needsBGP returns true for every pool without VXLAN.
func (p *programming) needsBGP(pool *calico.IPPool) bool {
	switch p.class(pool) {
	case nil:
		return false
	case &p.ipip:
		return p.needs.ipip
	default:
		return p.needs.noEncap
	}
}

// clusterRoutes returns which components program the routes to pods on other nodes.
func (t *Topology) clusterRoutes(p *programming, scopes []felixScope) *ClusterRoutes {
	out := &ClusterRoutes{IPIP: p.ipip, NoEncap: p.noEncap, Setting: ClusterRoutesSetting{Optional(p.setting.Felix), Optional(p.setting.BIRD)}}
	if p.version != nil {
		out.Version = Optional(fmt.Sprintf("%d.%d", p.version.Major(), p.version.Minor()))
	}
	out.IPIP.Pools, out.NoEncap.Pools = []string{}, []string{}
	for _, pool := range t.snapshot.IPPools() {
		if t.allocations.mayRoute(pool) == AllocationsNone {
			continue
		}
		switch p.class(pool) {
		case &p.ipip:
			out.IPIP.Pools = append(out.IPIP.Pools, pool.Name)
		case &p.noEncap:
			out.NoEncap.Pools = append(out.NoEncap.Pools, pool.Name)
		}
	}
	out.OtherNodes = append([]NodeSetting{}, p.others...)
	for _, f := range calico.Families {
		list := out.OtherPriorities.In(f)
		*list = []NodePriority{}
		for _, v := range t.priorityValues(scopes, f) {
			*list = append(*list, NodePriority{v.value, v.objects, t.felixNodes(priorityFields[f], strconv.Itoa(v.value), v.nodes)})
		}
	}
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
