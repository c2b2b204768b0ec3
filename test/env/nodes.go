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
	// creators is how many Nodes are created side by side: enough to keep the API server busy.
	creators = 16
)

// NodeTweak changes a Node before it is created.
type NodeTweak func(*corev1.Node)

// RouteReflector gives the Node the cluster ID that makes it a route reflector, and the label by which BGPPeers
// usually select reflectors.
func RouteReflector(clusterID string) NodeTweak {
	return func(node *corev1.Node) {
		node.Annotations["projectcalico.org/RouteReflectorClusterID"] = clusterID
		node.Labels["route-reflector"] = "true"
	}
}

// ASNumber gives the Node an AS number of its own, as calico-node does where its AS variable is set.
func ASNumber(number uint32) NodeTweak {
	return func(node *corev1.Node) {
		node.Annotations["projectcalico.org/ASNumber"] = strconv.FormatUint(uint64(number), 10)
	}
}

// Nodes are count Nodes, numbered from 0.
func Nodes(count int, tweaks ...NodeTweak) []*corev1.Node {
	nodes := make([]*corev1.Node, count)
	for i := range nodes {
		nodes[i] = Node(i, tweaks...)
	}
	return nodes
}

// Node is the Node of a number, which decides its name, addresses, rack and zone, as the kubelet and calico-node
// would leave it. Numbers below 64,000 have addresses of their own.
func Node(number int, tweaks ...NodeTweak) *corev1.Node {
	name := fmt.Sprintf("node-%04d", number)
	// 250 hosts in each of the third octets: no address ends in 0 or 255, which would look like a mistake.
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

// CreateNodes creates the Nodes, several at a time.
func (e *Environment) CreateNodes(ctx context.Context, nodes []*corev1.Node) error {
	problems := make([]error, len(nodes))
	workqueue.ParallelizeUntil(ctx, creators, len(nodes), func(i int) {
		_, problems[i] = e.Client.CoreV1().Nodes().Create(ctx, nodes[i], metav1.CreateOptions{})
	})
	// Nodes that were not reached before the context ended have no error of their own.
	return errors.Join(errors.Join(problems...), ctx.Err())
}
