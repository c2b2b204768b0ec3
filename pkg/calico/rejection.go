package calico

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Rule is a row of the table of rejections: a field of an object with a value that
// Kubernetes stores, and that makes BIRD reject the file in which Calico writes it, or makes
// Calico fail to write the file. BIRD then keeps its old configuration.
type Rule struct {
	// Kind and Field are the field. Field is its path without the indexes of lists.
	Kind  Kind
	Field string
	// Reason says what is rejected. It is different for each rule.
	Reason string
	// Fix says what to do about it, as a clause in the imperative.
	Fix string
	// Source is the file of Calico that has the value, and where the rule comes from.
	Source string
}

// The files of Calico in which values are rejected. Those of IPv6 have the same rules
// (node/filesystem/etc/calico/confd/templates). BIRD means that `bird -p` of BIRD 1.6.8
// rejects the file, Calico that Calico fails to write it.
const (
	peersFile    = "bird.cfg.template; BIRD"
	routesFile   = "bird_aggr.cfg.template; BIRD"
	exportsFile  = "bird_ipam.cfg.template; BIRD"
	filtersFile  = "bird.cfg.template, confd/pkg/resource/template/template_funcs.go; BIRD"
	filterErrors = "bird.cfg.template, confd/pkg/resource/template/template_funcs.go; Calico"
	allFiles     = "libcalico-go/lib/backend/k8s/resources/customresource.go; Calico"
)

// The fields of annotations of Nodes.
const (
	fieldIPv4Address = "metadata.annotations[" + AnnotationIPv4Address + "]"
	fieldIPv6Address = "metadata.annotations[" + AnnotationIPv6Address + "]"
	fieldASNumber    = "metadata.annotations[" + AnnotationASNumber + "]"
	fieldClusterID   = "metadata.annotations[" + AnnotationClusterID + "]"
)

// The table of rejections. Rules of one object are in the same order as Rules.
var (
	RejectFilterCIDR = &Rule{
		KindBGPFilter, "cidr", "a cidr in a BGPFilter with host bits, or that is not a network of its family",
		"set cidr to a network of its family with all host bits 0", filtersFile,
	}
	RejectFilterOperator = &Rule{
		KindBGPFilter, "matchOperator", "a cidr in a BGPFilter without a known matchOperator",
		"set matchOperator to Equal, NotEqual, In or NotIn", filterErrors,
	}
	RejectFilterLength = &Rule{
		KindBGPFilter, "prefixLength", "a prefixLength in a BGPFilter without any length between min and max",
		"set prefixLength to a range with at least one length that is not less than that of the cidr", filtersFile,
	}
	RejectFilterAction = &Rule{
		KindBGPFilter, "action", "a BGPFilter rule with an unknown action",
		"set action to Accept or Reject", filterErrors,
	}
	RejectFilterSource = &Rule{
		KindBGPFilter, "source", "a BGPFilter rule with an unknown source",
		"set source to RemotePeers, or unset it", filterErrors,
	}
	RejectFilterInterface = &Rule{
		KindBGPFilter, "interface", "an interface in a BGPFilter with a quotation mark or a line break",
		"remove quotation marks and line breaks from the interface", filtersFile,
	}
	RejectFilterCommunities = &Rule{
		KindBGPFilter, "communities", "a community in a BGPFilter that is out of range or has another form",
		"write communities as two numbers up to 65535, or three numbers up to 4294967295, separated by colons", filtersFile,
	}
	RejectFilterOperations = &Rule{
		KindBGPFilter, "operations", "an operation in a BGPFilter without a value that BIRD accepts",
		"set one of addCommunity, prependASPath and setPriority in each operation, with a value in its range", filtersFile,
	}
	RejectFilterPriority = &Rule{
		KindBGPFilter, "priority", "a priority in a BGPFilter that is out of range",
		"set priority to a number from 0 to 2147483647", filtersFile,
	}
	RejectAdvertisedCIDR = &Rule{
		KindBGPConfiguration, "spec.prefixAdvertisements.cidr", "a cidr in prefixAdvertisements with host bits, or that is not a network",
		"set all host bits of the cidr to 0", peersFile,
	}
	RejectAdvertisedCommunity = &Rule{
		KindBGPConfiguration, "spec.prefixAdvertisements.communities", "a community in prefixAdvertisements that is out of range",
		"write communities as two numbers up to 65535, or three numbers up to 4294967295, separated by colons", peersFile,
	}
	RejectServiceRange = &Rule{
		KindBGPConfiguration, "spec.serviceClusterIPs.cidr", "a range of service addresses with host bits",
		"set all host bits of the cidr to 0", routesFile,
	}
	RejectReflectedRange = &Rule{
		KindBGPConfiguration, "spec.serviceLoadBalancerIPs.cidr", "a range of service addresses that is no network, on a route reflector",
		"write the range as a network with all host bits 0", exportsFile,
	}
	RejectIgnoredInterface = &Rule{
		KindBGPConfiguration, "spec.ignoredInterfaces", "a name in ignoredInterfaces with a quotation mark or a line break",
		"remove quotation marks and line breaks from the name", peersFile,
	}
	RejectMeshRestartTime = &Rule{
		KindBGPConfiguration, "spec.nodeMeshMaxRestartTime", "a nodeMeshMaxRestartTime that is negative or longer than 4294967295 seconds",
		"set nodeMeshMaxRestartTime to a time from 0s to 4095s, the longest that BGP can announce", peersFile,
	}
	RejectClusterASNumber = &Rule{
		KindBGPConfiguration, "spec.asNumber", "the AS number 0 of the cluster",
		"set asNumber of the BGPConfiguration to the cluster's AS number, or unset it", peersFile,
	}
	RejectRoutePriority = &Rule{
		KindBGPConfiguration, "spec.ipv4NormalRoutePriority", "a route priority that is out of range",
		"set the priority to a number from 1 to 2147483646", exportsFile,
	}
	RejectPeerIP = &Rule{
		KindBGPPeer, "spec.peerIP", "a peerIP that is unspecified or link-local",
		"set peerIP to an address of the peer that is neither 0.0.0.0, :: nor link-local; Calico gives no interface", peersFile,
	}
	RejectPeerASNumber = &Rule{
		KindBGPPeer, "spec.asNumber", "the remote AS number 0 of a BGPPeer",
		"set asNumber of the BGPPeer, which has no default with peerIP", peersFile,
	}
	RejectRestartTime = &Rule{
		KindBGPPeer, "spec.maxRestartTime", "a maxRestartTime that is negative or longer than 4294967295 seconds",
		"set maxRestartTime to a time from 0s to 4095s, the longest that BGP can announce", peersFile,
	}
	RejectKeepaliveTime = &Rule{
		KindBGPPeer, "spec.keepaliveTime", "a keepaliveTime that is negative or longer than 4294967295 seconds",
		"set keepaliveTime to a time from 1s to 80s", peersFile,
	}
	RejectReachableBy = &Rule{
		KindBGPPeer, "spec.reachableBy", "a reachableBy that is not an address of the peer's family",
		"set reachableBy to an address of the same family as the peer, or unset it", routesFile,
	}
	RejectPassword = &Rule{
		KindSecret, "data", "a password with a quotation mark or a line break",
		"store the password without quotation marks and without a line break at its end", peersFile,
	}
	RejectNodeAddress = &Rule{
		KindNode, fieldIPv6Address, "the address of a node that is unspecified or link-local",
		"give the node an address that is neither 0.0.0.0, :: nor link-local", peersFile,
	}
	RejectSharedAddress = &Rule{
		KindNode, fieldIPv4Address, "two protocols of one name, for an address that several nodes have",
		"give each node its own address", peersFile,
	}
	RejectRouterID = &Rule{
		KindNode, fieldIPv4Address, "a missing router ID, which is the IPv4 address of the node",
		"give the node an IPv4 address", peersFile,
	}
	RejectNodeASNumber = &Rule{
		KindNode, fieldASNumber, "the AS number 0 of a node",
		"set the annotation " + AnnotationASNumber + " to the node's AS number, or remove it", peersFile,
	}
	RejectClusterID = &Rule{
		KindNode, fieldClusterID, "a cluster ID with a mask or in the form of IPv6",
		"set the annotation " + AnnotationClusterID + " to an IPv4 address without a mask", peersFile,
	}
	// RejectUndecodable is for each object that Odd returns values for, of the kinds that Calico
	// writes into files. Calico reads all objects of a kind in one request.
	RejectUndecodable = &Rule{
		KindBGPConfiguration, "spec", "a value that Calico cannot decode, in any BGPConfiguration, BGPPeer, BGPFilter or IPPool",
		"set the field to a value of its type, for example a duration to 120s", allFiles,
	}
)

// Rules lists the table of rejections. It must not be changed.
var Rules = []*Rule{
	RejectFilterCIDR, RejectFilterOperator, RejectFilterLength, RejectFilterAction, RejectFilterSource, RejectFilterInterface,
	RejectFilterCommunities, RejectFilterOperations, RejectFilterPriority,
	RejectAdvertisedCIDR, RejectAdvertisedCommunity, RejectServiceRange, RejectReflectedRange, RejectIgnoredInterface, RejectMeshRestartTime,
	RejectClusterASNumber, RejectRoutePriority,
	RejectPeerIP, RejectPeerASNumber, RejectRestartTime, RejectKeepaliveTime, RejectReachableBy,
	RejectPassword,
	RejectNodeAddress, RejectSharedAddress, RejectRouterID, RejectNodeASNumber, RejectClusterID,
	RejectUndecodable,
}

// Rejected is a value of an object that BIRD rejects.
type Rejected struct {
	Rule *Rule
	// Field is the path of the value, such as "spec.exportV4[0].cidr".
	Field string
	// Message says what is wrong with the value. It contains no value of a Secret.
	Message string
	// On says on which nodes the value is written.
	On Written
}

// Written says on which of the nodes that an object applies to Calico writes a value.
type Written int

const (
	// OnAll means all nodes with an address in the family.
	OnAll Written = iota
	// OnAdvertising means all nodes with an address in the family, except those whose own
	// BGPConfiguration has prefixAdvertisements, which replace those of the cluster.
	OnAdvertising
	// OnReflectors means route reflectors only.
	OnReflectors
	// OnPeering means nodes with at least one half-session in the family.
	OnPeering
)

// maxNumber is the largest number in a configuration of BIRD 1.6 (conf/cf-lex.l).
const maxNumber = 1<<32 - 1

// maxPriority is the number from which Calico subtracts priorities
// (confd/pkg/resource/template/template_funcs.go, BirdIntMaxValue).
const maxPriority = 1<<31 - 1

// rejectedNetwork returns why BIRD rejects a text as a network of a family, "" if it accepts
// it. BIRD also accepts an address, and in IPv6 any IPv4 network: the filter then fails at run time.
func rejectedNetwork(f Family, text string) string {
	address, mask, masked := strings.Cut(text, "/")
	address = strings.TrimSpace(address)
	a, ok := birdAddress(address)
	bits := 0
	if masked {
		n, err := strconv.ParseUint(strings.TrimSpace(mask), 10, 32)
		ok, bits = ok && err == nil, int(n)
	}
	switch {
	case !ok:
		return fmt.Sprintf("%q is not a network", text)
	case f == IPv4 && a.Is6():
		return fmt.Sprintf("%q is not an IPv4 network", text)
	case f == IPv6 && a.Is4(), !masked:
		return ""
	case bits > a.BitLen():
		return fmt.Sprintf("%q has a mask longer than %d", text, a.BitLen())
	case netip.PrefixFrom(a, bits).Masked().Addr() != a:
		return fmt.Sprintf("%q has host bits, its network is %s", text, netip.PrefixFrom(a, bits).Masked())
	}
	return ""
}

// birdAddress reads an address as BIRD does: the numbers of an IPv4 address may have leading
// zeros, and an address has no zone. An IPv4-mapped address is an IPv6 address.
func birdAddress(text string) (netip.Addr, bool) {
	if parts := strings.Split(text, "."); len(parts) == 4 && !strings.Contains(text, ":") {
		var out [4]byte
		for i, part := range parts {
			n, err := strconv.ParseUint(part, 10, 8)
			if err != nil {
				return netip.Addr{}, false
			}
			out[i] = byte(n)
		}
		return netip.AddrFrom4(out), true
	}
	a, err := netip.ParseAddr(text)
	return a, err == nil && a.Is6() && a.Zone() == ""
}

// rejectedString returns why BIRD rejects a text between quotation marks, "" if it accepts it.
func rejectedString(text string) string {
	switch {
	case strings.Contains(text, `"`):
		return "contains a quotation mark"
	case strings.Contains(text, "\n"):
		return "contains a line break"
	}
	return ""
}

// rejectedCommunity returns why BIRD rejects a community of two or three parts, "" if it
// accepts it.
func rejectedCommunity(text string) string {
	parts := strings.Split(text, ":")
	largest := uint64(maxNumber)
	if len(parts) == 2 {
		largest = 1<<16 - 1
	}
	for _, part := range parts {
		if n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 64); err != nil || n > largest {
			return fmt.Sprintf("%q has a part that is not a number from 0 to %d", text, largest)
		}
	}
	return ""
}

// RejectedSeconds returns why BIRD rejects a time in seconds, "" if it accepts it.
func RejectedSeconds(seconds int) string {
	switch {
	case seconds < 0:
		return fmt.Sprintf("%d seconds is negative", seconds)
	case seconds > maxNumber:
		return fmt.Sprintf("%d seconds is longer than %d", seconds, uint32(maxNumber))
	}
	return ""
}

// RejectedGateway returns why BIRD rejects a reachableBy on the way to a peer of a family,
// "" if it accepts it.
func RejectedGateway(f Family, text string) string {
	if text == "" {
		return ""
	}
	if a, ok := birdAddress(text); !ok || FamilyOf(a) != f {
		return fmt.Sprintf("%q is not an %s address", text, f)
	}
	return ""
}

// RejectedPeer returns why BIRD rejects the address of a peer, "" if it accepts it.
func RejectedPeer(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return fmt.Sprintf("%s is unspecified", a)
	case a.Is6() && a.IsLinkLocalUnicast():
		return fmt.Sprintf("%s is link-local, and Calico gives no interface", a)
	}
	return ""
}

// AddressField returns the path of the address of a Node in a family.
func AddressField(f Family) string {
	return [...]string{IPv4: fieldIPv4Address, IPv6: fieldIPv6Address}[f]
}

// RejectedClusterID returns why BIRD rejects a cluster ID that Calico accepts, "" if it
// accepts it.
func RejectedClusterID(text string) string {
	switch {
	case strings.Contains(text, "/"):
		return fmt.Sprintf("%q has a mask", text)
	case strings.Contains(text, ":"):
		return fmt.Sprintf("%q has the form of IPv6", text)
	}
	return ""
}
