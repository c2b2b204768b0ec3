// Package health compares what the nodes report of their BGP, in CalicoNodeStatuses,
// with what Calico would configure. It is pure: no client, no clock.
//
// What is not reported is said and not guessed: a node without a report, or with one
// that no longer tells anything, adds nothing to what is counted of sessions.
package health

import (
	"time"

	"github.com/bgpguard/bgpguard/pkg/topology"
)

// MaxListed is how many entries a List holds at the most.
const MaxListed = 100

// Health is what the nodes report of their BGP, held against a topology.
type Health struct {
	// Known tells that the state holds all CalicoNodeStatuses. All else is empty where
	// it does not.
	Known bool `json:"known"`
	// Nodes counts the nodes with a BGP address, Reporting those of them with a report
	// of sessions that is compared, and Missing are those for which no
	// CalicoNodeStatus with the class BGP was made. The rest have one that is Outdated.
	Nodes     int     `json:"nodes"`
	Reporting int     `json:"reporting"`
	Missing   NodeSet `json:"missing"`
	// Outdated are the CalicoNodeStatuses that are not compared, in order of names.
	Outdated List[Outdated] `json:"outdated"`
	// Sessions counts, for each family, half-sessions of the nodes that report.
	Sessions topology.PerFamily[Sessions] `json:"sessions"`
	// Down are half-sessions that are predicted and reported and not established, Absent
	// those that are predicted and not reported at all: BIRD does not have them (yet),
	// does not answer, or has them down without an error. Unexpected are those that are
	// reported and not predicted, or established though no session can come up on
	// them. All in order of nodes.
	Down       List[Session] `json:"down"`
	Absent     List[Session] `json:"absent"`
	Unexpected List[Session] `json:"unexpected"`
	// Daemons counts the BIRDs that nodes with a BGP address in the family report, and
	// NotReady are those that are not ready.
	Daemons  topology.PerFamily[Daemons] `json:"daemons"`
	NotReady List[Daemon]                `json:"notReady"`
	// Restarts measures starts of BIRD.
	Restarts Restarts `json:"restarts"`
}

// List is the first few of Total entries.
type List[T any] struct {
	Total int `json:"total"`
	Items []T `json:"items"` // MaxListed at the most
}

// add takes in an entry, which is made only if there is room for it.
func (l *List[T]) add(entry func() T) {
	l.Total++
	if len(l.Items) < MaxListed {
		l.Items = append(l.Items, entry())
	}
}

// NodeSet is a set of nodes: how many, and the names of the first few.
type NodeSet struct {
	Nodes  int      `json:"nodes"`
	Sample []string `json:"sample"` // topology.SampleSize at the most
}

// Reason says why a CalicoNodeStatus is not compared.
type Reason string

// The reasons.
const (
	// UnknownNode: the state has no node of the name in spec.node.
	UnknownNode Reason = "UnknownNode"
	// NodeNotReady: the node is down, and its report is from before.
	NodeNotReady Reason = "NodeNotReady"
	// NeverWritten: calico-node has not written the status.
	NeverWritten Reason = "NeverWritten"
	// NotRefreshed: updatePeriodSeconds is 0 or missing.
	NotRefreshed Reason = "NotRefreshed"
	// Malformed: a field says what Calico would not write there.
	Malformed Reason = "Malformed"
	// Stopped: calico-node no longer writes the status. BIRD gives the time of day of
	// what is less than 20 h old, so one that holds some and is older was not refreshed.
	// A status without any is not told from one in which nothing has changed.
	Stopped Reason = "Stopped"
	// Emptied: the status has no session, and may have none because one of the BIRDs did
	// not answer: where that of IPv6 does not, calico-node empties what it wrote of IPv4 too
	// (node/pkg/status/populators/peers.go).
	Emptied Reason = "Emptied"
)

// Outdated is a CalicoNodeStatus that is not compared.
type Outdated struct {
	// Status is the object's name, Node what its spec.node says.
	Status string `json:"status"`
	Node   string `json:"node"`
	// LastUpdated is when the status last changed, which need not be when it was last
	// looked at; nil for never.
	LastUpdated *time.Time `json:"lastUpdated"`
	Reason      Reason     `json:"reason"`
	// Message says it in words, and what to do.
	Message string `json:"message"`
}

// Sessions counts half-sessions of the nodes that report.
type Sessions struct {
	// Predicted are those on which a session can come up: neither those that are broken
	// or ambiguous, nor those of local workloads, which are not reported. Established are
	// those of them that are.
	Predicted   int `json:"predicted"`
	Established int `json:"established"`
	// Waiting are those that read Established and wait for graceful restart recovery, or
	// are about to exchange their first routes: BIRD does not call them up. They are
	// not among the Established.
	Waiting int `json:"waiting"`
	// SuccessRate is Established to Predicted, 0 to 1; nil where none is predicted.
	SuccessRate *float64 `json:"successRate"`
}

// Session is a half-session, told from the node that reports.
type Session struct {
	Node   string `json:"node"`
	Family string `json:"family"` // IPv4 or IPv6
	PeerIP string `json:"peerIP"`
	// PeerNode is the node of the state with the address PeerIP; "" where there is none,
	// and for what is not predicted.
	PeerNode string `json:"peerNode"`
	// Type is NodeMesh, NodePeer or GlobalPeer.
	Type string `json:"type"`
	// State is what the node reports; "" where it reports nothing, and where BIRD says
	// Passive (it waits for the peer to dial) or Down, for which the API has no word.
	State string `json:"state"`
	// Since is when the protocol last changed its state as BIRD tells it: the time of
	// day for 20 hours, then the date; "" where it is not reported.
	Since string `json:"since"`
	// Sources names what predicts the half-session, as topology.HalfSession does.
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
	// State is NotReady. Where BIRD does not answer on its socket, all else is unknown.
	State    string `json:"state"`
	Version  string `json:"version"`
	RouterID string `json:"routerID"`
	// LastBoot and LastReconfiguration are taken for UTC; nil where not known.
	LastBoot            *time.Time `json:"lastBoot"`
	LastReconfiguration *time.Time `json:"lastReconfiguration"`
}

// Restarts measures how long sessions took to come up after a start of BIRD, where the
// report tells: where BIRD started less than 20 hours before the status last changed, as
// it gives no time of day of what is older, and the node's clock is set to UTC, as
// calico-node's image has it. Routes take longer: a session is established before they
// are exchanged, and BIRD keeps what it has learned from the kernel for up to 240 s
// while it waits for others.
type Restarts struct {
	// SlowestSeconds and MedianSeconds are of the Seconds of all that were measured, the
	// lower one of two in the middle; nil where none was.
	SlowestSeconds *int `json:"slowestSeconds"`
	MedianSeconds  *int `json:"medianSeconds"`
	// Measured lists them, the slowest first.
	Measured List[Restart] `json:"measured"`
}

// Restart is the last start of the BIRD of a node.
type Restart struct {
	Node   string `json:"node"`
	Family string `json:"family"`
	// Boot is when it started.
	Boot time.Time `json:"boot"`
	// Seconds is how long after it the last of the sessions that are established now came
	// up. It is at most that: a session that was lost and came up again, perhaps because
	// its peer restarted, tells of the last time alone. Whole seconds, one more or less.
	Seconds int `json:"seconds"`
	// Established counts these sessions, NotEstablished those that are predicted and
	// not among them: the start may not be over.
	Established    int `json:"established"`
	NotEstablished int `json:"notEstablished"`
}
