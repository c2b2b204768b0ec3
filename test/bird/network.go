package bird

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// networks counts the networks of this process, so that the names of their namespaces are unique.
var networks atomic.Int32

// network is a bridge in its own namespace, and a namespace for each node, connected to the bridge. Nothing connects it
// to the network of the machine.
type network struct {
	prefix     string
	namespaces []string
}

// newNetwork creates a network of nodes. The caller must remove it, also after an error.
func newNetwork(nodes []Node) (*network, error) {
	n := &network{prefix: fmt.Sprintf("bgpg-%d-%d", os.Getpid(), networks.Add(1))}
	n.namespaces = append(n.namespaces, n.prefix+"-bridge")
	for i := range nodes {
		n.namespaces = append(n.namespaces, n.namespace(i))
	}
	if err := ip("", prefixed("netns add ", n.namespaces)); err != nil {
		return n, err
	}
	// No delays at the start: no spanning tree, no forward delay, no duplicate address detection (nodad, below).
	bridge := []string{"link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0", "link set br0 up"}
	for i := range nodes {
		port := fmt.Sprintf("port%d", i)
		bridge = append(bridge, fmt.Sprintf("link add %s type veth peer name eth0 netns %s", port, n.namespace(i)),
			fmt.Sprintf("link set %s master br0 up", port))
	}
	for _, f := range calico.Families {
		bridge = append(bridge, fmt.Sprintf("address add %s/%d dev br0%s", gateways[f], linkNetworks[f].Bits(), [2]string{"", " nodad"}[f]))
	}
	if err := ip(n.namespaces[0], bridge); err != nil {
		return n, err
	}
	if err := n.forward(); err != nil {
		return n, err
	}
	for i, node := range nodes {
		commands := []string{"link set lo up", "link set eth0 up"}
		for _, f := range calico.Families {
			if a := node.Address[f]; a.IsValid() {
				option, bits := [2]string{"", " nodad"}[f], linkNetworks[f].Bits()
				if node.Network[f].IsValid() {
					bits = node.Network[f].Bits()
				}
				commands = append(commands, fmt.Sprintf("address add %s/%d dev eth0%s", a, bits, option))
				if node.Network[f].IsValid() {
					commands = append(commands, fmt.Sprintf("route add default via %s dev eth0 onlink", gateways[f]))
				}
			}
		}
		commands = append(commands, felixRoutes(nodes, i)...)
		if err := ip(n.namespace(i), commands); err != nil {
			return n, err
		}
	}
	return n, nil
}

// felixInterfaces are the interfaces of VXLAN by family.
var felixInterfaces = [2]string{"vxlan.calico", "vxlan-v6.calico"}

// felixRoutes returns the commands for the routes that Felix programs on node number i to pods of IPPools with VXLAN on other
// nodes. Their interface is not connected to anything.
func felixRoutes(nodes []Node, i int) []string {
	var out []string
	for _, f := range calico.Families {
		settings := nodes[i].Settings[f]
		if nodes[i].Router != nil || settings == nil || len(settings.VXLAN) == 0 {
			continue
		}
		end := fmt.Sprintf("end%d", f)
		out = append(out, fmt.Sprintf("link add %s type veth peer name %s", felixInterfaces[f], end), fmt.Sprintf("link set %s up", felixInterfaces[f]), fmt.Sprintf("link set %s up", end))
		for k, o := range nodes {
			inside := slices.ContainsFunc(settings.VXLAN, func(cidr string) bool {
				return o.Router == nil && o.Pods[f].IsValid() && netip.MustParsePrefix(cidr).Contains(o.Pods[f].Addr())
			})
			if inside && k != i && o.Address[f].IsValid() {
				out = append(out, fmt.Sprintf("route add %s via %s dev %s onlink proto 80", o.Pods[f], o.Address[f], felixInterfaces[f]))
			}
		}
	}
	return out
}

// gateways are the addresses of the router between the networks of nodes with a longer mask, in the namespace of the
// bridge.
var gateways = [2]netip.Addr{netip.MustParseAddr("10.192.255.254"), netip.MustParseAddr("fd00:192::ffff")}

// forward makes the namespace of the bridge a router. It sends no redirects, which would take it out of the path.
func (n *network) forward() error {
	for _, setting := range []string{"net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.br0.send_redirects=0"} {
		path, value, _ := strings.Cut(setting, "=")
		out, err := exec.Command("ip", "netns", "exec", n.namespaces[0], "sh", "-c", fmt.Sprintf("echo %s > /proc/sys/%s", value, strings.ReplaceAll(path, ".", "/"))).CombinedOutput()
		if err != nil {
			return fmt.Errorf("setting %s: %w\n%s", setting, err, out)
		}
	}
	return nil
}

// namespace returns the name of the namespace of node number i.
func (n *network) namespace(i int) string { return fmt.Sprintf("%s-%d", n.prefix, i) }

// remove deletes the namespaces and everything in them.
func (n *network) remove() error { return ip("", prefixed("netns delete ", n.namespaces)) }

func prefixed(prefix string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = prefix + s
	}
	return out
}

// ip runs a batch of ip commands in a namespace ("" for that of the machine), also those after one that fails.
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
