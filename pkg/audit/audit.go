// Package audit lists the violations in a state and follows them over time: when each
// was first seen, what introduced it, and when it was resolved. It is pure: it has no
// client and no clock; the caller passes the time.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/health"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Report is the audits of one or more clusters. Read reads its JSON form back.
type Report struct {
	// Version is that of bgpguard.
	Version string `json:"version"`
	// Clusters are in the order of the request.
	Clusters []*Audit `json:"clusters"`
	// Unread are the clusters that could not be read. They are not among Clusters.
	Unread []Unread `json:"unread"`
}

// Unread is a cluster that could not be read.
type Unread struct {
	Cluster string `json:"cluster"`
	Message string `json:"message"`
}

// Audit is the result of one audit of one cluster. Lists are empty rather than nil.
type Audit struct {
	// Cluster names the cluster, "" if it has no name.
	Cluster string `json:"cluster"`
	// Time is when the policies were evaluated.
	Time time.Time `json:"time"`
	// Policies are those in force, by name.
	Policies []Policy `json:"policies"`
	// Violations are sorted by severity, worst first, then policy and id.
	Violations []Violation `json:"violations"`
	// Resolved are the violations of the previous audit, or of the baseline, that no longer exist.
	Resolved []Violation `json:"resolved"`
	// Failures are the policies that could not be evaluated, by name.
	Failures []Failure `json:"failures"`
	// Notes name the parts of the state that are not known and so were not evaluated, and why
	// policies are not enforced.
	Notes []string `json:"notes"`
	// Summary is the input of the policies, input.state.
	Summary *topology.Summary `json:"summary"`
	// Health compares what the nodes report about their BGP with the prediction.
	Health *health.Health `json:"health"`
	// Trend is earlier audits of the cluster, oldest first.
	Trend []Point `json:"trend"`

	// Stale is the age of the state if it may not be the current one: the API server has sent
	// nothing for that time. Zero otherwise.
	Stale time.Duration `json:"-"`
	// Snapshot is the state, Topology its sessions and routes. Both are nil in an audit
	// that was read back from JSON.
	Snapshot *state.Snapshot    `json:"-"`
	Topology *topology.Topology `json:"-"`
	// Before is the audit of the state before a change, nil if no change was given.
	Before *Audit `json:"-"`
}

// Policy is a policy in force.
type Policy struct {
	// Name is that of the BGPPolicy.
	Name string `json:"name"`
	// Policy is the name of the policy in Rego. Title and Description are from its
	// METADATA.
	Policy      string `json:"policy"`
	Title       string `json:"title"`
	Description string `json:"description"`
	// Link is the page about the policy, "" if the policy names none.
	Link     string           `json:"link"`
	Severity string           `json:"severity"`
	Action   violation.Action `json:"action"`
	// Judges is "state" or "change". An audit skips policies that evaluate changes.
	Judges string `json:"judges"`
	// Violations counts the violations; 0 if the policy could not be evaluated.
	Violations int `json:"violations"`
	// Parameters are those in effect, including defaults. They must not be changed.
	Parameters map[string]any `json:"-"`

	fingerprint string
}

// Violation is a violation and its history.
type Violation struct {
	violation.Violation

	// Severity is the policy's, one of policy.Severities.
	Severity string `json:"severity"`
	// FirstSeen is when an audit first found it, LastSeen when one last did.
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
	// Origin is the origin of the violation, "" if the state was not followed over time. Cause
	// describes the origin, "" if nothing more is known.
	Origin Origin `json:"origin,omitempty"`
	Cause  string `json:"cause,omitempty"`
	// Compared relates it to the baseline, or to the state before the change; "" if
	// there is neither, or if it cannot be compared because its policy failed.
	Compared Comparison `json:"compared,omitempty"`
}

// NoSeverity is above every severity: no violation has it.
const NoSeverity = "none"

// Fails reports whether v fails an audit that fails on violations of the given severity and
// above; with NoSeverity, no violation fails it. A violation that is known from a baseline
// does not fail it.
func (v *Violation) Fails(severity string) bool {
	return severity != NoSeverity && v.Compared != Known && Rank(v.Severity) <= Rank(severity)
}

// Failure is a policy that could not be evaluated. It is an error, not a violation.
type Failure struct {
	Policy   string           `json:"policy"`
	Severity string           `json:"severity"`
	Action   violation.Action `json:"action"`
	Message  string           `json:"message"`
}

// Options configure an audit.
type Options struct {
	Cluster string
	Time    time.Time
	// Read is when the state was read. The age of node reports is measured from it. The
	// zero value means Time.
	Read time.Time
	// Stale is the age of a state that may not be the current one, else zero.
	Stale time.Duration
	// Notes are those of the audit.
	Notes []string
}

// ReadTime returns the reference time for the age of the CalicoNodeStatuses of a state from
// files, and a note on it: the time of the newest status before now. Files do not contain the
// time when they were written, and all statuses of an old file would look stale. It returns the
// zero time and "" if there is no status. O(statuses).
func ReadTime(s *state.Snapshot, now time.Time) (read time.Time, note string) {
	for _, status := range s.NodeStatuses() {
		if at := status.LastUpdated; at.After(read) && at.Before(now) {
			read = at
		}
	}
	if read.IsZero() {
		return read, ""
	}
	return read, "the age of CalicoNodeStatuses is measured from the newest one, of " +
		read.UTC().Format(time.RFC3339) + ": files do not contain the time when they were written"
}

// Run evaluates the policies of engine on s. Every violation counts as seen for the first
// time; see Trail and Audit.Compare. The only error is that of ctx, if it ends before
// the topology of s is computed.
func Run(ctx context.Context, engine *validate.Engine, s *state.Snapshot, o Options) (*Audit, error) {
	evaluation := engine.Evaluate(ctx, s)
	if evaluation.Topology == nil {
		return nil, fmt.Errorf("auditing the state: %w", ctx.Err())
	}
	read := o.Read
	if read.IsZero() {
		read = o.Time
	}
	a := &Audit{
		Cluster: o.Cluster, Time: o.Time.UTC(), Policies: []Policy{}, Violations: []Violation{}, Resolved: []Violation{}, Failures: []Failure{},
		Notes: slices.Concat([]string{}, o.Notes), Summary: evaluation.Topology.Summary(),
		Health: health.Compare(s, evaluation.Topology, read), Trend: []Point{}, Stale: o.Stale, Snapshot: s, Topology: evaluation.Topology,
	}
	index := map[string]int{}
	for i, p := range evaluation.Policies.Policies() {
		d := p.Definition
		index[p.Name] = i
		one := Policy{
			Name: p.Name, Policy: d.Name, Title: d.Title, Description: d.Description, Severity: d.Severity, Action: p.Action, Judges: d.Judges,
			Parameters: p.Parameters(), fingerprint: p.Fingerprint(),
		}
		if len(d.Related) > 0 {
			one.Link = d.Related[0].Ref
		}
		a.Policies = append(a.Policies, one)
	}
	for _, v := range evaluation.Violations() {
		p := &a.Policies[index[v.Policy]]
		p.Violations++
		v.Nodes = validate.NodesOf(evaluation.Topology, &v)
		a.Violations = append(a.Violations, Violation{Violation: v, Severity: p.Severity, FirstSeen: a.Time, LastSeen: a.Time})
	}
	slices.SortStableFunc(a.Violations, bySeverity)
	a.fail(evaluation.Failures())
	return a, nil
}

// bySeverity orders violations by severity, worst first, then by policy and id.
func bySeverity(a, b Violation) int {
	return cmp.Or(cmp.Compare(Rank(a.Severity), Rank(b.Severity)), violation.ByPolicyAndID(a.Violation, b.Violation))
}

// fail adds policies that could not be evaluated, each once.
func (a *Audit) fail(failures []validate.Failure) {
	for i := range failures {
		f := &failures[i]
		if a.failed(f.Policy) {
			continue
		}
		severity := ""
		if p := slices.IndexFunc(a.Policies, func(p Policy) bool { return p.Name == f.Policy }); p >= 0 {
			severity = a.Policies[p].Severity
		}
		a.AddFailures(Failure{Policy: f.Policy, Severity: severity, Action: f.Action, Message: f.Text()})
	}
}

// AddFailures adds policies that could not be evaluated or loaded, and keeps Failures
// sorted by policy.
func (a *Audit) AddFailures(failures ...Failure) {
	a.Failures = append(a.Failures, failures...)
	slices.SortStableFunc(a.Failures, func(x, y Failure) int { return cmp.Compare(x.Policy, y.Policy) })
}

// Rank returns the index of a severity in policy.Severities, 0 for the worst. An unknown
// severity comes last.
func Rank(severity string) int {
	if i := slices.Index(policy.Severities, severity); i >= 0 {
		return i
	}
	return len(policy.Severities)
}

// Judging counts the policies that an audit evaluates: those that evaluate states.
func (a *Audit) Judging() int {
	n := 0
	for _, p := range a.Policies {
		if p.Judges == policy.JudgesState {
			n++
		}
	}
	return n
}

// Worst returns the severity of the worst violation, "" if there is none.
func (a *Audit) Worst() string {
	if len(a.Violations) == 0 {
		return ""
	}
	return a.Violations[0].Severity
}

// Count counts the violations by severity. The keys are policy.Severities.
func (a *Audit) Count() map[string]int {
	out := make(map[string]int, len(policy.Severities))
	for _, severity := range policy.Severities {
		out[severity] = 0
	}
	for _, v := range a.Violations {
		out[v.Severity]++
	}
	return out
}

// key identifies a violation.
type key struct{ policy, id string }

func keyOf(v *violation.Violation) key { return key{v.Policy, v.ID} }
