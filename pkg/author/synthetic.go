package author

import (
	"fmt"
	"net/netip"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// The bounds of a synthetic cluster.
const (
	minPeers   = 2
	maxNodes   = 100_000
	racks      = 16
	reflectors = 3
)

// syntheticCluster returns a cluster for benchmarks: the mesh is off, route
// reflectors peer with each other and with all other nodes, and each external router
// peers with one rack. The change sets another restart time for the reflectors'
// sessions.
func syntheticCluster(nodes, peers int) (*state.Snapshot, state.Change, error) {
	none := state.Change{}
	switch {
	case nodes < 1 || nodes > maxNodes:
		return nil, none, fmt.Errorf("the number of nodes must be from 1 to %d, is %d", maxNodes, nodes)
	case peers < minPeers:
		return nil, none, fmt.Errorf("the number of BGPPeers must be %d or more, is %d: two connect the route reflectors", minPeers, peers)
	}
	list := []map[string]any{
		calicoObject("BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": false, "asNumber": int64(64512)}),
		calicoObject("IPPool", "pods", map[string]any{"cidr": "192.168.0.0/16", "ipipMode": "Never", "vxlanMode": "Never"}),
		calicoObject("BGPPeer", "reflectors", reflected("has(route-reflector)", "120s")),
		calicoObject("BGPPeer", "workers", reflected("!has(route-reflector)", "120s")),
	}
	router := netip.MustParseAddr("172.16.0.0")
	for i := range peers - minPeers {
		router = router.Next()
		list = append(list, calicoObject("BGPPeer", fmt.Sprintf("router-%d", i+1), map[string]any{
			"nodeSelector": fmt.Sprintf("rack == 'r%d'", i%racks), "peerIP": router.String(), "asNumber": int64(64600),
		}))
	}
	address := netip.MustParseAddr("10.0.0.0")
	for i := range nodes {
		address = address.Next()
		list = append(list, node(i, address))
	}
	var objects []calico.Object
	for _, item := range append(list, calicoObject("BGPPeer", "reflectors", reflected("has(route-reflector)", "180s"))) {
		object, err := calico.Decode(item)
		if err != nil {
			return nil, none, err
		}
		objects = append(objects, object)
	}
	last := len(objects) - 1
	s := state.New(objects[:last]...)
	return s, state.Change{Before: s.Get(objects[last].ID()), After: objects[last]}, nil
}

func calicoObject(kind, name string, spec map[string]any) map[string]any {
	return map[string]any{"apiVersion": calico.APIVersionV3, "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec}
}

func reflected(nodes, restart string) map[string]any {
	return map[string]any{"nodeSelector": nodes, "peerSelector": "has(route-reflector)", "maxRestartTime": restart}
}

func node(i int, address netip.Addr) map[string]any {
	labels := map[string]any{"rack": fmt.Sprintf("r%d", i%racks)}
	annotations := map[string]any{calico.AnnotationIPv4Address: address.String() + "/8"}
	if i < reflectors {
		labels["route-reflector"] = "true"
		annotations[calico.AnnotationClusterID] = "244.0.0.1"
	}
	return map[string]any{
		"apiVersion": "v1", "kind": string(calico.KindNode),
		"metadata": map[string]any{"name": fmt.Sprintf("node-%05d", i+1), "labels": labels, "annotations": annotations},
	}
}
