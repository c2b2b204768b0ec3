package bird

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Route is a route as a node or a router has received it over a session, predicted or seen.
type Route struct {
	Prefix netip.Prefix
	Sender string // the node at the other end of the session
	// NextHop is the zero Addr in a prediction that leaves it open.
	NextHop netip.Addr
	// Path is the AS path, the nearest AS number first. 0 in a prediction is any number.
	Path []uint32
	// Communities are standard and large ones, sorted as text.
	Communities []string
	// Dropping reports that BIRD drops packets over the next hop. It is nil in a prediction that leaves it
	// open, and for a router.
	Dropping *bool
	// Programmed reports that BIRD exports a route to the prefix to the kernel. It is nil for a router.
	Programmed *bool
}

// fits reports whether a route is as a prediction says.
func (r *Route) fits(p *Route) bool {
	return r.Prefix == p.Prefix && r.Sender == p.Sender && (!p.NextHop.IsValid() || r.NextHop == p.NextHop) &&
		slices.EqualFunc(r.Path, p.Path, func(a, b uint32) bool { return a == b || b == 0 }) && slices.Equal(r.Communities, p.Communities) &&
		(p.Dropping == nil || *r.Dropping == *p.Dropping) && (p.Programmed == nil || *r.Programmed == *p.Programmed)
}

// extends reports whether a route has all AS numbers of a prediction from the same session, and more. Predictions leave such
// routes out.
func (r *Route) extends(p *Route) bool {
	if r.Prefix != p.Prefix || r.Sender != p.Sender || len(r.Path) <= len(p.Path) {
		return false
	}
	rest := slices.Clone(r.Path)
	for _, asn := range p.Path {
		i := slices.IndexFunc(rest, func(a uint32) bool { return a == asn || asn == 0 })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

// String returns the route on one line.
func (r *Route) String() string {
	text := fmt.Sprintf("%s from %s, next hop %s, AS path %v, communities %v", r.Prefix, r.Sender, r.NextHop, r.Path, r.Communities)
	if r.Dropping != nil {
		text += fmt.Sprintf(", dropping packets %v", *r.Dropping)
	}
	if r.Programmed != nil {
		text += fmt.Sprintf(", programmed %v", *r.Programmed)
	}
	return text
}

// askAttributes is the command for the routes that BIRD learned by BGP, with their attributes.
const askAttributes = "show route all where source = RTS_BGP"

// askProgrammed is the command for the routes that BIRD learned by BGP and exports to the kernel.
const askProgrammed = "show route export kernel1 where source = RTS_BGP"

// parseRoutes returns the routes in the answer to askAttributes. senders are the nodes at the other end, by protocol.
func parseRoutes(lines []string, senders map[string]string) ([]Route, error) {
	var out []Route
	var prefix netip.Prefix
	for _, line := range lines {
		text := strings.TrimSpace(line)
		key, value, attribute := strings.Cut(text, ": ")
		switch {
		case strings.Contains(line, "[") && strings.Contains(line, "]") && !strings.HasPrefix(text, "BGP."):
			// A further path to the same destination begins with a space.
			if first, err := netip.ParsePrefix(strings.Fields(line)[0]); err == nil {
				prefix = first
			}
			destination, rest, _ := strings.Cut(line, "[")
			protocol := strings.Fields(rest)[0]
			sender, ok := senders[protocol]
			if !ok {
				return nil, fmt.Errorf("a route of an unknown protocol: %q", line)
			}
			dropping := slices.ContainsFunc(strings.Fields(destination), func(word string) bool { return word == "blackhole" || word == "unreachable" })
			out = append(out, Route{Prefix: prefix, Sender: sender, Dropping: &dropping})
		case !attribute || len(out) == 0:
		case key == "BGP.next_hop":
			address, err := netip.ParseAddr(strings.Fields(value)[0]) // bird6 adds the link-local address.
			if err != nil {
				return nil, err
			}
			out[len(out)-1].NextHop = address
		case key == "BGP.as_path":
			for number := range strings.FieldsSeq(value) {
				asn, err := strconv.ParseUint(number, 10, 32)
				if err != nil {
					return nil, err
				}
				out[len(out)-1].Path = append(out[len(out)-1].Path, uint32(asn))
			}
		case key == "BGP.community", key == "BGP.large_community":
			r := &out[len(out)-1]
			for one := range strings.SplitSeq(strings.Trim(value, "()"), ") (") {
				r.Communities = append(r.Communities, strings.ReplaceAll(strings.ReplaceAll(one, " ", ""), ",", ":"))
			}
			slices.Sort(r.Communities)
		}
	}
	return out, nil
}

// Received returns the routes with their attributes that every running BIRD has learned by BGP.
func (c *Cluster) Received(ctx context.Context) (map[Speaker][]Route, error) {
	out := map[Speaker][]Route{}
	for _, d := range c.daemons {
		if d.process == nil {
			continue
		}
		lines, err := ask(ctx, d.socket, askAttributes)
		if err != nil {
			return nil, d.failed(err)
		}
		if out[d.speaker], err = parseRoutes(lines, c.node(d.speaker.Node).senders()); err != nil {
			return nil, d.failed(err)
		}
		if err := d.addProgrammed(ctx, c.node(d.speaker.Node), out[d.speaker]); err != nil {
			return nil, d.failed(err)
		}
	}
	return out, nil
}

// addProgrammed sets Programmed of the routes of a node.
func (d *daemon) addProgrammed(ctx context.Context, n *Node, list []Route) error {
	if n.Router != nil {
		return nil
	}
	lines, err := ask(ctx, d.socket, askProgrammed)
	if err != nil {
		return err
	}
	programmed := map[netip.Prefix]bool{}
	for _, line := range lines {
		if prefix, err := netip.ParsePrefix(strings.Fields(line + " -")[0]); err == nil {
			programmed[prefix] = true
		}
	}
	for i := range list {
		list[i].Programmed = new(programmed[list[i].Prefix])
	}
	return nil
}

// senders returns the nodes at the other end of sessions, by protocol.
func (n *Node) senders() map[string]string {
	out := map[string]string{}
	for _, h := range n.HalfSessions {
		out[h.Protocol] = h.PeerNode
	}
	for _, s := range n.Router {
		out[s.protocol] = s.node
	}
	return out
}

// Expectation is the predicted routes of one speaker.
type Expectation struct {
	// Own is the block of its pods, and Numbers are its AS numbers. Both are empty for a router.
	Own     netip.Prefix
	Numbers []uint32
	// Routes are those to pods.
	Routes []Route
	// Certain reports for each of Routes that it must be there. A router has only the best route of a sender, so of
	// several it may have any.
	Certain []bool
	// Services are the routes of a router to ranges of addresses of Services, of which only prefix and sender are
	// predicted. They are nil for a node.
	Services []Route
	// Learned reports for the ranges whether a node has routes of other nodes. It is nil for a router.
	Learned map[netip.Prefix]bool
}

// comesBack reports whether a node may have the route because it sent it: its own AS number is in the path, and before that
// the route had a path with which the node has it. Predictions omit such routes.
func (e *Expectation) comesBack(r *Route) bool {
	for i, asn := range r.Path {
		if !slices.Contains(e.Numbers, asn) {
			continue
		}
		rest := r.Path[i+1:]
		if len(rest) == 0 && r.Prefix == e.Own || slices.ContainsFunc(e.Routes, func(p Route) bool {
			return p.Prefix == r.Prefix && slices.EqualFunc(rest, p.Path, func(a, b uint32) bool { return a == b || b == 0 })
		}) {
			return true
		}
	}
	return false
}

// expectation predicts the routes of the nodes and routers.
type expectation struct {
	snapshot *state.Snapshot
	topology *topology.Topology
	query    *topology.RouteQuery
	nodes    []Node
	byName   map[string]*Node
}

// Expect returns the routes that the nodes and routers receive in s. No BIRD may reject its configuration.
func Expect(ctx context.Context, s *state.Snapshot, t *topology.Topology, nodes []Node) (map[Speaker]*Expectation, error) {
	query, err := topology.NewRouteQuery(ctx, s)
	if err != nil {
		return nil, err
	}
	e := &expectation{s, t, query, nodes, map[string]*Node{}}
	for i := range nodes {
		e.byName[nodes[i].Name] = &nodes[i]
	}
	out := map[Speaker]*Expectation{}
	for i := range nodes {
		if n := &nodes[i]; n.Router == nil {
			if err := e.ofNode(ctx, n, out); err != nil {
				return nil, err
			}
		}
	}
	for i := range nodes {
		if n := &nodes[i]; n.Router != nil {
			if err := e.ofRouter(ctx, n, out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (e *expectation) ofNode(ctx context.Context, n *Node, out map[Speaker]*Expectation) error {
	tables, err := e.query.Node(ctx, n.Name, false)
	if err != nil {
		return err
	}
	for i := range tables {
		f := familyOf(tables[i].Family)
		one := &Expectation{Own: n.Pods[f], Routes: e.routes(&tables[i], f, n.Name)}
		for _, h := range n.HalfSessions {
			one.Numbers = append(one.Numbers, h.LocalASN)
		}
		one.Learned = map[netip.Prefix]bool{}
		for _, r := range tables[i].Services {
			if prefix := netip.MustParsePrefix(r.CIDR); !r.Single {
				one.Learned[prefix] = one.Learned[prefix] || r.Nodes.Nodes > 0
			}
		}
		one.Certain = make([]bool, len(one.Routes))
		for k := range one.Certain {
			one.Certain[k] = true
		}
		out[Speaker{n.Name, f}] = one
	}
	return nil
}

// ofRouter adds the routes of a router, after those of the nodes.
func (e *expectation) ofRouter(ctx context.Context, n *Node, out map[Speaker]*Expectation) error {
	for _, f := range calico.Families {
		if !n.Address[f].IsValid() {
			continue
		}
		table, err := e.query.Peer(ctx, n.Address[f])
		if err != nil {
			return err
		}
		one := &Expectation{Routes: e.routes(table, f, n.Name), Services: []Route{}}
		for _, r := range one.Routes {
			certain := r.Prefix == e.byName[r.Sender].Pods[f] // Its own route is the best one.
			if has := out[Speaker{r.Sender, f}]; has != nil && !certain {
				paths := 0
				for _, h := range has.Routes {
					if h.Prefix == r.Prefix {
						paths++
					}
				}
				certain = paths == 1
			}
			one.Certain = append(one.Certain, certain)
		}
		if err := e.addServices(ctx, n, f, one); err != nil {
			return err
		}
		out[Speaker{n.Name, f}] = one
	}
	return nil
}

// addServices adds the ranges that a router receives.
func (e *expectation) addServices(ctx context.Context, n *Node, f calico.Family, out *Expectation) error {
	for _, one := range *e.topology.Summary().ServiceRanges.In(f) {
		prefix := netip.MustParsePrefix(one.CIDR)
		carries, err := e.topology.CarriesService(ctx, prefix)
		if err != nil {
			return err
		}
		for _, s := range n.Router {
			same := func(r Route) bool { return r.Prefix == prefix && r.Sender == s.node } // in another list of ranges
			if carries(s.node, n.Address[f]) && !slices.ContainsFunc(out.Services, same) {
				out.Services = append(out.Services, Route{Prefix: prefix, Sender: s.node})
			}
		}
	}
	return nil
}

func familyOf(text string) calico.Family {
	if text == calico.IPv6.String() {
		return calico.IPv6
	}
	return calico.IPv4
}

// routes returns the routes in a table to the blocks of nodes.
func (e *expectation) routes(table *topology.RouteTable, f calico.Family, receiver string) []Route {
	var out []Route
	for i := range table.Routes {
		g := &table.Routes[i]
		for _, origin := range g.Origins.Names() {
			block := e.byName[origin].Pods[f]
			if !inRanges(g.Prefixes, block) {
				continue
			}
			senders := g.From.Nodes.Names()
			if g.From.Kind == topology.FromOrigin {
				senders = []string{origin}
			}
			for _, sender := range senders {
				if sender != receiver && (sender == origin) == (g.From.Kind == topology.FromOrigin) {
					r := e.route(g, f, block, origin, sender)
					if e.byName[receiver].Router != nil {
						r.Dropping, r.Programmed = nil, nil
					}
					out = append(out, r)
				}
			}
		}
	}
	return out
}

func (e *expectation) route(g *topology.RouteGroup, f calico.Family, block netip.Prefix, origin, sender string) Route {
	r := Route{Prefix: block, Sender: sender, Communities: slices.Sorted(slices.Values(g.Communities)), Programmed: new(g.ServiceRange == "")}
	for _, asn := range g.ASPath {
		if asn == nil {
			r.Path = append(r.Path, 0)
		} else {
			r.Path = append(r.Path, *asn)
		}
	}
	switch g.NextHop.Kind {
	case topology.NextHopOrigin:
		r.NextHop = e.byName[origin].Address[f]
	case topology.NextHopSender:
		r.NextHop = e.byName[sender].Address[f]
	}
	hops := map[string]int{topology.NextHopOrigin: g.Origins.Nodes, topology.NextHopSender: g.From.Nodes.Nodes}[g.NextHop.Kind]
	if dropping := g.NextHop.Unusable > 0; !dropping || g.NextHop.Unusable == hops {
		r.Dropping = &dropping
	}
	return r
}

// inRanges reports whether a block is one of some prefixes.
func inRanges(list []topology.PrefixRange, block netip.Prefix) bool {
	contains := func(cidr string) bool {
		p := netip.MustParsePrefix(cidr)
		return p.Bits() <= block.Bits() && p.Contains(block.Addr())
	}
	return slices.ContainsFunc(list, func(p topology.PrefixRange) bool {
		return p.Length == block.Bits() && contains(p.CIDR) && !slices.ContainsFunc(p.Except, contains)
	})
}

// in reports whether the prefix is in one of some networks.
func (r *Route) in(networks [2]netip.Prefix) bool {
	return slices.ContainsFunc(networks[:], func(p netip.Prefix) bool { return p.Contains(r.Prefix.Addr()) })
}

// compares reports whether a route must be predicted: those of nodes to ranges are in Learned. A rule that accepts all routes
// also lets the networks of the link out.
func (e *Expectation) compares(r *Route) bool {
	_, learned := e.Learned[r.Prefix]
	return !learned && (r.in(podNetworks) || e.Services != nil && !r.in(linkNetworks))
}

// Differences returns what differs between the predicted routes of a speaker and those that its BIRD has, one a line.
func (e *Expectation) Differences(seen []Route) []string {
	var out []string
	for i := range e.Routes {
		p := &e.Routes[i]
		if e.Certain[i] && !slices.ContainsFunc(seen, func(r Route) bool { return r.fits(p) }) {
			out = append(out, "predicted and not there: "+p.String())
		}
	}
	for prefix, want := range e.Learned {
		got := slices.ContainsFunc(seen, func(r Route) bool {
			return r.Prefix == prefix && !slices.ContainsFunc(r.Path, func(asn uint32) bool { return slices.Contains(e.Numbers, asn) })
		})
		if got && !want || want && !slices.ContainsFunc(seen, func(r Route) bool { return r.Prefix == prefix }) {
			out = append(out, fmt.Sprintf("routes of other nodes to %s: %v, predicted %v", prefix, got, want))
		}
	}
	services := slices.Clone(e.Services)
	for i := range seen {
		r := &seen[i]
		if k := slices.IndexFunc(services, func(p Route) bool { return p.Prefix == r.Prefix && p.Sender == r.Sender }); k >= 0 {
			services = slices.Delete(services, k, k+1)
			continue
		}
		if !e.compares(r) {
			continue
		}
		if !r.in(podNetworks) || !slices.ContainsFunc(e.Routes, func(p Route) bool { return r.fits(&p) || r.extends(&p) }) && !e.comesBack(r) {
			out = append(out, "there and not predicted: "+r.String())
		}
	}
	for i := range services {
		out = append(out, "predicted and not there: "+services[i].String())
	}
	return out
}
