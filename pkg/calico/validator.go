package calico

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/version"
)

// rejection is a value that Calico's validator rejects and that the API server may have stored.
type rejection struct {
	Problem

	// old reports that only versions before v3.33 reject the value: in v3.33 the rule moved to
	// the CRDs, which Typha does not evaluate.
	old bool
}

// ValidatorRejections returns what the validator of Calico's version v rejects in o, or what that of every
// version rejects if v is nil. Calico's API server and calicoctl do not write such an object. If it is stored,
// Typha passes it on as if it had been deleted (typha/pkg/calc/validation_filter.go,
// libcalico-go/lib/validator/v3). The result is empty for kinds that Typha does not filter.
func ValidatorRejections(o Object, v *version.Version) []Problem {
	all := rejectionsOf(o)
	if len(all) == 0 {
		return nil
	}
	var out []Problem
	for _, r := range all {
		if !r.old || !ValidatesInCRDs.In(v) {
			out = append(out, r.Problem)
		}
	}
	return out
}

// rejectionsOf returns what a version of Calico's validator rejects in o. O(1): it was found
// when o was decoded.
func rejectionsOf(o Object) []rejection {
	if n, ok := o.(*Node); ok {
		return n.rejected
	}
	if m := MetadataOf(o); m != nil {
		return m.rejected
	}
	return nil
}

// checker collects the rejections of one object.
type checker struct{ rejected []rejection }

func (c *checker) reject(field, format string, args ...any) {
	c.rejected = append(c.rejected, rejection{Problem: Problem{field, fmt.Sprintf(format, args...)}})
}

// rejectOld adds a rejection of versions before v3.33.
func (c *checker) rejectOld(field, format string, args ...any) {
	c.reject(field, format, args...)
	c.rejected[len(c.rejected)-1].old = true
}

// check returns the rejections of an object of Calico's API groups.
func check(m *Metadata) []rejection {
	c := &checker{}
	switch m.kind {
	case KindBGPConfiguration:
		c.metadata(m)
		c.bgpConfiguration(part{"spec", m.Spec})
	case KindBGPPeer:
		c.metadata(m)
		c.bgpPeer(part{"spec", m.Spec})
	case KindBGPFilter:
		c.metadata(m)
		c.bgpFilter(part{"spec", m.Spec})
	default:
		// Typha validates IPPools after it has converted them to a form without rules. What
		// Felix rejects in a FelixConfiguration does not decide BGP.
	}
	slices.SortStableFunc(c.rejected, func(a, b rejection) int { return strings.Compare(a.Field, b.Field) })
	return c.rejected
}

// part is a JSON object and its path. Values of other types read as absent: the decoders report
// them.
type part struct {
	path   string
	values map[string]any
}

func (p part) at(name string) string { return p.path + "." + name }

func (p part) has(name string) bool { return p.values[name] != nil }

func (p part) text(name string) string {
	s, _ := p.values[name].(string)
	return s
}

// texts returns a list of strings, with the path of each one.
func (p part) texts(name string) func(yield func(path, value string) bool) {
	list, _ := p.values[name].([]any)
	return func(yield func(string, string) bool) {
		for i, v := range list {
			if s, ok := v.(string); ok && !yield(fmt.Sprintf("%s[%d]", p.at(name), i), s) {
				return
			}
		}
	}
}

// parts returns a list of objects.
func (p part) parts(name string) []part {
	list, _ := p.values[name].([]any)
	out := make([]part, 0, len(list))
	for i, v := range list {
		values, _ := v.(map[string]any)
		out = append(out, part{fmt.Sprintf("%s[%d]", p.at(name), i), values})
	}
	return out
}

func (p part) part(name string) part {
	values, _ := p.values[name].(map[string]any)
	return part{p.at(name), values}
}

// metadata checks the name and the labels. The API server checks those of Nodes, but stores
// the labels of crd.projectcalico.org/v1 objects as text.
func (c *checker) metadata(m *Metadata) {
	if len(validation.IsDNS1123Subdomain(m.Name)) > 0 {
		c.reject("metadata.name", "%q is not a lower-case DNS name", m.Name)
	}
	c.labels("metadata.labels", m.Labels)
	for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
		if len(validation.IsQualifiedName(strings.ToLower(key))) > 0 {
			c.reject("metadata.annotations", "%q is not a valid key", key)
		}
	}
}

func (c *checker) labels(field string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if len(validation.IsQualifiedName(key)) > 0 {
			c.reject(field, "%q is not a valid key of a label", key)
		}
		if value := labels[key]; len(validation.IsValidLabelValue(value)) > 0 {
			c.reject(field, "%q is not a valid value of a label", value)
		}
	}
}

// network rejects what is neither an address nor a network without host bits. version is 4 or
// 6, or 0 for both. It returns false if it rejects the text.
func (c *checker) network(field, text string, version int) bool {
	address, network, err := net.ParseCIDR(text)
	if err != nil {
		address = net.ParseIP(text)
	}
	of := map[int]string{0: "an", 4: "an IPv4", 6: "an IPv6"}[version]
	switch {
	case address == nil, version == 4 && address.To4() == nil, version == 6 && address.To4() != nil:
		c.reject(field, "%q is not %s address or network", text, of)
	case network != nil && network.IP.String() != address.String():
		c.reject(field, "%q has host bits: the network is %s", text, network)
	default:
		return true
	}
	return false
}

// address rejects what is no address of a version, which is 4 or 6.
func (c *checker) address(field, text string, version int) {
	if a := net.ParseIP(text); a == nil || (a.To4() != nil) != (version == 4) {
		c.reject(field, "%q is not an IPv%d address", text, version)
	}
}

// interfaceName is an interface of ignoredInterfaces or of a rule of a BGPFilter, with
// wildcards.
var interfaceName = regexp.MustCompile(`^[-.*_0-9A-Za-z]{1,15}$`)

// The priorities of routes that the validator accepts.
const (
	smallestPriority = 1
	largestPriority  = 1<<31 - 2
)

func (c *checker) priority(p part, name string) {
	if n, ok := integer(p.values[name]); ok && (n < smallestPriority || n > largestPriority) {
		c.reject(p.at(name), "must be from %d to %d, is %d", smallestPriority, largestPriority, n)
	}
}

func (c *checker) bgpConfiguration(spec part) {
	for _, name := range []string{"serviceLoadBalancerIPs", "serviceExternalIPs", "serviceClusterIPs"} {
		for _, block := range spec.parts(name) {
			if cidr := block.text("cidr"); cidr != "" {
				c.network(block.at("cidr"), cidr, 0)
			}
		}
	}
	c.communities(spec)
	for path, name := range spec.texts("ignoredInterfaces") {
		if name == "*" || !interfaceName.MatchString(name) {
			c.reject(path, "%q is not the name of an interface", name)
		}
	}
	for version, name := range map[int]string{4: "localWorkloadPeeringIPV4", 6: "localWorkloadPeeringIPV6"} {
		if text := spec.text(name); text != "" {
			c.address(spec.at(name), text, version)
		}
	}
	c.priority(spec, "ipv4NormalRoutePriority")
	c.priority(spec, "ipv6NormalRoutePriority")

	c.oldConfiguration(spec)
}

// oldConfiguration checks what only the validator of old versions rejects in a BGPConfiguration.
func (c *checker) oldConfiguration(spec part) {
	if level := spec.text("logSeverityScreen"); level != "" && !slices.Contains([]string{"Trace", "Debug", "Info", "Warning", "Error", "Fatal"}, level) {
		c.rejectOld(spec.at("logSeverityScreen"), "%q is not a log level", level)
	}
	if len(spec.parts("communities")) > 0 && len(spec.parts("prefixAdvertisements")) == 0 {
		c.rejectOld(spec.at("communities"), "no entry of prefixAdvertisements uses them")
	}
	if mesh, ok := spec.values["nodeToNodeMeshEnabled"].(bool); ok && !mesh {
		for _, name := range []string{"nodeMeshPassword", "nodeMeshMaxRestartTime"} {
			if spec.has(name) {
				c.rejectOld(spec.at(name), "must not be set together with nodeToNodeMeshEnabled: false")
			}
		}
	}
}

// communities checks the communities of a BGPConfiguration and where it uses them.
func (c *checker) communities(spec part) {
	defined := map[string]bool{}
	for _, community := range spec.parts("communities") {
		name, value := community.text("name"), community.text("value")
		defined[name] = true
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			c.reject(community.at("name"), "%q is not a lower-case DNS name", name)
		}
		if valid, inRange := isCommunity(value); !valid || !inRange {
			c.reject(community.at("value"), "%q is not a BGP community", value)
		}
	}
	for _, advertisement := range spec.parts("prefixAdvertisements") {
		c.network(advertisement.at("cidr"), advertisement.text("cidr"), 0)
		if !advertisement.has("communities") {
			c.reject(advertisement.at("communities"), "is missing: an empty list is accepted")
		}
		for path, text := range advertisement.texts("communities") {
			switch valid, inRange := isCommunity(text); {
			case valid && !inRange:
				c.reject(path, "%q is not a BGP community", text)
			case !valid && !defined[text]:
				c.reject(path, "%q is neither a BGP community nor a name in communities", text)
			}
		}
	}
}

// isCommunity reports whether a text has the form of a BGP community, and whether its numbers
// are in range: two numbers of 16 bits, or three of 32 bits (RFC 1997, RFC 8092).
func isCommunity(text string) (valid, inRange bool) {
	numbers := strings.Split(text, ":")
	if n := len(numbers); n != 2 && n != 3 {
		return false, false
	}
	bits := map[int]int{2: 16, 3: 32}[len(numbers)]
	inRange = true
	for _, n := range numbers {
		if n == "" || strings.Trim(n, "0123456789") != "" {
			return false, false
		}
		_, err := strconv.ParseUint(n, 10, bits)
		inRange = inRange && err == nil
	}
	return true, inRange
}

func (c *checker) bgpPeer(spec part) {
	node, peerIP, peerSelector, workloads := spec.text("node"), spec.text("peerIP"), spec.text("peerSelector"), spec.text("localWorkloadSelector")
	if node != "" && len(validation.IsDNS1123Subdomain(node)) > 0 {
		c.reject(spec.at("node"), "%q is not a lower-case DNS name", node)
	}
	for _, name := range []string{"nodeSelector", "peerSelector", "localWorkloadSelector"} {
		if text := spec.text(name); text != "" {
			if _, err := ParseSelector(text); err != nil {
				c.reject(spec.at(name), "%q does not parse: %v", text, err)
			}
		}
	}
	c.peerAddress(spec)
	c.filterNames(spec)
	asNumber := spec.has("asNumber") && fmt.Sprint(spec.values["asNumber"]) != "0"
	for _, rule := range []struct {
		broken bool
		field  string
		text   string
	}{
		{node != "" && spec.text("nodeSelector") != "", "node", "must not be set together with nodeSelector"},
		{peerIP != "" && peerSelector != "", "peerIP", "must not be set together with peerSelector"},
		{asNumber && peerSelector != "", "asNumber", "must not be set together with peerSelector"},
		{!asNumber && workloads != "", "asNumber", "must be set together with localWorkloadSelector"},
		{peerIP != "" && workloads != "", "peerIP", "must not be set together with localWorkloadSelector"},
		{peerSelector != "" && workloads != "", "peerSelector", "must not be set together with localWorkloadSelector"},
		{spec.values["keepOriginalNextHop"] == true && spec.has("nextHopMode"), "keepOriginalNextHop", "must not be true together with nextHopMode"},
	} {
		if rule.broken {
			c.rejectOld(spec.at(rule.field), "%s", rule.text)
		}
	}
	if text := spec.text("sourceAddress"); text != "" && text != "UseNodeIP" && text != "None" {
		c.rejectOld(spec.at("sourceAddress"), "%q is neither UseNodeIP nor None", text)
	}
}

// filterNames checks the names of the BGPFilters of a BGPPeer.
func (c *checker) filterNames(spec part) {
	for path, name := range spec.texts("filters") {
		if len(validation.IsDNS1123Subdomain(name)) > 0 {
			c.reject(path, "%q is not a lower-case DNS name", name)
		}
	}
}

// peerAddress checks peerIP and reachableBy of a BGPPeer.
func (c *checker) peerAddress(spec part) {
	peerIP := spec.text("peerIP")
	peer := peerHost(peerIP)
	if peerIP != "" && peer == nil {
		c.reject(spec.at("peerIP"), `%q is not an address, "IPv4:port" or "[IPv6]:port"`, peerIP)
	}
	if text := spec.text("reachableBy"); text != "" {
		gateway := net.ParseIP(text)
		switch {
		case gateway == nil:
			c.reject(spec.at("reachableBy"), "%q is not an address", text)
		case peer != nil && (gateway.To4() == nil) != (peer.To4() == nil):
			c.reject(spec.at("reachableBy"), "%q is not of the address family of peerIP", text)
		case peerIP == "":
			c.rejectOld(spec.at("reachableBy"), "must not be set without peerIP")
		}
	}
}

// addressWithPort is a peerIP with a port, whose digits the validator reads as decimal.
var addressWithPort = regexp.MustCompile(`^(?:\d+(?:\.\d+){3}|\[[:.0-9A-Fa-f]+\]):\d+$`)

// peerHost returns the address of a peerIP that the validator accepts, else nil.
func peerHost(text string) net.IP {
	if addressWithPort.MatchString(text) {
		host, digits, err := net.SplitHostPort(text)
		if err != nil {
			return nil
		}
		if port, err := strconv.ParseUint(digits, 10, 16); err != nil || port == 0 {
			return nil
		}
		text = host
	}
	return net.ParseIP(text)
}

func (c *checker) bgpFilter(spec part) {
	for name, version := range map[string]int{"exportV4": 4, "importV4": 4, "exportV6": 6, "importV6": 6} {
		for _, rule := range spec.parts(name) {
			c.filterRule(rule, version)
		}
	}
}

func (c *checker) filterRule(rule part, version int) {
	action := rule.text("action")
	if cidr := rule.text("cidr"); cidr != "" {
		c.network(rule.at("cidr"), cidr, version)
	}
	c.prefixLength(rule, version)
	if source := rule.text("source"); source != "" && source != "RemotePeers" {
		c.reject(rule.at("source"), "%q is not RemotePeers", source)
	}
	if name := rule.text("interface"); name != "" && !interfaceName.MatchString(name) {
		c.reject(rule.at("interface"), "%q is not the name of an interface", name)
	}
	if peers := rule.text("peerType"); peers != "" && peers != "eBGP" && peers != "iBGP" {
		c.reject(rule.at("peerType"), "%q is neither eBGP nor iBGP", peers)
	}
	if communities := rule.part("communities"); rule.has("communities") && !communities.has("values") {
		c.reject(communities.at("values"), "is missing")
	}
	c.priority(rule, "priority")
	c.operations(rule)
	switch {
	case action == "":
		c.reject(rule.at("action"), "is missing")
	case action != "Accept" && action != "Reject":
		c.rejectOld(rule.at("action"), "%q is neither Accept nor Reject", action)
	}
	c.match(rule)
}

// match checks how a rule matches its network, which only the validator of old versions does.
func (c *checker) match(rule part) {
	cidr, operator := rule.text("cidr"), rule.text("matchOperator")
	if operator != "" && !slices.Contains([]string{"Equal", "NotEqual", "In", "NotIn"}, operator) {
		c.rejectOld(rule.at("matchOperator"), "%q is not Equal, NotEqual, In or NotIn", operator)
	}
	switch {
	case cidr != "" && operator == "":
		c.rejectOld(rule.at("cidr"), "must not be set without matchOperator")
	case cidr == "" && operator != "":
		c.rejectOld(rule.at("matchOperator"), "must not be set without cidr")
	}
	if cidr == "" && rule.has("prefixLength") {
		c.rejectOld(rule.at("prefixLength"), "must not be set without cidr")
	}
}

// prefixLength checks the lengths of a rule for a version of IP.
func (c *checker) prefixLength(rule part, version int) {
	length := rule.part("prefixLength")
	longest := map[int]int64{4: 32, 6: 128}[version]
	for _, name := range []string{"min", "max"} {
		if n, ok := integer(length.values[name]); ok && (n < 0 || n > longest) {
			c.reject(length.at(name), "must be from 0 to %d, is %d", longest, n)
		}
	}
}

// operations checks the operations of a rule.
func (c *checker) operations(rule part) {
	for _, operation := range rule.parts("operations") {
		for name, value := range map[string]string{"addCommunity": "value", "prependASPath": "prefix", "setPriority": "value"} {
			if one := operation.part(name); operation.has(name) && !one.has(value) {
				c.reject(one.at(value), "is missing")
			}
		}
		c.priority(operation.part("setPriority"), "value")
	}
}

// tunnelAnnotations are annotations of a core/v1 Node with an address, by the version of IP.
// Calico reads an address or a network without host bits, and its validator rejects the network.
// Other texts are ignored (libcalico-go/lib/backend/k8s/resources/node.go).
var tunnelAnnotations = map[string]int{
	"projectcalico.org/IPv4IPIPTunnelAddr":         4,
	"projectcalico.org/IPv4VXLANTunnelAddr":        4,
	"projectcalico.org/IPv6VXLANTunnelAddr":        6,
	"projectcalico.org/IPv4WireguardInterfaceAddr": 4,
	"projectcalico.org/IPv6WireguardInterfaceAddr": 6,
}

// wireguardAnnotations are annotations of a core/v1 Node with a public key of WireGuard.
var wireguardAnnotations = []string{"projectcalico.org/WireguardPublicKey", "projectcalico.org/WireguardPublicKeyV6"}

// wireguardKeySize is the size of a public key of WireGuard in bytes.
const wireguardKeySize = 32

// DecidesBGP reports whether an annotation of a core/v1 Node decides BGP: it is one of
// NodeAnnotations, or Calico's validator rejects it.
func DecidesBGP(key, value string) bool {
	return slices.Contains(NodeAnnotations, key) || strings.HasPrefix(key, "projectcalico.org/") && rejectsAnnotation(key, value) != ""
}

// rejectsAnnotation returns why Calico's validator rejects an annotation that does not decide
// BGP, "" if it does not.
func rejectsAnnotation(key, value string) string {
	if version, ok := tunnelAnnotations[key]; ok && strings.Contains(value, "/") {
		if new(checker).network(key, value, version) {
			return fmt.Sprintf("%q has a mask", value)
		}
	}
	if slices.Contains(wireguardAnnotations, key) && value != "" {
		if raw, err := base64.StdEncoding.DecodeString(value); err != nil || len(raw) != wireguardKeySize {
			return "is not a public key of WireGuard"
		}
	}
	return ""
}

// check adds the rejections of a core/v1 Node. The API server accepts valid labels only, but not in
// the annotation with Calico's own.
func (n *Node) check(annotations map[string]string) {
	c := &checker{n.rejected}
	if annotations[AnnotationLabels] != "" {
		c.labels("metadata.annotations["+AnnotationLabels+"]", n.Labels)
	}
	for _, key := range slices.Concat(slices.Sorted(maps.Keys(tunnelAnnotations)), wireguardAnnotations) {
		if text, ok := annotations[key]; ok {
			if why := rejectsAnnotation(key, text); why != "" {
				c.reject("metadata.annotations["+key+"]", "%s", why)
			}
		}
	}
	n.rejected = c.rejected
}
