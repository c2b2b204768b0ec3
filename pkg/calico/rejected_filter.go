package calico

import (
	"fmt"
	"net/netip"
	"strings"
)

// filterFields are the fields of a BGPFilter with the rules of each family.
var filterFields = [2][2]string{IPv4: {"importV4", "exportV4"}, IPv6: {"importV6", "exportV6"}}

// Rejected lists the values of the BGPFilter that BIRD rejects in a family. Calico writes every
// BGPFilter on every node, also if no BGPPeer names it.
func (f *BGPFilter) Rejected(family Family) []Rejected { return f.rejected[family] }

// rejectedRules reads the rules of a family as Calico writes them
// (confd/pkg/resource/template/template_funcs.go). Fields of another type than Calico's are skipped.
func rejectedRules(family Family, spec map[string]any) []Rejected {
	var out []Rejected
	for _, field := range filterFields[family] {
		list, _ := spec[field].([]any)
		for i, one := range list {
			if rule, ok := one.(map[string]any); ok {
				r := &filterRule{family: family, path: fmt.Sprintf("spec.%s[%d]", field, i), fields: rule}
				r.read()
				out = append(out, r.rejected...)
			}
		}
	}
	return out
}

// filterRule is a rule of a BGPFilter, and the values in it that are rejected.
type filterRule struct {
	family   Family
	path     string
	fields   map[string]any
	rejected []Rejected
}

func (r *filterRule) reject(rule *Rule, field, message string) {
	if message != "" {
		r.rejected = append(r.rejected, Rejected{Rule: rule, Field: r.path + "." + field, Message: message})
	}
}

func (r *filterRule) text(field string) string {
	s, _ := r.fields[field].(string)
	return s
}

func (r *filterRule) read() {
	if action := r.text("action"); action != "Accept" && action != "Reject" {
		r.reject(RejectFilterAction, "action", fmt.Sprintf("%q is neither Accept nor Reject", action))
	}
	if r.text("cidr") != "" {
		r.readCIDR()
	}
	if source := r.text("source"); source != "" && source != "RemotePeers" {
		r.reject(RejectFilterSource, "source", fmt.Sprintf("%q is not RemotePeers", source))
	}
	r.reject(RejectFilterInterface, "interface", rejectedString(r.text("interface")))
	if communities, ok := r.fields["communities"].(map[string]any); ok {
		values, _ := communities["values"].([]any)
		if len(values) == 0 {
			r.reject(RejectFilterCommunities, "communities", "has no values")
		} else { // Calico writes the first value only.
			r.reject(RejectFilterCommunities, "communities.values[0]", rejectedFilterCommunity(values[0]))
		}
	}
	if n, ok := integer(r.fields["priority"]); ok {
		r.reject(RejectFilterPriority, "priority", rejectedPriority(n))
	}
	operations, _ := r.fields["operations"].([]any)
	for i, one := range operations {
		operation, _ := one.(map[string]any)
		r.readOperation(fmt.Sprintf("operations[%d]", i), operation)
	}
}

// readCIDR reads the conditions on the prefix.
func (r *filterRule) readCIDR() {
	switch operator := r.text("matchOperator"); operator {
	case "Equal", "NotEqual", "In", "NotIn":
	default:
		r.reject(RejectFilterOperator, "matchOperator", fmt.Sprintf("%q is not Equal, NotEqual, In or NotIn", operator))
	}
	cidr := r.text("cidr")
	message := rejectedNetwork(r.family, cidr)
	length, ranged := r.fields["prefixLength"].(map[string]any)
	if !ranged || message != "" {
		r.reject(RejectFilterCIDR, "cidr", message)
		return
	}
	// With a range, Calico parses the network, and BIRD needs one of its own family.
	network, err := netip.ParsePrefix(cidr)
	if err != nil || FamilyOf(network.Addr()) != r.family {
		r.reject(RejectFilterCIDR, "cidr", fmt.Sprintf("%q is not an %s network, which prefixLength needs", cidr, r.family))
		return
	}
	low, high := int64(network.Bits()), int64(network.Addr().Unmap().BitLen())
	if n, ok := integer(length["min"]); ok {
		low = max(low, n)
	}
	if n, ok := integer(length["max"]); ok {
		high = min(high, n)
	}
	if low > high {
		r.reject(RejectFilterLength, "prefixLength", fmt.Sprintf("no length is at least %d and at most %d, in %s", low, high, cidr))
	}
}

// readOperation reads an operation. If several of its fields are set, Calico uses the first.
func (r *filterRule) readOperation(path string, operation map[string]any) {
	reject := func(field, message string) { r.reject(RejectFilterOperations, path+field, message) }
	object := func(name string) (map[string]any, bool) {
		m, ok := operation[name].(map[string]any)
		return m, ok
	}
	if community, ok := object("addCommunity"); ok {
		reject(".addCommunity.value", rejectedFilterCommunity(community["value"]))
		return
	}
	if _, ok := object("prependASPath"); ok {
		return
	}
	if priority, ok := object("setPriority"); ok {
		n, set := integer(priority["value"])
		if !set {
			reject(".setPriority.value", "is missing")
			return
		}
		reject(".setPriority.value", rejectedPriority(n))
		return
	}
	reject("", "sets none of addCommunity, prependASPath and setPriority")
}

// rejectedFilterCommunity returns why a community of a BGPFilter is rejected: Calico itself
// rejects one that does not have two or three parts.
func rejectedFilterCommunity(value any) string {
	text, _ := value.(string)
	if n := strings.Count(text, ":"); n < 1 || n > 2 {
		return fmt.Sprintf("%q does not have two or three parts", text)
	}
	return rejectedCommunity(text)
}

// rejectedPriority returns why BIRD rejects a priority, which Calico subtracts from
// maxPriority.
func rejectedPriority(n int64) string {
	if result := maxPriority - n; result < 0 || result > maxNumber {
		return fmt.Sprintf("%d is not a number from 0 to %d", n, maxPriority)
	}
	return ""
}
