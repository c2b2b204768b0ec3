package calico

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	corev1 "k8s.io/api/core/v1"

	"github.com/projectcalico/api/pkg/lib/numorstring"
)

// Annotations of a core/v1 Node that decide BGP
// (libcalico-go/lib/backend/k8s/resources/node.go).
const (
	AnnotationIPv4Address = "projectcalico.org/IPv4Address"
	AnnotationIPv6Address = "projectcalico.org/IPv6Address"
	AnnotationASNumber    = "projectcalico.org/ASNumber"
	AnnotationClusterID   = "projectcalico.org/RouteReflectorClusterID"
	AnnotationLabels      = "projectcalico.org/labels"
)

// NodeAnnotations lists the annotations of a core/v1 Node that decide BGP.
var NodeAnnotations = []string{AnnotationIPv4Address, AnnotationIPv6Address, AnnotationASNumber, AnnotationClusterID, AnnotationLabels}

// Family is an address family.
type Family int

// The address families.
const (
	IPv4 Family = iota
	IPv6
)

// Families lists the address families in order.
var Families = [...]Family{IPv4, IPv6}

// String returns "IPv4" or "IPv6".
func (f Family) String() string { return [...]string{"IPv4", "IPv6"}[f] }

// FamilyOf returns the family of a valid address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// Node contains the fields of a Node that decide BGP. A Node without addresses has no
// sessions, but selectors can match it.
type Node struct {
	Name string
	// Labels are the labels that Calico's selectors see.
	Labels map[string]string
	// Address is the node's BGP address in each family, with the prefix length of its
	// network. The length is that of a single address if it is unknown. A Prefix is zero
	// if the node has no address in the family.
	Address [2]netip.Prefix
	// ASNumber is the node's own AS number, nil if the node uses the AS number of the
	// cluster. BIRD rejects 0.
	ASNumber *uint32
	// ClusterID is the cluster ID of a route reflector, "" for other nodes.
	ClusterID string
	// NotReady means that the node's condition Ready is not True: the node is down, or its
	// machine no longer exists. It is false if the Node does not have the condition.
	NotReady bool
	// Others are the addresses in the Node's status that are not its BGP addresses.
	Others []netip.Addr
	// InternalIP is, by family, the first InternalIP in the Node's status, zero if there is
	// none. Listed reports whether the status contains the BGP address of the family.
	InternalIP [2]netip.Addr
	Listed     [2]bool
	// DeletionTimestamp is the time of metadata.deletionTimestamp, "" unless the Node is
	// terminating.
	DeletionTimestamp string

	// sent returns the whole core/v1 Node, which must not be changed. It is nil if the Node was not
	// decoded from one.
	sent func() map[string]any
	// texts are the labels and annotations of that Node, nil if only sent has them.
	texts map[string]map[string]string
	// kubernetes are the labels of annotationKubernetesLabels, and annotations those of a
	// projectcalico.org/v3 Node.
	kubernetes  map[string]string
	annotations map[string]any
	problems    []Problem
	rejected    []rejection
}

// annotationKubernetesLabels is the annotation of a projectcalico.org/v3 Node with the labels
// that it has from Kubernetes, as JSON. calicoctl writes it, and removes these labels again
// before it stores a Node (libcalico-go/lib/backend/k8s/resources/node.go).
const annotationKubernetesLabels = "projectcalico.org/kube-labels"

// Core reports whether the Node was decoded from a core/v1 document.
func (n *Node) Core() bool { return n.sent != nil }

// KubernetesLabels returns the labels that a projectcalico.org/v3 Node has from Kubernetes. It
// returns nil if its document does not distinguish them from Calico's own, and for a core/v1
// Node. The map must not be changed.
func (n *Node) KubernetesLabels() map[string]string { return n.kubernetes }

// CalicoAnnotations returns the annotations of a projectcalico.org/v3 document, nil for a
// core/v1 Node. The map must not be changed.
func (n *Node) CalicoAnnotations() map[string]any { return n.annotations }

// Joins reports whether a change adds a node to BGP: the object is a Node that has an address after it,
// and none before it.
func Joins(before, after Object) bool {
	n, ok := after.(*Node)
	if !ok || !n.addressed() {
		return false
	}
	was, ok := before.(*Node)
	return before == nil || ok && !was.addressed()
}

// addressed reports whether the Node has an address for BGP.
func (n *Node) addressed() bool { return n.Address[IPv4].IsValid() || n.Address[IPv6].IsValid() }

// ID returns the Node's kind and name.
func (n *Node) ID() ID { return ID{KindNode, n.Name} }

// Problems lists the fields that Calico or BIRD ignores or rejects. Calico treats an
// annotation that it rejects as absent, and logs this at info level.
func (n *Node) Problems() []Problem { return n.problems }

// SpeaksBGP reports whether the node has a BGP address in the family f.
func (n *Node) SpeaksBGP(f Family) bool { return n.Address[f].IsValid() }

// RouteReflector reports whether the node is a route reflector, which is not part of the
// node-to-node mesh.
func (n *Node) RouteReflector() bool { return n.ClusterID != "" }

// SameBGP reports whether m and n are equal apart from NotReady, DeletionTimestamp and the
// addresses in their status, which do not change the sessions that Calico configures.
func (n *Node) SameBGP(m *Node) bool {
	same := *m
	same.NotReady, same.DeletionTimestamp = n.NotReady, n.DeletionTimestamp
	same.Others, same.InternalIP, same.Listed = n.Others, n.InternalIP, n.Listed
	return n.equal(&same)
}

// Has reports whether an address is one of the node's, for BGP or in its status.
func (n *Node) Has(a netip.Addr) bool {
	return n.Address[FamilyOf(a)].Addr() == a || slices.Contains(n.Others, a)
}

// SameStatus reports whether the addresses in the status of m and n are equal.
func (n *Node) SameStatus(m *Node) bool {
	return slices.Equal(n.Others, m.Others) && n.InternalIP == m.InternalIP && n.Listed == m.Listed
}

func (n *Node) equal(m *Node) bool { return maps.Equal(n.Labels, m.Labels) && n.SameButLabels(m) }

// SameButLabels reports whether m and n are equal in all that decides BGP besides labels.
func (n *Node) SameButLabels(m *Node) bool {
	return n.Name == m.Name && n.Address == m.Address && n.ClusterID == m.ClusterID && n.NotReady == m.NotReady && n.DeletionTimestamp == m.DeletionTimestamp &&
		(n.ASNumber == nil) == (m.ASNumber == nil) && (n.ASNumber == nil || *n.ASNumber == *m.ASNumber) &&
		n.SameStatus(m) && slices.Equal(n.problems, m.problems) && slices.Equal(n.rejected, m.rejected)
}

func (n *Node) manifest() map[string]any {
	if n.sent != nil {
		out := maps.Clone(n.sent())
		meta, _ := out["metadata"].(map[string]any)
		meta = maps.Clone(meta)
		delete(meta, "managedFields")
		for _, key := range []string{"labels", "annotations"} {
			if meta[key] == nil {
				meta[key] = map[string]any{}
			}
		}
		out["metadata"] = meta
		return out
	}
	annotations := map[string]string{}
	for f, key := range []string{AnnotationIPv4Address, AnnotationIPv6Address} {
		if n.Address[f].IsValid() {
			annotations[key] = n.Address[f].String()
		}
	}
	if n.ASNumber != nil {
		annotations[AnnotationASNumber] = strconv.FormatUint(uint64(*n.ASNumber), 10)
	}
	if n.ClusterID != "" {
		annotations[AnnotationClusterID] = n.ClusterID
	}
	meta := map[string]any{"name": n.Name}
	if n.DeletionTimestamp != "" {
		meta["deletionTimestamp"] = n.DeletionTimestamp
	}
	return map[string]any{"apiVersion": "v1", "kind": string(KindNode), "metadata": withTexts(meta, n.Labels, annotations)}
}

// field returns the value at a path into the document of the Node, nil if it has none there. It returns false if
// only the whole document can tell.
func (n *Node) field(path []string) (value any, known bool) {
	if n.texts == nil || len(path) < 3 || path[0] != "metadata" {
		return nil, false
	}
	texts, known := n.texts[path[1]]
	if text, ok := texts[path[2]]; ok && len(path) == 3 {
		return text, known
	}
	return nil, known
}

// NodeFromCore converts a core/v1 Node.
func NodeFromCore(node *corev1.Node) *Node {
	n := newNode(node.Name, node.Labels, node.Annotations)
	if t := node.DeletionTimestamp; t != nil {
		n.DeletionTimestamp = t.UTC().Format(time.RFC3339)
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			n.NotReady = c.Status != corev1.ConditionTrue
		}
	}
	for _, a := range node.Status.Addresses {
		n.addStatusAddress(a.Type, a.Address)
	}
	return n
}

// addStatusAddress reads an address of the Node's status. Host names are skipped.
func (n *Node) addStatusAddress(kind corev1.NodeAddressType, text string) {
	if kind != corev1.NodeInternalIP && kind != corev1.NodeExternalIP {
		return
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return
	}
	a = a.Unmap().WithZone("")
	f := FamilyOf(a)
	if kind == corev1.NodeInternalIP && !n.InternalIP[f].IsValid() {
		n.InternalIP[f] = a
	}
	if a == n.Address[f].Addr() {
		n.Listed[f] = true
	} else {
		n.Others = append(n.Others, a)
	}
}

// notReady reads the condition Ready of a core/v1 Node's status.
func notReady(status *fields) bool {
	for _, v := range get[[]any](status, "conditions", "a list") {
		c, _ := v.(map[string]any)
		if c["type"] == string(corev1.NodeReady) {
			return c["status"] != string(corev1.ConditionTrue)
		}
	}
	return false
}

func newNode(name string, labels, annotations map[string]string) *Node {
	n := &Node{Name: name, Labels: labels}
	at := func(key string) (string, string) { return annotations[key], "metadata.annotations[" + key + "]" }
	if text, field := at(AnnotationLabels); text != "" {
		var own map[string]string
		if err := json.Unmarshal([]byte(text), &own); err != nil {
			n.problem(field, "is not a JSON object of strings, so Calico ignores it: %v", err)
		} else if len(own) > 0 {
			// The Node's own labels have precedence over the annotation.
			n.Labels = own
			maps.Copy(n.Labels, labels)
		}
	}
	for f, key := range []string{AnnotationIPv4Address, AnnotationIPv6Address} {
		text, field := at(key)
		n.setAddress(Family(f), field, text)
	}
	text, field := at(AnnotationASNumber)
	if text != "" {
		if asn, err := numorstring.ASNumberFromString(text); err != nil {
			n.problem(field, "%q is not an AS number, so Calico ignores it", text)
		} else {
			v := uint32(asn)
			n.ASNumber = &v
		}
	}
	text, field = at(AnnotationClusterID)
	n.setClusterID(field, text)
	n.check(annotations)
	return n
}

func (n *Node) problem(field, format string, args ...any) {
	n.problems = append(n.problems, Problem{field, fmt.Sprintf(format, args...)})
}

func (n *Node) setAddress(f Family, field, text string) {
	if text == "" {
		return
	}
	p := parseCIDROrIP(text)
	if !p.IsValid() || FamilyOf(p.Addr()) != f {
		n.problem(field, "%q is not an %s address, so the node has no %s BGP", text, f, f)
		return
	}
	n.Address[f] = p
}

// parseCIDROrIP parses an address with or without the length of its network as Calico does
// (libcalico-go/lib/net/ipnet.go, ParseCIDROrIP): an IPv4-mapped address is an IPv4 address, and
// a length may have leading zeros. The result has host bits. It is the zero Prefix if text is
// neither. An IPv4-mapped address whose network is not one of IPv4 has the length of a single
// address.
func parseCIDROrIP(text string) netip.Prefix {
	if ip, network, err := net.ParseCIDR(text); err == nil {
		a, _ := netip.AddrFromSlice(ip)
		ones, bits := network.Mask.Size()
		a = a.Unmap()
		if ones -= bits - a.BitLen(); ones < 0 {
			ones = a.BitLen()
		}
		return netip.PrefixFrom(a, ones)
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen())
}

// setClusterID sets the cluster ID if Calico accepts text: an IPv4 address, or an IPv4
// network without host bits (libcalico-go/lib/validator/v3, ValidateIPv4Network). BIRD accepts
// only an IPv4 address in its usual form.
func (n *Node) setClusterID(field, text string) {
	if text == "" {
		return
	}
	p := parseCIDROrIP(text)
	accepted := p.IsValid() && p.Addr().Is4()
	if ip, network, err := net.ParseCIDR(text); err == nil {
		accepted = accepted && network.IP.Equal(ip)
	}
	if !accepted {
		n.problem(field, "%q is not an IPv4 address, so Calico does not make the node a route reflector", text)
		return
	}
	n.ClusterID = text
	if message := RejectedClusterID(text); message != "" {
		n.problem(field, "%s, which BIRD rejects: the node keeps its old BGP configuration", message)
	}
	if strings.Contains(text, "/") {
		n.rejected = append(n.rejected, rejection{Problem: Problem{field, fmt.Sprintf("%q has a mask", text)}})
	}
}

// decodeCoreNode decodes a core/v1 Node.
func decodeCoreNode(d *document) Object {
	n, status := newNode(d.Name, d.Labels, d.Annotations), d.root.object("status")
	n.NotReady, n.DeletionTimestamp, n.sent = notReady(status), d.DeletionTimestamp, func() map[string]any { return d.sent }
	for _, v := range get[[]any](status, "addresses", "a list") {
		a, _ := v.(map[string]any)
		kind, _ := a["type"].(string)
		text, _ := a["address"].(string)
		n.addStatusAddress(corev1.NodeAddressType(kind), text)
	}
	return n
}

// servedNode is what decodeCoreNode reads of a core/v1 Node.
type servedNode struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name              string            `json:"name"`
		Labels            map[string]string `json:"labels"`
		Annotations       map[string]string `json:"annotations"`
		DeletionTimestamp string            `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec   struct{} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
		Addresses []struct {
			Type    string `json:"type"`
			Address string `json:"address"`
		} `json:"addresses"`
	} `json:"status"`
}

// decodeServedNode decodes a core/v1 Node in the form in which an API server writes it, like DecodeStoredJSON, but
// reads only what decides BGP: most of a Node is a list of images. It returns nil if raw is anything else, or has
// a value that decodeCoreNode would report. The Node keeps raw.
func decodeServedNode(raw []byte) *Node {
	if !bytes.HasPrefix(raw, []byte(`{"kind":"Node","apiVersion":"v1",`)) || bytes.Contains(raw, []byte(":null")) {
		return nil
	}
	var v servedNode
	if err := jsonv2.Unmarshal(raw, &v); err != nil || v.Kind != string(KindNode) || v.APIVersion != APIVersionCore || v.Metadata.Name == "" {
		return nil
	}
	n := newNode(v.Metadata.Name, v.Metadata.Labels, v.Metadata.Annotations)
	n.DeletionTimestamp = v.Metadata.DeletionTimestamp
	for _, c := range v.Status.Conditions {
		if c.Type == string(corev1.NodeReady) {
			n.NotReady = c.Status != string(corev1.ConditionTrue)
			break
		}
	}
	for _, a := range v.Status.Addresses {
		n.addStatusAddress(corev1.NodeAddressType(a.Type), a.Address)
	}
	n.texts = map[string]map[string]string{"labels": v.Metadata.Labels, "annotations": v.Metadata.Annotations}
	n.sent = sync.OnceValue(func() map[string]any {
		document, err := documentOf(raw)
		if err != nil { // Both decoders accept the same JSON.
			return map[string]any{}
		}
		return document
	})
	return n
}

// decodeCalicoNode decodes a projectcalico.org/v3 Node, which calicoctl writes.
func decodeCalicoNode(d *document) Object {
	bgp := d.spec.object("bgp")
	n := &Node{Name: d.Name, Labels: d.Labels, ASNumber: bgp.asNumber("asNumber"), DeletionTimestamp: d.DeletionTimestamp, problems: d.problems}
	for f, key := range []string{"ipv4Address", "ipv6Address"} {
		n.setAddress(Family(f), bgp.at(key), bgp.text(key))
	}
	n.setClusterID(bgp.at("routeReflectorClusterID"), bgp.text("routeReflectorClusterID"))
	n.annotations, _ = d.meta.values["annotations"].(map[string]any)
	if text := d.Annotations[annotationKubernetesLabels]; text != "" {
		if err := json.Unmarshal([]byte(text), &n.kubernetes); err != nil {
			d.meta.fail("annotations["+annotationKubernetesLabels+"]", "is not a JSON object of strings: %v", err)
		}
	}
	return n
}
