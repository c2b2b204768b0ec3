package health

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// Compare compares what the nodes of s report about BGP with t, the topology of s or of a
// state with the same BGP. The age of reports is measured from now. s and t may both be
// nil.
//
// It costs O(nodes + rows of the statuses + half-sessions of the reporting nodes), plus
// sorting the half-sessions of each node. In a full mesh these are O(nodes²).
func Compare(s *state.Snapshot, t *topology.Topology, now time.Time) *Health {
	h := &Health{
		Known: s.Knows(calico.KindCalicoNodeStatus), Missing: NodeSet{Sample: []string{}}, Outdated: List[Outdated]{Items: []Outdated{}},
		Down: List[Session]{Items: []Session{}}, Absent: List[Session]{Items: []Session{}}, Unexpected: List[Session]{Items: []Session{}},
		NotReady: List[Daemon]{Items: []Daemon{}}, Reflectors: List[Reflector]{Items: []Reflector{}}, Restarts: Restarts{Measured: List[Restart]{Items: []Restart{}}},
	}
	if !h.Known {
		return h
	}
	ready := readyReflectors(s.Nodes())
	r := h.choose(s, now, ready)
	h.count(s.Nodes(), r)
	var restarts []Restart
	var found tally
	for n := range t.Neighbours(func(n *calico.Node) bool { return r.sessions[n.Name] != nil }) {
		status := r.sessions[n.Node.Name]
		found = h.join(n, status.Families[n.Family].Peers, ready)
		h.add(n.Family, &found, &status.Families[n.Family])
		if one, ok := measure(n.Node, n.Family, status); ok {
			one.NotEstablished = found.predicted - found.established
			restarts = append(restarts, one)
		}
	}
	for _, f := range calico.Families {
		if c := h.Sessions.In(f); c.Predicted > 0 {
			rate := float64(c.Established) / float64(c.Predicted)
			c.SuccessRate = &rate
		}
	}
	h.Restarts = sum(restarts)
	h.Reflectors = ready.dead()
	return h
}

// count counts the nodes and the daemons that they report.
func (h *Health) count(nodes []*calico.Node, r *reports) {
	for _, n := range nodes {
		if !speaks(n) {
			continue
		}
		h.Nodes++
		switch {
		case r.sessions[n.Name] != nil:
			h.Reporting++
		case !r.asked[n.Name]:
			h.Missing.Nodes++
			if len(h.Missing.Sample) < topology.SampleSize {
				h.Missing.Sample = append(h.Missing.Sample, n.Name)
			}
		}
		for _, f := range calico.Families {
			if status := r.daemons[n.Name]; status != nil && n.SpeaksBGP(f) {
				h.daemon(n, f, &status.Families[f].Daemon)
			}
		}
	}
}

func speaks(n *calico.Node) bool { return n.SpeaksBGP(calico.IPv4) || n.SpeaksBGP(calico.IPv6) }

func (h *Health) daemon(n *calico.Node, f calico.Family, d *calico.DaemonStatus) {
	switch d.State {
	case calico.DaemonReady:
		h.Daemons.In(f).Ready++
	case calico.DaemonNotReady:
		h.Daemons.In(f).NotReady++
		h.NotReady.add(func() Daemon {
			return Daemon{n.Name, f.String(), d.State.String(), d.Version, d.RouterID, known(d.LastBoot), known(d.LastReconfiguration)}
		})
	case calico.DaemonUnknown:
	}
}

// known returns nil for the zero time.
func known(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}

// tally counts the half-sessions of one node in one family.
type tally struct{ predicted, established int }

// add adds the half-sessions of a node. The number of waiting half-sessions is the number of
// rows with the state Established minus the number that BIRD counts as up. The report does not
// show which half-sessions wait.
func (h *Health) add(f calico.Family, found *tally, reported *calico.FamilyStatus) {
	up := 0
	for i := range reported.Peers {
		if reported.Peers[i].State == calico.SessionEstablished {
			up++
		}
	}
	waiting := min(max(0, up-reported.Established), found.established)
	found.established -= waiting
	c := h.Sessions.In(f)
	c.Predicted += found.predicted
	c.Established += found.established
	c.Waiting += waiting
}

// rank orders the half-sessions to one neighbour. Rows are assigned first to those whose
// session can come up.
func rank(n *topology.Neighbour) int {
	switch n.Status {
	case topology.Paired, topology.External:
		return 0
	case topology.Broken:
		return 2
	default: // ambiguous
		return 1
	}
}

// join matches the sorted rows of a node in one family with its half-sessions by type and
// peerIP, the only keys in a row. Half-sessions to one neighbour on several ports cannot be
// distinguished.
func (h *Health) join(n topology.Neighbours, rows []calico.PeerStatus, ready reflectorEvidence) tally {
	list := n.List
	slices.SortFunc(list, func(a, b topology.Neighbour) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), a.IP.Compare(b.IP), cmp.Compare(rank(&a), rank(&b)))
	})
	var out tally
	for len(list) > 0 || len(rows) > 0 {
		first := firstOf(list, rows)
		i, j := 0, 0
		for i < len(list) && (neighbour{list[i].Type, list[i].IP}) == first {
			i++
		}
		for j < len(rows) && (neighbour{rows[j].Type, rows[j].IP}) == first {
			j++
		}
		h.match(&out, n, list[:i], rows[:j], ready)
		list, rows = list[i:], rows[j:]
	}
	return out
}

// neighbour is the key by which half-sessions and rows are matched.
type neighbour struct {
	kind calico.PeerType
	ip   netip.Addr
}

// firstOf returns the first neighbour in two sorted lists. At least one list is not empty.
func firstOf(list []topology.Neighbour, rows []calico.PeerStatus) neighbour {
	switch {
	case len(rows) == 0, len(list) > 0 && cmp.Or(cmp.Compare(list[0].Type, rows[0].Type), list[0].IP.Compare(rows[0].IP)) < 0:
		return neighbour{list[0].Type, list[0].IP}
	default:
		return neighbour{rows[0].Type, rows[0].IP}
	}
}

// match assigns the rows of one neighbour to its half-sessions, in order of rank.
func (h *Health) match(out *tally, n topology.Neighbours, list []topology.Neighbour, rows []calico.PeerStatus, ready reflectorEvidence) {
	down := slices.IndexFunc(rows, func(p calico.PeerStatus) bool { return p.State == calico.SessionEstablished })
	if down < 0 {
		down = len(rows)
	}
	other, up := rows[:down], rows[down:]
	for i := range list {
		half := &list[i]
		switch r := rank(half); {
		case r == 0:
			out.predicted++
			ready.count(n.Node.Name, half.PeerNode, len(up) > 0)
			switch {
			case len(up) > 0:
				out.established++
				up = up[1:]
			case len(other) > 0:
				row := &other[0]
				other = other[1:]
				h.Down.add(func() Session { return session(n, half, row) })
			default:
				h.Absent.add(func() Session { return session(n, half, &calico.PeerStatus{IP: half.IP, Type: half.Type}) })
			}
		case r == 1 && len(up) > 0:
			up = up[1:]
		case len(other) > 0:
			other = other[1:]
		}
	}
	var half *topology.Neighbour
	if len(list) > 0 {
		half = &list[len(list)-1]
	}
	for _, left := range [...][]calico.PeerStatus{up, other} {
		for i := range left {
			h.Unexpected.add(func() Session { return session(n, half, &left[i]) })
		}
	}
}

// session returns a row as a Session. half is a half-session to its neighbour, nil for none.
func session(n topology.Neighbours, half *topology.Neighbour, row *calico.PeerStatus) Session {
	out := Session{
		Node: n.Node.Name, Family: n.Family.String(), PeerIP: row.IP.String(), Type: row.Type.String(), State: row.State.String(),
		Since: row.Since.String(), Sources: []string{},
	}
	if half != nil {
		out.PeerNode, out.Sources = half.PeerNode(), half.Sources()
	}
	return out
}
