package health

import (
	"fmt"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// reports are the statuses that are compared, by node.
type reports struct {
	sessions, daemons map[string]*calico.NodeStatus
	// asked are the nodes with a status of class BGP.
	asked map[string]bool
}

// choose returns, for each node, the statuses with sessions and with daemons that changed
// last. It lists those that are not compared as Outdated.
func (h *Health) choose(s *state.Snapshot, now time.Time, ready reflectorEvidence) *reports {
	list := s.NodeStatuses()
	r := &reports{make(map[string]*calico.NodeStatus, len(list)), make(map[string]*calico.NodeStatus, len(list)), make(map[string]bool, len(list))}
	for _, status := range list {
		if !status.BGP && !status.Agent {
			continue
		}
		node, _ := s.Get(calico.ID{Kind: calico.KindNode, Name: status.Node}).(*calico.Node)
		r.asked[status.Node] = r.asked[status.Node] || status.BGP
		reason, message := outdated(status, node, now)
		if reason == "" && status.Agent {
			later(r.daemons, status)
		}
		if reason == "" && status.BGP && emptied(status) {
			reason = Emptied
			message = "lists no sessions: the BIRD of IPv6 does not answer, and calico-node then drops the sessions of IPv4 too"
			if !status.Agent {
				message = "lists no sessions, and does not show whether BIRD answers: add Agent to spec.classes"
			}
		}
		switch {
		case reason != "":
			ready.stale(status, reason)
			h.Outdated.add(func() Outdated { return Outdated{status.Name, status.Node, known(status.LastUpdated), reason, message} })
		case status.BGP:
			later(r.sessions, status)
		}
	}
	return r
}

// later puts status into of, unless of has a status of the same node that changed later.
func later(of map[string]*calico.NodeStatus, status *calico.NodeStatus) {
	if old := of[status.Node]; old == nil || status.LastUpdated.After(old.LastUpdated) {
		of[status.Node] = status
	}
}

// writeDelay is how late calico-node may write a status, because of conflicts or a busy API
// server, before it counts as stopped.
const writeDelay = 10 * time.Minute

// outdated returns why a status is not compared, "" if it is.
func outdated(status *calico.NodeStatus, node *calico.Node, now time.Time) (Reason, string) {
	problems := status.Problems()
	switch {
	case len(problems) > 0:
		return Malformed, problems[0].String()
	case node == nil:
		return UnknownNode, fmt.Sprintf("spec.node: there is no Node %q: delete the CalicoNodeStatus, or correct the name", status.Node)
	case node.NotReady:
		return NodeNotReady, "the node is not ready, so its report may be stale: check the node"
	case status.UpdatePeriod == nil:
		return NotRefreshed, "spec.updatePeriodSeconds is unset, so calico-node skips the object: set it"
	case status.LastUpdated.IsZero():
		return NeverWritten, "calico-node has not written a status: check that it runs and may update CalicoNodeStatuses"
	case *status.UpdatePeriod == 0:
		return NotRefreshed, "spec.updatePeriodSeconds is 0, so the status is written once and not refreshed: set a period"
	}
	limit := calico.SinceLimit + 2**status.UpdatePeriod + writeDelay
	if age := now.Sub(status.LastUpdated); age > limit && hasTimeOfDay(status) {
		return Stopped, fmt.Sprintf("was last written %d hours ago and has times of day, which BIRD gives for %d hours only, so calico-node no longer writes it: check that it runs on the node",
			int(age.Hours()), int(calico.SinceLimit.Hours()))
	}
	return "", ""
}

// hasTimeOfDay reports whether a row has a time of day.
func hasTimeOfDay(status *calico.NodeStatus) bool {
	for f := range status.Families {
		for i := range status.Families[f].Peers {
			if _, ok := status.Families[f].Peers[i].Since.Clock(); ok {
				return true
			}
		}
	}
	return false
}

// emptied reports whether a status may lack the sessions of IPv4 because the BIRD of
// IPv6 does not answer.
func emptied(status *calico.NodeStatus) bool {
	four, six := &status.Families[calico.IPv4], &status.Families[calico.IPv6]
	if len(four.Peers) > 0 || len(six.Peers) > 0 {
		return false
	}
	return !status.Agent || six.Daemon.Unreachable() && !four.Daemon.Unreachable()
}
