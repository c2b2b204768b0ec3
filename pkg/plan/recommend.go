package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/text"
)

// recommend chooses a design. It keeps what works: a mesh below its limit, and a design that
// is none. Of the others it prefers the one that interrupts least: route reflectors leave the
// encapsulation and the routers as they are.
func (c *Comparison) recommend() {
	r := &c.Recommendation
	r.Reasons, r.Others = []string{}, []string{}
	switch {
	case !c.Now.NeedsBGP:
		c.withoutBGP()
	case c.Current == MeshTimers && c.Nodes <= c.Limits.MeshNodes:
		r.Goal, r.Keep = MeshTimers, true
		r.Summary = fmt.Sprintf("keep the full mesh: %s, at or below the limit of %s", text.Count(c.Nodes, "node"), text.Number(c.Limits.MeshNodes))
		r.Reasons = append(r.Reasons,
			fmt.Sprintf("%s on each node and %s in all are few", text.Count(c.Now.Fullest, "session"), text.Number(c.Now.Sessions)),
			"no node and no router carries the routes of others: nothing is lost when one fails")
		r.Reasons = append(r.Reasons, c.whatWaits(&c.Now)...)
	case (c.Current == RouteReflectors || c.Current == PerRack) && c.Now.Isolated == 0:
		r.Goal, r.Keep = c.Current, true
		r.Summary = fmt.Sprintf("keep %s: every node has routes", c.Current.Title())
		r.Reasons = append(r.Reasons, fmt.Sprintf("%s on the fullest node, %s in all", text.Count(c.Now.Fullest, "session"), text.Number(c.Now.Sessions)))
		r.Reasons = append(r.Reasons, lossReasons(&c.Now)...)
	default:
		c.largeMesh()
	}
	c.others()
}

// withoutBGP recommends for a cluster in which pod traffic does not need BGP.
func (c *Comparison) withoutBGP() {
	r := &c.Recommendation
	r.Goal = VXLANCrossSubnet
	r.Keep = c.Option(VXLANCrossSubnet).Changes == 0
	r.Reasons = append(r.Reasons, "no IPPool needs BGP: Felix programs the routes between nodes")
	if r.Keep {
		r.Summary = "keep VXLAN: pod traffic between nodes does not need BGP"
		return
	}
	r.Summary = fmt.Sprintf("turn the mesh off: pod traffic between nodes does not need its %s", text.Count(c.Now.Sessions, "session"))
	if c.Now.External > 0 {
		r.Reasons = append(r.Reasons, fmt.Sprintf("%s to external peers stay", text.Count(c.Now.External, "half-session")))
	}
}

// largeMesh recommends the first possible design that is no mesh, and the mesh if there is
// none.
func (c *Comparison) largeMesh() {
	r := &c.Recommendation
	order := []Goal{RouteReflectors, VXLANCrossSubnet, PerRack, MeshTimers}
	if c.Current == "" && c.Nodes <= c.Limits.MeshNodes {
		order = []Goal{MeshTimers, RouteReflectors, VXLANCrossSubnet, PerRack}
	}
	var d *Option
	for _, goal := range order {
		if d = c.Option(goal); d.Possible {
			break
		}
	}
	r.Goal = d.Goal
	r.Summary = "move to " + d.Title
	if !d.Possible {
		r.Summary = "no design is possible: meet a prerequisite first"
		return
	}
	if c.Current == MeshTimers && c.Nodes > c.Limits.MeshNodes {
		r.Summary += fmt.Sprintf(": the mesh has %s, above the limit of %s", text.Count(c.Nodes, "node"), text.Number(c.Limits.MeshNodes))
	} else if c.Now.Isolated > 0 {
		r.Summary += fmt.Sprintf(": %s no route to any other node", text.Count(c.Now.Isolated, "node has", "nodes have"))
	}
	r.Reasons = append(r.Reasons, fmt.Sprintf("%s instead of %s in all; %s %s instead of up to %s, and the fullest node %s",
		text.Count(d.Facts.Sessions, "session"), text.Number(c.Now.Sessions), text.Count(d.Facts.UsualNodes, "node has", "nodes have"), text.Number(d.Facts.Usual),
		text.Number(c.Now.Fullest), text.Number(d.Facts.Fullest)))
	r.Reasons = append(r.Reasons, c.whatWaits(d.Facts)...)
	r.Reasons = append(r.Reasons, lossReasons(d.Facts)...)
	r.Reasons = append(r.Reasons, "interruption by the changes: "+d.Interruption.Text)
}

// whatWaits says how many nodes wait at a start while another node is down.
func (c *Comparison) whatWaits(f *Facts) []string {
	var out []string
	for _, s := range f.Start {
		if s.When != NodeDown {
			continue
		}
		if !f.NeedsBGP {
			out = append(out, "a start of calico-node does not wait for BGP: Felix programs the routes")
			continue
		}
		instead := ""
		if i := slices.IndexFunc(c.Now.Start, func(now Start) bool { return now.When == NodeDown && now.Nodes != s.Nodes }); i >= 0 {
			instead = " instead of " + text.Number(c.Now.Start[i].Nodes)
		}
		out = append(out, fmt.Sprintf("while one node is down, a start of calico-node takes %d s on %s%s", s.Seconds, text.Count(s.Nodes, "node"), instead))
	}
	return out
}

// lossReasons says what the loss of one part of a design isolates.
func lossReasons(f *Facts) []string {
	var out, harmless []string
	for _, l := range f.Losses {
		switch {
		case !f.NeedsBGP:
		case l.Isolated > 0:
			out = append(out, fmt.Sprintf("the loss of %s %s isolates %s", l.Kind, text.Clean(l.Name), text.Count(l.Isolated, "node")))
		case l.Pairs > 0:
			out = append(out, fmt.Sprintf("the loss of %s %s leaves %s without a route", l.Kind, text.Clean(l.Name), text.Count(l.Pairs, "pair of nodes", "pairs of nodes")))
		default:
			harmless = append(harmless, l.Kind)
		}
	}
	if len(harmless) > 0 {
		out = append(out, "the loss of any one "+strings.Join(harmless, " or ")+" isolates no other node")
	}
	return out
}

// others says why the other designs come after the recommended one.
func (c *Comparison) others() {
	r := &c.Recommendation
	for _, d := range c.Designs {
		if d.Goal == r.Goal {
			continue
		}
		why := ""
		switch {
		case !d.Possible:
			for _, p := range d.Prerequisites {
				if p.Status == Unmet {
					why = "not possible, needs " + p.Text
					break
				}
			}
		case d.Goal == MeshTimers:
			why = c.whyNoMesh(d)
		case r.Keep && d.Goal == RouteReflectors:
			why = fmt.Sprintf("would make all routes depend on %s", text.Count(len(d.Reflectors), "route reflector"))
		case d.Goal == RouteReflectors:
			why = "would keep BGP for routes that do not need it"
		case d.Goal == VXLANCrossSubnet:
			why = fmt.Sprintf("would change the encapsulation of %s; it is better if the cluster needs no BGP to routers and every node accepts VXLAN", strings.Join(c.Pools, ", "))
		case d.Goal == PerRack:
			why = "would leave all routes to the routers; the objects do not show that they pass routes on"
		}
		r.Others = append(r.Others, d.Title+": "+why)
	}
}

// whyNoMesh says why a mesh with tuned timers is no cure.
func (c *Comparison) whyNoMesh(d *Option) string {
	waits := ""
	for _, s := range d.Facts.Start {
		if s.When == NodeDown {
			waits = fmt.Sprintf(": while one node is down, a start still takes %d s on %s", s.Seconds, text.Count(s.Nodes, "node"))
		}
	}
	return fmt.Sprintf("it only shortens how long nodes keep the routes of a node that crashed, from 120 s to %s, and restarts every session once; Calico cannot set the wait of 240 s and, as open source, has no BFD%s", tunedSeconds, waits)
}
