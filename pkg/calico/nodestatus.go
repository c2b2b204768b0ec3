package calico

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	k8sjson "sigs.k8s.io/json"
)

// NodeStatus is a CalicoNodeStatus: the status of BIRD on one node, which calico-node reports
// (node/pkg/status). It is an observation and does not decide BGP. Users create
// CalicoNodeStatuses. Most clusters have none; a node may have several.
//
// In a full mesh a NodeStatus has a row for each other node. Rows are therefore small.
// NodeStatus does not store labels, annotations and routes.
type NodeStatus struct {
	Name string
	// Node is the name of the node that reports, "" if unset.
	Node string
	// Agent and BGP report whether the spec requests the status of the daemon, and of its
	// peers.
	Agent, BGP bool
	// UpdatePeriod is the time between two queries of BIRD by calico-node. 0 means one query
	// after the object is created or its spec changes. It is nil if unset: calico-node then
	// ignores the object.
	UpdatePeriod *time.Duration
	// LastUpdated is the time of the last change of the status, in UTC and whole seconds. It
	// is not the time of the last query: calico-node does not write an equal status again
	// (reporter.go). It is the zero time if calico-node has not written a status yet.
	LastUpdated time.Time
	// Families contains the status of BIRD in each address family.
	Families [2]FamilyStatus

	// classes are the other requested classes.
	classes []string
	// more are the other fields of the spec as JSON, "" if there are none.
	more     string
	problems []Problem
}

// FamilyStatus is the status of BIRD in one address family.
type FamilyStatus struct {
	Daemon DaemonStatus
	// Established is the number of protocols that are up. NotEstablished is the number of
	// other protocols. A protocol that waits for graceful restart recovery is not up,
	// although its row has the state Established: BIRD imports its routes but exports none.
	Established, NotEstablished int
	// Peers contains one row for each protocol, sorted by Type, IP, State and Since.
	Peers []PeerStatus
}

// DaemonStatus is the status of one BIRD daemon. If State is NotReady and all other fields
// are empty, BIRD did not answer on its socket (populators/bird_status.go).
type DaemonStatus struct {
	State             DaemonState
	Version, RouterID string
	// LastBoot and LastReconfiguration are in whole seconds and in the time zone of
	// calico-node, which is UTC in its image. They are the zero time if unknown.
	LastBoot, LastReconfiguration time.Time
}

// Unreachable reports whether BIRD did not answer on its socket.
func (d *DaemonStatus) Unreachable() bool { return *d == DaemonStatus{State: DaemonNotReady} }

// PeerStatus is the status of one BGP protocol in BIRD. calico-node skips protocols named
// Local_Workload_*, and those that are down without an error (populators/peers.go).
type PeerStatus struct {
	// IP is the neighbour's address, the zero Addr if it is unknown.
	IP    netip.Addr
	Type  PeerType
	State SessionState
	Since Since
}

// DaemonState is the state of a BIRD daemon.
type DaemonState uint8

// The states of a BIRD daemon.
const (
	DaemonUnknown DaemonState = iota
	DaemonReady
	DaemonNotReady
)

// String returns the value that the API uses, "" for DaemonUnknown.
func (s DaemonState) String() string { return daemonStates[s] }

// PeerType is the origin of a BGP protocol in Calico's configuration.
type PeerType uint8

// The types of a peer.
const (
	PeerUnknown PeerType = iota
	PeerMesh
	PeerNode   // a BGPPeer that names or selects nodes
	PeerGlobal // a BGPPeer for all nodes
)

// String returns the value that the API uses, "" for PeerUnknown.
func (t PeerType) String() string { return peerTypes[t] }

// SessionState is the state of a BGP session (RFC 4271, section 8.2.2).
type SessionState uint8

// The states of a session. SessionOther means that the API object has no state. calico-node
// omits the states of BIRD that the API does not have: Passive, in which BIRD waits for the
// peer to connect, and Down.
const (
	SessionOther SessionState = iota
	SessionIdle
	SessionConnect
	SessionActive
	SessionOpenSent
	SessionOpenConfirm
	SessionClose
	SessionEstablished // must be last, to sort after the other rows of a peer
)

// String returns the value that the API uses, "" for SessionOther.
func (s SessionState) String() string { return sessionStates[s] }

// The values that the API uses, indexed by state.
var (
	daemonStates  = [...]string{"", string(v3.BGPDaemonStateReady), string(v3.BGPDaemonStateNotReady)}
	peerTypes     = [...]string{"", string(v3.BGPPeerTypeNodeMesh), string(v3.BGPPeerTypeNodePeer), string(v3.BGPPeerTypeGlobalPeer)}
	sessionStates = [...]string{
		"", string(v3.BGPSessionStateIdle), string(v3.BGPSessionStateConnect), string(v3.BGPSessionStateActive), string(v3.BGPSessionStateOpenSent),
		string(v3.BGPSessionStateOpenConfirm), string(v3.BGPSessionStateClose), string(v3.BGPSessionStateEstablished),
	}
)

// Since is the time at which a protocol last changed its state, with the precision of BIRD's
// output. For the first 20 hours, BIRD prints the time of day in whole seconds without a
// date. After that, it prints the date without a time (format "iso short", conf/conf.c). The
// zero Since is unknown.
type Since struct {
	// value is 1 + the second of the day, or -1 - the day since 1970.
	value int32
}

// SinceLimit is the age from which BIRD prints the date instead of the time of day.
const SinceLimit = 20 * time.Hour

const (
	timeOfDay = "15:04:05"
	day       = 24 * time.Hour
)

// String returns the text that BIRD printed, "" if s is unknown.
func (s Since) String() string {
	switch {
	case s.value > 0:
		return time.Unix(int64(s.value-1), 0).UTC().Format(timeOfDay)
	case s.value < 0:
		return time.Unix(0, 0).UTC().AddDate(0, 0, int(-1-s.value)).Format(time.DateOnly)
	default:
		return ""
	}
}

// Clock returns the time since midnight. It returns false for a date or an unknown Since.
func (s Since) Clock() (time.Duration, bool) {
	return time.Duration(max(0, s.value-1)) * time.Second, s.value > 0
}

// After returns the first time at or after from that has the time of day of s. It returns
// false if s has no time of day.
func (s Since) After(from time.Time) (time.Time, bool) {
	clock, ok := s.Clock()
	if !ok {
		return time.Time{}, false
	}
	at := from.UTC().Truncate(day).Add(clock)
	if at.Before(from) {
		at = at.Add(day)
	}
	return at, true
}

func parseSince(text string) (Since, bool) {
	if at, err := time.Parse(timeOfDay, text); err == nil {
		return Since{int32(at.Hour()*3600+at.Minute()*60+at.Second()) + 1}, true
	}
	// A date before 1970 means that the clock was not set.
	if at, err := time.Parse(time.DateOnly, text); err == nil && at.Unix() >= 0 {
		return Since{int32(-1 - at.Unix()/int64(day/time.Second))}, true
	}
	return Since{}, text == ""
}

// ID returns the object's kind and name.
func (s *NodeStatus) ID() ID { return ID{KindCalicoNodeStatus, s.Name} }

// Problems lists fields with values that Calico does not write, at most one field for each
// part of the object.
func (s *NodeStatus) Problems() []Problem { return s.problems }

func (s *NodeStatus) equal(o *NodeStatus) bool {
	same := s.Name == o.Name && s.Node == o.Node && s.Agent == o.Agent && s.BGP == o.BGP && s.more == o.more && slices.Equal(s.classes, o.classes) &&
		(s.UpdatePeriod == nil) == (o.UpdatePeriod == nil) && (s.UpdatePeriod == nil || *s.UpdatePeriod == *o.UpdatePeriod) &&
		s.LastUpdated.Equal(o.LastUpdated) && slices.Equal(s.problems, o.problems)
	for f := range s.Families {
		a, b := &s.Families[f], &o.Families[f]
		same = same && a.Daemon == b.Daemon && a.Established == b.Established && a.NotEstablished == b.NotEstablished && slices.Equal(a.Peers, b.Peers)
	}
	return same
}

// Spec returns the spec with all fields that parse. Its classes are sorted. The map belongs to the
// caller. O(fields).
func (s *NodeStatus) Spec() map[string]any {
	spec := map[string]any{}
	if s.more != "" {
		_ = k8sjson.UnmarshalCaseSensitivePreserveInts([]byte(s.more), &spec) // readSpec encoded it.
	}
	put(spec, "node", s.Node)
	var classes []any
	for _, c := range s.classNames() {
		classes = append(classes, c)
	}
	spec["classes"] = classes
	if s.UpdatePeriod != nil {
		spec["updatePeriodSeconds"] = int64(*s.UpdatePeriod / time.Second)
	}
	return spec
}

// manifest returns a document with all known fields.
func (s *NodeStatus) manifest() map[string]any {
	spec, status := s.Spec(), map[string]any{}
	if !s.LastUpdated.IsZero() {
		status["lastUpdated"] = s.LastUpdated.Format(time.RFC3339)
	}
	agent, bgp := map[string]any{}, map[string]any{}
	for f, names := range statusFields {
		family := &s.Families[f]
		agent[names.daemon] = family.Daemon.manifest()
		bgp[names.established], bgp[names.notEstablished] = int64(family.Established), int64(family.NotEstablished)
		rows := make([]any, len(family.Peers))
		for i := range family.Peers {
			rows[i] = family.Peers[i].manifest()
		}
		bgp[names.peers] = rows
	}
	status["agent"], status["bgp"] = agent, bgp
	return map[string]any{
		"apiVersion": v3.GroupVersionCurrent, "kind": string(KindCalicoNodeStatus), "metadata": withTexts(map[string]any{"name": s.Name}, nil, nil),
		"spec": spec, "status": status,
	}
}

func (s *NodeStatus) classNames() []string {
	out := slices.Clone(s.classes)
	if s.Agent {
		out = append(out, string(v3.NodeStatusClassTypeAgent))
	}
	if s.BGP {
		out = append(out, string(v3.NodeStatusClassTypeBGP))
	}
	slices.Sort(out)
	return out
}

func (d *DaemonStatus) manifest() map[string]any {
	out := map[string]any{}
	put(out, "state", d.State.String())
	put(out, "version", d.Version)
	put(out, "routerID", d.RouterID)
	for key, at := range map[string]time.Time{"lastBootTime": d.LastBoot, "lastReconfigurationTime": d.LastReconfiguration} {
		if !at.IsZero() {
			out[key] = at.Format(time.DateTime)
		}
	}
	return out
}

func (p *PeerStatus) manifest() map[string]any {
	out := map[string]any{}
	if p.IP.IsValid() {
		out["peerIP"] = p.IP.String()
	}
	put(out, "type", p.Type.String())
	put(out, "state", p.State.String())
	put(out, "since", p.Since.String())
	return out
}

// put sets a value unless it is "".
func put(to map[string]any, key, value string) {
	if value != "" {
		to[key] = value
	}
}

// statusFields holds the names of the fields of each family.
var statusFields = [2]struct{ daemon, peers, established, notEstablished string }{
	{"birdV4", "peersV4", "numberEstablishedV4", "numberNotEstablishedV4"},
	{"birdV6", "peersV6", "numberEstablishedV6", "numberNotEstablishedV6"},
}

// decodeNodeStatus decodes a CalicoNodeStatus. It returns an error only if the name is
// missing, or if metadata or its name has a wrong type. If another field does not parse,
// decodeNodeStatus adds a problem and treats the value as unknown.
func decodeNodeStatus(v map[string]any) (Object, error) {
	f := &fields{values: v}
	meta := f.object("metadata")
	s := &NodeStatus{Name: meta.text("name")}
	if f.err == nil && meta.err == nil && s.Name == "" {
		meta.fail("name", "is missing")
	}
	f.adopt(meta)
	if f.err != nil {
		return nil, f.err
	}
	spec, status := f.object("spec"), f.object("status")
	s.addProblems(f)
	s.readSpec(spec)
	s.LastUpdated = status.moment("lastUpdated", time.RFC3339)
	agent, bgp := status.object("agent"), status.object("bgp")
	s.addProblems(status)
	for family, names := range statusFields {
		one := &s.Families[family]
		one.Daemon = s.readDaemon(agent.object(names.daemon))
		one.Established, one.NotEstablished = bgp.count(names.established), bgp.count(names.notEstablished)
		rows := get[[]any](bgp, names.peers, "a list")
		one.Peers = s.readPeers(Family(family), bgp.at(names.peers), rows)
	}
	s.addProblems(agent, bgp)
	return s, nil
}

// addProblems adds the errors of fields as problems.
func (s *NodeStatus) addProblems(from ...*fields) {
	for _, f := range from {
		if f.err != nil {
			s.problems = append(s.problems, Problem(*f.err))
		}
	}
}

// maxUpdatePeriod is the maximum update period that Calico accepts: one day, in seconds.
const maxUpdatePeriod = 86400

func (s *NodeStatus) readSpec(spec *fields) {
	s.Node = spec.text("node")
	for _, c := range spec.texts("classes") {
		switch v3.NodeStatusClassType(c) {
		case v3.NodeStatusClassTypeAgent:
			s.Agent = true
		case v3.NodeStatusClassTypeBGP:
			s.BGP = true
		default:
			s.classes = append(s.classes, strings.Clone(c))
		}
	}
	slices.Sort(s.classes)
	timing := &fields{path: spec.path, values: spec.values}
	period := time.Duration(timing.number("updatePeriodSeconds", 0, maxUpdatePeriod)) * time.Second
	if timing.has("updatePeriodSeconds") && timing.err == nil {
		s.UpdatePeriod = &period
	}
	s.addProblems(spec, timing)
	more := maps.Clone(spec.values)
	for _, known := range []string{"node", "classes", "updatePeriodSeconds"} {
		delete(more, known)
	}
	if len(more) > 0 {
		text, _ := json.Marshal(more) //nolint:errchkjson // It was read from JSON.
		s.more = string(text)
	}
}

func (s *NodeStatus) readDaemon(f *fields) DaemonStatus {
	d := DaemonStatus{
		State: DaemonState(f.word("state", daemonStates[:])), Version: f.text("version"), RouterID: f.text("routerID"),
		LastBoot: f.moment("lastBootTime", time.DateTime), LastReconfiguration: f.moment("lastReconfigurationTime", time.DateTime),
	}
	s.addProblems(f)
	return d
}

// readPeers reads the rows at path. It adds a problem for the first row that does not parse.
func (s *NodeStatus) readPeers(family Family, path string, rows []any) []PeerStatus {
	if len(rows) == 0 {
		return nil
	}
	out := make([]PeerStatus, len(rows))
	reported := false
	for i, v := range rows {
		values, ok := v.(map[string]any)
		row := fields{values: values}
		if !ok {
			row.err = &FieldError{"", "must be an object, is " + describe(v)}
		}
		out[i] = row.peer(family)
		if row.err != nil && !reported {
			reported = true
			field := fmt.Sprintf("%s[%d]", path, i)
			if row.err.Field != "" {
				field += "." + row.err.Field
			}
			s.problems = append(s.problems, Problem{field, row.err.Message})
		}
	}
	slices.SortFunc(out, comparePeers)
	return out
}

func comparePeers(a, b PeerStatus) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), a.IP.Compare(b.IP), cmp.Compare(a.State, b.State), cmp.Compare(a.Since.value, b.Since.value))
}

func (f *fields) peer(family Family) PeerStatus {
	p := PeerStatus{Type: PeerType(f.word("type", peerTypes[:])), State: SessionState(f.word("state", sessionStates[:]))}
	if text := f.text("peerIP"); text != "" {
		ip, err := netip.ParseAddr(text)
		// BIRD adds the interface to a link-local address. API objects do not contain it.
		if ip = ip.WithZone(""); err != nil || FamilyOf(ip) != family {
			f.fail("peerIP", "must be an %s address, is %q", family, text)
		} else {
			p.IP = ip
		}
	}
	if (!p.IP.IsValid() || p.Type == PeerUnknown) && f.err == nil {
		f.fail("peerIP", "is missing, or type is: the row cannot be assigned to a peer")
	}
	var ok bool
	if p.Since, ok = parseSince(f.text("since")); !ok {
		f.fail("since", "must be a time of day such as \"15:20:31\" or a date such as \"2026-11-21\", is %q", f.text("since"))
	}
	return p
}

// word reads a text and returns its index in words. Other texts are an error, with the
// index 0.
func (f *fields) word(name string, words []string) int {
	text := f.text(name)
	i := slices.Index(words, text)
	if i < 0 {
		f.fail(name, "must be one of %s, is %q", strings.Join(words[1:], ", "), text)
	}
	return max(0, i)
}

// count reads a count, 0 if it is absent.
func (f *fields) count(name string) int { return int(f.number(name, 0, math.MaxInt32)) }

// moment reads a time and returns it in UTC and whole seconds. It returns the zero time if
// the field is absent.
func (f *fields) moment(name, layout string) time.Time {
	text := f.text(name)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(layout, text)
	at = at.UTC().Truncate(time.Second)
	// Format cannot write a year that does not have four digits.
	if err != nil || at.Year() < 1 || at.Year() > 9999 {
		f.fail(name, "must be a time such as %q, is %q", layout, text)
		return time.Time{}
	}
	return at
}
