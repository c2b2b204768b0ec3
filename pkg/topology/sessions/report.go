package sessions

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
)

// HalfSession is one side of a BGP session as Calico configures it: one
// "protocol bgp" block in a node's bird.cfg (IPv4) or bird6.cfg (IPv6).
type HalfSession struct {
	Node   string `json:"node"`
	Family string `json:"family"` // IPv4 or IPv6
	// Protocol is the block's name, for example "Mesh_10_192_0_3".
	Protocol string `json:"protocol"`
	// PeerIP is the neighbor's address; empty for a local workload, whose
	// address is in no API object.
	PeerIP string `json:"peerIP"`
	// PeerPort is the port that the node dials; BIRD's default is 179.
	PeerPort uint16 `json:"peerPort"`
	// PeerNode is the node of the state with the address PeerIP, if any.
	PeerNode string `json:"peerNode,omitempty"`
	// PeerASN is the AS number that the node expects of the neighbor. LocalASN is the
	// AS number that the node sends.
	PeerASN  uint32 `json:"peerASN"`
	LocalASN uint32 `json:"localASN"`
	// Passive reports that the node waits for the neighbor to connect.
	Passive bool `json:"passive"`
	// RouteReflectorClient reports that the node reflects routes to the
	// neighbor (RFC 4456), under the cluster ID ClusterID.
	RouteReflectorClient bool   `json:"routeReflectorClient"`
	ClusterID            string `json:"clusterID,omitempty"`
	// GracefulRestartTime and KeepaliveTime are in seconds, nil for BIRD's
	// defaults, 120 and 80.
	GracefulRestartTime *int `json:"gracefulRestartTime,omitempty"`
	KeepaliveTime       *int `json:"keepaliveTime,omitempty"`
	// SourceAddress is the node's own address from which it connects, empty if
	// the kernel chooses it.
	SourceAddress string `json:"sourceAddress,omitempty"`
	// NextHopMode is Self or Keep, empty for BGP's default.
	NextHopMode string `json:"nextHopMode,omitempty"`
	// NumAllowedLocalASNumbers is how often the node's own AS number may be in
	// the path of a route that it accepts.
	NumAllowedLocalASNumbers int `json:"numAllowedLocalASNumbers,omitempty"`
	// TTLSecurity is the number of hops of GTSM (RFC 5082), 0 for off.
	TTLSecurity int `json:"ttlSecurity,omitempty"`
	// ReachableBy is the gateway to PeerIP, if one is set.
	ReachableBy string `json:"reachableBy,omitempty"`
	// Password names the Secret and its key, "name/key". It is never the password.
	Password string `json:"password,omitempty"`
	// Filters names the BGPFilters.
	Filters []string `json:"filters,omitempty"`
	// Sources names the BGPPeers that configure the half-session, in order; for
	// the mesh, the BGPConfiguration "default" if there is one.
	Sources []string `json:"sources"`
	// Status reports whether a session comes up on it.
	Status Status `json:"status"`
}

// Status is whether a session comes up on a half-session.
type Status string

// The statuses of a half-session.
const (
	// Paired: the other side has a matching half-session, so a session comes up.
	Paired Status = "Paired"
	// External: the other side is not a node of the state. Its configuration is
	// unknown.
	External Status = "External"
	// Broken: no session can come up; see BrokenSession.
	Broken Status = "Broken"
)

// Reason is why no session comes up on a half-session.
type Reason string

// The reasons.
const (
	// NoReturn: the other node has no half-session back.
	NoReturn Reason = "NoReturn"
	// ASNumberMismatch: a side expects another AS number than the other side sends.
	ASNumberMismatch Reason = "ASNumberMismatch"
	// ASNumberZero: a side has the AS number 0, which BIRD rejects.
	ASNumberZero Reason = "ASNumberZero"
	// NotOnLink: the mesh configures an eBGP session without "multihop", as Calico does before v3.33, and the nodes
	// are not in one network.
	NotOnLink Reason = "NotOnLink"
	// PasswordMismatch: the sides name different passwords, or only one side names one.
	PasswordMismatch Reason = "PasswordMismatch"
	// TTLSecurityMismatch: only one side has TTL security on.
	TTLSecurityMismatch Reason = "TTLSecurityMismatch"
	// NobodyDials: each side waits for the other, or dials a port on which the
	// other does not listen.
	NobodyDials Reason = "NobodyDials"
	// Overlapping: BIRD gives the connection to another protocol of the node with
	// the same neighbor. This one stays idle.
	Overlapping Reason = "Overlapping"
	// AddressShared: two nodes have the neighbor's or the node's own address.
	AddressShared Reason = "AddressShared"
)

// BrokenSession is a half-session on which no session can come up. At every start of
// calico-node, BIRD waits 240 seconds for it (its graceful-restart wait), except for
// an ASNumberMismatch.
type BrokenSession struct {
	Node     string `json:"node"`
	Family   string `json:"family"`
	Protocol string `json:"protocol"`
	PeerIP   string `json:"peerIP"`
	PeerNode string `json:"peerNode,omitempty"`
	Reason   Reason `json:"reason"`
	// Message explains Reason, with the values.
	Message string   `json:"message"`
	Sources []string `json:"sources"`
}

// AmbiguousSession is a half-session whose settings depend on the order in which
// Calico visits BGPPeers. Several BGPPeers configure the same peer of the node with
// different settings. Calico uses one of them, and may use another one later.
type AmbiguousSession struct {
	Node     string `json:"node"`
	Family   string `json:"family"`
	PeerIP   string `json:"peerIP"`
	PeerNode string `json:"peerNode,omitempty"`
	// Sources names the BGPPeers in order. Differs lists the fields in which the
	// candidates differ, by their JSON names in HalfSession.
	Sources []string `json:"sources"`
	Differs []string `json:"differs"`
	// Candidates are the half-sessions that the Sources configure.
	Candidates []HalfSession `json:"candidates"`
}

// FrozenNode is a node whose BIRD rejects the configuration that Calico writes. BIRD
// keeps the old configuration, and later changes have no effect on it. Without an old
// configuration, BIRD does not start (confd/pkg/resource/template/resource.go).
type FrozenNode struct {
	Node   string `json:"node"`
	Family string `json:"family"`
	// Rejected are the values that BIRD rejects, in order of objects and fields.
	Rejected []RejectedValue `json:"rejected"`
}

// RejectedValue is a value of an object that BIRD rejects.
type RejectedValue struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Field is the path of the value, such as "spec.exportV4[0].cidr".
	Field string `json:"field"`
	// Reason is the reason in calico.Rules, and Message says what is wrong with this value.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// String returns "Kind name, field: message".
func (v RejectedValue) String() string {
	return fmt.Sprintf("%s %s, %s: %s", v.Kind, v.Name, v.Field, v.Message)
}

func (v RejectedValue) compare(w RejectedValue) int {
	return cmp.Or(strings.Compare(v.Kind, w.Kind), strings.Compare(v.Name, w.Name), strings.Compare(v.Field, w.Field), strings.Compare(v.Message, w.Message))
}

// Selector is a selector of nodes.
type Selector struct {
	Field string `json:"field"` // "spec.nodeSelector" or "spec.peerSelector"
	Text  string `json:"text"`
	// Error is why the selector does not parse, "" if it parses.
	Error Optional `json:"error"`
	// Labels names the labels that it reads, sorted.
	Labels []string `json:"labels"`
	// Nodes counts the nodes that it matches, including those without BGP.
	Nodes int `json:"nodes"`
	// Unintended is the nodes that it matches only because has() also matches the values
	// "false", "off" and "disabled".
	Unintended Unintended `json:"unintended"`
}

// Unintended is a part of the nodes that a selector matches: their number, and the names of
// the first few.
type Unintended struct {
	Nodes  int      `json:"nodes"`
	Sample []string `json:"sample"`
}

// Optional is a text that may be unset. An unset text is "" in Go, and null in JSON and in the input
// of policies.
type Optional string

// Null reports whether the text is null in the input of policies.
func (o Optional) Null() bool { return o == "" }

// MarshalJSON returns null for "".
func (o Optional) MarshalJSON() ([]byte, error) {
	if o == "" {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // The encoder of the whole document decides.
	err := e.Encode(string(o))
	return bytes.TrimSpace(b.Bytes()), err
}
