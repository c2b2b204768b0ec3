//go:build system

package bird

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// half returns a half-session between nodes 1 and 2, AS 64512 on both, with the change applied.
func half(name string, change ...func(*topology.HalfSession)) topology.HalfSession {
	h := topology.HalfSession{Protocol: name, Family: "IPv4", PeerASN: 64512, LocalASN: 64512}
	for _, c := range change {
		c(&h)
	}
	return h
}

func passive(h *topology.HalfSession) { h.Passive = true }

func port(p uint16) func(*topology.HalfSession) {
	return func(h *topology.HalfSession) { h.PeerPort = p }
}

func password(ref string) func(*topology.HalfSession) {
	return func(h *topology.HalfSession) { h.Password = ref }
}

func ttl(hops int) func(*topology.HalfSession) {
	return func(h *topology.HalfSession) { h.TTLSecurity = hops }
}

func asn(peer, local uint32) func(*topology.HalfSession) {
	return func(h *topology.HalfSession) { h.PeerASN, h.LocalASN = peer, local }
}

func list(h ...topology.HalfSession) []topology.HalfSession { return h }

// TestPairing checks with BIRD the rules that decide whether two half-sessions make an established session.
func TestPairing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		one, two []topology.HalfSession // a… and b…
		ports    [2]uint16              // on which the nodes listen, 0 for BIRD's default
		want     []map[Speaker]View     // protocols with a session; several where it's a matter of moments
	}{
		"two active ends make one session": {one: list(half("a")), two: list(half("b")), want: sets("a b")},
		"one end may wait":                 {one: list(half("a", passive)), two: list(half("b")), want: sets("a b")},
		"not both ends may wait":           {one: list(half("a", passive)), two: list(half("b", passive)), want: sets("")},
		"a half-session alone is none":     {one: list(half("a")), want: sets("")},

		"equal passwords fit":                                {one: list(half("a", password("s/k"))), two: list(half("b", password("s/k"))), want: sets("a b")},
		"different passwords don't fit":                      {one: list(half("a", password("s/k"))), two: list(half("b", password("s/l"))), want: sets("")},
		"one password doesn't fit":                           {one: list(half("a", password("s/k"))), two: list(half("b")), want: sets("")},
		"one password doesn't fit where the other end waits": {one: list(half("a", password("s/k"))), two: list(half("b", passive)), want: sets("")},

		// The end without it may think that it has a session, for 240 s, since it is answered once.
		"TTL security on both ends fits":                                          {one: list(half("a", ttl(1))), two: list(half("b", ttl(1))), want: sets("a b")},
		"TTL security fits whatever the numbers of hops":                          {one: list(half("a", ttl(1))), two: list(half("b", ttl(5))), want: sets("a b")},
		"TTL security on one end alone doesn't fit":                               {one: list(half("a", ttl(1))), two: list(half("b")), want: sets("", "b")},
		"TTL security on one end, which waits, doesn't fit":                       {one: list(half("a", ttl(1), passive)), two: list(half("b")), want: sets("", "b")},
		"TTL security on one end doesn't fit where the other waits":               {one: list(half("a", ttl(1))), two: list(half("b", passive)), want: sets("", "b")},
		"TTL security on one end fits where it allows for the 64 that BIRD sends": {one: list(half("a", ttl(192))), two: list(half("b")), want: sets("a b")},

		"AS numbers that each end expects fit":  {one: list(half("a", asn(65002, 65001))), two: list(half("b", asn(65001, 65002))), want: sets("a b")},
		"an AS number not expected doesn't fit": {one: list(half("a", asn(64512, 65001))), two: list(half("b")), want: sets("")},

		"one end that dials the right port is enough": {
			one: list(half("a", port(1790))), two: list(half("b", port(1791))), ports: [2]uint16{1791, 1792}, want: sets("a b"),
		},
		"ports on which nobody listens don't fit": {
			one: list(half("a", port(1790))), two: list(half("b", port(1790))), ports: [2]uint16{1791, 1792}, want: sets(""),
		},
		"the end that dials the right port may not wait": {
			one: list(half("a", port(1790))), two: list(half("b", port(1791), passive)), ports: [2]uint16{1791, 1792}, want: sets(""),
		},

		// Two protocols to one neighbour and port: one of them has the lock, the first one at the beginning, and it
		// passes on when that one fails (proto/bgp/bgp.c, bgp_start; nest/locks.c). Who dials in is taken for the
		// first in the file (bgp_find_proto), and turned away when that one has not the lock.
		"of two protocols the first has the session":         {one: list(half("a1"), half("a2")), two: list(half("b", passive)), want: sets("a1 b")},
		"of two protocols the first has it, though it waits": {one: list(half("a1", passive), half("a2")), two: list(half("b")), want: sets("a1 b")},
		"two protocols on both ends, one end of each pair waits": {
			one: list(half("a1"), half("a2")), two: list(half("b1", passive), half("b2")), want: sets("a1 b1"),
		},
		"two active ones on both ends are a matter of who fails in a collision": {
			one: list(half("a1"), half("a2")), two: list(half("b1"), half("b2")), want: sets("a1 b1", "a1 b2", "a2 b1", "a2 b2"),
		},
		"a second one is of no use where the first waits for nobody": {one: list(half("a1", passive), half("a2")), two: list(half("b", passive)), want: sets("")},
		"the second has the session where the first has the wrong AS number": {
			one: list(half("a1", asn(65009, 64512)), half("a2")), two: list(half("b")), want: sets("a2 b"),
		},
		"the second has it too where the other end waits": {
			one: list(half("a1", asn(65009, 64512)), half("a2")), two: list(half("b", passive)), want: sets("a2 b"),
		},
		"the second can't wait, for who dials in is taken for the first": {
			one: list(half("a1", asn(65009, 64512)), half("a2", passive)), two: list(half("b")), want: sets(""),
		},
		"the second has no session where the first has the wrong password": {
			one: list(half("a1", password("s/k")), half("a2")), two: list(half("b")), want: sets(""),
		},
		"the password of the second does no harm": {
			one: list(half("a1"), half("a2", password("s/k"))), two: list(half("b", passive)), want: sets("a1 b"),
		},

		// Two protocols to one neighbour and different ports: each has its lock, so both may dial.
		"the one that dials the right port has the session": {one: list(half("a1", port(1790)), half("a2")), two: list(half("b")), want: sets("a2 b")},
		"it has it too where the other end waits":           {one: list(half("a1", port(1790)), half("a2")), two: list(half("b", passive)), want: sets("a2 b")},
		"and where it comes first":                          {one: list(half("a1"), half("a2", port(1790))), two: list(half("b")), want: sets("a1 b")},
		"who dials in is taken for the first, whatever its port": {
			one: list(half("a1", port(1790)), half("a2", passive)), two: list(half("b")), want: sets("a1 b"),
		},
		"two wrong and two right ports make two sessions, crosswise": {
			one: list(half("a1", port(1790)), half("a2")), two: list(half("b1", port(1790)), half("b2")), want: sets("a1 a2 b1 b2"),
		},
		"the second of two ports has the session where the first has the wrong password": {
			one: list(half("a1", password("s/k"), port(1790)), half("a2")), two: list(half("b")), want: sets("a2 b"),
		},
		"nor can the second wait where the first has the wrong AS number": {
			one: list(half("a1", asn(65009, 64512), port(1790)), half("a2", passive)), two: list(half("b")), want: sets(""),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes := []Node{
				{Name: "one", ListenPort: tc.ports[0], HalfSessions: tc.one, ASN: 64512},
				{Name: "two", ListenPort: tc.ports[1], HalfSessions: tc.two, ASN: 64512},
			}
			for i := range nodes {
				n := &nodes[i]
				n.Address[calico.IPv4] = netip.MustParseAddr(fmt.Sprintf("10.192.0.%d", i+1))
				n.Pods[calico.IPv4], n.RouterID = podBlock(calico.IPv4, i+1), n.Address[calico.IPv4].String()
				n.Settings[calico.IPv4] = &Settings{Priority: 1024}
				for j := range n.HalfSessions {
					n.HalfSessions[j].SourceAddress = n.Address[calico.IPv4].String()
					n.HalfSessions[j].PeerIP = fmt.Sprintf("10.192.0.%d", 2-i)
				}
			}
			c := start(t, nodes, Options{})
			if err := c.Await(t.Context(), tc.want...); err != nil {
				t.Error(err)
			}
		})
	}
}

// sets returns the views of nodes one and two for each list of sessions: names that start with a are of node one, those
// that start with b of node two.
func sets(lists ...string) []map[Speaker]View {
	out := make([]map[Speaker]View, 0, len(lists))
	for _, text := range lists {
		var one, two View
		for name := range strings.FieldsSeq(text) {
			if name[0] == 'a' {
				one.Sessions = append(one.Sessions, name)
			} else {
				two.Sessions = append(two.Sessions, name)
			}
		}
		// A session brings the route to the other node's pods.
		if len(one.Sessions) > 0 && len(two.Sessions) > 0 {
			one.Routes, two.Routes = []string{"two"}, []string{"one"}
		}
		out = append(out, map[Speaker]View{{"one", calico.IPv4}: one, {"two", calico.IPv4}: two})
	}
	return out
}
