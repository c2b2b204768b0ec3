package main

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

const nodeCount = 120

// act is one story in one cluster.
type act struct {
	title string
	nodes []*corev1.Node
	// initial is the manifest that is applied before bgpguard is installed.
	initial string
	// policies is a folder of BGPPolicies that replace those of the default
	// install; "" for the default install.
	policies string
	scenes   []scene
}

// scene is a title and the commands below it.
type scene struct {
	title string
	steps []step
}

// step is one command and its expected answer.
type step struct {
	// args are the arguments of kubectl, or of bgpguard if finds is set.
	args string
	// input is the manifest on standard input.
	input string
	// finds is the policy that the audit must report a violation of.
	finds string
	// denied is the policy that must deny the command; "" if it must be allowed.
	denied string
	// warned is the policy that must warn.
	warned string
	// rejected is the error of a command that must fail without a denial.
	rejected string
	// prints is what the command must print.
	prints string
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
	{title: "From the mesh to route reflectors", nodes: env.Nodes(nodeCount), scenes: slices.Concat(towardsReflectors, ownPolicy)},
	{title: "The removed label", nodes: piDayNodes(), initial: meshOff + "---\n" + byMaster, policies: "test/demo/policies", scenes: piDay},
}

var towardsReflectors = []scene{
	{"The cluster runs a full mesh of 120 nodes. A violation that already exists is a warning and does not block the change.", []step{
		{args: apply, input: meshLeftOut, warned: limit},
	}},
	{"The mesh is turned off before route reflectors exist.", []step{
		{args: apply, input: meshOff, denied: need},
		{args: apply + " --dry-run=server", input: meshOff, denied: need},
		{args: apply + " --server-side", input: meshOff, denied: need},
	}},
	{"The safe way: three route reflectors, BGPPeers that select all nodes, then the mesh off.", []step{
		{args: "label node node-0000 node-0001 node-0002 route-reflector=true"},
		{args: apply, input: workers},
		{args: apply, input: reflectors},
		{args: "annotate node node-0000 node-0001 node-0002 projectcalico.org/RouteReflectorClusterID=244.0.0.1"},
		{args: apply + " --dry-run=server", input: meshOff},
		{args: apply, input: meshOff},
	}},
	{"A manifest without nodeToNodeMeshEnabled turns the mesh on: a full mesh of 117 nodes.", []step{
		{args: "replace -f -", input: meshLeftOut, denied: limit},
		{args: "replace -f - --dry-run=server", input: meshLeftOut, denied: limit},
		{args: "patch bgpconfiguration default --type=merge -p {\"spec\":{\"nodeToNodeMeshEnabled\":true}}", denied: limit},
		{args: "delete bgpconfiguration default", denied: limit},
	}},
	{"A BGPPeer gets a maxRestartTime that differs from the rest of the cluster. No value is configured, so this is a warning.", []step{
		{args: apply, input: otherTimer, warned: timer},
		{args: apply + " --server-side --force-conflicts --dry-run=server", input: otherTimer, warned: timer},
		{args: apply, input: strings.Replace(otherTimer, "300s", "2m", 1)},
	}},
	{"The last BGPPeer of the workers is deleted, or no longer selects a route reflector.", []step{
		{args: "delete bgppeer workers", denied: need},
		{args: "delete bgppeer workers --dry-run=server", denied: need},
		{args: apply, input: strings.Replace(workers, "peerSelector: has(route-reflector)", "peerSelector: has(node-role.kubernetes.io/master)", 1), denied: need},
	}},
}
