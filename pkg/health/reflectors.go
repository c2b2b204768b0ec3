package health

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Reflector is a route reflector that is probably dead although its Node is ready.
type Reflector struct {
	Node string `json:"node"`
	// Sessions counts the predicted half-sessions on it and to it, as reporting nodes see them.
	// None of them is established.
	Sessions int `json:"sessions"`
	// Message describes the evidence, and what to do.
	Message string `json:"message"`
}

// reflectorEvidence is the evidence about the route reflectors whose Nodes are ready, by name.
type reflectorEvidence map[string]*evidence

// evidence is what shows whether a route reflector is dead: its half-sessions on both ends, and
// its CalicoNodeStatus if calico-node no longer writes it.
type evidence struct {
	established, others int
	stale               string
}

func readyReflectors(nodes []*calico.Node) reflectorEvidence {
	out := reflectorEvidence{}
	for _, n := range nodes {
		if n.RouteReflector() && speaks(n) && !n.NotReady && n.DeletionTimestamp == "" {
			out[n.Name] = &evidence{}
		}
	}
	return out
}

// count counts a half-session of a node with a peer on both of them.
func (r reflectorEvidence) count(node string, peer func() string, established bool) {
	if len(r) == 0 {
		return
	}
	for _, name := range []string{node, peer()} {
		switch e := r[name]; {
		case e == nil:
		case established:
			e.established++
		default:
			e.others++
		}
	}
}

// stale records that calico-node does not write the status of a node.
func (r reflectorEvidence) stale(status *calico.NodeStatus, reason Reason) {
	if e := r[status.Node]; e != nil && (reason == Stopped || reason == NeverWritten) {
		e.stale = status.Name
	}
}

// dead lists the route reflectors of which no half-session is established, and for which at least
// one report shows that it should be, or which no longer report. Sorted by name.
func (r reflectorEvidence) dead() List[Reflector] {
	out := List[Reflector]{Items: []Reflector{}}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		e := r[name]
		if e.established > 0 || e.others == 0 && e.stale == "" {
			continue
		}
		out.add(func() Reflector {
			message := fmt.Sprintf("none of %d half-sessions with it is established", e.others)
			switch {
			case e.others == 0:
				message = fmt.Sprintf("CalicoNodeStatus %s is stale, and no other node reports a session with it", e.stale)
			case e.stale != "":
				message += fmt.Sprintf(", and CalicoNodeStatus %s is stale", e.stale)
			}
			return Reflector{name, e.others, message + ": check calico-node on the node"}
		})
	}
	return out
}
