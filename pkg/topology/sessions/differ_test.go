package sessions

import (
	"maps"
	"reflect"
	"slices"

	"testing"

	"github.com/bgpguard/bgpguard/pkg/topology/nodes"
)

// TestEverySettingShowsInAHalfSession changes each field of Settings in turn. A field
// that halfSession does not read would make no difference.
func TestEverySettingShowsInAHalfSession(t *testing.T) {
	// A route reflector of AS 64512 with an external peer and with a peer of its own AS.
	own := &nodes.Class{Identity: nodes.Identity{ASN: 64512, ClusterID: "244.0.0.1"}}
	external := Settings{PeerASN: 65000, Restart: Unset, keepalive: Unset}
	internal := external
	internal.PeerASN = 64512
	// base and want are for settings that have an effect only under a condition, or on
	// other fields.
	base := map[string]Settings{"clusterID": internal}
	want := map[string][]string{
		"port": {"peerPort", "protocol"}, "filters": {"filters"}, "allow": {"numAllowedLocalASNumbers"}, "ttl": {"ttlSecurity"},
		"Restart": {"gracefulRestartTime"}, "keepalive": {"keepaliveTime"}, "sourceNone": {"sourceAddress"}, "keepOriginal": {"nextHopMode"},
		"clusterID": {"clusterID", "routeReflectorClient"}, "PeerASN": {"peerASN"},
	}
	fields := reflect.TypeFor[Settings]()
	for field := range fields.Fields() {
		name := field.Name
		t.Run(name, func(t *testing.T) {
			before, ok := base[name]
			if !ok {
				before = external
			}
			after := before
			setField(t, &after, name)
			got := map[string]bool{}
			addDifferences(got, own, PrefixNode, &before, &after)
			names := want[name]
			if names == nil {
				names = []string{name}
			}
			if fields := slices.Sorted(maps.Keys(got)); !slices.Equal(fields, names) {
				t.Errorf("got differences in %q, want in %q", fields, names)
			}
		})
	}
}

// setField sets a field of settings to another value.
func setField(t *testing.T, s *Settings, name string) {
	t.Helper()
	switch name {
	case "PeerASN":
		s.PeerASN = 65001
	case "localASN":
		s.localASN = 64999
	case "clusterID":
		s.clusterID = "244.0.0.1"
	case "port":
		s.port = 1790
	case "password":
		s.password = "bgp/key"
	case "nextHopMode":
		s.nextHopMode = "Self"
	case "filters":
		s.filters = "a,b"
	case "reachableBy":
		s.reachableBy = "10.0.0.1"
	case "sourceNone":
		s.sourceNone = true
	case "keepOriginal":
		s.keepOriginal = true
	case "passive":
		s.passive = true
	case "Restart":
		s.Restart = 60
	case "keepalive":
		s.keepalive = 20
	case "allow":
		s.allow = 1
	case "ttl":
		s.ttl = 1
	default:
		t.Fatalf("no other value for the field %s", name)
	}
}
