package validate

import (
	"net/netip"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// nodeData is a node in data.state.nodes.
type nodeData struct {
	Name                    string            `json:"name"`
	Labels                  map[string]string `json:"labels"`
	IPv4Address             topology.Optional `json:"ipv4Address"`
	IPv6Address             topology.Optional `json:"ipv6Address"`
	ASNumber                *int              `json:"asNumber"`
	RouteReflectorClusterID topology.Optional `json:"routeReflectorClusterID"`
	NotReady                bool              `json:"notReady"`
}

// newStateData returns a function that returns data.state, all nodes of a snapshot, for
// policies that refer to it. The first call builds it in O(nodes).
func newStateData(s *state.Snapshot) func() ast.Value {
	return sync.OnceValue(func() ast.Value {
		nodes := ast.NewObject()
		for _, n := range s.Nodes() {
			d := nodeData{
				Name: n.Name, Labels: n.Labels, RouteReflectorClusterID: topology.Optional(n.ClusterID), NotReady: n.NotReady,
				IPv4Address: prefixText(n.Address[calico.IPv4]), IPv6Address: prefixText(n.Address[calico.IPv6]),
			}
			if n.ASNumber != nil {
				asn := int(*n.ASNumber)
				d.ASNumber = &asn
			}
			nodes.Insert(ast.StringTerm(n.Name), ast.NewTerm(policy.Value(d)))
		}
		return ast.NewObject([2]*ast.Term{ast.InternedTerm("nodes"), ast.NewTerm(nodes)})
	})
}

// prefixText returns an address with its prefix length, "" if there is none.
func prefixText(p netip.Prefix) topology.Optional {
	if !p.IsValid() {
		return ""
	}
	return topology.Optional(p.String())
}
