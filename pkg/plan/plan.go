package plan

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Kind is the kind of a plan in JSON. Its API version is that of a BGPPolicy.
const Kind = "Plan"

// Desired is the target of a plan whose end is described by files. The others are Goals.
const Desired = "desired"

// Plan is a sequence of steps from the state of a cluster to another one. Each step is
// allowed after those before it.
type Plan struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Target is one of Goals, or Desired.
	Target string `json:"target"`
	Title  string `json:"title"`
	// Cluster is the name of the cluster, "" for files. Version is that of bgpguard.
	Cluster string `json:"cluster,omitempty"`
	Version string `json:"version,omitempty"`
	// Created is the time at which the state was read.
	Created time.Time `json:"created"`
	// Choices are what bgpguard chose and why, Notes what the design costs and requires. Each
	// is one or a few sentences.
	Choices []string `json:"choices"`
	Notes   []string `json:"notes"`
	// Reflectors are the route reflectors of the design, by group and name; empty for other
	// targets.
	Reflectors []Reflector `json:"reflectors"`
	Before     Figures     `json:"before"`
	After      Figures     `json:"after"`
	Steps      []Step      `json:"steps"`

	// Start and End are the topologies before and after the steps; nil in a plan that was read.
	Start *topology.Topology `json:"-"`
	End   *topology.Topology `json:"-"`
}

// Reflector is a node that is or becomes a route reflector.
type Reflector struct {
	Node string `json:"node"`
	Zone string `json:"zone"`
	// ClusterID is its cluster ID after the plan.
	ClusterID string `json:"clusterID"`
	// Sessions counts its sessions after the plan, over both families.
	Sessions int `json:"sessions"`
}

// Figures describe a state before or after a plan.
type Figures struct {
	Nodes int `json:"nodes"`
	// Sessions counts the sessions between nodes, External the half-sessions to external
	// peers and pods, over both families. Most is the highest number of half-sessions on one
	// node in one family, MostNode the node.
	Sessions int    `json:"sessions"`
	External int    `json:"external"`
	Most     int    `json:"most"`
	MostNode string `json:"mostNode"`
	// Start is the longest time without routes after a start of calico-node in this state.
	Start topology.Delay `json:"start"`
	// NeedsBGP reports that pod traffic between nodes needs BGP in one family. Isolated counts
	// the nodes that have no routes to or from all others, with transit by external peers, in
	// the family that needs BGP and has more of them.
	NeedsBGP bool `json:"needsBGP"`
	Isolated int  `json:"isolated"`
}

// Step is a change, or several that belong together, with what to wait for.
type Step struct {
	// Number counts from 1. Name is a word for file names, Title one line, Why the reason.
	Number int    `json:"number"`
	Name   string `json:"name"`
	Title  string `json:"title"`
	Why    string `json:"why"`
	// File is the manifest of the step for kubectl, "" if the step consists of commands.
	File string `json:"file,omitempty"`
	// Commands are the shell commands that make the changes.
	Commands []string `json:"commands"`
	// Edits are the changes.
	Edits []Edit `json:"edits"`
	// Impact is what the step does to sessions and routes.
	Impact *topology.Impact `json:"impact"`
	// Effect is Impact in one line.
	Effect string `json:"effect"`
	// Warnings are those that kubectl shows.
	Warnings []string `json:"warnings"`
	Wait     Wait     `json:"wait"`
	// Back are the commands that undo the step while later steps are not made, or were undone.
	Back []string `json:"back"`
	// BackDenied is the message with which the policies deny Back, "" if they allow it.
	BackDenied string `json:"backDenied,omitempty"`
}

// Wait is the condition for the next step.
type Wait struct {
	// Text is the condition, one sentence.
	Text string `json:"text"`
	// Nodes are the nodes of which all half-sessions must be established, empty if the next
	// step need not wait. Sessions counts the half-sessions of these nodes that can come up.
	Nodes    []string `json:"nodes"`
	Sessions int      `json:"sessions"`
	// Commands show whether the condition is met.
	Commands []string `json:"commands"`
}

// Edit is a change of one object. Exactly one of Object, Patch and Delete is set.
type Edit struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Object is the whole object after the change.
	Object map[string]any `json:"object,omitempty"`
	// Patch is a JSON merge patch (RFC 7386).
	Patch  map[string]any `json:"patch,omitempty"`
	Delete bool           `json:"delete,omitempty"`
	// Before is, for a Patch, what its fields were, in the same form; for Object and Delete
	// the object before, nil if there was none.
	Before map[string]any `json:"before,omitempty"`
}

// ID returns the ID of the changed object.
func (e *Edit) ID() calico.ID { return calico.ID{Kind: calico.Kind(e.Kind), Name: e.Name} }

// Input is the cluster to plan for, and who makes the changes.
type Input struct {
	Snapshot *state.Snapshot
	Engine   *validate.Engine
	// Cluster and Version go into the plan. Now is the time at which the state was read.
	Cluster, Version string
	Now              time.Time
	// User makes the changes, and is in Groups; "" if the user is not known.
	User   string
	Groups []string
}

// DeniedError reports that the cluster's policies deny a step, so there is no plan.
type DeniedError struct {
	Step     string
	Object   calico.ID
	Decision *validate.Decision
}

// Error names the step and the object, and has the whole denial.
func (e *DeniedError) Error() string {
	what := "would be denied"
	if !e.Decision.Evaluated() {
		what = "could not be evaluated"
	}
	return fmt.Sprintf("no plan was written: the step %q (%s) %s:\n%s", e.Step, e.Object, what, e.Decision.Message())
}

// builder collects the steps of a plan, and evaluates each of them.
type builder struct {
	Input

	plan *Plan
	// now is the state after the steps so far.
	now *state.Snapshot
}

func newBuilder(in Input, target, title string) *builder {
	p := &Plan{
		APIVersion: apiVersion, Kind: Kind, Target: target, Title: title, Cluster: in.Cluster, Version: in.Version, Created: in.Now.UTC().Truncate(time.Second),
		Choices: []string{}, Notes: []string{}, Reflectors: []Reflector{}, Steps: []Step{},
	}
	return &builder{Input: in, plan: p, now: in.Snapshot}
}

// apiVersion is the API version of plans and scenarios.
const apiVersion = "policy.bgpguard.io/v1alpha1"

func (b *builder) choose(format string, args ...any) {
	b.plan.Choices = append(b.plan.Choices, fmt.Sprintf(format, args...))
}

func (b *builder) note(format string, args ...any) {
	b.plan.Notes = append(b.plan.Notes, fmt.Sprintf(format, args...))
}

// add evaluates a step and adds it. A step without a change is skipped. The error is a
// *DeniedError if the policies deny a change of it.
func (b *builder) add(ctx context.Context, step Step) error {
	before := b.now
	var edits []Edit
	for _, e := range step.Edits {
		change, err := e.change(b.now)
		if err != nil {
			return err
		}
		next := b.now.Apply(change.Informed())
		if next == b.now {
			continue
		}
		e.complete(change)
		edits = append(edits, e)
		if change.ID().Kind.Info().Review != calico.ReviewNone {
			d := b.Engine.Decide(ctx, b.now, validate.Request{Change: change, User: b.User, Groups: b.Groups})
			if err := ctx.Err(); err != nil {
				return err
			}
			if !d.Allowed {
				return &DeniedError{step.Title, change.ID(), d}
			}
			for _, w := range d.Warnings() {
				if !strings.HasSuffix(w, validate.BeforeChange) && !slices.Contains(step.Warnings, w) {
					step.Warnings = append(step.Warnings, w)
				}
			}
		}
		b.now = next
	}
	if len(edits) == 0 {
		return nil
	}
	step.Edits = edits
	step.Number = len(b.plan.Steps) + 1
	step.Name = slug(step.Name)
	if err := b.describe(ctx, &step, before); err != nil {
		return err
	}
	b.plan.Steps = append(b.plan.Steps, step)
	return nil
}

// describe fills in what follows from the edits of a step: its impact, its commands, what to
// wait for and how to go back.
func (b *builder) describe(ctx context.Context, step *Step, before *state.Snapshot) error {
	was, is := b.Engine.Evaluate(ctx, before).Topology, b.Engine.Evaluate(ctx, b.now).Topology
	if was == nil || is == nil {
		return errors.Join(ctx.Err(), errors.New("the topology could not be computed"))
	}
	step.Impact = is.Impact(was)
	step.Effect = step.Impact.String()
	if step.Warnings == nil {
		step.Warnings = []string{}
	}
	step.write(before)
	step.Wait.fill(is)
	denied, err := b.denyBack(ctx, step, before)
	step.BackDenied = denied
	return err
}

// denyBack returns the message with which the policies deny going back from b.now to before,
// "" if they allow it.
func (b *builder) denyBack(ctx context.Context, step *Step, before *state.Snapshot) (string, error) {
	now := b.now
	for i := len(step.Edits) - 1; i >= 0; i-- {
		id := step.Edits[i].ID()
		c := state.Change{Before: now.Get(id), After: before.Get(id)}
		if id.Kind.Info().Review != calico.ReviewNone {
			d := b.Engine.Decide(ctx, now, validate.Request{Change: c, User: b.User, Groups: b.Groups})
			if !d.Allowed {
				return denial(d.Message()), ctx.Err()
			}
		}
		now = now.Apply(c)
	}
	return "", ctx.Err()
}

// finish returns the plan.
func (b *builder) finish(ctx context.Context) (*Plan, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	before, after := b.Engine.Evaluate(ctx, b.Snapshot).Topology, b.Engine.Evaluate(ctx, b.now)
	if before == nil || after.Topology == nil {
		return nil, errors.New("the topology could not be computed")
	}
	b.plan.Start, b.plan.End = before, after.Topology
	b.plan.Before, b.plan.After = figures(before), figures(after.Topology)
	b.remaining(after)
	return b.plan, nil
}

// remaining notes the violations of the state after the plan that the policies deny or warn
// about.
func (b *builder) remaining(after *validate.Evaluation) {
	var left []string
	for _, v := range after.Violations() {
		if v.Action != violation.Audit {
			left = append(left, "["+v.Policy+"] "+v.Message)
		}
	}
	const most = 5
	for _, message := range left[:min(len(left), most)] {
		b.note("The state after the plan has this violation, which the plan does not fix: %s", message)
	}
	if more := len(left) - most; more > 0 {
		b.note("%d more violations remain: see \"bgpguard audit\".", more)
	}
}

func figures(t *topology.Topology) Figures {
	s := t.Summary()
	f := Figures{Nodes: s.Nodes.Total, Start: s.Convergence.Start}
	for _, family := range calico.Families {
		one, routes := s.Sessions.In(family), s.Routes.In(family)
		f.Sessions += one.Total
		f.External += one.External
		if one.Most > f.Most {
			f.Most, f.MostNode = one.Most, string(one.MostNode)
		}
		if s.PodTraffic.In(family).NeedsBGP && routes.WithTransit.Nodes > 0 {
			f.NeedsBGP, f.Isolated = true, max(f.Isolated, routes.WithTransit.Isolated.Nodes)
		}
	}
	return f
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// slug returns a word for file names.
func slug(name string) string {
	s := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-")
	return strings.Trim(s[:min(len(s), 60)], "-")
}
