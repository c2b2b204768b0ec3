package bird

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Cluster is a set of nodes whose BIRDs run on one link.
type Cluster struct {
	nodes   []Node
	dir     string
	network *network
	daemons []*daemon
	changed time.Time // when the BIRDs last got a configuration
}

// Options say how the BIRDs are started.
type Options struct {
	// Recovery starts them as calico-node does, with -R: BIRD then recovers from a graceful restart.
	Recovery bool
	// Dead names nodes that are down: they have an address, but no BIRD.
	Dead map[string]bool
}

// Start starts the BIRDs of nodes, except those that reject their configuration: see Rejected. The caller must call
// Close, also after an error.
func Start(nodes []Node, o Options) (*Cluster, error) {
	c := &Cluster{nodes: nodes, changed: time.Now()}
	err := checkAddresses(nodes)
	if err != nil {
		return c, err
	}
	if c.dir, err = os.MkdirTemp("", "bgpg-"); err != nil {
		return c, err
	}
	if c.network, err = newNetwork(nodes); err != nil {
		return c, err
	}
	for i, n := range nodes {
		for _, f := range calico.Families {
			if !n.runs(f) || o.Dead[n.Name] {
				continue
			}
			d, err := newDaemon(c.dir, &n, f)
			if err != nil {
				return c, err
			}
			c.daemons = append(c.daemons, d)
			if d.rejected() != "" {
				continue
			}
			if err := d.start(c.network.namespace(i), o.Recovery); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// Close stops the BIRDs and removes the network and the files.
func (c *Cluster) Close() error {
	for _, d := range c.daemons {
		d.stop()
	}
	var errs []error
	if c.network != nil {
		errs = append(errs, c.network.remove())
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// Rejected returns the error of each BIRD that rejects its configuration.
func (c *Cluster) Rejected() map[Speaker]string {
	rejected := map[Speaker]string{}
	for _, d := range c.daemons {
		if why := d.rejected(); why != "" {
			rejected[d.speaker] = why
		}
	}
	return rejected
}

// Reconfigure writes new configurations for the running BIRDs and reloads them, as confd does after a change. nodes
// must be the nodes of Start.
func (c *Cluster) Reconfigure(ctx context.Context, nodes []Node) error {
	c.nodes, c.changed = nodes, time.Now()
	for _, n := range nodes {
		for _, f := range calico.Families {
			d := c.daemon(Speaker{n.Name, f})
			if d == nil {
				continue
			}
			config, err := n.Config(f)
			if err != nil {
				return err
			}
			if err := os.WriteFile(d.config, []byte(config), 0o600); err != nil {
				return err
			}
			if _, err := ask(ctx, d.socket, "configure"); err != nil {
				return fmt.Errorf("node %s, %s: %w", n.Name, f, err)
			}
		}
	}
	return nil
}

func (c *Cluster) daemon(s Speaker) *daemon {
	for _, d := range c.daemons {
		if d.speaker == s && d.process != nil {
			return d
		}
	}
	return nil
}

// node returns the node or router of a name.
func (c *Cluster) node(name string) *Node {
	return &c.nodes[slices.IndexFunc(c.nodes, func(n Node) bool { return n.Name == name })]
}

// askRoutes is the command for the routes that BIRD learned by BGP.
const askRoutes = "show route where source = RTS_BGP"

// owners returns the node of each pod block.
func (c *Cluster) owners() map[netip.Prefix]string {
	owners := map[netip.Prefix]string{}
	for _, n := range c.nodes {
		for _, p := range n.Pods {
			owners[p] = n.Name
		}
	}
	return owners
}

// Views returns what every running BIRD has.
func (c *Cluster) Views(ctx context.Context) (map[Speaker]View, error) {
	owners := c.owners()
	views := map[Speaker]View{}
	for _, d := range c.daemons {
		if d.process == nil {
			continue
		}
		protocols, err := ask(ctx, d.socket, "show protocols all")
		if err != nil {
			return nil, d.failed(err)
		}
		routes, err := ask(ctx, d.socket, askRoutes)
		if err != nil {
			return nil, d.failed(err)
		}
		v := View{Sessions: established(protocols)}
		if c.node(d.speaker.Node).Router == nil {
			v.Routes = destinations(routes, owners, d.speaker.Node)
		}
		views[d.speaker] = v
	}
	return views, nil
}

// Status returns the answer of one running BIRD to `show status`.
func (c *Cluster) Status(ctx context.Context, s Speaker) ([]string, error) {
	d := c.daemon(s)
	if d == nil {
		return nil, fmt.Errorf("no BIRD runs on node %s for %s", s.Node, s.Family)
	}
	return ask(ctx, d.socket, "show status")
}
