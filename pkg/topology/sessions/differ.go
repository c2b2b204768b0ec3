package sessions

import (
	"reflect"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// halfSession returns a half-session with the fields that its settings determine on a
// node of class g. own is the node's address.
func (s *Settings) halfSession(g *nodes.Class, p Prefix, own string) HalfSession {
	h := HalfSession{
		PeerPort: portOr179(s.port), PeerASN: s.PeerASN, LocalASN: s.Local(g), Passive: s.passive, RouteReflectorClient: s.client(g, p),
		NextHopMode: s.nextHop(g), NumAllowedLocalASNumbers: s.allow, TTLSecurity: s.ttl, ReachableBy: s.reachableBy, Password: s.password,
	}
	if h.RouteReflectorClient {
		h.ClusterID = g.ClusterID
	}
	if s.Restart != Unset {
		h.GracefulRestartTime = &s.Restart
	}
	if s.keepalive != Unset && s.keepalive != 0 {
		h.KeepaliveTime = &s.keepalive
	}
	if p == PrefixMesh || p != PrefixWorkload && !s.sourceNone {
		h.SourceAddress = own
	}
	if s.filters != "" {
		h.Filters = strings.Split(s.filters, ",")
	}
	return h
}

// keep is the next hop mode in which nodes keep next hops.
const keep = "Keep"

// nextHop returns the next hop mode in effect.
func (s *Settings) nextHop(g *nodes.Class) string {
	if s.nextHopMode == "" && s.keepOriginal && !s.internal(g) {
		return keep
	}
	return s.nextHopMode
}

// addDifferences adds to fields the JSON names of the fields of HalfSession in which
// settings differ on a node of class g.
func addDifferences(fields map[string]bool, g *nodes.Class, p Prefix, list ...*Settings) {
	sessions := make([]HalfSession, len(list))
	for i, s := range list {
		sessions[i] = s.halfSession(g, p, "own")
		sessions[i].Protocol = suffix(p, s.port)
	}
	for _, name := range differences(sessions) {
		fields[name] = true
	}
}

// sameField is reflect.DeepEqual, which copies the values of all fields, for a field of two half-sessions.
func sameField(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer, reflect.Slice:
		return reflect.DeepEqual(a.Interface(), b.Interface())
	default:
		return a.Equal(b)
	}
}

// differences returns the JSON names of the fields in which half-sessions differ,
// sorted. Sources and Status are not compared.
func differences(list []HalfSession) []string {
	out := []string{}
	t := reflect.TypeFor[HalfSession]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "sources" || name == "status" {
			continue
		}
		first := reflect.ValueOf(&list[0]).Elem().Field(i)
		for k := range list[1:] {
			if !sameField(first, reflect.ValueOf(&list[k+1]).Elem().Field(i)) {
				out = append(out, name)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}
