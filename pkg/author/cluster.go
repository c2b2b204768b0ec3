package author

import (
	"fmt"
	"net/netip"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// The bounds of a made-up cluster.
const (
	leastPeers = 2
	mostNodes  = 100_000
	racks      = 16
	reflectors = 3
)

// cluster makes up a cluster with the mesh off: route reflectors that peer with
// each other and with all other nodes, and routers outside that peer with one rack
// each. The change sets another restart time for the reflectors' sessions.
func cluster(nodes, peers int) (*state.Snapshot, state.Change, error) {
	none := state.Change{}
	switch {
	case nodes < 1 || nodes > mostNodes:
		return nil, none, fmt.Errorf("a cluster has from 1 to %d nodes, not %d", mostNodes, nodes)
	case peers < leastPeers:
		return nil, none, fmt.Errorf("a cluster with route reflectors has %d BGPPeers or more, not %d", leastPeers, peers)
	}
	list := []map[string]any{
		calicoObject("BGPConfiguration", "default", map[string]any{"nodeToNodeMeshEnabled": false, "asNumber": int64(64512)}),
		calicoObject("IPPool", "pods", map[string]any{"cidr": "192.168.0.0/16", "ipipMode": "Never", "vxlanMode": "Never"}),
		calicoObject("BGPPeer", "reflectors", reflected("has(route-reflector)", "120s")),
		calicoObject("BGPPeer", "workers", reflected("!has(route-reflector)", "120s")),
	}
	router := netip.MustParseAddr("172.16.0.0")
	for i := range peers - leastPeers {
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
