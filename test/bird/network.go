package bird

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// networks counts the networks of this process, so that their namespaces have names of their own.
var networks atomic.Int32

// network is one bridge, in a namespace of its own, with a namespace for each node on it. Nothing in it is connected
// to the machine's own network.
type network struct {
	prefix     string
	namespaces []string
}

// newNetwork makes a network of nodes. What it has made is there, and to be removed, also when it fails.
func newNetwork(nodes []Node) (*network, error) {
	n := &network{prefix: fmt.Sprintf("bgpg-%d-%d", os.Getpid(), networks.Add(1))}
	n.namespaces = append(n.namespaces, n.prefix+"-bridge")
	for i := range nodes {
		n.namespaces = append(n.namespaces, n.namespace(i))
	}
	if err := ip("", prefixed("netns add ", n.namespaces)); err != nil {
		return n, err
	}
	// Neither may hold packets back at first: a bridge that learns, IPv6 that looks for duplicates (nodad, below).
	bridge := []string{"link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br0 up"}
	for i := range nodes {
		port := fmt.Sprintf("port%d", i)
		bridge = append(bridge, fmt.Sprintf("link add %s type veth peer name eth0 netns %s", port, n.namespace(i)),
			fmt.Sprintf("link set %s master br0 up", port))
	}
	if err := ip(n.namespaces[0], bridge); err != nil {
		return n, err
	}
	for i, node := range nodes {
		commands := []string{"link set lo up", "link set eth0 up"}
		for _, f := range calico.Families {
			if a := node.Address[f]; a.IsValid() {
				option := [2]string{"", " nodad"}[f]
				commands = append(commands, fmt.Sprintf("address add %s/%d dev eth0%s", a, linkNetworks[f].Bits(), option))
			}
		}
		if err := ip(n.namespace(i), commands); err != nil {
			return n, err
		}
	}
	return n, nil
}

// namespace names that of node number i.
func (n *network) namespace(i int) string { return fmt.Sprintf("%s-%d", n.prefix, i) }

// remove removes the namespaces, and with them all that is in them.
func (n *network) remove() error { return ip("", prefixed("netns delete ", n.namespaces)) }

func prefixed(prefix string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = prefix + s
	}
	return out
}

// ip runs commands of ip, all of them also when one fails, in a namespace, "" for the machine's own.
func ip(namespace string, commands []string) error {
	args := []string{"-force", "-batch", "-"}
	if namespace != "" {
		args = append([]string{"-n", namespace}, args...)
	}
	c := exec.Command("ip", args...)
	c.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
