// Package operator is what tigera-operator writes into a cluster for an Installation. It is pure:
// it has no client.
//
// The operator has two controllers. The one of the Installation patches FelixConfiguration default,
// and then BGPConfiguration default. The one of IPPools creates and updates IPPools, and then
// deletes others. Each write is a request of its own. After an error a controller ends its
// reconciliation, and later starts again: what it has written until then stays.
//
// Sources: tigera/operator v1.43.0 and master 40788b9 (August 2026),
// pkg/controller/installation/core_controller.go and pkg/controller/ippool.
package operator

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Writes returns the changes that the operator makes to s because of the Installations in s, in the
// order in which it makes them: those after which s has what they ask for. It is empty if s has it
// already, without an Installation, and while the Installation is terminating. O(IPPools).
//
// It has the fields that decide BGP. The operator also sets fields of FelixConfiguration default
// that do not, such as those of linuxDataplane, and labels of IPPools.
func Writes(s *state.Snapshot) []state.Change {
	i := s.Installation(calico.Default)
	if i == nil || i.DeletionTimestamp != "" {
		return nil
	}
	return append(routingWrites(s, i), poolWrites(s, i)...)
}

// Reconciled returns s after Writes. It returns s if there are none.
func Reconciled(s *state.Snapshot) *state.Snapshot {
	for _, c := range Writes(s) {
		s = s.Apply(c)
	}
	return s
}

// Effect returns a change with what it does to a running cluster: a delete of the Installation
// "default" leaves a terminating Installation, because calico-node is removed with it. Other changes
// are returned as they are.
func Effect(c state.Change) state.Change {
	if i, ok := c.Before.(*calico.Installation); ok && c.After == nil && i.Name == calico.Default {
		c.After = i.Terminating()
	}
	return c
}

// Asks reports whether the Installations in s ask for a change: the operator has to write the object,
// and after the change it has not. Calico disables an IPPool before it deletes it, so that they ask
// for this too if they ask for the delete. The object before the change is that of the change. rest is
// what the change does besides, a change without objects for nothing: an Installation has all of an
// IPPool, and a field of other objects.
func Asks(s *state.Snapshot, c state.Change) (rest state.Change, ok bool) {
	s = s.Apply(state.Change{Before: s.Get(c.ID()), After: c.Before})
	of := func(w state.Change) bool { return w.ID() == c.ID() }
	writes := Writes(s)
	i := slices.IndexFunc(writes, of)
	switch {
	case i < 0:
		return rest, false
	case writes[i].After == nil && calico.Disables(c.Before, c.After):
		return rest, true
	case slices.ContainsFunc(Writes(s.Apply(c)), of):
		return rest, false
	case c.ID().Kind == calico.KindIPPool:
		return rest, true
	default:
		return state.Change{Before: writes[i].After, After: c.After}, true
	}
}

// programClusterRoutes are the values of programClusterRoutes for Felix and for BIRD by
// clusterRoutingMode. The operator of Calico v3.32 has the first two modes, v3.33 all.
var programClusterRoutes = map[string][2]string{
	"BIRD":          {"Disabled", "Enabled"},
	"Felix":         {"Enabled", "Disabled"},
	"FelixIPIPOnly": {"EnabledIPIPOnly", "EnabledNoEncapOnly"},
}

// routingWrites returns the writes for clusterRoutingMode. If it is unset, the operator writes
// neither object, and values that it wrote earlier stay.
func routingWrites(s *state.Snapshot, i *calico.Installation) []state.Change {
	mode := i.ClusterRoutingMode
	if overlay := s.Installation(calico.OverlayInstallation); overlay != nil && overlay.ClusterRoutingMode != "" {
		mode = overlay.ClusterRoutingMode
	}
	values, ok := programClusterRoutes[mode]
	if !ok {
		return nil
	}
	var out []state.Change
	for n, kind := range []calico.Kind{calico.KindFelixConfiguration, calico.KindBGPConfiguration} {
		id := calico.ID{Kind: kind, Name: calico.Default}
		before := s.Get(id)
		if calico.IsUnparsed(before) || specOf(before)["programClusterRoutes"] == values[n] {
			continue
		}
		spec := maps.Clone(specOf(before))
		if spec == nil {
			spec = map[string]any{}
		}
		spec["programClusterRoutes"] = values[n]
		out = appendWrite(out, s, id, before, spec, nil)
	}
	return out
}

// managedBy is the label of the IPPools that the operator manages.
const managedBy, operatorName = "app.kubernetes.io/managed-by", "tigera-operator"

// poolWrites returns the writes for the IPPools of the Installation "default". The overlay has no
// influence on them. The operator writes an IPPool only if it manages it, or if the cluster has none
// of that CIDR. It manages those with its label, and those that are as the Installation has them.
//
// In a cluster without IPPools and without ipPools, the operator creates IPPools for the CIDRs that
// kubeadm or OpenShift know. No pod has an address then, and they are in no Installation until the
// operator has written them there.
func poolWrites(s *state.Snapshot, i *calico.Installation) []state.Change {
	if i.IPPools == nil {
		return nil
	}
	wanted := make(map[netip.Prefix]pool, len(i.IPPools))
	for _, p := range wantedPools(s, i) {
		if !p.cidr.IsValid() || wanted[p.cidr].name != "" {
			return nil // The operator rejects the Installation.
		}
		wanted[p.cidr] = p
	}
	var writes, deletes []state.Change
	present := make(map[netip.Prefix]bool, len(s.IPPools()))
	for _, p := range s.IPPools() {
		want, ok := wanted[p.CIDR]
		present[p.CIDR] = true
		same := ok && want.name == p.Name && reflect.DeepEqual(effective(p.Spec, p.CIDR), effective(want.spec, p.CIDR))
		switch {
		case p.Labels[managedBy] != operatorName, same:
		case !ok:
			deletes = append(deletes, state.Change{Before: p})
		case want.name == p.Name: // Calico rejects two IPPools of one CIDR.
			writes = appendWrite(writes, s, p.ID(), p, want.spec, nil)
		}
	}
	for _, want := range wantedPools(s, i) {
		if !present[want.cidr] {
			id := calico.ID{Kind: calico.KindIPPool, Name: want.name}
			writes = appendWrite(writes, s, id, s.Get(id), want.spec, map[string]any{managedBy: operatorName})
			deletes = slices.DeleteFunc(deletes, func(c state.Change) bool { return c.ID() == id }) // Its CIDR changes.
		}
	}
	return append(writes, deletes...)
}

// appendWrite appends the write of an object with a new spec. An object that would not decode is
// left out: the API server rejects it.
func appendWrite(out []state.Change, s *state.Snapshot, id calico.ID, before calico.Object, spec, labels map[string]any) []state.Change {
	document := map[string]any{"apiVersion": s.APIVersion(), "kind": string(id.Kind), "metadata": map[string]any{"name": id.Name, "labels": labels}}
	if s.APIVersion() == "" {
		document["apiVersion"] = calico.APIVersionV3
	}
	if before != nil {
		document = maps.Clone(calico.Manifest(before))
	}
	document["spec"] = spec
	after, err := calico.Decode(document)
	if err != nil {
		return out
	}
	return append(out, state.Change{Before: before, After: after})
}

// specOf returns the spec of an object, nil if it has none.
func specOf(o calico.Object) map[string]any {
	if m := calico.MetadataOf(o); m != nil {
		return m.Spec
	}
	return nil
}

// pool is an IPPool as the operator writes it.
type pool struct {
	name string
	cidr netip.Prefix
	spec map[string]any
}

// wantedPools returns the IPPools of an Installation with the operator's defaults
// (pkg/controller/ippool, defaults.go and ToProjectCalico).
func wantedPools(s *state.Snapshot, i *calico.Installation) []pool {
	out := make([]pool, 0, len(i.IPPools))
	families := map[bool]bool{}
	for _, p := range i.IPPools {
		families[strings.Contains(p.CIDR, ":")] = true
	}
	for _, p := range i.IPPools {
		prefix, _ := netip.ParsePrefix(p.CIDR)
		prefix = prefix.Masked()
		is6 := prefix.Addr().Is6()
		spec := map[string]any{"cidr": prefix.String(), "nodeSelector": cmp.Or(p.NodeSelector, "all()"), "assignmentMode": cmp.Or(p.AssignmentMode, string(v3.Automatic))}
		encapsulation, nat := p.Encapsulation, p.NATOutgoing
		if encapsulation == "" && !is6 && i.Plugin() == calico.PluginCalico {
			encapsulation = "IPIP"
		}
		if mode, ok := encapsulations[encapsulation]; ok {
			spec["ipipMode"], spec["vxlanMode"] = mode[0], mode[1]
		}
		if nat == "Enabled" || nat == "" && !is6 {
			spec["natOutgoing"] = true
		}
		if p.DisableNewAllocations {
			spec["disabled"] = true
		}
		if p.DisableBGPExport {
			spec["disableBGPExport"] = true
		}
		spec["blockSize"] = int64(p.BlockSize)
		if p.BlockSize == 0 {
			spec["blockSize"] = blockSize(is6)
		}
		uses := make([]any, len(p.AllowedUses))
		for n, use := range p.AllowedUses {
			uses[n] = use
		}
		if len(uses) == 0 {
			uses = defaultUses()
		}
		spec["allowedUses"] = uses
		out = append(out, pool{poolName(s, p.Name, prefix, len(i.IPPools), len(families) == 2), prefix, spec})
	}
	return out
}

// poolName returns the name of an IPPool: that of the Installation, that of the IPPool of the same
// CIDR, or the operator's default. pools is the number of IPPools in the Installation, dual reports
// whether they are of both families.
func poolName(s *state.Snapshot, name string, prefix netip.Prefix, pools int, dual bool) string {
	if name != "" {
		return name
	}
	for _, p := range s.IPPools() {
		if p.CIDR == prefix {
			return p.Name
		}
	}
	switch {
	case pools > 2, pools == 2 && !dual:
		return fmt.Sprintf("%s-%d", strings.ReplaceAll(prefix.Addr().StringExpanded(), ":", "."), prefix.Bits())
	case prefix.Addr().Is6():
		return "default-ipv6-ippool"
	default:
		return "default-ipv4-ippool"
	}
}

// encapsulations are the values of ipipMode and vxlanMode by encapsulation. None and "" set neither.
var encapsulations = map[string][2]string{
	"IPIP":             {string(v3.IPIPModeAlways), string(v3.VXLANModeNever)},
	"IPIPCrossSubnet":  {string(v3.IPIPModeCrossSubnet), string(v3.VXLANModeNever)},
	"VXLAN":            {string(v3.IPIPModeNever), string(v3.VXLANModeAlways)},
	"VXLANCrossSubnet": {string(v3.IPIPModeNever), string(v3.VXLANModeCrossSubnet)},
}

// effective returns the spec of an IPPool with the defaults that Calico applies when it reads it
// (libcalico-go/lib/clientv3/ippool.go, convertIpPoolFromStorage), for comparisons.
func effective(spec map[string]any, prefix netip.Prefix) map[string]any {
	out := map[string]any{
		"ipipMode": string(v3.IPIPModeNever), "vxlanMode": string(v3.VXLANModeNever), "natOutgoing": false, "disabled": false, "disableBGPExport": false,
		"nodeSelector": "all()", "assignmentMode": string(v3.Automatic), "blockSize": blockSize(prefix.Addr().Is6()), "allowedUses": defaultUses(),
	}
	for field := range out {
		if value := spec[field]; value != nil {
			out[field] = value
		}
	}
	out["blockSize"] = fmt.Sprint(out["blockSize"]) // Files have floats, API servers integers.
	return out
}

func blockSize(is6 bool) int64 {
	if is6 {
		return 122
	}
	return 26
}

func defaultUses() []any {
	return []any{string(v3.IPPoolAllowedUseWorkload), string(v3.IPPoolAllowedUseTunnel)}
}
