package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	k8sjson "sigs.k8s.io/json"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// To returns a plan that leads to a design; see Design, whose changes and order it follows.
// The error is a *DeniedError if the cluster's policies deny a step. It is about the
// prerequisites if the state does not meet them, and about the options.
//
// O(nodes log nodes), plus the evaluation of each step and of the way back from it.
func To(ctx context.Context, in Input, goal Goal, o DesignOptions) (*Plan, error) {
	b := newBuilder(in, string(goal), "Change the cluster to "+goal.Title())
	t := in.Engine.Evaluate(ctx, in.Snapshot).Topology
	if t == nil {
		return nil, errors.Join(ctx.Err(), errors.New("the topology could not be computed"))
	}
	target, err := Design(goal, in.Snapshot, t, o)
	if err != nil {
		return nil, err
	}
	if blocked := target.Blocked(); len(blocked) > 0 {
		return nil, fmt.Errorf("no plan to %s: the cluster lacks %s", goal, strings.Join(blocked, "; "))
	}
	if len(target.Changes) == 0 {
		return nil, fmt.Errorf("no plan to %s: the cluster has this design already", goal)
	}
	if goal == RouteReflectors {
		if err := b.add(ctx, watch(in.Snapshot, target.Reflectors)); err != nil {
			return nil, err
		}
	}
	if err := b.follow(ctx, target); err != nil {
		return nil, err
	}
	for _, p := range target.Prerequisites {
		if p.Status == Met {
			b.choose("%s.", sentence(p.Text))
		} else {
			b.note("Check before: %s.", p.Text)
		}
	}
	b.explain(goal, target)
	plan, err := b.finish(ctx)
	if err == nil {
		b.listReflectors(ctx, target)
	}
	return plan, err
}

// sentence returns text with a capital letter.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// follow adds the changes of a design as steps: BGPPeers that are created one after the other
// are one step, and those that are changed, too. Every other change is a step of its own.
func (b *builder) follow(ctx context.Context, t *Target) error {
	for rest := t.Changes; len(rest) > 0; {
		n := 1
		for n < len(rest) && sameStep(rest[0], rest[n]) {
			n++
		}
		step, err := b.stepOf(t, rest[:n])
		if err != nil {
			return err
		}
		if err := b.add(ctx, step); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// sameStep reports whether two changes that follow each other are one step: both create
// BGPPeers, or both change some.
func sameStep(a, b state.Change) bool {
	return a.ID().Kind == calico.KindBGPPeer && b.ID().Kind == calico.KindBGPPeer && a.Operation() == b.Operation()
}

// stepOf describes changes of one kind.
func (b *builder) stepOf(t *Target, changes []state.Change) (Step, error) {
	var s Step
	var names []string
	for _, c := range changes {
		e, err := editOf(c, b.Snapshot)
		if err != nil {
			return Step{}, err
		}
		s.Edits, names = append(s.Edits, e), append(names, c.ID().Name)
	}
	kind := changes[0].ID().Kind
	b.words(&s, t, changes, names)
	if s.Title == "" {
		s.Name = string(kind) + "-" + names[0]
		s.Title = title(changes[0]) + strings.Repeat(fmt.Sprintf(" and %s more", text.Number(len(names)-1)), min(1, len(names)-1))
		s.Wait = Wait{Text: "Wait until the sessions that the step changes are established."}
	}
	return s, nil
}

// title says what a change does.
func title(c state.Change) string {
	verb := map[state.Operation]string{state.Create: "Create", state.Update: "Change", state.Delete: "Delete"}[c.Operation()]
	return verb + " " + c.ID().String()
}

// words sets name, title, reason and wait of a step of a design.
func (b *builder) words(s *Step, t *Target, changes []state.Change, names []string) {
	c := changes[0]
	watched := t.Reflectors
	switch c.ID().Kind {
	case calico.KindBGPPeer:
		s.Name, s.Title = "bgppeers", "Create the BGPPeers: "+strings.Join(names, ", ")
		switch {
		case t.Goal == PerRack && c.Before == nil:
			s.Why = "Each node gets a session with the routers of its rack. The routers must have the nodes as neighbors before."
			s.Wait = Wait{Text: "Wait until the sessions with the routers are established.", Commands: []string{"calicoctl node status   # on a node of each rack, or birdcl show protocols"}}
		case t.Goal == PerRack:
			s.Name, s.Title = "bgppeers", "Let nodes accept routes of their own AS number: "+text.Names(names, len(names))
			s.Why = "numAllowedLocalASNumbers lets a node accept the routes that come back from the router with its own AS number in their path."
			s.Wait = Wait{Text: "Wait until the sessions with the external peers are established again."}
		case slices.ContainsFunc(changes, func(c state.Change) bool { return c.Before != nil }):
			s.Title = "Change the BGPPeers: " + strings.Join(names, ", ")
			s.Why = "The nodes have sessions to the route reflectors of their own zone. They no longer need those of other zones."
			s.Wait = Wait{Text: "Wait until all sessions of the route reflectors are established.", Nodes: watched}
		case b.now.BGPConfiguration(calico.Default).MeshEnabled():
			s.Why = "They select the route reflectors by the label " + ReflectorLabel + ". " +
				"They come before the cluster IDs: a cluster ID removes a node from the mesh at once, and only BGPPeers then give it sessions."
			s.Wait = Wait{Text: "Nothing to wait for."}
		default:
			s.Wait = Wait{Text: "Wait until all sessions of the route reflectors are established.", Nodes: watched}
		}
	case calico.KindNode:
		s.Name, s.Title = "reflector-"+names[0], "Make "+names[0]+" a route reflector"
		s.Why = "One patch sets the label and the cluster ID, so the node leaves the mesh and gets its sessions by BGPPeers at once. " +
			"With one before the other, it would have no session, or two with each peer. " +
			"If the pods of this node cannot miss their routes for that time, drain the node before."
		s.Wait = Wait{Text: "Wait until all sessions of " + names[0] + " are established.", Nodes: names}
	case calico.KindIPPool:
		s.Name, s.Title = "ippool-"+names[0], "Change IPPool "+names[0]+" to VXLANCrossSubnet"
		s.Why = "Felix programs the routes of a VXLAN pool, within a subnet too, so its pods need no BGP afterwards. " +
			"Felix changes the routes of each node by itself; traffic between nodes of which only one has changed is lost for some seconds."
		s.Wait = Wait{Text: "Wait until the routes to the pool's blocks use vxlan.calico, or the network interface within a subnet, on every node.",
			Commands: []string{"ip route show proto 80   # on some nodes of each subnet: the routes that Felix programs"}}
	case calico.KindBGPConfiguration:
		b.configurationWords(s, t, c)
	default: // No design changes other kinds.
	}
}

func (b *builder) configurationWords(s *Step, t *Target, c state.Change) {
	before, _ := c.Before.(*calico.BGPConfiguration)
	after, _ := c.After.(*calico.BGPConfiguration)
	switch {
	case t.Goal == MeshTimers:
		s.Name, s.Title = "mesh-timers", "Set nodeMeshMaxRestartTime: "+TunedRestartTime
		s.Why = "Peers of a node that restarts or dies keep its routes for this time instead of BIRD's 120 s."
		s.Wait = Wait{Text: "Wait until the mesh sessions are established again.",
			Commands: []string{"calicoctl node status   # on some nodes, or birdcl show protocols"}}
	case before.MeshEnabled() && !after.MeshEnabled():
		s.Name, s.Title = "mesh-off", "Turn the node-to-node mesh off"
		switch t.Goal {
		case RouteReflectors:
			s.Why = "Every route also comes from the route reflectors now, so no node loses one."
			s.Wait = Wait{Text: "Wait until all sessions of the route reflectors are established, and the mesh sessions are gone.", Nodes: t.Reflectors}
		case VXLANCrossSubnet:
			s.Why = "No IPPool needs the routes of BGP any more."
			s.Wait = Wait{Text: "Nothing to wait for: no route depends on BGP sessions between nodes."}
		case PerRack:
			s.Why = "The nodes get the routes of other nodes from their routers."
			s.Wait = Wait{Text: "Check that nodes of different racks have routes to each other's pods.", Commands: []string{"ip route show proto bird   # on a node of each rack"}}
		}
	}
}

// explain adds what a design costs and requires, as far as the prerequisites do not say it.
func (b *builder) explain(goal Goal, t *Target) {
	switch goal {
	case RouteReflectors:
		ids := "One cluster ID for all route reflectors"
		if t.PerZone {
			ids = "One cluster ID for the route reflectors of each zone"
		}
		b.choose("%s: each node peers with all route reflectors of its cluster ID, so no route needs two of them, and they do not keep the copies that they get from each other (RFC 4456, section 7). "+
			"With an ID for each, every node would get each route once for each pair of route reflectors, because BIRD sends all paths in Calico.", ids)
		b.note("Two nodes that have each lost the session with a different route reflector can have no route to each other, " +
			"because route reflectors do not pass on routes that already have their own cluster ID. Alert on sessions that are not established.")
		b.note("New nodes need no change: the BGPPeers select them. A new route reflector gets the label " + ReflectorLabel + " and its cluster ID in one patch.")
		b.note("The label " + ReflectorLabel + " and the cluster ID are part of the Nodes. If a node pool or machine is replaced, set both on the new Node.")
	case MeshTimers:
		b.note("This is for the short term. It shortens how long routes of dead nodes stay, not the start of calico-node: BIRD waits 240 s for a configured peer that does not answer, and no field of Calico changes that. Delete the Nodes of machines that no longer exist.")
		b.note("A shorter restart time makes more restarts visible: if calico-node on a node needs longer than %s, its peers remove the routes of the node, and the traffic to its pods stops until it is back.", tunedSeconds)
		b.note("The time to detect a dead node stays: BIRD's hold time is 240 s, which no field of Calico changes. keepaliveTime of BGPPeers (since v3.32) sends keepalives more often, which costs messages and makes busy nodes flap, and detects nothing sooner unless the peer asks for a shorter hold time. The mesh has no keepalive field.")
		b.note("BFD, which detects a dead peer in less than a second, is not in Calico open source.")
	case VXLANCrossSubnet:
		b.note("The change is disruptive: connections between pods on different nodes can stall for some seconds, while nodes change their routes one after the other. Change one IPPool at a time, in a maintenance window.")
		b.note("BGP can be off for pod traffic with VXLAN, with CrossSubnet as with Always: Felix programs the routes within a subnet too. It stays necessary for external peers and advertised Service addresses. IP-in-IP is different: its routes come from BIRD before v3.33.")
		b.note("FelixConfiguration: vxlanEnabled must not be false. With the operator, set the encapsulation of each pool in the Installation, or the operator changes the IPPools back. With bgp: Disabled there, BIRD no longer runs.")
	case PerRack:
		b.note("Routers that fail take their rack with them. With two routers per rack, create a BGPPeer for each.")
	}
}

// listReflectors fills the route reflectors of the plan.
func (b *builder) listReflectors(ctx context.Context, t *Target) {
	if t.Goal == RouteReflectors {
		b.plan.Reflectors = reflectorsOf(b.now, b.Engine.Evaluate(ctx, b.now).Topology, t.Reflectors)
	}
}

// reflectorsOf describes the route reflectors with the given names in s, whose topology is t.
func reflectorsOf(s *state.Snapshot, t *topology.Topology, names []string) []Reflector {
	out := []Reflector{}
	sessions := map[string]int{}
	for n := range t.Neighbours(func(n *calico.Node) bool { return slices.Contains(names, n.Name) }) {
		sessions[n.Node.Name] += len(n.List)
	}
	for _, name := range names {
		if n, ok := s.Get(calico.ID{Kind: calico.KindNode, Name: name}).(*calico.Node); ok {
			out = append(out, Reflector{name, n.Labels[zoneLabel], n.ClusterID, sessions[name]})
		}
	}
	return out
}

// watch lets calico-node on some nodes report its sessions.
func watch(s *state.Snapshot, nodes []string) Step {
	step := Step{
		Name: "watch", Title: "Let the route reflectors report their sessions",
		Why:  "calico-node writes the sessions of its node into a CalicoNodeStatus, which \"bgpguard plan verify\" and the waits of the next steps read.",
		Wait: Wait{Text: "Nothing to wait for."},
	}
	for _, n := range nodes {
		if !reported(s, n) {
			step.Edits = append(step.Edits, Edit{Kind: string(calico.KindCalicoNodeStatus), Name: n, Object: map[string]any{
				"apiVersion": version(s), "kind": string(calico.KindCalicoNodeStatus), "metadata": map[string]any{"name": n},
				"spec": map[string]any{"node": n, "classes": []any{"Agent", "BGP"}, "updatePeriodSeconds": int64(10)},
			}})
		}
	}
	return step
}

// version returns the API version of the Calico objects of a state: that of its first
// BGPConfiguration or IPPool, else projectcalico.org/v3.
func version(s *state.Snapshot) string {
	var objects []calico.Object
	for _, c := range s.BGPConfigurations() {
		objects = append(objects, c)
	}
	for _, p := range s.IPPools() {
		objects = append(objects, p)
	}
	for _, o := range objects {
		if v, _ := calico.Manifest(o)["apiVersion"].(string); v != "" {
			return v
		}
	}
	return calico.APIVersionV3
}

// editOf returns the edit that makes a change: the whole object if it is new, else a merge
// patch of what differs. New objects get the API version that s uses.
func editOf(c state.Change, s *state.Snapshot) (Edit, error) {
	e := Edit{Kind: string(c.ID().Kind), Name: c.ID().Name}
	if c.After == nil {
		e.Delete = true
		return e, nil
	}
	after := clean(calico.Manifest(c.After))
	if c.Before == nil {
		if c.ID().Kind.Info().Calico {
			after["apiVersion"] = version(s)
		}
		e.Object = after
		return e, nil
	}
	before := clean(calico.Manifest(c.Before))
	old, err := json.Marshal(before)
	if err != nil {
		return e, err
	}
	after["apiVersion"] = before["apiVersion"]
	now, err := json.Marshal(after)
	if err != nil {
		return e, err
	}
	patch, err := jsonpatch.CreateMergePatch(old, now)
	if err != nil {
		return e, err
	}
	return e, k8sjson.UnmarshalCaseSensitivePreserveInts(patch, &e.Patch)
}
