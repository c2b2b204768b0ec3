package validate

import (
	"net/netip"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// dataParts are the parts of data.state: the objects of which a cluster has at least as many as
// nodes. The summary in the input has no room for them.
var dataParts = [...]struct {
	name  string
	kind  calico.Kind
	build func(*state.Snapshot) ast.Value
}{
	{"nodes", calico.KindNode, nodesOf},
	{"ipamBlocks", calico.KindIPAMBlock, func(s *state.Snapshot) ast.Value { return objectsOf(s, calico.KindIPAMBlock, s.IPAMBlocks(), blockOf) }},
	{"calicoNodeStatuses", calico.KindCalicoNodeStatus, func(s *state.Snapshot) ast.Value {
		return objectsOf(s, calico.KindCalicoNodeStatus, s.NodeStatuses(), statusOf)
	}},
}

// stateData is data.state of a snapshot. Each part is built in O(objects) for the first policy that
// reads it.
type stateData struct {
	snapshot *state.Snapshot
	parts    [len(dataParts)]func() ast.Value
}

// newStateData returns data.state of a snapshot. It shares the parts of before that are the same,
// which is nil or that of another snapshot.
func newStateData(s *state.Snapshot, before *stateData) *stateData {
	if before != nil && before.same(s, everyPart) {
		return before
	}
	d := &stateData{snapshot: s}
	for i, part := range dataParts {
		if before != nil && state.SameKind(before.snapshot, s, part.kind) {
			d.parts[i] = before.parts[i]
		} else {
			d.parts[i] = sync.OnceValue(func() ast.Value { return part.build(s) })
		}
	}
	return d
}

func everyPart(string) bool { return true }

// same reports whether the parts for which reads returns true are the same for a snapshot.
func (d *stateData) same(s *state.Snapshot, reads func(part string) bool) bool {
	for _, part := range dataParts {
		if reads(part.name) && !state.SameKind(d.snapshot, s, part.kind) {
			return false
		}
	}
	return true
}

// value returns the parts for which reads returns true.
func (d *stateData) value(reads func(part string) bool) ast.Value {
	out := ast.NewObject()
	for i, part := range dataParts {
		if reads(part.name) {
			out.Insert(ast.InternedTerm(part.name), ast.NewTerm(d.parts[i]()))
		}
	}
	return out
}

// sameFor reports whether the parts that a policy reads are the same as in before.
func (d *stateData) sameFor(p *policy.Policy, before *stateData) bool {
	return d == before || !p.ReadsData() || before.same(d.snapshot, p.ReadsDataPart)
}

// nodeData is a node in data.state.nodes.
type nodeData struct {
	Name                    string            `json:"name"`
	Labels                  map[string]string `json:"labels"`
	IPv4Address             topology.Optional `json:"ipv4Address"`
	IPv6Address             topology.Optional `json:"ipv6Address"`
	ASNumber                *int              `json:"asNumber"`
	RouteReflectorClusterID topology.Optional `json:"routeReflectorClusterID"`
	NotReady                bool              `json:"notReady"`
}

// nodesOf returns all nodes of a snapshot by name.
func nodesOf(s *state.Snapshot) ast.Value {
	nodes := ast.NewObject()
	for _, n := range s.Nodes() {
		d := nodeData{
			Name: n.Name, Labels: n.Labels, RouteReflectorClusterID: topology.Optional(n.ClusterID), NotReady: n.NotReady,
			IPv4Address: prefixText(n.Address[calico.IPv4]), IPv6Address: prefixText(n.Address[calico.IPv6]),
		}
		if n.ASNumber != nil {
			asn := int(*n.ASNumber)
			d.ASNumber = &asn
		}
		nodes.Insert(ast.StringTerm(n.Name), ast.NewTerm(policy.Value(d)))
	}
	return nodes
}

// prefixText returns an address with its prefix length, "" if there is none.
func prefixText(p netip.Prefix) topology.Optional {
	if !p.IsValid() {
		return ""
	}
	return topology.Optional(p.String())
}

// objectsOf returns the objects of an optional kind by name, and whether these are all.
func objectsOf[O calico.Object](s *state.Snapshot, kind calico.Kind, list []O, of func(O) any) ast.Value {
	objects := ast.NewObject()
	for _, o := range list {
		objects.Insert(ast.StringTerm(o.ID().Name), ast.NewTerm(policy.Value(of(o))))
	}
	return ast.NewObject(
		[2]*ast.Term{ast.InternedTerm("known"), ast.NewTerm(ast.Boolean(s.ReadAll(kind)))},
		[2]*ast.Term{ast.InternedTerm("objects"), ast.NewTerm(objects)},
	)
}

// blockData is an IPAMBlock in data.state.ipamBlocks.objects.
type blockData struct {
	Name string         `json:"name"`
	Spec map[string]any `json:"spec"`
	Pods bool           `json:"pods"`
}

func blockOf(b *calico.IPAMBlock) any { return blockData{b.Name, b.Spec(), b.Pods()} }

// statusData is a CalicoNodeStatus in data.state.calicoNodeStatuses.objects.
type statusData struct {
	Name     string         `json:"name"`
	Spec     map[string]any `json:"spec"`
	Problems []string       `json:"problems"`
	Status   struct {
		LastUpdated topology.Optional                `json:"lastUpdated"`
		Families    topology.PerFamily[familyStatus] `json:"families"`
	} `json:"status"`
}

// familyStatus is the status of BIRD in one family. It counts the rows of the peers, of which a mesh
// has nodes x nodes.
type familyStatus struct {
	State          topology.Optional `json:"state"`
	Version        topology.Optional `json:"version"`
	RouterID       topology.Optional `json:"routerID"`
	Established    int               `json:"established"`
	NotEstablished int               `json:"notEstablished"`
}

func statusOf(s *calico.NodeStatus) any {
	out := statusData{Name: s.Name, Spec: s.Spec(), Problems: []string{}}
	for _, p := range s.Problems() {
		out.Problems = append(out.Problems, p.String())
	}
	if !s.LastUpdated.IsZero() {
		out.Status.LastUpdated = topology.Optional(s.LastUpdated.Format(time.RFC3339))
	}
	for _, f := range calico.Families {
		one := &s.Families[f]
		*out.Status.Families.In(f) = familyStatus{
			topology.Optional(one.Daemon.State.String()), topology.Optional(one.Daemon.Version), topology.Optional(one.Daemon.RouterID),
			one.Established, one.NotEstablished,
		}
	}
	return out
}
