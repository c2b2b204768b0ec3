package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Goal names a design: a way to carry the routes to pods.
type Goal string

// The designs.
const (
	MeshTimers       = "mesh-timers"
	RouteReflectors  = "route-reflectors"
	VXLANCrossSubnet = "vxlan-cross-subnet"
	PerRack          = "per-rack"
)

// Goals lists the designs, the one with the fewest changes first.
var Goals = []Goal{MeshTimers, RouteReflectors, VXLANCrossSubnet, PerRack}

// Title is the name of the design for people.
func (g Goal) Title() string {
	switch g {
	case MeshTimers:
		return "full mesh with tuned timers"
	case RouteReflectors:
		return "route reflectors"
	case VXLANCrossSubnet:
		return "VXLANCrossSubnet"
	case PerRack:
		return "per-rack eBGP"
	}
	return string(g)
}

// DesignOptions select details of a design. The zero value chooses all of them.
type DesignOptions struct {
	// Reflectors is the number of route reflectors, per zone with PerZone. 0 chooses the
	// number with which every node keeps two route reflectors when one of them or a zone
	// fails.
	Reflectors int
	// Select is a label, LABEL=VALUE or a selector of Calico, of the nodes that may become route reflectors, "" for all.
	Select string
	// PerZone gives each zone route reflectors of its own. A design does so by itself where
	// one route reflector would have more than Limits.ReflectorSessions sessions.
	PerZone bool
	// Routers are routers with which PerRack peers, in addition to the external peers of the
	// state. RackLabel is the label of nodes whose value is the rack, "" for DefaultRackLabel.
	Routers   []Router
	RackLabel string
	// Limits has DefaultLimits in place of fields that are 0.
	Limits Limits
}

func (o DesignOptions) limits() Limits {
	return Limits{cmp.Or(o.Limits.MeshNodes, DefaultLimits.MeshNodes), cmp.Or(o.Limits.ReflectorSessions, DefaultLimits.ReflectorSessions)}
}

// DefaultRackLabel is the label of racks in Calico's documentation.
const DefaultRackLabel = "rack"

// Router is an external peer of the nodes in a rack.
type Router struct {
	Rack    string
	Address netip.Addr
	AS      uint32
}

// Status says whether a state meets a prerequisite.
type Status string

// The values of Status. Unknown means that the objects do not show it.
const (
	Met     Status = "met"
	Unmet   Status = "unmet"
	Unknown Status = "unknown"
)

// Prerequisite is a condition of a design.
type Prerequisite struct {
	Status Status `json:"status"`
	Text   string `json:"text"`
}

// Target is a design for one state.
type Target struct {
	Goal Goal
	// Changes lead from the state to the design, one after the other, in an order that keeps
	// routes. Without changes, the state already has the design.
	Changes       []state.Change
	Prerequisites []Prerequisite
	// Reflectors names the nodes that become route reflectors or are some.
	Reflectors []string
	// PerZone reports that each zone has route reflectors of its own.
	PerZone bool
}

// Blocked returns the unmet prerequisites.
func (t *Target) Blocked() []string {
	var out []string
	for _, p := range t.Prerequisites {
		if p.Status == Unmet {
			out = append(out, p.Text)
		}
	}
	return out
}

func (t *Target) add(status Status, format string, args ...any) {
	t.Prerequisites = append(t.Prerequisites, Prerequisite{status, fmt.Sprintf(format, args...)})
}

// Labels and names of the objects of a design.
const (
	// ReflectorLabel is the label of route reflectors in Calico's documentation.
	ReflectorLabel = "route-reflector"
	// reflectorsPeer is the name of the BGPPeer between nodes and route reflectors, and the
	// prefix of one per zone.
	reflectorsPeer = "route-reflectors"
	zoneLabel      = corev1.LabelTopologyZone
)

// controlPlane are the labels of control plane nodes.
var controlPlane = []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

// TunedRestartTime is the graceful restart time of the design MeshTimers: the shortest that
// the policy timer-safety accepts by default, and longer than a usual restart of
// calico-node.
const TunedRestartTime = "30s"

// tunedSeconds is TunedRestartTime in a sentence.
const tunedSeconds = "30 s"

// Design returns the changes that lead from s, whose topology is t, to a design. A design
// that is not possible has unmet prerequisites and no changes. The error is about the
// options. O(nodes log nodes).
func Design(goal Goal, s *state.Snapshot, t *topology.Topology, o DesignOptions) (*Target, error) {
	b := &designer{Target: &Target{Goal: goal}, s: s, summary: t.Summary(), o: o, limits: o.limits()}
	var err error
	switch goal {
	case MeshTimers:
		err = b.meshTimers()
	case RouteReflectors:
		err = b.routeReflectors()
	case VXLANCrossSubnet:
		err = b.vxlan()
	case PerRack:
		err = b.perRack()
	default:
		return nil, fmt.Errorf("no design %q; known designs: mesh-timers, route-reflectors, vxlan-cross-subnet, per-rack", goal)
	}
	if err != nil {
		return nil, err
	}
	if len(b.Blocked()) > 0 {
		b.Changes = nil
	}
	return b.Target, nil
}

// designer collects the parts of a Target.
type designer struct {
	*Target

	s       *state.Snapshot // after the changes so far
	summary *topology.Summary
	o       DesignOptions
	limits  Limits
}

// change appends a change to the object, or its creation.
func (b *designer) change(o calico.Object) {
	if before := b.s.Get(o.ID()); !calico.Equal(before, o) {
		c := state.Change{Before: before, After: o}.Informed()
		b.Changes, b.s = append(b.Changes, c), b.s.Apply(c)
	}
}

// withSpec returns an object of the state with fields of its spec set, or unset for nil. It
// creates an object that is absent.
func (b *designer) withSpec(kind calico.Kind, name string, fields map[string]any) (calico.Object, error) {
	document := calico.Manifest(b.s.Get(calico.ID{Kind: kind, Name: name}))
	if document == nil {
		document = map[string]any{"apiVersion": calico.APIVersionV3, "kind": string(kind), "metadata": map[string]any{"name": name}}
	}
	document = maps.Clone(document)
	old, _ := document["spec"].(map[string]any)
	spec := maps.Clone(old)
	if spec == nil {
		spec = map[string]any{}
	}
	for k, v := range fields {
		if v == nil {
			delete(spec, k)
		} else {
			spec[k] = v
		}
	}
	document["spec"] = spec
	return calico.Decode(document)
}

// meshOff turns the mesh off. The API server rejects its password and restart time in an
// object that turns the mesh off (CEL rules of BGPConfiguration since v3.32).
func (b *designer) meshOff() error {
	if !b.summary.Mesh.Enabled {
		return nil
	}
	o, err := b.withSpec(calico.KindBGPConfiguration, calico.Default, map[string]any{
		"nodeToNodeMeshEnabled": false, "nodeMeshPassword": nil, "nodeMeshMaxRestartTime": nil,
	})
	if err == nil {
		b.change(o)
	}
	return err
}

// meshTimers keeps or turns on the mesh, with a shorter graceful restart time.
func (b *designer) meshTimers() error {
	fields := map[string]any{"nodeMeshMaxRestartTime": TunedRestartTime}
	if !b.summary.Mesh.Enabled {
		fields["nodeToNodeMeshEnabled"] = true
	}
	o, err := b.withSpec(calico.KindBGPConfiguration, calico.Default, fields)
	if err != nil {
		return err
	}
	b.change(o)
	n := b.summary.Mesh.Nodes
	if n > b.limits.MeshNodes {
		b.add(Unknown, "%s in the mesh, above the limit of %s: every node must have memory and time for %s", text.Count(n, "node"), text.Number(b.limits.MeshNodes), text.Count(n-1, "session"))
	} else {
		b.add(Met, "%s in the mesh, at or below the limit of %s", text.Count(n, "node"), text.Number(b.limits.MeshNodes))
	}
	if down := b.summary.Nodes.NotReady.Nodes; down > 0 {
		b.add(Unknown, "%s not ready: until you delete Nodes whose machines no longer exist, every start of calico-node waits 240 s for them", text.Count(down, "node is", "nodes are"))
	} else {
		b.add(Met, "no node is down: a start of calico-node waits for no peer")
	}
	b.add(Unknown, "calico-node is back within %s of a restart: else peers drop its routes before it is", tunedSeconds)
	b.needVersion(3, 23, "nodeMeshMaxRestartTime")
	return nil
}

// needVersion adds the version of Calico as a prerequisite.
func (b *designer) needVersion(major, minor int, what string) {
	have := string(b.summary.CalicoVersion)
	parts := strings.SplitN(have, ".", 3)
	if len(parts) < 2 {
		b.add(Unknown, "Calico v%d.%d or later for %s: the state has no ClusterInformation", major, minor, what)
		return
	}
	x, _ := strconv.Atoi(parts[0])
	y, _ := strconv.Atoi(parts[1])
	if x > major || x == major && y >= minor {
		b.add(Met, "Calico v%d.%d or later for %s: the cluster has v%s", major, minor, what, have)
		return
	}
	b.add(Unmet, "Calico v%d.%d or later for %s: the cluster has v%s", major, minor, what, have)
}

func (b *designer) hasFamily(f calico.Family) bool {
	return slices.ContainsFunc(b.s.Nodes(), func(n *calico.Node) bool { return n.SpeaksBGP(f) })
}
