package main

import (
	"context"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	reflectors = 3
	racks      = 16
	torPeers   = 3
	images     = 20
	// largeNodes is the number of nodes that Kubernetes supports, maxNodes twice that number.
	largeNodes = 5000
	maxNodes   = 2 * largeNodes
	// The parameters of mesh-node-limit and of route-reflectors-required in config/policies, and that of timers-consistent here.
	meshLimit     = 100
	minReflectors = 2
	restartTime   = "120s"
	// namespace is that of bgpguard.
	namespace = "bgpguard-system"
)

// grow adds the Nodes numbered from, up to but without to.
func grow(ctx context.Context, e *env.Environment, from, to int) error {
	nodes := make([]*corev1.Node, 0, to-from)
	for i := from; i < to; i++ {
		node := env.Node(i)
		if i < reflectors {
			env.RouteReflector("244.0.0.1")(node)
		}
		node.Labels["rack"] = rack(i % racks)
		furnish(node, i)
		nodes = append(nodes, node)
	}
	return e.CreateNodes(ctx, nodes)
}

// install creates Calico's objects, and bgpguard without its pods. The cluster has no violations, whatever the number of its
// nodes: the mesh is off, and the nodes of each rack peer with all route reflectors.
func install(ctx context.Context, e *env.Environment) error {
	if err := apply(ctx, e, calicoObjects()); err != nil {
		return err
	}
	if err := e.Install(ctx); err != nil {
		return err
	}
	// The API server must not wait for webhooks that do not run while the cluster grows. Reviews do not come from it.
	if err := e.SkipReviews(ctx, "system:masters"); err != nil {
		return err
	}
	// By default the policy only warns about a timer that differs.
	return kubectl(ctx, e, "patch", "bgppolicy", "timers-consistent", "--type=merge", `--patch={"spec":{"parameters":{"restartTime":"`+restartTime+`"}}}`)
}

func apply(ctx context.Context, e *env.Environment, manifests string, flags ...string) error {
	result, err := e.Admin.RunWithInput(ctx, manifests, append([]string{"apply", "-f", "-"}, flags...)...)
	if err != nil {
		return err
	}
	return result.Err()
}

func kubectl(ctx context.Context, e *env.Environment, args ...string) error {
	result, err := e.Admin.Run(ctx, args...)
	if err != nil {
		return err
	}
	return result.Err()
}

func rack(number int) string { return fmt.Sprintf("r%02d", number) }

// rackPeer returns the name of the BGPPeer between a rack's nodes and the reflectors.
func rackPeer(number int) string { return "rack-" + rack(number) }

// calicoObjects returns the default BGPConfiguration, an IPPool whose pods need BGP, and the BGPPeers.
func calicoObjects() string {
	var text strings.Builder
	add := func(kind, name, spec string) {
		fmt.Fprintf(&text, "---\n{apiVersion: %s, kind: %s, metadata: {name: %s}, spec: %s}\n", env.GroupV1.APIVersion(), kind, name, spec)
	}
	add("BGPConfiguration", "default", "{asNumber: 64512, logSeverityScreen: Info, nodeToNodeMeshEnabled: false}")
	add("IPPool", "pods", "{cidr: 192.168.0.0/16, ipipMode: Never, vxlanMode: Never, natOutgoing: true, nodeSelector: all()}")
	add("BGPPeer", "reflectors", "{nodeSelector: has(route-reflector), peerSelector: has(route-reflector)}")
	for i := range racks {
		add("BGPPeer", rackPeer(i), fmt.Sprintf("{nodeSelector: rack == '%s', peerSelector: has(route-reflector)}", rack(i)))
	}
	for i := range torPeers {
		add("BGPPeer", "tor-"+rack(i), fmt.Sprintf("{nodeSelector: rack == '%s', peerIP: 10.255.0.%d, asNumber: %d, maxRestartTime: %s}", rack(i), i+1, 64600+i, restartTime))
	}
	return text.String()
}

// furnish adds to a Node what kubelet and cloud providers write and what no policy reads: 15 labels, five conditions
// and a list of images.
func furnish(node *corev1.Node, number int) {
	maps.Copy(node.Labels, map[string]string{
		"beta.kubernetes.io/arch":         "amd64",
		"beta.kubernetes.io/os":           "linux",
		"example.com/hardware-generation": "gen-4",
		"example.com/image-version":       "2026.04.1",
		"example.com/maintenance-window":  fmt.Sprintf("window-%d", number%7),
		"example.com/owner":               "platform",
		"example.com/pool":                fmt.Sprintf("pool-%d", number%5),
		"example.com/power-feed":          fmt.Sprintf("feed-%d", number%2),
	})
	node.Annotations["csi.volume.kubernetes.io/nodeid"] = fmt.Sprintf(`{"block.csi.example.com":"%036x"}`, number)
	node.Spec.PodCIDR = fmt.Sprintf("172.%d.%d.0/24", 16+number/256, number%256)
	node.Spec.ProviderID = fmt.Sprintf("metal:///region-1/%036x", number)

	now := metav1.Now()
	for i := range node.Status.Conditions {
		node.Status.Conditions[i].LastHeartbeatTime, node.Status.Conditions[i].LastTransitionTime = now, now
	}
	for _, pressure := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeNetworkUnavailable} {
		node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
			Type: pressure, Status: corev1.ConditionFalse, LastHeartbeatTime: now, LastTransitionTime: now,
			Reason: "KubeletHasNoPressure", Message: "kubelet has enough of it",
		})
	}
	capacity := node.Status.Capacity.DeepCopy()
	capacity[corev1.ResourceEphemeralStorage] = resource.MustParse("480Gi")
	node.Status.Capacity, node.Status.Allocatable = capacity, capacity
	node.Status.NodeInfo.MachineID = fmt.Sprintf("%032x", number)
	node.Status.NodeInfo.SystemUUID = fmt.Sprintf("%036x", number)
	node.Status.NodeInfo.BootID = fmt.Sprintf("%036x", number)
	node.Status.NodeInfo.KernelVersion = "6.12.31-generic"
	node.Status.NodeInfo.OSImage = "Example Linux 12"
	for i := range images {
		repository := fmt.Sprintf("registry.region-1.images.example.com/platform/team-%02d/service-%02d", i%6, i)
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{
			Names:     []string{fmt.Sprintf("%s@sha256:%064x", repository, i+1), fmt.Sprintf("%s:v1.%d.0", repository, i)},
			SizeBytes: int64(20_000_000 + i*1_000_003),
		})
	}
}
