package calico

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
)

// fieldsSince are the fields in specs that came after Calico v3.23 and that decide BGP, with the
// first version whose CustomResourceDefinitions have them
// (libcalico-go/config/crd of the releases). A path has no indexes of lists.
var fieldsSince = map[Kind]map[string]string{
	KindBGPPeer: {
		"reachableBy": "3.25.0", "ttlSecurity": "3.25.0", "filters": "3.26.0", "localWorkloadSelector": "3.30.0",
		"nextHopMode": "3.30.2", "reversePeering": "3.30.3", "localASNumber": "3.31.0", "keepaliveTime": "3.32.0",
	},
	KindBGPConfiguration: {
		"ignoredInterfaces": "3.25.0", "localWorkloadPeeringIPV4": "3.30.0", "localWorkloadPeeringIPV6": "3.30.0",
		"serviceLoadBalancerAggregation": "3.31.0", "ipv4NormalRoutePriority": "3.32.0", "ipv6NormalRoutePriority": "3.32.0",
		"programClusterRoutes": "3.32.0",
	},
	KindFelixConfiguration: {
		"programClusterRoutes": "3.31.0", "ipv4NormalRoutePriority": "3.32.0", "ipv6NormalRoutePriority": "3.32.0", "nodeSelector": "3.32.0",
	},
	KindBGPFilter: inRules(map[string]string{
		"source": "3.27.0", "interface": "3.27.0", "prefixLength": "3.29.0", "asPathPrefix": "3.32.0", "communities": "3.32.0",
		"operations": "3.32.0", "peerType": "3.32.0", "priority": "3.32.0",
	}),
}

// Feature is a rule of Calico about BGP that is not in each version.
type Feature string

// The features that came with a version, apart from fields.
const (
	// NodesKeepNextHop says that keepOriginalNextHop applies to peers that are nodes.
	NodesKeepNextHop Feature = "keepOriginalNextHop of nodes"
	// FiltersByAttributes says that rules of BGPFilters can match and change attributes of routes.
	FiltersByAttributes Feature = "BGPFilters by attributes"
	// MeshPeersInheritASN says that a node expects its own AS number of a mesh peer without an AS number of its own.
	MeshPeersInheritASN Feature = "AS numbers of mesh peers"
	// MultihopMesh says that the sessions of the mesh between AS numbers need no common link.
	MultihopMesh Feature = "mesh over several hops"
	// FelixRoutesNoEncap says that Felix can program the routes of IPPools without encapsulation.
	FelixRoutesNoEncap Feature = "Felix programs routes without encapsulation"
	// SplitClusterRoutes says that programClusterRoutes has values for a part of the IPPools, and that Felix and BIRD
	// share the routes if it is unset.
	SplitClusterRoutes Feature = "programClusterRoutes by encapsulation"
	// ValidatesInCRDs says that Calico's validator leaves rules to the CustomResourceDefinitions, which Typha
	// does not evaluate.
	ValidatesInCRDs Feature = "validation by CustomResourceDefinitions"
)

// featuresSince are the first versions with the features.
var featuresSince = map[Feature]*version.Version{
	NodesKeepNextHop:    version.MustParseGeneric("3.30.2"),
	MeshPeersInheritASN: version.MustParseGeneric("3.32.0"),
	FiltersByAttributes: version.MustParseGeneric("3.32.0"),
	FelixRoutesNoEncap:  version.MustParseGeneric("3.32.0"),
	SplitClusterRoutes:  version.MustParseGeneric("3.33.0"),
	MultihopMesh:        version.MustParseGeneric("3.33.0"),
	ValidatesInCRDs:     version.MustParseGeneric("3.33.0"),
}

// In reports whether a version of Calico has the feature. It does if the version is not known (nil).
func (f Feature) In(v *version.Version) bool { return v == nil || v.AtLeast(featuresSince[f]) }

// HasField reports whether a version of Calico has a field of fieldsSince. It does if the version is not known (nil).
func HasField(v *version.Version, kind Kind, path string) bool {
	return v == nil || v.AtLeast(version.MustParseGeneric(fieldsSince[kind][path]))
}

// Versions returns the versions of Calico, in order, that read an object or decide BGP in another way than the one before:
// those of the fields and features that are not in each version.
func Versions() []*version.Version {
	out := slices.Collect(maps.Values(featuresSince))
	for _, rows := range newerRows {
		for _, row := range rows {
			out = append(out, row.since)
		}
	}
	slices.SortFunc(out, func(a, b *version.Version) int {
		switch {
		case a.LessThan(b):
			return -1
		case b.LessThan(a):
			return 1
		default:
			return 0
		}
	})
	return slices.CompactFunc(out, func(a, b *version.Version) bool { return a.EqualTo(b) })
}

// inRules returns the fields of the rules of a BGPFilter in its four lists.
func inRules(fields map[string]string) map[string]string {
	out := map[string]string{}
	for _, lists := range filterFields {
		for _, list := range lists {
			for field, since := range fields {
				out[list+"."+field] = since
			}
		}
	}
	return out
}

// newerRow is a row of fieldsSince.
type newerRow struct {
	steps []string
	since *version.Version
}

var newerRows = func() map[Kind][]newerRow {
	out := map[Kind][]newerRow{}
	for kind, fields := range fieldsSince {
		for path, since := range fields {
			out[kind] = append(out[kind], newerRow{strings.Split(path, "."), version.MustParseGeneric(since)})
		}
		slices.SortFunc(out[kind], func(a, b newerRow) int { return slices.Compare(a.steps, b.steps) })
	}
	return out
}()

// newerField is a field of an object that not every version of Calico has.
type newerField struct {
	path  string // with the indexes of lists
	since *version.Version
}

// visitNewer calls visit for each field of a spec in fieldsSince, with the object that has it and
// its name. The paths begin with "spec".
func visitNewer(kind Kind, spec map[string]any, visit func(f newerField, of map[string]any, name string)) {
	for _, row := range newerRows[kind] {
		visitSteps("spec", spec, row.steps, func(path string, of map[string]any, name string) { visit(newerField{path, row.since}, of, name) })
	}
}

func visitSteps(at string, value any, steps []string, visit func(path string, of map[string]any, name string)) {
	switch v := value.(type) {
	case map[string]any:
		next := v[steps[0]]
		switch path := at + "." + steps[0]; {
		case next == nil:
		case len(steps) == 1:
			visit(path, v, steps[0])
		default:
			visitSteps(path, next, steps[1:], visit)
		}
	case []any:
		for i, item := range v {
			visitSteps(fmt.Sprintf("%s[%d]", at, i), item, steps, visit)
		}
	}
}

// newer are the fields of an object that not every version of Calico has.
type newer struct {
	fields []newerField // sorted by path
	last   atomic.Pointer[olderReading]
}

// olderReading is an object as a version of Calico reads it.
type olderReading struct {
	version *version.Version
	object  Object
}

// findNewer returns the fields of a spec that not every version of Calico has, nil for none.
func findNewer(kind Kind, spec map[string]any) *newer {
	var found []newerField
	visitNewer(kind, spec, func(f newerField, _ map[string]any, _ string) { found = append(found, f) })
	if found == nil {
		return nil
	}
	slices.SortFunc(found, func(a, b newerField) int { return strings.Compare(a.path, b.path) })
	return &newer{fields: found}
}

// InVersion returns o as Calico's version v reads it: without the fields that v does not have. The
// API server of a cluster with the CustomResourceDefinitions of v does not store them, and the
// programs of v do not decode them if it does. They are among the Problems of the result. Whole
// returns o again, and so does InVersion if v is nil or has all fields. O(fields of o), and O(1) if
// each version has them. The last result of an object is cached.
func InVersion(o Object, v *version.Version) Object {
	o = Whole(o)
	m := MetadataOf(o)
	if m == nil || m.newer == nil || v == nil || !slices.ContainsFunc(m.newer.fields, func(f newerField) bool { return v.LessThan(f.since) }) {
		return o
	}
	if last := m.newer.last.Load(); last != nil && last.version.EqualTo(v) {
		return last.object
	}
	document := runtime.DeepCopyJSON(m.sent)
	spec, _ := document["spec"].(map[string]any)
	visitNewer(m.kind, spec, func(f newerField, of map[string]any, name string) {
		if v.LessThan(f.since) {
			delete(of, name)
		}
	})
	read, err := DecodeStored(document)
	older := MetadataOf(read)
	if err != nil || older == nil { // The metadata is that of o, which decoded.
		return o
	}
	older.sent, older.whole = m.sent, o
	for _, f := range m.newer.fields {
		if v.LessThan(f.since) {
			older.problem(f.path, "is a field since Calico v%s: Calico v%s ignores it; with the CustomResourceDefinitions of that version, kubectl apply rejects the object, and other clients lose the field", f.since, v)
		}
	}
	m.newer.last.Store(&olderReading{v, read})
	return read
}

// Whole returns the object that InVersion read as o, with all fields. It returns o if that has
// them, and nil for nil.
func Whole(o Object) Object {
	if m := MetadataOf(o); m != nil && m.whole != nil {
		return m.whole
	}
	return o
}
