//go:build system && linux

// Package cluster installs bgpguard on a cluster of two real nodes and watches it there: the kubelet, kube-proxy,
// containerd and runc run the pods of the unchanged manifests, from an image that is built without a registry.
//
// The nodes are namespaces of this machine. No CNI plugin is installed: nodes are NotReady, as they are while the pod
// network is broken, and only pods on the host network run. The test program starts itself again for each stage:
//
//   - the outer process makes cgroups, waits, and removes everything in the end;
//   - init is process 1 of new namespaces: when it ends, the kernel kills all processes of the cluster;
//   - the tests run inside these namespaces;
//   - a holder keeps the namespaces of each node.
package cluster

import (
	"fmt"
	"os"
	"testing"
)

// The stages, and the environment variables that carry them and what they need.
const (
	stageVariable = "BGPGUARD_CLUSTER_STAGE"
	stageInit     = "init"
	stageTests    = "tests"
	stageNode     = "node"

	// stateVariable is the directory of the files of the cluster.
	stateVariable = "BGPGUARD_CLUSTER_STATE"
	// nodeVariable is the name of the node of a holder.
	nodeVariable = "BGPGUARD_CLUSTER_NODE"
)

func TestMain(m *testing.M) {
	code, err := stage(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// stage runs one stage and returns its exit code.
func stage(m *testing.M) (int, error) {
	switch stage := os.Getenv(stageVariable); stage {
	case "":
		return isolate()
	case stageInit:
		return initialize()
	case stageTests:
		return m.Run(), nil
	case stageNode:
		return 0, hold()
	default:
		return 0, fmt.Errorf("%s=%s is not a stage", stageVariable, stage)
	}
}
