package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/health"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// Progress is how far a step is.
type Progress string

// The progress of a step.
const (
	Done    Progress = "done"    // all its objects are as after the step
	Partly  Progress = "partly"  // some of its objects are
	Open    Progress = "open"    // none of them is
	Drifted Progress = "drifted" // an object is neither as before nor as after the step
)

// Waited is whether the wait after a step is over.
type Waited string

// The results of a wait.
const (
	WaitOver    Waited = "over"
	WaitNotOver Waited = "not over"
	// WaitUnknown: the state does not show it, because CalicoNodeStatuses are missing or
	// outdated.
	WaitUnknown Waited = "unknown"
)

// Verification says at which step of a plan a cluster is.
type Verification struct {
	Title   string       `json:"title"`
	Cluster string       `json:"cluster,omitempty"`
	Steps   []StepStatus `json:"steps"`
	// Made counts the steps at the beginning that are done. Next is the number of the step to
	// make next, 0 if all are done.
	Made int `json:"made"`
	Next int `json:"next"`
	// Wait is whether the wait after the last step made is over, and WaitDetails what is
	// missing or unknown.
	Wait        Waited   `json:"wait"`
	WaitText    string   `json:"waitText"`
	WaitDetails []string `json:"waitDetails"`
	// Drift lists what differs from the plan; empty if nothing does.
	Drift []string `json:"drift"`
	// NextDenied is the message with which the policies deny the next step in the present
	// state, "" if they allow it.
	NextDenied string `json:"nextDenied,omitempty"`
	// NextCommands are the commands of the next step; empty while it must wait.
	NextCommands []string `json:"nextCommands"`
}

// StepStatus is the status of a step.
type StepStatus struct {
	Number int      `json:"number"`
	Title  string   `json:"title"`
	Status Progress `json:"status"`
}

// Ready reports that the next step can be made, or that all are done: nothing drifted, the
// wait is over, and the policies allow the step.
func (v *Verification) Ready() bool {
	return len(v.Drift) == 0 && v.Wait == WaitOver && v.NextDenied == ""
}

// Verify compares a state with a plan. Now of in is the time at which CalicoNodeStatuses were
// read. O(edits + nodes + half-sessions of the nodes to wait for).
func Verify(ctx context.Context, in Input, p *Plan) (*Verification, error) {
	v := &Verification{Title: p.Title, Cluster: in.Cluster, Steps: []StepStatus{}, WaitDetails: []string{}, Drift: []string{}, NextCommands: []string{}}
	for i := range p.Steps {
		v.Steps = append(v.Steps, v.status(p, i, in.Snapshot))
	}
	for v.Made < len(v.Steps) && v.Steps[v.Made].Status == Done {
		v.Made++
	}
	for _, s := range v.Steps[v.Made:] {
		if s.Number > v.Made+1 && (s.Status == Done || s.Status == Partly) {
			v.Drift = append(v.Drift, fmt.Sprintf("step %d (%s) is %s although step %d is not done", s.Number, s.Title, s.Status, v.Made+1))
		}
	}
	for _, r := range p.Reflectors {
		if n, _ := in.Snapshot.Get(calico.ID{Kind: calico.KindNode, Name: r.Node}).(*calico.Node); n == nil {
			v.Drift = append(v.Drift, fmt.Sprintf("the route reflector %s does not exist", r.Node))
		} else if calico.Down(n) {
			v.Drift = append(v.Drift, fmt.Sprintf("the route reflector %s is not ready or being deleted", r.Node))
		}
	}
	t := in.Engine.Evaluate(ctx, in.Snapshot).Topology
	if t == nil {
		return nil, errors.Join(ctx.Err(), errors.New("the topology could not be computed"))
	}
	v.wait(p, in, t)
	if v.Made == len(p.Steps) {
		return v, ctx.Err()
	}
	v.Next = v.Made + 1
	err := v.judge(ctx, in, &p.Steps[v.Made])
	return v, err
}

// status compares the objects of step i with the state. An object that later steps change too
// may be as after any of them.
func (v *Verification) status(p *Plan, i int, s *state.Snapshot) StepStatus {
	step := &p.Steps[i]
	out := StepStatus{step.Number, step.Title, Open}
	after, before := 0, 0
	for j := range step.Edits {
		e := &step.Edits[j]
		switch {
		case e.isMade(s), laterMade(p, i, e.ID(), s):
			after++
		case e.isOpen(s):
			before++
		default:
			v.Drift = append(v.Drift, fmt.Sprintf("%s is neither as before nor as after step %d (%s)", e.ID(), step.Number, step.Title))
		}
	}
	switch {
	case after == len(step.Edits):
		out.Status = Done
	case after+before < len(step.Edits):
		out.Status = Drifted
	case after > 0:
		out.Status = Partly
	}
	return out
}

// laterMade reports whether a step after step i changes an object and is made.
func laterMade(p *Plan, i int, id calico.ID, s *state.Snapshot) bool {
	for k := i + 1; k < len(p.Steps); k++ {
		for j := range p.Steps[k].Edits {
			if e := &p.Steps[k].Edits[j]; e.ID() == id && e.isMade(s) {
				return true
			}
		}
	}
	return false
}

// isMade reports whether the object is as after the edit.
func (e *Edit) isMade(s *state.Snapshot) bool {
	o := s.Get(e.ID())
	switch {
	case e.ID().Kind == calico.KindCalicoNodeStatus:
		return reported(s, e.Name)
	case e.Delete:
		return o == nil
	case o == nil:
		return false
	case e.Patch != nil:
		return same(under(calico.Manifest(o), e.Patch), e.Patch)
	default:
		return sameFields(calico.Manifest(o), e.Object, e.Before)
	}
}

// reported reports whether a CalicoNodeStatus requests the sessions of a node and their updates,
// whatever its name and its other classes are.
func reported(s *state.Snapshot, node string) bool {
	return slices.ContainsFunc(s.NodeStatuses(), func(status *calico.NodeStatus) bool {
		return status.Node == node && status.BGP && status.UpdatePeriod != nil && *status.UpdatePeriod > 0
	})
}

// isOpen reports whether the object is as before the edit.
func (e *Edit) isOpen(s *state.Snapshot) bool {
	o := s.Get(e.ID())
	switch {
	case e.ID().Kind == calico.KindCalicoNodeStatus:
		return !reported(s, e.Name)
	case e.Patch != nil:
		return o != nil && same(under(calico.Manifest(o), e.Patch), e.Before)
	case e.Before == nil || o == nil:
		return o == nil && e.Before == nil
	default:
		return sameFields(calico.Manifest(o), e.Before, e.Object)
	}
}

// sameFields reports whether the fields in the specs of want and other have the values of
// want. An API server may add other fields.
func sameFields(document, want, other map[string]any) bool {
	spec, _ := document["spec"].(map[string]any)
	wanted, _ := want["spec"].(map[string]any)
	others, _ := other["spec"].(map[string]any)
	for _, fields := range []map[string]any{wanted, others} {
		for key := range fields {
			if !same(spec[key], wanted[key]) {
				return false
			}
		}
	}
	return true
}

// same compares two values as JSON. Numbers may have different types.
func same(a, b any) bool {
	return reflect.DeepEqual(plain(a), plain(b))
}

func plain(v any) (out any) {
	raw, err := json.Marshal(v)
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return v
	}
	return out
}

// wait finds out whether the wait after the last step made is over.
func (v *Verification) wait(p *Plan, in Input, t *topology.Topology) {
	v.Wait, v.WaitText = WaitOver, "No step is made yet: nothing to wait for."
	if v.Made == 0 {
		return
	}
	w := &p.Steps[v.Made-1].Wait
	v.WaitText = w.Text
	if len(w.Nodes) == 0 {
		return
	}
	h := healthOf(in.Snapshot, t, w.Nodes, in.Now)
	if unknown := unknownOf(h, in.Snapshot, w.Nodes); len(unknown) > 0 {
		v.Wait, v.WaitDetails = WaitUnknown, unknown
	}
	missing := 0
	for _, list := range []*health.List[health.Session]{&h.Down, &h.Absent} {
		for i := range list.Items[:min(len(list.Items), mostDetails)] {
			s := &list.Items[i]
			state := s.State
			if state == "" {
				state = "not reported"
			}
			v.WaitDetails = append(v.WaitDetails, strings.TrimSpace(fmt.Sprintf("%s: session to %s %s is %s", s.Node, s.PeerIP, s.PeerNode, state)))
		}
		missing += list.Total
	}
	if missing > 0 {
		v.Wait = WaitNotOver
		v.WaitDetails = append([]string{text.Count(missing, "half-session") + " of the nodes to wait for not established"}, v.WaitDetails...)
	}
}

// mostDetails bounds the sessions of each kind that a wait lists.
const mostDetails = 5

// healthOf compares the reports of some nodes with the topology.
func healthOf(s *state.Snapshot, t *topology.Topology, nodes []string, now time.Time) *health.Health {
	for _, status := range s.NodeStatuses() {
		if !slices.Contains(nodes, status.Node) {
			s = s.Apply(state.Change{Before: status})
		}
	}
	return health.Compare(s.Knowing(calico.KindCalicoNodeStatus), t, now)
}

// unknownOf lists what is not known about the sessions of nodes.
func unknownOf(h *health.Health, s *state.Snapshot, nodes []string) []string {
	var out []string
	for _, n := range nodes {
		if !reported(s, n) {
			out = append(out, fmt.Sprintf("%s: the state has no CalicoNodeStatus of class BGP; run \"calicoctl node status\" on the node", n))
		}
	}
	for i := range h.Outdated.Items {
		o := &h.Outdated.Items[i]
		if slices.Contains(nodes, o.Node) {
			out = append(out, fmt.Sprintf("%s: %s", o.Node, o.Message))
		}
	}
	return out
}

// judge decides on the next step in the present state.
func (v *Verification) judge(ctx context.Context, in Input, step *Step) error {
	now := in.Snapshot
	for i := range step.Edits {
		e := &step.Edits[i]
		if e.isMade(now) {
			continue
		}
		c, err := e.change(now)
		if err != nil {
			v.Drift = append(v.Drift, fmt.Sprintf("step %d (%s) cannot be made: %v", step.Number, step.Title, err))
			return nil
		}
		if e.ID().Kind.Info().Review != calico.ReviewNone {
			d := in.Engine.Decide(ctx, now, validate.Request{Change: c, User: in.User, Groups: in.Groups})
			if err := ctx.Err(); err != nil {
				return err
			}
			if !d.Allowed {
				v.NextDenied = d.Message()
				return nil
			}
		}
		now = now.Apply(c.Informed())
	}
	if v.Wait != WaitNotOver {
		v.NextCommands = step.Commands
	}
	return nil
}
