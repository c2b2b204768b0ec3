package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

type (
	props  = apiextensionsv1.JSONSchemaProps
	fields = map[string]props
)

// embed writes the definitions of projectcalico.org/v3 in folder, as the newest Calico has them, as one line of JSON
// each into a gzip file. Descriptions are dropped: they are most of the text, and no validation reads them.
func embed(folder, output string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &definition); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		line, err := compact(&definition)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if _, err := compressed.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if err := compressed.Close(); err != nil {
		return err
	}
	return os.WriteFile(output, out.Bytes(), 0o644)
}

// compact returns a definition as the newest Calico has it, without what validation does not read.
func compact(definition *apiextensionsv1.CustomResourceDefinition) ([]byte, error) {
	version := &definition.Spec.Versions[0]
	renew(calico.Kind(definition.Spec.Names.Kind), version.Schema.OpenAPIV3Schema)
	strip(version.Schema.OpenAPIV3Schema)
	version.AdditionalPrinterColumns = nil
	definition.Annotations = nil
	text, err := json.Marshal(definition)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, err
	}
	delete(object, "status")
	return json.Marshal(object)
}

// strip removes the descriptions of a schema.
func strip(s *props) {
	s.Description = ""
	for name, field := range s.Properties {
		strip(&field)
		s.Properties[name] = field
	}
	if s.Items != nil && s.Items.Schema != nil {
		strip(s.Items.Schema)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		strip(s.AdditionalProperties.Schema)
	}
}

// renew adds to a generated schema what the definitions of Calico v3.32 have and the Go types, which are older, do
// not: fields, accepted values, limits of length and rules.
func renew(kind calico.Kind, root *props) {
	root.Required = []string{"metadata", "spec"}
	spec := root.Properties["spec"]
	switch kind {
	case calico.KindBGPPeer:
		renewPeer(&spec)
	case calico.KindBGPConfiguration:
		renewConfiguration(&spec)
	case calico.KindBGPFilter:
		for _, list := range []string{"exportV4", "importV4", "exportV6", "importV6"} {
			renewFilterRule(spec.Properties[list].Items.Schema, strings.HasSuffix(list, "V6"))
		}
	case calico.KindIPPool:
		renewPool(&spec)
		// The controller of IPPools reports in conditions whether it allocates from a pool.
		root.Properties["status"] = props{Type: "object", Properties: fields{
			"conditions": {Type: "array", Items: itemsOf(props{Type: "object", XPreserveUnknownFields: new(true)})},
		}}
	case calico.KindFelixConfiguration:
		renewFelix(&spec)
	default: // Other kinds have the same fields.
	}
	root.Properties["spec"] = spec
}

// set changes a field that exists.
func set(s *props, name string, change func(*props)) {
	field, ok := s.Properties[name]
	if !ok {
		panic("no field " + name)
	}
	change(&field)
	s.Properties[name] = field
}

func add(s *props, more fields) {
	maps.Copy(s.Properties, more)
}

func enum(values ...string) func(*props) {
	return func(s *props) {
		s.Enum = nil
		for _, v := range values {
			s.Enum = append(s.Enum, apiextensionsv1.JSON{Raw: fmt.Appendf(nil, "%q", v)})
		}
	}
}

func enumOf(values ...string) props {
	s := props{Type: "string"}
	enum(values...)(&s)
	return s
}

func limit(length int64) func(*props) {
	return func(s *props) { s.MaxLength = &length }
}

func format(name string) func(*props) { return func(s *props) { s.Format = name } }

func itemsOf(s props) *apiextensionsv1.JSONSchemaPropsOrArray {
	return &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &s}
}

// rule adds a CEL rule.
func rule(s *props, message, expression string) {
	s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{Rule: expression, Message: message})
}

// priority is the range of a route's priority (metric) in the kernel.
func priority() props {
	return props{Type: "integer", Minimum: new(float64(1)), Maximum: new(float64(2147483646))}
}

func renewPeer(spec *props) {
	for _, selector := range []string{"nodeSelector", "peerSelector", "localWorkloadSelector"} {
		set(spec, selector, limit(4096))
	}
	set(spec, "node", limit(253))
	set(spec, "peerIP", limit(64))
	set(spec, "sourceAddress", enum("UseNodeIP", "None"))

	// An empty string counts as unset.
	given := func(name string) string { return "(has(self." + name + ") && self." + name + " != '')" }
	not := func(a, b string) { rule(spec, a+" and "+b+" cannot both be set", "!"+given(a)+" || !"+given(b)) }
	not("node", "nodeSelector")
	not("peerIP", "peerSelector")
	not("peerIP", "localWorkloadSelector")
	not("peerSelector", "localWorkloadSelector")
	const as = "(has(self.asNumber) && self.asNumber != 0)"
	rule(spec, "asNumber cannot be set with peerSelector", "!"+given("peerSelector")+" || !"+as)
	rule(spec, "localWorkloadSelector requires asNumber", "!"+given("localWorkloadSelector")+" || "+as)
}

func renewConfiguration(spec *props) {
	set(spec, "bindMode", enum("None", "NodeIP"))
	set(spec, "logSeverityScreen", func(s *props) { s.Pattern = `^(?i)(trace|debug|info|warning|error|fatal)?$` })
	for _, list := range []string{"serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs", "prefixAdvertisements"} {
		set(spec.Properties[list].Items.Schema, "cidr", format("cidr"))
	}
	add(spec, fields{
		"ipv4NormalRoutePriority": priority(),
		"ipv6NormalRoutePriority": priority(),
		"programClusterRoutes":    enumOf("Enabled", "Disabled"),
	})
	for _, name := range []string{"nodeMeshPassword", "nodeMeshMaxRestartTime"} {
		rule(spec, name+" cannot be set when nodeToNodeMeshEnabled is false",
			"!has(self."+name+") || !has(self.nodeToNodeMeshEnabled) || self.nodeToNodeMeshEnabled")
	}
}

func renewFilterRule(s *props, ipv6 bool) {
	longest := int64(len("255.255.255.255/32"))
	if ipv6 {
		longest = int64(len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"))
	}
	set(s, "action", enum("Accept", "Reject"))
	set(s, "matchOperator", enum("Equal", "NotEqual", "In", "NotIn"))
	set(s, "source", enum("RemotePeers"))
	set(s, "cidr", func(s *props) { s.Format, s.MaxLength = "cidr", &longest })

	as := props{Type: "integer", Format: "int32"}
	// A community has two numbers of 16 bits, or, as a large one (RFC 8092), three of 32.
	community := props{Type: "string", MaxLength: new(int64(32)), Pattern: communityPattern}
	operation := func(field string, value props) props {
		return props{Type: "object", Required: []string{field}, Properties: fields{field: value}}
	}
	add(s, fields{
		"asPathPrefix": {Type: "array", Items: itemsOf(as)},
		"communities": operation("values",
			props{Type: "array", MinItems: new(int64(1)), MaxItems: new(int64(1)), Items: itemsOf(community)}),
		"peerType": enumOf("eBGP", "iBGP"),
		"priority": priority(),
		"operations": {
			Type: "array", MinItems: new(int64(1)), MaxItems: new(int64(10)),
			Items: itemsOf(props{
				Type: "object", MinProperties: new(int64(1)), MaxProperties: new(int64(1)),
				Properties: fields{
					"addCommunity":  operation("value", community),
					"prependASPath": operation("prefix", props{Type: "array", MinItems: new(int64(1)), MaxItems: new(int64(10)), Items: itemsOf(as)}),
					"setPriority":   operation("value", priority()),
				},
			}),
		},
	})
	const cidr = "(has(self.cidr) && self.cidr != '')"
	rule(s, "cidr and matchOperator must both be set, or neither", cidr+" == (has(self.matchOperator) && self.matchOperator != '')")
	rule(s, "prefixLength requires cidr", "!has(self.prefixLength) || "+cidr)
	rule(s, "operations require the action Accept", "!has(self.operations) || self.operations == [] || self.action == 'Accept'")
}

var communityPattern = `^(` + numbers(2, upTo(65535)) + `|` + numbers(3, upTo(4294967295)) + `)$`

// numbers is a pattern of n numbers with colons between them.
func numbers(n int, pattern string) string {
	return strings.TrimSuffix(strings.Repeat("("+pattern+"):", n), ":")
}

// upTo is a pattern of the decimal numbers from 0 to limit, without leading zeros.
func upTo(limit uint64) string {
	digits := strconv.FormatUint(limit, 10)
	parts := []string{"0", fmt.Sprintf("[1-9][0-9]{0,%d}", len(digits)-2)}
	for i := range digits { // Numbers of the same length that are smaller from digit i on.
		low := byte('0')
		if i == 0 {
			low = '1'
		}
		if digits[i] > low {
			parts = append(parts, fmt.Sprintf("%s[%c-%c][0-9]{%d}", digits[:i], low, digits[i]-1, len(digits)-1-i))
		}
	}
	return strings.Join(append(parts, regexp.QuoteMeta(digits)), "|")
}

func renewPool(spec *props) {
	const unset = "(!has(self.%[1]s) || self.%[1]s in ['', 'Never'])"
	for _, mode := range []string{"ipipMode", "vxlanMode"} {
		set(spec, mode, enum("Never", "Always", "CrossSubnet"))
	}
	set(spec, "cidr", func(s *props) { s.Format, s.MaxLength = "cidr", new(int64(48)) })
	set(spec, "blockSize", func(s *props) { s.Minimum, s.Maximum = new(float64(0)), new(float64(128)) })
	for _, field := range []string{"cidr", "blockSize"} {
		set(spec, field, func(s *props) {
			rule(s, "cannot be changed: create a new IPPool and migrate to it", "self == oldSelf")
		})
	}
	set(spec, "allowedUses", func(s *props) {
		enum("Workload", "Tunnel", "LoadBalancer")(s.Items.Schema)
		s.MaxItems, s.XListType = new(int64(10)), new("set")
	})
	// They are remainders of the API v1.
	delete(spec.Properties, "ipip")
	delete(spec.Properties, "nat-outgoing")

	ipip, vxlan := fmt.Sprintf(unset, "ipipMode"), fmt.Sprintf(unset, "vxlanMode")
	const loadBalancer = "(has(self.allowedUses) && self.allowedUses.exists(u, u == 'LoadBalancer'))"
	rule(spec, "ipipMode and vxlanMode cannot both be enabled", ipip+" || "+vxlan)
	rule(spec, "a pool for LoadBalancer cannot have IPIP or VXLAN", "!"+loadBalancer+" || ("+ipip+" && "+vxlan+")")
	rule(spec, "LoadBalancer cannot be combined with other allowedUses", "!"+loadBalancer+" || self.allowedUses.all(u, u == 'LoadBalancer')")
	rule(spec, "an IPv6 pool cannot have IPIP", "!self.cidr.contains(':') || "+ipip)
}

func renewFelix(spec *props) {
	// controller-gen writes a range of ports as its Go struct; in JSON it is a number or text such as "30000:32767".
	ports := props{XIntOrString: true, AnyOf: []props{{Type: "integer"}, {Type: "string"}}}
	add(spec, fields{"natPortRange": ports, "bpfPSNATPorts": ports, "kubeNodePortRanges": {Type: "array", Items: itemsOf(ports)}})
	set(spec, "iptablesBackend", enum("Legacy", "NFT", "Auto"))
	text, number := props{Type: "string"}, props{Type: "integer"}
	add(spec, fields{
		"bpfJITHardening":                   enumOf("Auto", "Strict"),
		"bpfKubeProxyHealthzPort":           number,
		"bpfMaglevMaxEndpointsPerService":   number,
		"bpfMaglevMaxServices":              number,
		"ipv4ElevatedRoutePriority":         number,
		"ipv4NormalRoutePriority":           number,
		"ipv6ElevatedRoutePriority":         number,
		"ipv6NormalRoutePriority":           number,
		"istioAmbientMode":                  enumOf("Enabled", "Disabled"),
		"istioDSCPMark":                     {XIntOrString: true, AnyOf: ports.AnyOf},
		"liveMigrationRouteConvergenceTime": text,
		"logActionRateLimit":                text,
		"logActionRateLimitBurst":           number,
		"nodeSelector":                      {Type: "string", MaxLength: new(int64(4096))},
		"prometheusMetricsCAFile":           text,
		"prometheusMetricsCertFile":         text,
		"prometheusMetricsClientAuth":       text,
		"prometheusMetricsKeyFile":          text,
	})
	rule(spec, "routeTableRange and routeTableRanges cannot both be set", "!has(self.routeTableRange) || !has(self.routeTableRanges)")
}
