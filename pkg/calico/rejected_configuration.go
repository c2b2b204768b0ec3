package calico

import (
	"fmt"
	"net"
	"regexp"
	"strings"
)

// Rejected lists the values of the BGPConfiguration that BIRD rejects in a family, without
// those that depend on half-sessions: the AS number and nodeMeshMaxRestartTime.
func (c *BGPConfiguration) Rejected(f Family) []Rejected { return c.rejected[f] }

// Advertises reports whether the BGPConfiguration has a list of prefixAdvertisements.
func (c *BGPConfiguration) Advertises() bool {
	_, ok := c.Spec["prefixAdvertisements"].([]any)
	return ok
}

// readRejected returns what BIRD rejects. Of the configuration of one node, Calico writes the
// prefixAdvertisements only (confd/pkg/backends/calico/client.go).
func (c *BGPConfiguration) readRejected() (out [2][]Rejected) {
	for _, f := range Families {
		r := &configurationReader{family: f, spec: c.Spec}
		r.readAdvertisements()
		if c.Name == Default {
			r.readInterfaces()
			r.readRanges()
			r.readPriority()
		}
		out[f] = r.rejected
	}
	return out
}

type configurationReader struct {
	family   Family
	spec     map[string]any
	rejected []Rejected
}

func (r *configurationReader) reject(rule *Rule, field, message string, on Written) {
	if message != "" {
		r.rejected = append(r.rejected, Rejected{Rule: rule, Field: "spec." + field, Message: message, On: on})
	}
}

// items returns the objects in a list of the spec.
func (r *configurationReader) items(field string) []map[string]any {
	list, _ := r.spec[field].([]any)
	out := make([]map[string]any, len(list))
	for i, one := range list {
		out[i], _ = one.(map[string]any)
	}
	return out
}

// in reports whether Calico writes a CIDR in the files of the family: a colon decides.
func (r *configurationReader) in(cidr string) bool {
	return cidr != "" && strings.Contains(cidr, ":") == (r.family == IPv6)
}

// communityValue is the form of a community that is not a name.
var communityValue = regexp.MustCompile(`^\d+:\d+(:\d+)?$`)

// readAdvertisements reads prefixAdvertisements. Calico writes those with at least one
// community only.
func (r *configurationReader) readAdvertisements() {
	for i, one := range r.items("prefixAdvertisements") {
		cidr, _ := one["cidr"].(string)
		if !r.in(cidr) {
			continue
		}
		path := fmt.Sprintf("prefixAdvertisements[%d]", i)
		written := false
		list, _ := one["communities"].([]any)
		for k, item := range list {
			community, _ := item.(string)
			field := fmt.Sprintf("%s.communities[%d]", path, k)
			if !communityValue.MatchString(community) {
				community, field = r.named(community)
			}
			if n := strings.Count(community, ":"); n < 1 || n > 2 {
				continue
			}
			written = true
			r.reject(RejectAdvertisedCommunity, field, rejectedCommunity(community), OnAdvertising)
		}
		if written {
			r.reject(RejectAdvertisedCIDR, path+".cidr", rejectedNetwork(r.family, cidr), OnAdvertising)
		}
	}
}

// named returns the value of the first community of a name, and its field.
func (r *configurationReader) named(name string) (value, field string) {
	for i, one := range r.items("communities") {
		if one["name"] == name {
			value, _ := one["value"].(string)
			return value, fmt.Sprintf("communities[%d].value", i)
		}
	}
	return "", ""
}

func (r *configurationReader) readInterfaces() {
	list, _ := r.spec["ignoredInterfaces"].([]any)
	for i, one := range list {
		name, _ := one.(string)
		message := rejectedString(name)
		if message != "" {
			message = fmt.Sprintf("%q %s", name, message)
		}
		r.reject(RejectIgnoredInterface, fmt.Sprintf("ignoredInterfaces[%d]", i), message, OnAll)
	}
}

// readRanges reads the ranges of service addresses. They are static routes on every node, and
// route reflectors also write the texts of two of the lists into their export filter.
func (r *configurationReader) readRanges() {
	for _, field := range []string{"serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"} {
		list := r.items(field)
		routes := r.routes(field, list)
		for i, one := range list {
			cidr, _ := one["cidr"].(string)
			message := rejectedNetwork(r.family, cidr)
			if !r.in(cidr) || message == "" {
				continue
			}
			path := fmt.Sprintf("%s[%d].cidr", field, i)
			switch {
			case routes[i]:
				r.reject(RejectServiceRange, path, message, OnAll)
			case field != "serviceClusterIPs":
				r.reject(RejectReflectedRange, path, message, OnReflectors)
			}
		}
	}
}

// routes reports which ranges of a list are static routes. If Calico cannot parse one of them,
// it uses none. Single addresses are routes of the nodes with the Service, except in
// serviceClusterIPs (confd/pkg/backends/calico/client.go, updateGlobalRoutes).
func (r *configurationReader) routes(field string, list []map[string]any) []bool {
	out := make([]bool, len(list))
	if field == "serviceLoadBalancerIPs" && r.spec["serviceLoadBalancerAggregation"] == "Disabled" {
		return out
	}
	for i, one := range list {
		cidr, _ := one["cidr"].(string)
		if cidr == "" {
			continue
		}
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			return make([]bool, len(list))
		}
		ones, bits := network.Mask.Size()
		out[i] = ones < bits || field == "serviceClusterIPs"
	}
	return out
}

// readPriority reads the priority of routes, which Calico writes as it is, and subtracted from
// maxPriority in the filters of half-sessions.
func (r *configurationReader) readPriority() {
	field := [2]string{IPv4: "ipv4NormalRoutePriority", IPv6: "ipv6NormalRoutePriority"}[r.family]
	n, ok := integer(r.spec[field])
	if !ok || n >= 0 && n <= maxPriority {
		return
	}
	on := OnAll
	if n > maxPriority && n <= maxNumber {
		on = OnPeering
	}
	r.reject(RejectRoutePriority, field, fmt.Sprintf("%d is not a number from 0 to %d", n, maxPriority), on)
}
