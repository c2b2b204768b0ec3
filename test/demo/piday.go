package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

// The outage of 14 March 2023: the route reflectors were the control-plane
// nodes, selected by a label that an upgrade of Kubernetes removed.

const (
	reach  = "reachability-preserved"
	master = "node-role.kubernetes.io/master"
	role   = "node-role.kubernetes.io/control-plane"
)

var (
	byMaster = peer("route-reflectors", "  nodeSelector: all()\n  peerSelector: has("+master+")\n")
	byRole   = peer("route-reflectors-by-role", "  nodeSelector: all()\n  peerSelector: has("+role+")\n")
)

// piDayNodes returns 120 workers and the route reflectors cp-1 to cp-3, without
// IPv6, so that each message appears once. Each reflector has its own cluster ID,
// so that a reflector that keeps its label still reflects the routes of the others.
func piDayNodes() []*corev1.Node {
	ipv4Only := func(node *corev1.Node) { delete(node.Annotations, "projectcalico.org/IPv6Address") }
	nodes := env.Nodes(nodeCount, ipv4Only)
	for number := 1; number <= 3; number++ {
		nodes = append(nodes, env.Node(nodeCount+number, ipv4Only, func(node *corev1.Node) {
			node.Name = fmt.Sprintf("cp-%d", number)
			node.Labels["kubernetes.io/hostname"] = node.Name
			node.Labels[master] = ""
			node.Annotations["projectcalico.org/RouteReflectorClusterID"] = fmt.Sprintf("244.0.0.%d", number)
		}))
	}
	return nodes
}

var piDay = []scene{
	{"An upgrade removes the label that selects the route reflectors, node by node. Here route-reflectors-required only warns, so two steps are allowed. The third would leave every node without routes.", []step{
		{args: "label node cp-1 " + master + "-", warned: need},
		{args: "label node cp-2 " + master + "-", warned: need},
		{args: "label node cp-3 " + master + "- --dry-run=server", denied: reach},
		{args: "label node cp-3 " + master + "-", denied: reach},
	}},
	{"The same without the label: removing the cluster ID of the last reflector, and deleting its Node.", []step{
		{args: "annotate node cp-3 projectcalico.org/RouteReflectorClusterID-", denied: reach},
		{args: "delete node cp-3", denied: reach},
	}},
	{"A controller that deletes the Node of a machine that no longer exists is only warned: a denial would not bring the machine back.", []step{
		{args: "--as=system:serviceaccount:kube-system:node-controller delete node cp-3 --dry-run=server", warned: reach},
	}},
	{"The safe way: add the new label and a BGPPeer that selects it, then remove the old ones.", []step{
		{args: "label node cp-1 cp-2 cp-3 " + role + "="},
		{args: apply, input: byRole},
		{args: "label node cp-3 " + master + "-"},
		{args: "delete bgppeer route-reflectors"},
	}},
	{"The webhook configuration is deleted, and then the new label. No webhook reviews this change. The audit reports the violation.", []step{
		{args: "delete validatingwebhookconfiguration bgpguard"},
		{args: "label node cp-1 cp-2 cp-3 " + role + "-"},
		{args: "audit --policies test/demo/policies --fail-on critical", finds: reach},
	}},
}
