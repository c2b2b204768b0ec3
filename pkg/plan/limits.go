package plan

import (
	"fmt"
	"strconv"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// Limits are the numbers from which a design is too large. They are the parameters of
// policies.
type Limits struct {
	// MeshNodes is the maximum number of nodes in a mesh (maxNodes of mesh-node-limit).
	MeshNodes int `json:"meshNodes"`
	// ReflectorSessions is the maximum number of sessions of a route reflector in one
	// address family (maxSessions of reflector-redundancy).
	ReflectorSessions int `json:"reflectorSessions"`
}

// DefaultLimits are the defaults of the policies.
var DefaultLimits = Limits{MeshNodes: 100, ReflectorSessions: 2000}

// LimitsOf returns the limits that policies enforce: DefaultLimits for one that no policy
// has. Of several, the lowest counts. The error is about a parameter that is no number.
func LimitsOf(set *policy.Set) (Limits, error) {
	found := Limits{}
	for _, p := range set.Policies() {
		var parameter string
		var limit *int
		switch p.Definition.Name {
		case "mesh-node-limit":
			parameter, limit = "maxNodes", &found.MeshNodes
		case "reflector-redundancy":
			parameter, limit = "maxSessions", &found.ReflectorSessions
		default:
			continue
		}
		n, err := strconv.Atoi(fmt.Sprint(p.Parameters()[parameter]))
		if err != nil {
			return Limits{}, fmt.Errorf("BGPPolicy %s: parameter %s is not a number: %w", p.Name, parameter, err)
		}
		if *limit == 0 || n < *limit {
			*limit = n
		}
	}
	return DesignOptions{Limits: found}.limits(), nil
}
