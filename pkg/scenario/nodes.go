package scenario

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// maxNodes is far more than the largest clusters have.
const maxNodes = 100_000

// Nodes describes a number of similar Nodes.
type Nodes struct {
	// Count is the number of Nodes. Their names are Prefix1, Prefix2 and so on.
	Count  int    `json:"count"`
	Prefix string `json:"prefix"`
	// Labels are the labels of all Nodes.
	Labels map[string]string `json:"labels,omitempty"`
	// Zones are the values of the label topology.kubernetes.io/zone, assigned in turn.
	Zones []string `json:"zones,omitempty"`
	// IPv4 and IPv6 are networks. Each Node has the next address of each network.
	IPv4 string `json:"ipv4,omitempty"`
	IPv6 string `json:"ipv6,omitempty"`
	// ASNumber and RouteReflectorClusterID are the values of Calico's annotations.
	ASNumber                string `json:"asNumber,omitempty"`
	RouteReflectorClusterID string `json:"routeReflectorClusterID,omitempty"`
	// NotReady means that the condition Ready is False.
	NotReady bool `json:"notReady,omitempty"`
}

// objects returns the Nodes.
func (n *Nodes) objects() ([]calico.Object, error) {
	if n.Count < 1 || n.Count > maxNodes {
		return nil, fmt.Errorf("count must be from 1 to %d, is %d", maxNodes, n.Count)
	}
	if n.Prefix == "" {
		return nil, errors.New("prefix is missing")
	}
	var addresses [2]netip.Addr
	var masks [2]netip.Prefix
	for f, text := range []string{n.IPv4, n.IPv6} {
		if text == "" {
			continue
		}
		var err error
		if masks[f], err = netip.ParsePrefix(text); err != nil || calico.FamilyOf(masks[f].Addr()) != calico.Family(f) {
			return nil, fmt.Errorf("%s must be a network such as 10.0.0.0/16, is %q", []string{"ipv4", "ipv6"}[f], text)
		}
		addresses[f] = masks[f].Masked().Addr()
	}
	out := make([]calico.Object, 0, n.Count)
	for i := range n.Count {
		labels := map[string]any{}
		for k, v := range n.Labels {
			labels[k] = v
		}
		if len(n.Zones) > 0 {
			labels["topology.kubernetes.io/zone"] = n.Zones[i%len(n.Zones)]
		}
		annotations := map[string]any{}
		for f, key := range []string{calico.AnnotationIPv4Address, calico.AnnotationIPv6Address} {
			if !addresses[f].IsValid() {
				continue
			}
			addresses[f] = addresses[f].Next()
			if !masks[f].Contains(addresses[f]) {
				return nil, fmt.Errorf("%s has no address for node %d of %d", masks[f], i+1, n.Count)
			}
			annotations[key] = netip.PrefixFrom(addresses[f], masks[f].Bits()).String()
		}
		for key, text := range map[string]string{calico.AnnotationASNumber: n.ASNumber, calico.AnnotationClusterID: n.RouteReflectorClusterID} {
			if text != "" {
				annotations[key] = text
			}
		}
		object := map[string]any{
			"apiVersion": "v1", "kind": string(calico.KindNode),
			"metadata": map[string]any{"name": n.Prefix + strconv.Itoa(i+1), "labels": maps.Clone(labels), "annotations": annotations},
		}
		if n.NotReady {
			object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "False"}}}
		}
		o, err := calico.Decode(object)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}
