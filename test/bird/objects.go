package bird

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Settings are what a node's files contain of BGPFilters, BGPConfigurations and BGPPeers beside half-sessions, in one
// family. They are read from the objects as calico-node reads them, and not from the prediction.
type Settings struct {
	// Communities are the statements that add communities to routes, by network, in order.
	Communities []Advertisement
	// Filters are the functions of all BGPFilters. Calls has their names, by BGPFilter and direction.
	Filters []string
	Calls   map[string][2]string
	// Ranges are the ranges of service addresses with a route on every node, except the excluded ones. Reflected are those
	// that route reflectors pass on.
	Ranges, Reflected []string
	Excluded          bool
	// Unexported are the CIDRs of the IPPools with disableBGPExport, Exported those of the others. Without IPPools, the
	// networks of pods are exported.
	Unexported, Exported []string
	// VXLAN are the CIDRs of the IPPools with vxlanMode Always: Felix programs the routes to the pods on other nodes.
	VXLAN []string
	// Gateways are the static routes to peers with a reachableBy.
	Gateways []string
	// Ignored are the ignoredInterfaces.
	Ignored []string
	// Priority is the priority of routes.
	Priority int64
	// Listen is the address of bindMode NodeIP, "" for any address.
	Listen string
}

// Advertisement is an entry of prefixAdvertisements.
type Advertisement struct {
	Network    string
	Statements []string
}

// advertised returns the ranges of service addresses to which the node has routes of its own.
func (o *Settings) advertised() []string {
	if o.Excluded {
		return nil
	}
	return o.Ranges
}

// maxPriority is the number from which calico-node subtracts priorities.
const maxPriority = 1<<31 - 1

// settingsOf returns the settings of a node. The error is that of a BGPFilter that confd does not render: it then writes
// no file (confd/pkg/resource/template/template_funcs.go).
func settingsOf(s *state.Snapshot, node *calico.Node, f calico.Family) (*Settings, error) {
	out := &Settings{Calls: map[string][2]string{}, Priority: 1024}
	var spec map[string]any
	if c := s.BGPConfiguration(calico.Default); c != nil {
		spec = c.Spec
	}
	out.addAdvertisements(s, node, spec, f)
	out.addRanges(spec, f)
	out.addPools(s, f)
	out.Excluded = node.Labels["node.kubernetes.io/exclude-from-external-load-balancers"] == "true"
	out.addGateways(s, f)
	for _, v := range items(spec["ignoredInterfaces"]) {
		out.Ignored = append(out.Ignored, fmt.Sprint(v))
	}
	if n, ok := number(spec[[2]string{"ipv4NormalRoutePriority", "ipv6NormalRoutePriority"}[f]]); ok {
		out.Priority = n
	}
	if spec["bindMode"] == "NodeIP" {
		out.Listen = node.Address[f].Addr().String()
	}
	for _, filter := range s.BGPFilters() {
		if err := out.addFilter(filter, f); err != nil {
			return nil, fmt.Errorf("BGPFilter %s: %w", filter.Name, err)
		}
	}
	return out, nil
}

func items(v any) []any {
	list, _ := v.([]any)
	return list
}

func fields(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func number(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), true
	}
	return 0, false
}

// inFamily reports whether a text goes into the files of a family: a colon decides.
func inFamily(text string, f calico.Family) bool {
	return strings.Contains(text, ":") == (f == calico.IPv6)
}

var community = regexp.MustCompile(`^\d+(:\d+){1,2}$`)

// addAdvertisements adds the prefixAdvertisements of the node's own BGPConfiguration, or else of the cluster's.
func (o *Settings) addAdvertisements(s *state.Snapshot, node *calico.Node, spec map[string]any, f calico.Family) {
	if own := s.BGPConfiguration("node." + node.Name); own != nil && own.Spec["prefixAdvertisements"] != nil {
		spec = own.Spec
	}
	for _, one := range items(spec["prefixAdvertisements"]) {
		a := Advertisement{Network: text(fields(one), "cidr")}
		if a.Network == "" || !inFamily(a.Network, f) {
			continue
		}
		for _, v := range items(fields(one)["communities"]) {
			value, _ := v.(string)
			if !community.MatchString(value) {
				i := slices.IndexFunc(items(spec["communities"]), func(named any) bool { return text(fields(named), "name") == value })
				if i < 0 {
					continue
				}
				value = text(fields(items(spec["communities"])[i]), "value")
			}
			if statement, err := addCommunity(value); err == nil {
				a.Statements = append(a.Statements, statement)
			}
		}
		if len(a.Statements) > 0 {
			o.Communities = append(o.Communities, a)
		}
	}
}

func addCommunity(value string) (string, error) {
	parts := strings.Split(value, ":")
	switch len(parts) {
	case 2:
		return fmt.Sprintf("bgp_community.add((%s));", strings.Join(parts, ", ")), nil
	case 3:
		return fmt.Sprintf("bgp_large_community.add((%s));", strings.Join(parts, ", ")), nil
	}
	return "", fmt.Errorf("community %q", value)
}

// addRanges adds the ranges of service addresses. A list with an entry that does not parse is not used.
func (o *Settings) addRanges(spec map[string]any, f calico.Family) {
	for _, field := range []string{"serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"} {
		var all, routes []string
		usable := true
		for _, one := range items(spec[field]) {
			cidr := text(fields(one), "cidr")
			if cidr == "" {
				continue
			}
			all = append(all, cidr)
			_, network, err := net.ParseCIDR(cidr)
			if err != nil {
				usable = false
				continue
			}
			if ones, bits := network.Mask.Size(); field == "serviceClusterIPs" || ones < bits {
				routes = append(routes, cidr)
			}
		}
		if usable && (field != "serviceLoadBalancerIPs" || spec["serviceLoadBalancerAggregation"] != "Disabled") {
			o.Ranges = append(o.Ranges, only(routes, f)...)
		}
		if field != "serviceClusterIPs" {
			o.Reflected = append(o.Reflected, only(all, f)...)
		}
	}
}

// addPools adds the CIDRs of IPPools.
func (o *Settings) addPools(s *state.Snapshot, f calico.Family) {
	for _, p := range s.IPPools() {
		if p.Spec["vxlanMode"] == "Always" {
			o.VXLAN = append(o.VXLAN, only([]string{text(p.Spec, "cidr")}, f)...)
		}
		if p.Spec["disableBGPExport"] == true {
			o.Unexported = append(o.Unexported, only([]string{text(p.Spec, "cidr")}, f)...)
		} else {
			o.Exported = append(o.Exported, only([]string{text(p.Spec, "cidr")}, f)...)
		}
	}
	if len(s.IPPools()) == 0 {
		o.Exported = []string{podNetworks[f].String()}
	}
}

func only(cidrs []string, f calico.Family) []string {
	return slices.DeleteFunc(cidrs, func(cidr string) bool { return !inFamily(cidr, f) })
}

// addGateways adds the static routes of global BGPPeers, which are on every node. Those of others come with the
// half-sessions.
func (o *Settings) addGateways(s *state.Snapshot, f calico.Family) {
	for _, p := range s.BGPPeers() {
		gateway := p.ReachableBy
		if gateway == "" || p.Node != "" || p.NodeSelector != "" {
			continue
		}
		for _, n := range s.Nodes() {
			if p.PeerSelector != "" && p.Remote() != nil && p.Remote().Matches(n.Labels) && n.SpeaksBGP(f) {
				o.addGateway(n.Address[f].Addr(), gateway)
			}
		}
		a, err := netip.ParseAddr(gateway)
		if p.PeerSelector == "" && err == nil && p.PeerAddress.IsValid() && calico.FamilyOf(p.PeerAddress) == f && a.Unmap().Is4() == p.PeerAddress.Is4() {
			o.addGateway(p.PeerAddress, gateway)
		}
	}
}

func (o *Settings) addGateway(peer netip.Addr, gateway string) {
	o.Gateways = append(o.Gateways, fmt.Sprintf("route %s/%d via %s;", peer, peer.BitLen(), gateway))
}

// addFilter adds the functions of a BGPFilter.
func (o *Settings) addFilter(filter *calico.BGPFilter, f calico.Family) error {
	var calls [2]string
	for d, direction := range []string{"import", "export"} {
		rules := items(filter.Spec[direction+[2]string{"V4", "V6"}[f]])
		if len(rules) == 0 {
			continue
		}
		name := fmt.Sprintf("'bgp_%s_%sFilterV%d'", filter.Name, direction, [2]int{4, 6}[f])
		parameter, argument := "", ""
		if slices.ContainsFunc(rules, func(r any) bool { return text(fields(r), "peerType") != "" }) {
			parameter, argument = "bool is_same_as", "true"
		}
		lines := []string{fmt.Sprintf("function %s(%s) {", name, parameter)}
		for _, rule := range rules {
			line, err := ruleStatement(fields(rule))
			if err != nil {
				return err
			}
			switch text(fields(rule), "peerType") {
			case "iBGP":
				line = fmt.Sprintf("if (is_same_as) then { %s }", line)
			case "eBGP":
				line = fmt.Sprintf("if (!is_same_as) then { %s }", line)
			}
			lines = append(lines, "  "+line)
		}
		o.Filters = append(o.Filters, strings.Join(append(lines, "}"), "\n"))
		calls[d] = fmt.Sprintf("%s(%s);", name, argument)
	}
	o.Calls[filter.Name] = calls
	return nil
}

// ruleStatement returns the statement of a rule.
func ruleStatement(rule map[string]any) (string, error) {
	action := text(rule, "action")
	if action != "Accept" && action != "Reject" {
		return "", fmt.Errorf("action %q", action)
	}
	var conditions []string
	if cidr := text(rule, "cidr"); cidr != "" {
		operator := map[string]string{"Equal": "=", "NotEqual": "!=", "In": "~", "NotIn": "!~"}[text(rule, "matchOperator")]
		if operator == "" {
			return "", fmt.Errorf("matchOperator %q", text(rule, "matchOperator"))
		}
		if length := rule["prefixLength"]; length != nil {
			var err error
			if cidr, err = ranged(cidr, fields(length)); err != nil {
				return "", err
			}
		}
		conditions = append(conditions, fmt.Sprintf("(net %s %s)", operator, cidr))
	}
	switch source := text(rule, "source"); source {
	case "":
	case "RemotePeers":
		conditions = append(conditions, "((defined(source))&&(source ~ [ RTS_BGP ]))")
	default:
		return "", fmt.Errorf("source %q", source)
	}
	if name := text(rule, "interface"); name != "" {
		conditions = append(conditions, `((defined(ifname))&&(ifname ~ "`+name+`"))`)
	}
	if rule["communities"] != nil {
		values := items(fields(rule["communities"])["values"])
		if len(values) == 0 {
			return "", errors.New("no communities")
		}
		parts := strings.Split(fmt.Sprint(values[0]), ":")
		if len(parts) < 2 || len(parts) > 3 {
			return "", fmt.Errorf("community %q", values[0])
		}
		conditions = append(conditions, fmt.Sprintf("((%s) ~ bgp_%scommunity)", strings.Join(parts, ", "), [...]string{"", "large_"}[len(parts)-2]))
	}
	if path := items(rule["asPathPrefix"]); len(path) > 0 {
		conditions = append(conditions, fmt.Sprintf("(bgp_path ~ [= %s * =])", strings.Trim(fmt.Sprint(path), "[]")))
	}
	if n, ok := number(rule["priority"]); ok {
		conditions = append(conditions, fmt.Sprintf("(defined(bgp_local_pref)&&(bgp_local_pref = %d))", maxPriority-n))
	}
	body, err := operationStatements(items(rule["operations"]))
	if err != nil {
		return "", err
	}
	body += strings.ToLower(action) + ";"
	if len(conditions) == 0 {
		return body, nil
	}
	return fmt.Sprintf("if (%s) then { %s }", strings.Join(conditions, "&&"), body), nil
}

// ranged returns the pattern of a network with a range of prefix lengths.
func ranged(cidr string, length map[string]any) (string, error) {
	address, network, err := net.ParseCIDR(cidr)
	if err != nil {
		return "", err
	}
	ones, _ := network.Mask.Size()
	low, high := int64(ones), int64(128)
	if address.To4() != nil {
		high = 32
	}
	if n, ok := number(length["min"]); ok {
		low = max(low, n)
	}
	if n, ok := number(length["max"]); ok {
		high = min(high, n)
	}
	return fmt.Sprintf("[ %s{%d,%d} ]", cidr, low, high), nil
}

func operationStatements(operations []any) (string, error) {
	var b strings.Builder
	for _, one := range operations {
		operation := fields(one)
		switch {
		case operation["addCommunity"] != nil:
			statement, err := addCommunity(text(fields(operation["addCommunity"]), "value"))
			if err != nil {
				return "", err
			}
			b.WriteString(statement + " ")
		case operation["prependASPath"] != nil:
			path := items(fields(operation["prependASPath"])["prefix"])
			for _, asn := range slices.Backward(path) {
				fmt.Fprintf(&b, "bgp_path.prepend(%v); ", asn)
			}
		case operation["setPriority"] != nil:
			n, ok := number(fields(operation["setPriority"])["value"])
			if !ok {
				return "", errors.New("setPriority without a value")
			}
			fmt.Fprintf(&b, "bgp_local_pref = %d; ", maxPriority-n)
		default:
			return "", errors.New("an operation without a field")
		}
	}
	return b.String(), nil
}
