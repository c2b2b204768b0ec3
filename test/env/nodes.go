package env

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
)

const (
	nodesPerRack = 20
	zones        = 3
	// creators is the number of Nodes that are created concurrently.
	creators = 16
)

// NodeTweak changes a Node before it is created.
type NodeTweak func(*corev1.Node)

// RouteReflector makes the Node a route reflector, and adds the label with which BGPPeers usually select them.
func RouteReflector(clusterID string) NodeTweak {
	return func(node *corev1.Node) {
		node.Annotations["projectcalico.org/RouteReflectorClusterID"] = clusterID
		node.Labels["route-reflector"] = "true"
	}
}

// ASNumber sets the Node's own AS number, as calico-node does if its variable AS is set.
func ASNumber(number uint32) NodeTweak {
	return func(node *corev1.Node) {
		node.Annotations["projectcalico.org/ASNumber"] = strconv.FormatUint(uint64(number), 10)
	}
}

// Nodes returns the Nodes numbered from 0 to count-1.
func Nodes(count int, tweaks ...NodeTweak) []*corev1.Node {
	nodes := make([]*corev1.Node, count)
	for i := range nodes {
		nodes[i] = Node(i, tweaks...)
	}
	return nodes
}

// Node returns a Node as kubelet and calico-node write it. Its number decides its name, addresses, rack and zone;
// addresses of numbers below 64,000 are unique.
func Node(number int, tweaks ...NodeTweak) *corev1.Node {
	name := fmt.Sprintf("node-%04d", number)
	// 250 hosts for each third octet, so that no address ends with 0 or 255.
	high, low := number/250, number%250+1
	address := fmt.Sprintf("10.0.%d.%d", high, low)
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("16"),
		corev1.ResourceMemory: resource.MustParse("64Gi"),
		corev1.ResourcePods:   resource.MustParse("110"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				"kubernetes.io/arch":               "amd64",
				"kubernetes.io/hostname":           name,
				"kubernetes.io/os":                 "linux",
				"node.kubernetes.io/instance-type": "metal.large",
				"rack":                             fmt.Sprintf("rack-%03d", number/nodesPerRack),
				"topology.kubernetes.io/region":    "region-1",
				"topology.kubernetes.io/zone":      fmt.Sprintf("zone-%d", number%zones+1),
			},
			Annotations: map[string]string{
				"node.alpha.kubernetes.io/ttl":                           "0",
				"projectcalico.org/IPv4Address":                          address + "/16",
				"projectcalico.org/IPv4IPIPTunnelAddr":                   fmt.Sprintf("192.168.%d.%d", high, low),
				"projectcalico.org/IPv6Address":                          fmt.Sprintf("fd00:10::%x:%x/64", high, low),
				"volumes.kubernetes.io/controller-managed-attach-detach": "true",
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    capacity,
			Allocatable: capacity,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: address},
				{Type: corev1.NodeHostName, Address: name},
			},
			Conditions: []corev1.NodeCondition{{
				Type:    corev1.NodeReady,
				Status:  corev1.ConditionTrue,
				Reason:  "KubeletReady",
				Message: "kubelet is posting ready status",
			}},
			NodeInfo: corev1.NodeSystemInfo{
				OperatingSystem:         "linux",
				Architecture:            "amd64",
				KubeletVersion:          "v1.37.2",
				ContainerRuntimeVersion: "containerd://2.2.0",
			},
		},
	}
	for _, tweak := range tweaks {
		tweak(node)
	}
	return node
}

// CreateNodes creates Nodes concurrently.
func (e *Environment) CreateNodes(ctx context.Context, nodes []*corev1.Node) error {
	problems := make([]error, len(nodes))
	workqueue.ParallelizeUntil(ctx, creators, len(nodes), func(i int) {
		_, problems[i] = e.Client.CoreV1().Nodes().Create(ctx, nodes[i], metav1.CreateOptions{})
	})
	// Nodes that were not created because the context is done have no error.
	return errors.Join(errors.Join(problems...), ctx.Err())
}
