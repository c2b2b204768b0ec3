package property

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// cluster is a cluster as documents by their names. healthy holds no fault.
type cluster struct {
	name string
	// others means that the nodes exchange routes by other means than route reflectors, and
	// that route-reflectors-required is therefore not in force, as its page says.
	others bool
	// external means that only external peers connect the nodes. Whether they pass routes on is
	// not known, so the mesh is not a fault of this cluster: it can be all that connects nodes.
	external bool
	healthy  map[calico.ID]document
	ids      []calico.ID // of healthy, sorted
	faults   []fault     // that the cluster can have
}

type document = map[string]any

// fault breaks one thing in a healthy cluster: it sets fields of an object, deletes it, or
// creates one that should not be there.
type fault struct {
	name string
	id   calico.ID
	// fields are the values by path, nil to unset a field.
	fields map[string]any
	// deleted and created replace the whole object.
	deleted bool
	created document
	// takes means that the fault takes sessions or routes away, lends that it adds some. Nodes
	// can depend on lent ones while their own are missing: removing a fault that lends is a
	// repair only where no other fault takes, so no state has both.
	takes, lends bool
	// removes means that a node is gone or down. More than one node stays: a single one needs
	// no routes, so a second one makes new needs.
	removes bool
	// freezes means that BIRD rejects the configuration of each node that peers with the
	// object. While it lasts, a change that gives another node such a session freezes that
	// node too, so it must be removed first. A state has at most one.
	freezes bool
	// silences means that the BGPPeer gives no half-sessions any more. alters means that one
	// end of sessions has other settings. While a BGPPeer is silent, another one can give both
	// ends, so that the settings of neither matter: no state has both. The same setting at both
	// ends, such as a password, fits again, so that removing it at one end is no repair: no state
	// has two such faults with equal fields.
	silences, alters bool
	// with names a setting that other faults of the same setting are judged by: only one of
	// them can be in a state. A value that fits a healthy setting is no repair while the
	// setting itself is wrong.
	with string
}

// clash reports whether two faults cannot be in one state.
func (f *fault) clash(g *fault) bool {
	if f.with != "" && f.with == g.with || f.lends && g.takes || f.takes && g.lends || f.freezes && g.freezes || f.silences && g.alters || f.alters && g.silences {
		return true
	}
	if f.alters && g.alters && reflect.DeepEqual(f.fields, g.fields) {
		return true
	}
	if f.id != g.id {
		return false
	}
	if f.deleted || g.deleted || f.created != nil || g.created != nil {
		return true
	}
	for path := range f.fields {
		if _, ok := g.fields[path]; ok {
			return true
		}
	}
	return false
}

// object returns an object with the faults that concern it, nil if it does not exist.
func (c *cluster) object(t testing.TB, id calico.ID, faults []*fault) calico.Object {
	t.Helper()
	doc := clone(c.healthy[id])
	for _, f := range faults {
		switch {
		case f.id != id:
		case f.deleted:
			return nil
		case f.created != nil:
			doc = clone(f.created)
		default:
			for path, value := range f.fields {
				set(doc, strings.Split(path, " "), value)
			}
		}
	}
	if doc == nil {
		return nil
	}
	return calicotest.Decode(t, doc)
}

// change returns the change of an object from one list of faults to another.
func (c *cluster) change(t testing.TB, id calico.ID, from, to []*fault) state.Change {
	t.Helper()
	return state.Change{Before: c.object(t, id, from), After: c.object(t, id, to)}
}

// objects returns all objects of the healthy cluster.
func (c *cluster) objects(t testing.TB) []calico.Object {
	t.Helper()
	var out []calico.Object
	for _, id := range c.ids {
		out = append(out, c.object(t, id, nil))
	}
	return out
}

// without returns faults without number i.
func without(faults []*fault, i int) []*fault { return slices.Delete(slices.Clone(faults), i, i+1) }

func names(faults []*fault) string {
	var out []string
	for _, f := range faults {
		out = append(out, f.name)
	}
	return strings.Join(out, " + ")
}

func clone(doc document) document {
	out := maps.Clone(doc)
	for k, v := range out {
		if inner, ok := v.(document); ok {
			out[k] = clone(inner)
		}
	}
	return out
}

func set(doc document, path []string, value any) {
	for _, p := range path[:len(path)-1] {
		inner, _ := doc[p].(document)
		if inner == nil {
			inner = document{}
			doc[p] = inner
		}
		doc = inner
	}
	last := path[len(path)-1]
	if value == nil {
		delete(doc, last)
		return
	}
	doc[last] = value
}

// draw draws up to n faults of the cluster that can be in one state.
func (c *cluster) draw(r *rand.Rand, n int) []*fault {
	var out []*fault
	for range 4 * n {
		f := &c.faults[r.IntN(len(c.faults))]
		removed := 0
		for _, g := range out {
			if g.removes {
				removed++
			}
		}
		if len(out) < n && !slices.ContainsFunc(out, f.clash) && (!f.removes || removed < 2) {
			out = append(out, f)
		}
	}
	return out
}

// builder makes a healthy cluster.
type builder struct {
	t       testing.TB
	cluster *cluster
}

func newBuilder(t testing.TB, name string) *builder {
	return &builder{t, &cluster{name: name, healthy: map[calico.ID]document{}}}
}

func (b *builder) add(doc document) {
	b.t.Helper()
	// Every value has the type that the decoder of the API server returns.
	o := calicotest.Decode(b.t, doc)
	b.cluster.healthy[o.ID()] = doc
}

func (b *builder) object(kind calico.Kind, name string, spec document) {
	b.t.Helper()
	b.add(calicotest.Document(b.t, kind, name, spec))
}

// node adds a Node as calico-node annotates it. clusterID is "" for an ordinary node.
func (b *builder) node(i int, clusterID string, dual bool, asNumber int) {
	b.t.Helper()
	labels := document{"kubernetes.io/hostname": nodeName(i), "rack": fmt.Sprintf("r%d", i%2)}
	annotations := document{calico.AnnotationIPv4Address: address(i) + "/24"}
	if clusterID != "" {
		annotations[calico.AnnotationClusterID] = clusterID
		labels["rr"] = "true"
	}
	if dual {
		annotations[calico.AnnotationIPv6Address] = fmt.Sprintf("fd00::%d/64", 10+i)
	}
	if asNumber != 0 {
		annotations[calico.AnnotationASNumber] = fmt.Sprint(asNumber)
	}
	b.add(document{
		"apiVersion": "v1", "kind": "Node", "metadata": document{"name": nodeName(i), "labels": labels, "annotations": annotations},
		"status": document{"conditions": []any{document{"type": "Ready", "status": "True"}}},
	})
}

func nodeName(i int) string { return fmt.Sprintf("node-%02d", i) }

func address(i int) string { return fmt.Sprintf("10.0.0.%d", 8+i) }

func (b *builder) pool(name, cidr, ipip, vxlan string) {
	b.t.Helper()
	b.object(calico.KindIPPool, name, document{"cidr": cidr, "ipipMode": ipip, "vxlanMode": vxlan, "natOutgoing": true})
}

// clusters returns healthy clusters of the usual designs.
func clusters(t testing.TB) []*cluster {
	t.Helper()
	var out []*cluster
	done := func(b *builder) {
		b.cluster.ids = slices.SortedFunc(maps.Keys(b.cluster.healthy), func(x, y calico.ID) int { return strings.Compare(x.String(), y.String()) })
		b.findFaults()
		out = append(out, b.cluster)
	}
	mesh := newBuilder(t, "mesh")
	for i := range 6 {
		mesh.node(i, "", false, 0)
	}
	mesh.object(calico.KindBGPConfiguration, "default", document{"nodeToNodeMeshEnabled": true, "asNumber": int64(64512), "nodeMeshMaxRestartTime": "120s"})
	mesh.pool("pool", "192.168.0.0/17", "Never", "Never")
	mesh.object(calico.KindBGPPeer, "tor", document{"peerIP": "10.0.0.1", "asNumber": int64(64600)})
	done(mesh)

	plain := newBuilder(t, "mesh without BGPConfiguration")
	for i := range 4 {
		plain.node(i, "", true, 0)
	}
	plain.pool("pool", "192.168.0.0/17", "Always", "Never")
	plain.pool("pool6", "fd01::/64", "Never", "Never")
	done(plain)

	for _, id := range []string{"one cluster ID", "a cluster ID for each"} {
		rr := newBuilder(t, "route reflectors with "+id)
		for i := range 7 {
			clusterID := ""
			if i < 2 {
				clusterID = "244.0.0.1"
				if id != "one cluster ID" {
					clusterID = fmt.Sprintf("244.0.0.%d", i+1)
				}
			}
			rr.node(i, clusterID, i%2 == 0 && id != "one cluster ID", 0)
		}
		rr.object(calico.KindBGPConfiguration, "default", document{"nodeToNodeMeshEnabled": false, "asNumber": int64(64512)})
		rr.object(calico.KindBGPPeer, "workers-to-rrs", document{"nodeSelector": "!has(rr)", "peerSelector": "has(rr)"})
		rr.object(calico.KindBGPPeer, "rr-mesh", document{"nodeSelector": "has(rr)", "peerSelector": "has(rr)"})
		rr.pool("pool", "192.168.0.0/17", "Never", "Never")
		rr.pool("vxlan", "192.168.128.0/17", "Never", "CrossSubnet")
		done(rr)
	}

	tor := newBuilder(t, "top-of-rack routers and route reflectors")
	for i := range 6 {
		tor.node(i, map[bool]string{true: "244.0.0.9"}[i < 2], false, 0)
	}
	tor.object(calico.KindBGPConfiguration, "default", document{"nodeToNodeMeshEnabled": false})
	tor.object(calico.KindBGPPeer, "to-rrs", document{"nodeSelector": "all()", "peerSelector": "has(rr)"})
	for rack := range 2 {
		tor.object(calico.KindBGPPeer, fmt.Sprintf("tor-%d", rack), document{
			"nodeSelector": fmt.Sprintf("rack == 'r%d'", rack), "peerIP": fmt.Sprintf("10.0.1.%d", rack+1), "asNumber": int64(64600 + rack),
		})
	}
	tor.pool("pool", "192.168.0.0/17", "Never", "Never")
	done(tor)

	racks := newBuilder(t, "an AS number for each rack")
	for i := range 6 {
		racks.node(i, "", false, 64520+i%2)
	}
	racks.object(calico.KindBGPConfiguration, "default", document{"nodeToNodeMeshEnabled": false})
	for rack := range 2 {
		racks.object(calico.KindBGPPeer, fmt.Sprintf("rack-%d", rack), document{"nodeSelector": "all()", "peerSelector": fmt.Sprintf("rack == 'r%d'", rack)})
	}
	racks.cluster.others = true
	racks.pool("pool", "192.168.0.0/17", "Never", "Never")
	done(racks)

	routers := newBuilder(t, "top-of-rack routers only")
	for i := range 4 {
		routers.node(i, "", false, 64520+i)
	}
	routers.object(calico.KindBGPConfiguration, "default", document{"nodeToNodeMeshEnabled": false})
	routers.object(calico.KindBGPPeer, "tor-a", document{"peerIP": "10.0.1.1", "asNumber": int64(64600)})
	routers.object(calico.KindBGPPeer, "tor-b", document{"peerIP": "10.0.1.2", "asNumber": int64(64600)})
	routers.cluster.others, routers.cluster.external = true, true
	routers.pool("pool", "192.168.0.0/17", "Never", "Never")
	done(routers)

	vxlan := newBuilder(t, "VXLAN")
	for i := range 5 {
		vxlan.node(i, "", false, 0)
	}
	vxlan.object(calico.KindBGPConfiguration, "default", document{"nodeToNodeMeshEnabled": false})
	vxlan.pool("pool", "192.168.0.0/17", "Never", "Always")
	done(vxlan)
	return out
}

// findFaults lists the faults that the cluster can have.
func (b *builder) findFaults() {
	c := b.cluster
	add := func(f fault, format string, args ...any) {
		f.name = fmt.Sprintf(format, args...)
		c.faults = append(c.faults, f)
	}
	for _, id := range c.ids {
		change := func(kind fault, name, path string, value any) {
			kind.id, kind.fields = id, map[string]any{path: value}
			add(kind, "%s: %s", id, name)
		}
		if id.Kind == calico.KindNode {
			b.nodeFaults(id, add, change)
		}
		if id.Kind == calico.KindBGPPeer {
			b.peerFaults(id, add, change)
		}
		if id.Kind == calico.KindIPPool {
			change(fault{takes: true}, "no encapsulation", "spec vxlanMode", "Never")
			change(fault{takes: true}, "not exported", "spec disableBGPExport", true)
		}
	}
	id := calico.ID{Kind: calico.KindBGPConfiguration, Name: calico.Default}
	meshOn := c.healthy[id] == nil || c.healthy[id]["spec"].(document)["nodeToNodeMeshEnabled"] == true
	if c.healthy[id] == nil {
		off := calicotest.Document(b.t, id.Kind, id.Name, document{"nodeToNodeMeshEnabled": false})
		add(fault{id: id, created: off, takes: true}, "mesh off")
		return
	}
	if c.external {
		return
	}
	mesh := func(value bool) map[string]any { return map[string]any{"spec nodeToNodeMeshEnabled": value} }
	add(fault{id: id, fields: mesh(!meshOn), takes: meshOn, lends: !meshOn}, "mesh %t", !meshOn)
	add(fault{id: id, deleted: true, lends: !meshOn, with: "restart time"}, "default deleted")
	for _, number := range []int64{0, 65001} {
		add(fault{id: id, fields: map[string]any{"spec asNumber": number}, takes: true, freezes: number == 0, with: "AS number"}, "AS number %d of the cluster", number)
	}
	add(fault{id: id, fields: map[string]any{"spec nodeMeshMaxRestartTime": "300s"}, with: "restart time"}, "nodeMeshMaxRestartTime 300s")
	add(fault{id: id, fields: map[string]any{"spec listenPort": int64(1790)}}, "listenPort 1790")
	add(fault{id: id, fields: map[string]any{"spec nodeMeshPassword": secret("mesh")}}, "nodeMeshPassword")
	add(fault{id: id, fields: map[string]any{"spec programClusterRoutes": "Disabled"}}, "programClusterRoutes Disabled")
}

func secret(name string) document {
	return document{"secretKeyRef": document{"name": name, "key": "password"}}
}

func (b *builder) nodeFaults(id calico.ID, add func(fault, string, ...any), change func(fault, string, string, any)) {
	doc := b.cluster.healthy[id]
	annotations := doc["metadata"].(document)["annotations"].(document)
	annotation := func(name string) string { return "metadata annotations " + name }
	frozen, both := fault{takes: true, freezes: true}, fault{takes: true, lends: true}
	// Without it, the node has no router ID in IPv6.
	change(fault{takes: true, removes: true, freezes: annotations[calico.AnnotationIPv6Address] != nil}, "no IPv4 address", annotation(calico.AnnotationIPv4Address), nil)
	change(frozen, "AS number 0", annotation(calico.AnnotationASNumber), "0")
	// Sessions with another AS number are eBGP, and pass routes on that iBGP does not.
	change(both, "AS number 65002", annotation(calico.AnnotationASNumber), "65002")
	for i := range 3 {
		if nodeName(i) != id.Name {
			change(frozen, "the address of "+nodeName(i), annotation(calico.AnnotationIPv4Address), address(i)+"/24")
		}
	}
	if annotations[calico.AnnotationIPv6Address] != nil {
		change(fault{takes: true, removes: true}, "no IPv6 address", annotation(calico.AnnotationIPv6Address), nil)
		change(frozen, "a link-local address", annotation(calico.AnnotationIPv6Address), "fe80::1/64")
	}
	if annotations[calico.AnnotationClusterID] == nil {
		// The node reflects routes, and is no longer in the mesh.
		change(both, "a cluster ID", annotation(calico.AnnotationClusterID), "244.0.0.7")
		change(fault{takes: true, lends: true, freezes: true}, "a cluster ID with a mask", annotation(calico.AnnotationClusterID), "244.0.0.0/8")
		change(fault{lends: true}, "labelled rr", "metadata labels rr", "true")
	} else {
		change(frozen, "a cluster ID with a mask", annotation(calico.AnnotationClusterID), "244.0.0.0/8")
		change(fault{takes: true}, "no cluster ID", annotation(calico.AnnotationClusterID), nil)
		change(both, "another cluster ID", annotation(calico.AnnotationClusterID), "244.0.0.8")
		change(both, "not labelled rr", "metadata labels rr", nil) // It gets the sessions of other nodes.
	}
	change(fault{takes: true, silences: true}, "no rack", "metadata labels rack", nil)
	change(fault{takes: true, removes: true}, "not ready", "status", document{"conditions": []any{document{"type": "Ready", "status": "False"}}})
	add(fault{id: id, deleted: true, takes: true, removes: true}, "%s: deleted", id)
}

func (b *builder) peerFaults(id calico.ID, add func(fault, string, ...any), change func(fault, string, string, any)) {
	spec := b.cluster.healthy[id]["spec"].(document)
	frozen := fault{takes: true, freezes: true}
	for _, field := range []string{"nodeSelector", "peerSelector"} {
		if spec[field] == nil {
			continue
		}
		for _, selector := range []string{"has(nothing)", "has(", fmt.Sprintf("(%s) && rack == 'r1'", spec[field])} {
			add(fault{id: id, fields: map[string]any{"spec " + field: selector}, takes: true, silences: true}, "%s: %s %q", id, field, selector)
		}
	}
	altered := fault{takes: true, alters: true}
	if spec["peerIP"] != nil {
		change(frozen, "no asNumber", "spec asNumber", nil)
		change(altered, "another asNumber", "spec asNumber", int64(64700))
		change(altered, "localASNumber", "spec localASNumber", int64(64800))
	}
	change(altered, "password", "spec password", secret("peer"))
	change(altered, "ttlSecurity", "spec ttlSecurity", int64(1))
	change(fault{}, "keepaliveTime", "spec keepaliveTime", "5s")
	change(fault{with: "restart time"}, "maxRestartTime", "spec maxRestartTime", "300s")
	change(fault{}, "filters", "spec filters", []any{"missing"})
	change(fault{}, "nextHopMode", "spec nextHopMode", "Self")
	change(altered, "reversePeering", "spec reversePeering", "Manual")
	change(fault{}, "sourceAddress", "spec sourceAddress", "None")
	add(fault{id: id, deleted: true, takes: true, silences: true}, "%s: deleted", id)
	for _, settings := range []document{{"password": secret("other")}, {"maxRestartTime": "240s"}, {"keepaliveTime": "20s"}} {
		_, password := settings["password"]
		copied := fault{
			id: calico.ID{Kind: id.Kind, Name: id.Name + "-copy"}, created: calicotest.Document(b.t, id.Kind, id.Name+"-copy", merged(spec, settings)),
			takes: password, alters: password, lends: true, with: "copy",
		}
		add(copied, "%s: copied with %v", id, settings)
	}
}

func merged(a, b document) document {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// show returns a change as text for a failure.
func show(c state.Change) string {
	text := func(o calico.Object) string {
		if o == nil {
			return "none"
		}
		data, _ := json.Marshal(calico.Manifest(o)) //nolint:errchkjson // Manifests encode.
		return string(data)
	}
	return fmt.Sprintf("%s %s\n  from %s\n  to %s", c.Operation(), c.ID(), text(c.Before), text(c.After))
}
