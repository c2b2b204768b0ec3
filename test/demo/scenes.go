package main

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

const nodeCount = 120

// act is a story of its own, with a cluster of its own.
type act struct {
	title string
	nodes []*corev1.Node
	// found is what the cluster has before bgpguard comes, as a manifest.
	found string
	// policies is a folder of BGPPolicy documents that hold in place of those in
	// the cluster, which are the ones of the default install; "" for these.
	policies string
	scenes   []scene
}

// scene is a part of the story: what it is about, and the commands.
type scene struct {
	title string
	steps []step
}

// step is one command and the answer that must come.
type step struct {
	// args are kubectl's, or bgpguard's where finds is set; input is the manifest on
	// its standard input.
	args  string
	input string
	// finds is a policy of which an audit must find a violation.
	finds string
	// denied is a policy that must deny the command, "" where it must pass.
	denied string
	// warned is the policy of a warning that must come.
	warned string
	// refused is why a command must fail that no policy denies, told what must be
	// said of one that passes.
	refused, told string
}

func configuration(spec string) string {
	return "apiVersion: crd.projectcalico.org/v1\nkind: BGPConfiguration\nmetadata:\n  name: default\nspec:\n" + spec
}

func peer(name, spec string) string {
	return "apiVersion: crd.projectcalico.org/v1\nkind: BGPPeer\nmetadata:\n  name: " + name + "\nspec:\n" + spec
}

var (
	meshLeftOut = configuration("  asNumber: 64512\n  logSeverityScreen: Warning\n")
	meshOff     = configuration("  asNumber: 64512\n  nodeToNodeMeshEnabled: false\n")
	workers     = peer("workers", "  nodeSelector: \"!has(route-reflector)\"\n  peerSelector: has(route-reflector)\n")
	reflectors  = peer("reflectors", "  nodeSelector: has(route-reflector)\n  peerSelector: has(route-reflector)\n")
	otherTimer  = peer("reflectors", "  nodeSelector: has(route-reflector)\n  peerSelector: has(route-reflector)\n  maxRestartTime: 300s\n")
)

const (
	apply = "apply -f -"
	limit = "mesh-node-limit"
	need  = "route-reflectors-required"
	timer = "timers-consistent"
)

var acts = []act{
	{title: "From the mesh to route reflectors", nodes: env.Nodes(nodeCount), scenes: slices.Concat(towardsReflectors, policyOfOnesOwn)},
	{title: "The label that was taken away", nodes: piDayNodes(), found: meshOff + "---\n" + byMaster, policies: "test/demo/policies", scenes: piDay},
}

var towardsReflectors = []scene{
	{"The cluster is found with the full mesh on, with 120 nodes. What was bad before is told, not held against a change.", []step{
		{args: apply, input: meshLeftOut, warned: limit},
	}},
	{"The mesh is switched off before there are route reflectors.", []step{
		{args: apply, input: meshOff, denied: need},
		{args: apply + " --dry-run=server", input: meshOff, denied: need},
		{args: apply + " --server-side", input: meshOff, denied: need},
	}},
	{"The safe road: three route reflectors, BGPPeers that cover all nodes, then the mesh off.", []step{
		{args: "label node node-0000 node-0001 node-0002 route-reflector=true"},
		{args: apply, input: workers},
		{args: apply, input: reflectors},
		{args: "annotate node node-0000 node-0001 node-0002 projectcalico.org/RouteReflectorClusterID=244.0.0.1"},
		{args: apply + " --dry-run=server", input: meshOff},
		{args: apply, input: meshOff},
	}},
	{"A manifest that leaves nodeToNodeMeshEnabled out leaves the mesh on: 117 nodes in a full mesh.", []step{
		{args: "replace -f -", input: meshLeftOut, denied: limit},
		{args: "replace -f - --dry-run=server", input: meshLeftOut, denied: limit},
		{args: "patch bgpconfiguration default --type=merge -p {\"spec\":{\"nodeToNodeMeshEnabled\":true}}", denied: limit},
		{args: "delete bgpconfiguration default", denied: limit},
	}},
	{"A BGPPeer gets a maxRestartTime that differs from what the cluster uses.", []step{
		{args: apply, input: otherTimer, denied: timer},
		{args: apply + " --server-side --force-conflicts --dry-run=server", input: otherTimer, denied: timer},
		{args: apply, input: strings.Replace(otherTimer, "300s", "2m", 1)},
	}},
	{"The last BGPPeer that covers the workers is deleted, or selects nobody any more.", []step{
		{args: "delete bgppeer workers", denied: need},
		{args: "delete bgppeer workers --dry-run=server", denied: need},
		{args: apply, input: strings.Replace(workers, "peerSelector: has(route-reflector)", "peerSelector: has(node-role.kubernetes.io/master)", 1), denied: need},
	}},
}
