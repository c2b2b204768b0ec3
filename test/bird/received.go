package bird

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Route is a route that a router receives over a session, predicted or seen.
type Route struct {
	Prefix netip.Prefix
	Sender string // the node at the other end of the session
}

// String returns the route on one line.
func (r Route) String() string { return fmt.Sprintf("%s from %s", r.Prefix, r.Sender) }

// parseRoutes returns the routes in the answer to askRoutes. senders are the nodes at the other end, by protocol.
func parseRoutes(lines []string, senders map[string]string) ([]Route, error) {
	var out []Route
	var prefix netip.Prefix
	for _, line := range lines {
		_, rest, ok := strings.Cut(line, "[")
		if !ok {
			continue // A line of the first answer, "Table master:" or a next hop.
		}
		// A further path to the same destination has a space in place of the destination.
		if first, err := netip.ParsePrefix(strings.Fields(line)[0]); err == nil {
			prefix = first
		}
		protocol := strings.Fields(rest)[0]
		sender, ok := senders[protocol]
		if !ok {
			return nil, fmt.Errorf("a route of an unknown protocol: %q", line)
		}
		out = append(out, Route{prefix, sender})
	}
	return out, nil
}

// Received returns the routes that each running router has.
func (c *Cluster) Received(ctx context.Context) (map[Speaker][]Route, error) {
	out := map[Speaker][]Route{}
	for _, d := range c.daemons {
		n := c.node(d.speaker.Node)
		if d.process == nil || n.Router == nil {
			continue
		}
		lines, err := ask(ctx, d.socket, askRoutes)
		if err != nil {
			return nil, d.failed(err)
		}
		senders := map[string]string{}
		for _, s := range n.Router {
			senders[s.protocol] = s.node
		}
		if out[d.speaker], err = parseRoutes(lines, senders); err != nil {
			return nil, d.failed(err)
		}
	}
	return out, nil
}

// Services returns the ranges of addresses of Services that each router receives, with the nodes that send them, as t
// predicts.
func Services(ctx context.Context, t *topology.Topology, nodes []Node) (map[Speaker][]Route, error) {
	out := map[Speaker][]Route{}
	for _, f := range calico.Families {
		for _, one := range *t.Summary().ServiceRanges.In(f) {
			prefix := netip.MustParsePrefix(one.CIDR)
			carries, err := t.CarriesService(ctx, prefix)
			if err != nil {
				return nil, err
			}
			for _, n := range nodes {
				for _, s := range n.Router {
					if carries(s.node, n.Address[f]) {
						out[Speaker{n.Name, f}] = append(out[Speaker{n.Name, f}], Route{Prefix: prefix, Sender: s.node})
					}
				}
			}
		}
	}
	return out, nil
}

// Differences returns what differs between predicted routes to ranges of addresses of Services and the routes that a router
// has, one a line. Routes to pods do not count, nor those to the link: a rule that accepts all routes also lets these out.
func Differences(want, seen []Route) []string {
	var out []string
	for _, r := range want {
		if !slices.Contains(seen, r) {
			out = append(out, "predicted and not there: "+r.String())
		}
	}
	for _, r := range seen {
		other := slices.ContainsFunc(slices.Concat(podNetworks[:], linkNetworks[:]), func(p netip.Prefix) bool { return p.Contains(r.Prefix.Addr()) })
		if !other && !slices.Contains(want, r) {
			out = append(out, "there and not predicted: "+r.String())
		}
	}
	return out
}
