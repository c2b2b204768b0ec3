package topology

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// view is the result of an implementation, in a form that both implementations have.
type view struct {
	halves    []HalfSession
	broken    []BrokenSession
	ambiguous []AmbiguousSession
	// frozen holds "NODE FAMILY".
	frozen   []string
	hasRoute func(f calico.Family, from, to string, transit bool) bool
}

func viewOf(t *Topology) *view {
	v := &view{
		halves: slices.Collect(t.HalfSessions("")), broken: slices.Collect(t.Broken("")), ambiguous: slices.Collect(t.Ambiguous("")),
		hasRoute: t.HasRoute,
	}
	for _, n := range t.Frozen() {
		v.frozen = append(v.frozen, n.Node+" "+n.Family)
	}
	slices.Sort(v.frozen)
	return v
}

func (m *naive) view() *view {
	v := &view{}
	for _, s := range m.slots {
		h := s.candidates[0]
		if s.ambiguous() {
			v.ambiguous = append(v.ambiguous, AmbiguousSession{
				Node: h.Node, Family: h.Family, PeerIP: h.PeerIP, PeerNode: h.PeerNode,
				Sources: sourcesOf(s.candidates), Differs: differing(s.candidates), Candidates: s.candidates,
			})
			continue
		}
		h.Status = s.status
		v.halves = append(v.halves, h)
		if s.status == Broken {
			v.broken = append(v.broken, BrokenSession{
				Node: h.Node, Family: h.Family, Protocol: h.Protocol, PeerIP: h.PeerIP, PeerNode: h.PeerNode, Reason: s.reason, Sources: h.Sources,
			})
		}
	}
	routes := map[string]bool{}
	for _, f := range calico.Families {
		for _, n := range m.nodes {
			if m.frozen(n, f) {
				v.frozen = append(v.frozen, n.Name+" "+f.String())
			}
			for _, transit := range []bool{false, true} {
				for to := range m.reached(f, n, m.reading(transit)) {
					routes[fmt.Sprint(f, n.Name, "/", to.Name, transit)] = true
				}
			}
		}
	}
	slices.Sort(v.frozen)
	v.hasRoute = func(f calico.Family, from, to string, transit bool) bool {
		return routes[fmt.Sprint(f, from, "/", to, transit)]
	}
	return v
}

// lines returns a view as short lines, for comparison with texts in tests:
//
//	NODE PROTOCOL STATUS [PEER NODE] asn LOCAL>PEER [passive] [client ID] [port N] by SOURCES
//
// The reason replaces the status Broken. Lines for ambiguous half-sessions, frozen nodes
// and missing routes follow. The routes are those without transit.
func (v *view) lines(s *state.Snapshot) []string {
	reasons := map[string]Reason{}
	for _, b := range v.broken {
		reasons[b.Node+b.Family+b.Protocol+b.PeerNode] = b.Reason
	}
	var out []string
	for _, h := range v.halves {
		status := string(h.Status)
		if h.Status == Broken {
			status = string(reasons[h.Node+h.Family+h.Protocol+h.PeerNode])
		}
		out = append(out, strings.Join(append([]string{h.Node, h.Protocol, status}, settingsOf(h)...), " "))
	}
	for _, a := range v.ambiguous {
		out = append(out, fmt.Sprintf("%s %s ambiguous %s by %s", a.Node, a.PeerIP, strings.Join(a.Differs, ","), strings.Join(a.Sources, ",")))
	}
	for _, n := range v.frozen {
		out = append(out, n+" frozen")
	}
	for _, f := range calico.Families {
		for _, from := range s.Nodes() {
			for _, to := range s.Nodes() {
				if from != to && from.SpeaksBGP(f) && to.SpeaksBGP(f) && !v.hasRoute(f, from.Name, to.Name, false) {
					out = append(out, fmt.Sprintf("%s to %s: no %s route", from.Name, to.Name, f))
				}
			}
		}
	}
	return out
}

func settingsOf(h HalfSession) []string {
	var out []string
	if h.PeerNode != "" {
		out = append(out, h.PeerNode)
	}
	out = append(out, fmt.Sprintf("asn %d>%d", h.LocalASN, h.PeerASN))
	if h.Passive {
		out = append(out, "passive")
	}
	if h.RouteReflectorClient {
		out = append(out, "client "+h.ClusterID)
	}
	if h.PeerPort != 179 {
		out = append(out, fmt.Sprintf("port %d", h.PeerPort))
	}
	if h.KeepaliveTime != nil {
		out = append(out, fmt.Sprintf("keepalive %d", *h.KeepaliveTime))
	}
	if h.GracefulRestartTime != nil {
		out = append(out, fmt.Sprintf("restart %d", *h.GracefulRestartTime))
	}
	if h.NextHopMode != "" {
		out = append(out, "next hop "+h.NextHopMode)
	}
	if h.NumAllowedLocalASNumbers != 0 {
		out = append(out, fmt.Sprintf("allow own %d", h.NumAllowedLocalASNumbers))
	}
	if h.SourceAddress == "" && h.PeerIP != "" && h.PeerIP != "invalid IP" {
		out = append(out, "source none")
	}
	return append(out, strings.TrimSpace("by "+strings.Join(h.Sources, ",")))
}
