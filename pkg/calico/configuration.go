package calico

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
)

// Defaults of absent values.
const (
	// DefaultASNumber is the AS number of a cluster whose configuration does not set one
	// (confd/pkg/backends/calico/client.go, globalDefaults).
	DefaultASNumber = 64512
	// DefaultRestartTime and DefaultKeepaliveTime are BIRD's defaults: the graceful restart
	// time, and a third of the hold time of 240 s (proto/bgp/config.Y).
	DefaultRestartTime   = 120 * time.Second
	DefaultKeepaliveTime = 80 * time.Second
)

// BGPConfiguration is a BGPConfiguration. Calico reads the ones named "default" and
// "node.NODENAME" and ignores all others.
type BGPConfiguration struct {
	Metadata

	// NodeToNodeMeshEnabled is nil if unset, which means true. Calico reads this field and
	// the next three from "default" only.
	NodeToNodeMeshEnabled *bool
	// ASNumber is nil if unset, which means DefaultASNumber.
	ASNumber *uint32
	// NodeMeshMaxRestartTime is nil if unset, which means BIRD's default. It can be negative,
	// which BIRD rejects.
	NodeMeshMaxRestartTime *time.Duration
	// NodeMeshPassword is the name of the mesh's Secret and the key in it, as "name/key".
	NodeMeshPassword string
	// ListenPort is 0 if unset, which means BIRD's default, 179.
	ListenPort uint16
	// BindMode is "NodeIP" if BIRD listens on the address of the node only, and empty if it
	// listens on all addresses. Calico reads it from "default" only.
	BindMode string
	// ProgramClusterRoutes is empty if unset, which means the default of the Calico version.
	ProgramClusterRoutes string
	// WorkloadPeering reports whether localWorkloadPeeringIPV4 or localWorkloadPeeringIPV6 is
	// set: the address of the node with which its pods peer. Felix reads both from "default".
	WorkloadPeering bool

	rejected [2][]Rejected // by family
}

// nodePrefix is the prefix of the name of a BGPConfiguration for one node.
const nodePrefix = "node."

func decodeBGPConfiguration(m Metadata, spec *fields) *BGPConfiguration {
	c := &BGPConfiguration{
		Metadata:               m,
		ASNumber:               spec.asNumber("asNumber"),
		NodeMeshMaxRestartTime: spec.duration("nodeMeshMaxRestartTime"),
		NodeMeshPassword:       spec.secret("nodeMeshPassword"),
		ListenPort:             uint16(spec.number("listenPort", 0, math.MaxUint16)),
		ProgramClusterRoutes:   spec.text("programClusterRoutes"),
		WorkloadPeering:        spec.text("localWorkloadPeeringIPV4") != "" || spec.text("localWorkloadPeeringIPV6") != "",
	}
	if v3.BindMode(spec.text("bindMode")) == v3.BindModeNodeIP {
		c.BindMode = string(v3.BindModeNodeIP)
	}
	c.timer("nodeMeshMaxRestartTime", c.NodeMeshMaxRestartTime, maxRestartTime)
	c.knownClusterRoutes(c.ProgramClusterRoutes)
	c.rejected = c.readRejected()
	if spec.has("nodeToNodeMeshEnabled") {
		on := spec.flag("nodeToNodeMeshEnabled")
		c.NodeToNodeMeshEnabled = &on
	}
	if c.Name == Default {
		return c
	}
	if !strings.HasPrefix(c.Name, nodePrefix) {
		c.problem("metadata.name", "%q is neither \"default\" nor \"node.NODENAME\", so Calico ignores the object", c.Name)
		return c
	}
	for _, field := range []string{"nodeToNodeMeshEnabled", "asNumber", "nodeMeshMaxRestartTime", "nodeMeshPassword", "bindMode"} {
		if spec.has(field) {
			c.problem("spec."+field, "is read from the BGPConfiguration \"default\" only, so Calico ignores it here")
		}
	}
	return c
}

// NodeConfiguration returns the name of the BGPConfiguration for one node.
func NodeConfiguration(node string) string { return nodePrefix + node }

// NodeOf returns the name of the node to which the configuration applies. It returns "" for
// "default" and for names that Calico ignores.
func (c *BGPConfiguration) NodeOf() string { return nodeOf(c.Name) }

// nodeOf returns the name of the node of a configuration for one node, "" for other names.
func nodeOf(name string) string {
	node, ok := strings.CutPrefix(name, nodePrefix)
	if !ok {
		return ""
	}
	return node
}

// MeshEnabled reports whether the node-to-node mesh is on. c is the configuration "default",
// nil if the cluster has none. The mesh is on unless c disables it.
func (c *BGPConfiguration) MeshEnabled() bool {
	return c == nil || c.NodeToNodeMeshEnabled == nil || *c.NodeToNodeMeshEnabled
}

// ClusterASNumber returns the AS number of nodes that do not have their own. c is the
// configuration "default", nil if the cluster has none.
func (c *BGPConfiguration) ClusterASNumber() uint32 {
	if c == nil || c.ASNumber == nil {
		return DefaultASNumber
	}
	return *c.ASNumber
}

// IPPool is an IPPool.
type IPPool struct {
	Metadata

	// Family is the address family of the pool's CIDR.
	Family Family
	// VXLANMode and IPIPMode are "Never" if unset, and for any other value than "Always" and
	// "CrossSubnet", as Calico reads them. Before v3.32 the API accepts any text.
	VXLANMode, IPIPMode string
	// DisableBGPExport means that nodes do not advertise the pool's routes.
	DisableBGPExport bool
	// Workload means that pods get addresses from the pool.
	Workload bool
	// CIDR is the pool's CIDR with its host bits masked, as Calico reads it. It is the zero
	// Prefix if it does not parse: Calico then ignores the pool.
	CIDR netip.Prefix
	// Routed means that pods with an address of the pool keep their routes. They do unless
	// LoadBalancer is the only use of the pool: Felix then programs no routes to it
	// (felix/calc/l3_route_resolver.go, since v3.31.6 and v3.32.1).
	Routed bool
	// Disabled means that pods get no more addresses from the pool. Pods that have one keep
	// it.
	Disabled bool
	// Unused means that the pool is known to hold no address: it was created disabled, and
	// its spec did not change since.
	Unused bool

	selector *Selector // nil selects all nodes
	manual   bool      // pods get its addresses on request only
}

// Informed returns the object after a change with what the change shows about it. An IPPool
// that is created disabled holds no address, and neither does one that held none and stays
// disabled.
func Informed(before, after Object) Object {
	p, ok := after.(*IPPool)
	if !ok || !p.Disabled || p.Unused {
		return after
	}
	if old, ok := before.(*IPPool); before != nil && (!ok || !old.Unused) {
		return after
	}
	out := *p
	out.Unused = true
	return &out
}

// Disables reports whether an update only disables an IPPool. Calico's clients make this update
// before they delete an IPPool (libcalico-go/lib/clientv3/ippool.go, Delete), and nothing else in
// the request tells them apart from a user who disables it.
func Disables(before, after Object) bool {
	old, ok := before.(*IPPool)
	p, is := after.(*IPPool)
	if !ok || !is || old.Disabled || !p.Disabled {
		return false
	}
	for _, spec := range []map[string]any{old.Spec, p.Spec} {
		for field := range spec {
			if field != "disabled" && !jsonEqual(old.Spec[field], p.Spec[field]) {
				return false
			}
		}
	}
	return true
}

// Gives reports whether pods on a node get addresses from the pool by default. The pool must be
// enabled.
func (p *IPPool) Gives(labels map[string]string) bool {
	return p.Workload && !p.Disabled && !p.manual && p.CIDR.IsValid() && (p.selector == nil || p.selector.Matches(labels))
}

func decodeIPPool(m Metadata, spec *fields) *IPPool {
	p := &IPPool{Metadata: m}
	p.VXLANMode, p.IPIPMode = p.encapsulation(spec, "vxlanMode"), p.encapsulation(spec, "ipipMode")
	if strings.Contains(spec.text("cidr"), ":") {
		p.Family = IPv6
	}
	p.DisableBGPExport = spec.flag("disableBGPExport")
	if prefix, err := netip.ParsePrefix(spec.text("cidr")); err == nil {
		p.CIDR = prefix.Masked()
	}
	p.Disabled = spec.flag("disabled")
	p.Unused = p.Disabled && m.generation() == 1
	p.manual = v3.AssignmentMode(spec.text("assignmentMode")) == v3.Manual
	if selector := spec.text("nodeSelector"); selector != "" {
		p.selector, _ = ParseSelector(selector) // Calico's validator rejects other text.
	}
	uses := spec.texts("allowedUses")
	p.Routed = len(uses) == 0 || slices.ContainsFunc(uses, func(use string) bool { return use != string(v3.IPPoolAllowedUseLoadBalancer) })
	p.Workload = len(uses) == 0 || slices.Contains(uses, string(v3.IPPoolAllowedUseWorkload))
	return p
}

// encapsulation returns a mode of encapsulation as Calico reads it. Both fields have the same
// values.
func (p *IPPool) encapsulation(spec *fields, field string) string {
	switch mode := spec.text(field); v3.VXLANMode(mode) {
	case v3.VXLANModeAlways, v3.VXLANModeCrossSubnet:
		return mode
	case v3.VXLANModeNever, "":
	default:
		p.problem("spec."+field, "is %q, which Calico reads as Never", mode)
	}
	return string(v3.VXLANModeNever)
}

// FelixConfiguration is a FelixConfiguration. It applies to all nodes if its name is "default", to
// one node if it is "node.NODENAME", and else, since v3.32, to the nodes that NodeSelector selects.
// A node reads each field from the first of these objects that sets it: the one for the node, one
// with a selector, and "default". Of several with a selector that selects the node, Felix reads
// only the oldest (felix/config, and the reference of FelixConfiguration).
type FelixConfiguration struct {
	Metadata

	// ProgramClusterRoutes is empty if unset, which means the default of the Calico version.
	ProgramClusterRoutes string
	// NormalRoutePriority is the priority of normal routes by family, 0 if unset.
	NormalRoutePriority [2]int
	// NodeSelector is "" for "default" and "node.NODENAME", where Felix does not read it.
	NodeSelector string
	// Created is the time of metadata.creationTimestamp as it was sent, "" if it is not known.
	Created string

	selector *Selector
}

// Selects returns the parsed NodeSelector, nil if it is empty or does not parse. Felix then skips
// the object, unless its name says for which nodes it is.
func (c *FelixConfiguration) Selects() *Selector { return c.selector }

// NodeOf returns the name of the node of a configuration for one node, else "".
func (c *FelixConfiguration) NodeOf() string { return nodeOf(c.Name) }

// Older reports whether Felix reads c rather than d if both select a node. An object without a time
// was not created yet.
func (c *FelixConfiguration) Older(d *FelixConfiguration) bool {
	if c.Created != d.Created && c.Created != "" && d.Created != "" {
		return c.Created < d.Created // RFC 3339, in UTC
	}
	return cmp.Or(cmp.Compare(len(d.Created), len(c.Created)), cmp.Compare(c.Name, d.Name)) < 0
}

// clusterRoutes are the values of programClusterRoutes. Felix and confd read every other one as
// their default.
var clusterRoutes = []string{"Enabled", "Disabled", "EnabledIPIPOnly", "EnabledNoEncapOnly"}

// knownClusterRoutes reports a value of programClusterRoutes that is none of clusterRoutes.
func (m *Metadata) knownClusterRoutes(value string) {
	if value != "" && !slices.Contains(clusterRoutes, value) {
		m.problem("spec.programClusterRoutes", "%q is none of %s, so Calico uses its default", value, strings.Join(clusterRoutes, ", "))
	}
}

func decodeFelixConfiguration(m Metadata, spec *fields) *FelixConfiguration {
	c := &FelixConfiguration{Metadata: m, ProgramClusterRoutes: spec.text("programClusterRoutes"), Created: m.created()}
	for f, field := range []string{"ipv4NormalRoutePriority", "ipv6NormalRoutePriority"} {
		c.NormalRoutePriority[f] = int(spec.number(field, math.MinInt32, math.MaxInt32))
	}
	c.knownClusterRoutes(c.ProgramClusterRoutes)
	selector := spec.text("nodeSelector")
	switch {
	case c.Name == Default || c.NodeOf() != "":
		if selector != "" {
			c.problem("spec.nodeSelector", "has no effect on a FelixConfiguration of this name")
		}
	case selector == "":
		c.problem("metadata.name", "%q is neither \"default\" nor \"node.NODENAME\", and the object has no nodeSelector, so Calico ignores it", c.Name)
	default:
		c.NodeSelector = selector
		var err error
		if c.selector, err = ParseSelector(selector); err != nil {
			c.problem("spec.nodeSelector", "%q does not parse, so Calico ignores the object: %v", selector, err)
		}
	}
	return c
}

// BGPFilter is a BGPFilter. Its rules are in Spec and are not evaluated.
type BGPFilter struct {
	Metadata

	rejected [2][]Rejected // by family
}

func decodeBGPFilter(m Metadata, _ *fields) *BGPFilter {
	f := &BGPFilter{Metadata: m}
	for _, family := range Families {
		f.rejected[family] = rejectedRules(family, m.Spec)
	}
	return f
}

// ClusterInformation is a ClusterInformation.
type ClusterInformation struct {
	Metadata

	// Version is Calico's version. It is nil if it is unknown, and for products based on
	// Calico, which have other version numbers.
	Version *version.Version
	// Typha reports that the cluster's type says that Typha is installed. Other clusters may
	// have Typha too.
	Typha bool
	// DatastoreReady is nil if unset. It is false while Calico must not read its datastore, and in
	// an API group that Calico has moved out of.
	DatastoreReady *bool
}

// typesWithTypha are the elements of a cluster's type that mean that Typha is installed: the
// Tigera operator always installs it (pkg/render/node.go of tigera/operator).
var typesWithTypha = []string{"operator", "typha"}

func decodeClusterInformation(m Metadata, spec *fields) *ClusterInformation {
	c := &ClusterInformation{Metadata: m}
	text, variant := spec.text("calicoVersion"), spec.text("variant")
	if variant == "" || variant == "Calico" {
		// A version such as "master" is unknown.
		c.Version, _ = version.ParseGeneric(text)
	}
	c.Typha = slices.ContainsFunc(strings.Split(spec.text("clusterType"), ","), func(t string) bool { return slices.Contains(typesWithTypha, t) })
	if spec.has("datastoreReady") {
		ready := spec.flag("datastoreReady")
		c.DatastoreReady = &ready
	}
	return c
}
