// Package health compares what nodes report about BGP in CalicoNodeStatuses with the
// sessions that Calico configures. It is pure: it has no client and no clock.
//
// It does not guess: it does not count the sessions of a node without a report or with a
// stale one, and lists the node.
package health

import (
	"time"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// maxListed bounds the entries of a List.
const maxListed = 100

// Health compares what nodes report about BGP with a topology.
type Health struct {
	// Known reports that the state holds all CalicoNodeStatuses. If not, everything else is
	// empty.
	Known bool `json:"known"`
	// Nodes counts the nodes with a BGP address. Reporting counts the nodes whose reported
	// sessions are compared. Missing are the nodes without a CalicoNodeStatus of class BGP.
	// The statuses of all other nodes are Outdated.
	Nodes     int     `json:"nodes"`
	Reporting int     `json:"reporting"`
	Missing   NodeSet `json:"missing"`
	// Outdated are the CalicoNodeStatuses that are not compared, sorted by name.
	Outdated List[Outdated] `json:"outdated"`
	// Sessions counts the half-sessions of the reporting nodes, for each address family.
	Sessions topology.PerFamily[Sessions] `json:"sessions"`
	// Down are the half-sessions that are predicted, and reported as not established. Absent
	// are the half-sessions that are predicted and not reported: BIRD does not have them
	// (yet), does not answer, or has them down without an error. Unexpected are the
	// half-sessions that are reported and not predicted, or that are established although
	// their session cannot come up. All are sorted by node.
	Down       List[Session] `json:"down"`
	Absent     List[Session] `json:"absent"`
	Unexpected List[Session] `json:"unexpected"`
	// Daemons counts the BIRDs that nodes with a BGP address in the family report. NotReady
	// are those that are not ready.
	Daemons  topology.PerFamily[Daemons] `json:"daemons"`
	NotReady List[Daemon]                `json:"notReady"`
	// Reflectors are the route reflectors that are probably dead although their Nodes are ready,
	// sorted by name. A client of two of them depends on the other one alone.
	Reflectors List[Reflector] `json:"reflectors"`
	// Restarts are the measured starts of BIRD.
	Restarts Restarts `json:"restarts"`
}

// List is the first few of Total entries.
type List[T any] struct {
	Total int `json:"total"`
	Items []T `json:"items"` // at most maxListed
}

// add counts an entry, and calls entry to make it only if it is listed.
func (l *List[T]) add(entry func() T) {
	l.Total++
	if len(l.Items) < maxListed {
		l.Items = append(l.Items, entry())
	}
}

// NodeSet is a set of nodes: how many, and the names of the first few.
type NodeSet struct {
	Nodes  int      `json:"nodes"`
	Sample []string `json:"sample"` // at most topology.SampleSize
}

// Reason is why a CalicoNodeStatus is not compared.
type Reason string

// The reasons.
const (
	// UnknownNode: the state has no node with the name in spec.node.
	UnknownNode Reason = "UnknownNode"
	// NodeNotReady: the node is not Ready, and its report may be stale.
	NodeNotReady Reason = "NodeNotReady"
	// NeverWritten: calico-node has not written the status.
	NeverWritten Reason = "NeverWritten"
	// NotRefreshed: updatePeriodSeconds is 0 or unset.
	NotRefreshed Reason = "NotRefreshed"
	// Malformed: a field has a value that Calico does not write.
	Malformed Reason = "Malformed"
	// Stopped: calico-node no longer writes the status. BIRD gives the time of day only for
	// changes in the last 20 h, so a status that is older than 20 h and contains a time of day
	// was not refreshed. An older status without a time of day may be unchanged.
	Stopped Reason = "Stopped"
	// Emptied: the status has no sessions, possibly because a BIRD did not answer. If the BIRD
	// of IPv6 does not answer, calico-node also removes the sessions of IPv4
	// (node/pkg/status/populators/peers.go).
	Emptied Reason = "Emptied"
)

// Outdated is a CalicoNodeStatus that is not compared.
type Outdated struct {
	// Status is the name of the object, Node its spec.node.
	Status string `json:"status"`
	Node   string `json:"node"`
	// LastUpdated is when the contents of the status last changed; nil for never.
	LastUpdated *time.Time `json:"lastUpdated"`
	Reason      Reason     `json:"reason"`
	// Message describes the reason, and what to do.
	Message string `json:"message"`
}

// Sessions counts half-sessions of the reporting nodes.
type Sessions struct {
	// Predicted counts the half-sessions whose session can come up. It does not include broken
	// and ambiguous half-sessions, and those to local workloads, which are not reported.
	// Established counts the predicted half-sessions that are established.
	Predicted   int `json:"predicted"`
	Established int `json:"established"`
	// Waiting counts the half-sessions that are reported as Established and wait for graceful
	// restart recovery or for the first routes. BIRD does not count them as up, and Established
	// does not include them.
	Waiting int `json:"waiting"`
	// SuccessRate is the ratio of Established to Predicted, 0 to 1; nil if none is predicted.
	SuccessRate *float64 `json:"successRate"`
}

// Session is a half-session, seen from the reporting node.
type Session struct {
	Node   string `json:"node"`
	Family string `json:"family"` // IPv4 or IPv6
	PeerIP string `json:"peerIP"`
	// PeerNode is the node with the address PeerIP; "" if there is none, and for sessions
	// that are not predicted.
	PeerNode string `json:"peerNode"`
	// Type is NodeMesh, NodePeer or GlobalPeer.
	Type string `json:"type"`
	// State is what the node reports; "" if it reports nothing, and for BIRD's states Passive
	// (it waits for the peer to connect) and Down, which the API does not have.
	State string `json:"state"`
	// Since is when the protocol last changed its state, as BIRD reports it: the time of day
	// for 20 hours, then the date; "" if it is not reported.
	Since string `json:"since"`
	// Sources names the objects that configure the half-session; see topology.HalfSession.
	Sources []string `json:"sources"`
}

// Daemons counts BIRDs.
type Daemons struct {
	Ready    int `json:"ready"`
	NotReady int `json:"notReady"`
}

// Daemon is a BIRD that is not ready.
type Daemon struct {
	Node   string `json:"node"`
	Family string `json:"family"`
	// State is NotReady. If BIRD does not answer on its socket, everything else is unknown.
	State    string `json:"state"`
	Version  string `json:"version"`
	RouterID string `json:"routerID"`
	// LastBoot and LastReconfiguration are read as UTC; nil if unknown.
	LastBoot            *time.Time `json:"lastBoot"`
	LastReconfiguration *time.Time `json:"lastReconfiguration"`
}

// Restarts measures the time from a start of BIRD until its sessions came up. It is known
// if BIRD started less than 20 hours before the status last changed, because BIRD gives no
// time of day for older events, and if the node's clock is set to UTC, as in the image of
// calico-node. Routes take longer: they are exchanged after a session is established, and
// BIRD waits for up to 240 s with those that it learned from the kernel.
type Restarts struct {
	// SlowestSeconds and MedianSeconds are the maximum and the median of Seconds over all
	// measured starts. The median of an even number of starts is the lower of the two middle
	// values. Both are nil if no start was measured.
	SlowestSeconds *int `json:"slowestSeconds"`
	MedianSeconds  *int `json:"medianSeconds"`
	// Measured lists the starts, the slowest first.
	Measured List[Restart] `json:"measured"`
}

// Restart is the last start of the BIRD of a node.
type Restart struct {
	Node   string `json:"node"`
	Family string `json:"family"`
	// Boot is when it started.
	Boot time.Time `json:"boot"`
	// Seconds is the time from Boot until the last of the sessions that are now established
	// came up, to within a second. It is an upper bound: for a session that was lost and came
	// up again, only the last time is known.
	Seconds int `json:"seconds"`
	// Established counts these sessions. NotEstablished counts the other predicted sessions: if
	// it is not 0, the start may not be over.
	Established    int `json:"established"`
	NotEstablished int `json:"notEstablished"`
}
