//go:build system && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// The network of the nodes. A bridge connects them with the tests.
const (
	bridge        = "br0"
	bridgeAddress = "10.77.0.254/24"
	prefixLength  = "/24"
)

// member is a node that the cluster has.
type member struct {
	name, address string
	// taint is the taint with which the kubelet registers the node, "" for none.
	taint string
}

// nodes are the nodes of the cluster. The control plane runs on the first, whose kube-proxy connects the API server with
// the webhook's Service.
var nodes = []member{
	{name: "control-plane", address: "10.77.0.1", taint: "node-role.kubernetes.io/control-plane"},
	{name: "worker", address: "10.77.0.2"},
}

// node is a running node: network, mount and UTS namespaces.
type node struct {
	member
	pid string // of the process that keeps the namespaces
}

// newNode makes the namespaces of a node and connects them to the bridge. They end with the tests.
func newNode(ctx context.Context, m member) (*node, error) {
	holder := exec.CommandContext(ctx, "/proc/self/exe")
	holder.Env = append(os.Environ(), stageVariable+"="+stageNode, nodeVariable+"="+m.name)
	holder.Stderr = os.Stderr
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS}
	ready, err := holder.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := holder.Start(); err != nil {
		return nil, err
	}
	go func() { _ = holder.Wait() }() // It ends when the tests end.
	if word, err := io.ReadAll(ready); err != nil || string(word) != m.name {
		return nil, fmt.Errorf("the mounts of node %s were not made: %q, %w", m.name, word, err)
	}

	n := &node{member: m, pid: strconv.Itoa(holder.Process.Pid)}
	port := "port-" + n.pid
	if err := ip(exec.Command, "link add "+port+" type veth peer name eth0 netns "+n.pid, "link set "+port+" master "+bridge+" up"); err != nil {
		return nil, err
	}
	// The API server connects to addresses of Services, which need a route before kube-proxy replaces them.
	return n, ip(n.command, "link set lo up", "address add "+n.address+prefixLength+" dev eth0", "link set eth0 up", "route add default dev eth0")
}

// command returns a command that runs a program on the node.
func (n *node) command(program string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--target", n.pid, "--mount", "--net", "--uts", "--", program}, args...)...)
}

// ip runs ip commands with a function that makes a command of a program and its arguments.
func ip(command func(program string, args ...string) *exec.Cmd, batch ...string) error {
	c := command("ip", "-batch", "-")
	c.Stdin = strings.NewReader(strings.Join(batch, "\n") + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch: %w\n%s\n%s", err, strings.Join(batch, "\n"), out)
	}
	return nil
}

// hold makes the mounts of a node, prints its name, and keeps the namespaces until the kernel kills it.
func hold() error {
	name := os.Getenv(nodeVariable)
	if err := unix.Sethostname([]byte(name)); err != nil {
		return err
	}
	if err := mountNode(filepath.Join(os.Getenv(stateVariable), name)); err != nil {
		return err
	}
	if _, err := fmt.Print(name); err != nil {
		return err
	}
	if err := os.Stdout.Close(); err != nil {
		return err
	}
	select {}
}

// mountNode gives a node directories of its own where its programs write. Their files are in dir.
func mountNode(dir string) error {
	// Mounts in containers must reach the node, and none may reach the other node.
	if err := mountAll([]mount{
		{target: "/", flags: unix.MS_REC | unix.MS_PRIVATE},
		{target: "/", flags: unix.MS_REC | unix.MS_SHARED},
		{source: "tmpfs", target: "/run", kind: "tmpfs", data: "mode=755"},
	}); err != nil {
		return err
	}
	// The machine need not have the directories below, and what it has in them must stay: the overlays hold the mount points.
	for _, target := range []string{"/var/lib", "/var/log"} {
		upper, work := filepath.Join(dir, "upper", target), filepath.Join(dir, "work", target)
		if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
			return err
		}
		overlay := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", target, upper, work)
		if err := mountAll([]mount{{source: "overlay", target: target, kind: "overlay", data: overlay}}); err != nil {
			return err
		}
	}
	// containerd's snapshots are overlays themselves, whose upper directories cannot be in an overlay.
	for _, target := range []string{"/var/lib/kubelet", "/var/lib/containerd", "/var/log/pods", "/var/log/containers"} {
		source := filepath.Join(dir, target)
		if err := errors.Join(os.MkdirAll(source, 0o755), os.MkdirAll(target, 0o755)); err != nil {
			return err
		}
		if err := mountAll([]mount{
			{source: source, target: target, flags: unix.MS_BIND},
			{target: target, flags: unix.MS_PRIVATE}, // Not shared with the directory in the state of the cluster.
			{target: target, flags: unix.MS_SHARED},
		}); err != nil {
			return err
		}
	}
	return nil
}
