package topology

import (
	"k8s.io/apimachinery/pkg/util/version"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Values of programClusterRoutes (Calico v3.33).
const (
	programEnabled     = "Enabled"
	programDisabled    = "Disabled"
	programNoEncapOnly = "EnabledNoEncapOnly"
)

// poolNeedsBGP reports whether pods of a pool need BGP to reach pods on other
// nodes: unless the pool is VXLAN, BIRD programs the routes to them, or Felix
// from v3.33 on, as programClusterRoutes says
// (design/cluster-route-programming/DESIGN.md). Where the version is not known
// the answer is the careful one.
func poolNeedsBGP(p *calico.IPPool, s *state.Snapshot) bool {
	if p.VXLANMode != string(v3.VXLANModeNever) {
		return false
	}
	ipip := p.IPIPMode != string(v3.IPIPModeNever)
	felix := ""
	if c := s.FelixConfiguration(); c != nil {
		felix = c.ProgramClusterRoutes
	}
	v := calicoVersion(s)
	switch {
	case v == nil:
		return true
	case v.AtLeast(version.MajorMinor(3, 33)):
		switch felix {
		case programEnabled:
			return false
		case programDisabled:
			return true
		case programNoEncapOnly:
			return ipip
		default: // EnabledIPIPOnly, unset, and what Calico does not know.
			return !ipip
		}
	case v.AtLeast(version.MajorMinor(3, 32)):
		// v3.32 has two values, and IPIP only is handed over by both switches.
		c := s.BGPConfiguration(calico.Default)
		return !ipip || felix != programEnabled || c == nil || c.ProgramClusterRoutes != programDisabled
	default:
		return true
	}
}

func calicoVersion(s *state.Snapshot) *version.Version {
	if c := s.ClusterInformation(); c != nil {
		return c.Version
	}
	return nil
}

// podTraffic tells in which families pod traffic between nodes needs BGP. A
// state without any pool does not tell, and counts as needing it in both.
func podTraffic(s *state.Snapshot, needs func(*calico.IPPool) bool) *PerFamily[PodTraffic] {
	out := &PerFamily[PodTraffic]{IPv4: PodTraffic{Pools: []string{}}, IPv6: PodTraffic{Pools: []string{}}}
	known := false
	for _, p := range s.IPPools() {
		if !p.Workload {
			continue
		}
		known = true
		if f := out.In(p.Family); needs(p) {
			f.NeedsBGP = true
			f.Pools = append(f.Pools, p.Name)
		}
	}
	if !known {
		out.IPv4.NeedsBGP, out.IPv6.NeedsBGP = true, true
	}
	return out
}
