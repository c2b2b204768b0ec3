package topology

import (
	"reflect"
	"slices"
	"strings"
)

// differences adds the fields in which the ways of a half-session of nodes of g
// differ, as the function of the same name finds them for one node.
func (h *half) differences(g *side, fields map[string]bool) {
	first := &h.ways[0].settings
	for i := range h.ways[1:] {
		first.differences(&h.ways[i+1].settings, h.prefix, g, fields)
	}
}

// differences adds the fields in which half-sessions of nodes of g with two settings
// differ. Their ports can only be 179 and none, which is the same port.
func (s *settings) differences(t *settings, p prefix, g *side, fields map[string]bool) {
	client := s.client(g, p) != t.client(g, p)
	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"protocol", s.port != t.port},
		{"peerASN", s.peerASN != t.peerASN},
		{"localASN", s.local(g) != t.local(g)},
		{"passive", s.passive != t.passive},
		{"routeReflectorClient", client},
		{"clusterID", client},
		{"gracefulRestartTime", s.restart != t.restart},
		{"keepaliveTime", s.keepalive != t.keepalive},
		{"sourceAddress", s.sourceNone != t.sourceNone},
		{"nextHopMode", s.nextHop(g) != t.nextHop(g)},
		{"numAllowedLocalASNumbers", s.allow != t.allow},
		{"ttlSecurity", s.ttl != t.ttl},
		{"reachableBy", s.reachableBy != t.reachableBy},
		{"password", s.password != t.password},
		{"filters", s.filters != t.filters},
	} {
		if field.differs {
			fields[field.name] = true
		}
	}
}

// nextHop is the next hop mode in effect.
func (s *settings) nextHop(g *side) string {
	if s.nextHopMode == "" && s.keepOriginal && !s.internal(g) {
		return "Keep"
	}
	return s.nextHopMode
}

// differences names the JSON fields in which half-sessions differ, in order.
// What follows from where they come is left out.
func differences(list []HalfSession) []string {
	out := []string{}
	t := reflect.TypeFor[HalfSession]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "sources" || name == "status" {
			continue
		}
		first := reflect.ValueOf(list[0]).Field(i).Interface()
		if slices.ContainsFunc(list[1:], func(h HalfSession) bool {
			return !reflect.DeepEqual(first, reflect.ValueOf(h).Field(i).Interface())
		}) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
