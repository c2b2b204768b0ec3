// Package audit says what is wrong with a state as it is, and follows that over
// time: since when something is wrong, how it came about, and that it is gone. It
// is pure: no client, and no clock but the one that it is given.
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

// Report is the audits of one cluster or of several. Its JSON form can be read
// back; see Read.
type Report struct {
	// Version is that of bgpguard.
	Version string `json:"version"`
	// Clusters are in the order in which they were asked for.
	Clusters []*Audit `json:"clusters"`
	// Unread are those that could not be read, and so are not among Clusters.
	Unread []Unread `json:"unread"`
}

// Unread is a cluster that could not be read.
type Unread struct {
	Cluster string `json:"cluster"`
	Message string `json:"message"`
}

// Audit is what one audit of one cluster found. Lists are empty rather than nil.
type Audit struct {
	// Cluster names the cluster, "" where it has no name.
	Cluster string `json:"cluster"`
	// Time is when the state was judged.
	Time time.Time `json:"time"`
	// Policies are those in force, by name.
	Policies []Policy `json:"policies"`
	// Violations are sorted by severity, worst first, then policy and id.
	Violations []Violation `json:"violations"`
	// Resolved are those of the audit before, or of the baseline, that are gone.
	Resolved []Violation `json:"resolved"`
	// Failures are the policies that could not judge, by name.
	Failures []Failure `json:"failures"`
	// Notes say what of the state is not known, and so was not judged.
	Notes []string `json:"notes"`
	// Summary is the input of the policies, input.state.
	Summary *topology.Summary `json:"summary"`
	// Health is what the nodes report of their BGP, held against the prediction.
	Health *health.Health `json:"health"`
	// Trend is earlier audits of the cluster, oldest first.
	Trend []Point `json:"trend"`

	// Snapshot is the state, Topology its sessions and routes. Both are nil in an
	// audit that was read back.
	Snapshot *state.Snapshot    `json:"-"`
	Topology *topology.Topology `json:"-"`
	// Before is the audit of the state before a change, nil where there is none.
	Before *Audit `json:"-"`
}

// Policy is a policy in force.
type Policy struct {
	// Name is that of the BGPPolicy.
	Name string `json:"name"`
	// Policy is the name of the policy in Rego, Title and Description what it holds.
	Policy      string `json:"policy"`
	Title       string `json:"title"`
	Description string `json:"description"`
	// Link is where to read more, "" where it names nothing.
	Link     string           `json:"link"`
	Severity string           `json:"severity"`
	Action   violation.Action `json:"action"`
	// Judges is "state" or "change". One that judges changes has no part in an
	// audit.
	Judges string `json:"judges"`
	// Violations counts those found; 0 where the policy could not judge.
	Violations int `json:"violations"`

	fingerprint string
}

// Violation is a violation and what is known of it over time.
type Violation struct {
	violation.Violation

	// Severity is the policy's, one of policy.Severities.
	Severity string `json:"severity"`
	// FirstSeen is when an audit first found it, LastSeen when one last did.
	FirstSeen time.Time `json:"firstSeen"`
	LastSeen  time.Time `json:"lastSeen"`
	// Origin says how it came about, "" where nobody followed the state. Cause says
	// it in words, where there is more to say.
	Origin Origin `json:"origin,omitempty"`
	Cause  string `json:"cause,omitempty"`
	// Compared is what became of it since the baseline or by the change, "" where
	// there is neither.
	Compared Comparison `json:"compared,omitempty"`
}

// NoSeverity stands for a severity above the worst: no violation has it.
const NoSeverity = "none"

// Fails reports whether v counts as a failure where violations of a severity and
// above do, or none for NoSeverity. One that is known from a baseline does not.
func (v *Violation) Fails(severity string) bool {
	return severity != NoSeverity && v.Compared != Known && Rank(v.Severity) <= Rank(severity)
}

// Failure is a policy that could not judge. It is an error, not a violation.
type Failure struct {
	Policy   string           `json:"policy"`
	Severity string           `json:"severity"`
	Action   violation.Action `json:"action"`
	Message  string           `json:"message"`
}

// Options say what an audit is of.
type Options struct {
	Cluster string
	Time    time.Time
	// Read is when the state was read, by which reports of nodes are old; the zero time
	// stands for Time.
	Read time.Time
	// Notes say what of the state is not known.
	Notes []string
}

// Run judges s by the policies of engine. Every violation is taken to be seen for
// the first time; see Trail and Compare. The only error is that of ctx, where it ends
// before the topology of s is computed.
func Run(ctx context.Context, engine *validate.Engine, s *state.Snapshot, o Options) (*Audit, error) {
	judged := engine.Judge(ctx, s)
	if judged.Topology == nil {
		return nil, fmt.Errorf("auditing the state: %w", ctx.Err())
	}
	read := o.Read
	if read.IsZero() {
		read = o.Time
	}
	a := &Audit{
		Cluster: o.Cluster, Time: o.Time.UTC(), Policies: []Policy{}, Violations: []Violation{}, Resolved: []Violation{}, Failures: []Failure{},
		Notes: slices.Concat([]string{}, o.Notes), Summary: judged.Topology.Summary(),
		Health: health.Compare(s, judged.Topology, read), Trend: []Point{}, Snapshot: s, Topology: judged.Topology,
	}
	severities, index := map[string]string{}, map[string]int{}
	for i, p := range judged.Policies.Policies() {
		d := p.Definition
		severities[p.Name], index[p.Name] = d.Severity, i
		one := Policy{
			Name: p.Name, Policy: d.Name, Title: d.Title, Description: d.Description, Severity: d.Severity, Action: p.Action, Judges: d.Judges,
			fingerprint: p.Fingerprint(),
		}
		if len(d.Related) > 0 {
			one.Link = d.Related[0].Ref
		}
		a.Policies = append(a.Policies, one)
	}
	for _, v := range judged.Violations {
		a.Policies[index[v.Policy]].Violations++
		a.Violations = append(a.Violations, Violation{Violation: v, Severity: severities[v.Policy], FirstSeen: a.Time, LastSeen: a.Time})
	}
	slices.SortStableFunc(a.Violations, compare)
	for _, f := range judged.Failures {
		a.Failures = append(a.Failures, Failure{f.Policy, severities[f.Policy], f.Action, f.Text()})
	}
	return a, nil
}

// compare puts the most severe first.
func compare(a, b Violation) int {
	return cmp.Or(cmp.Compare(Rank(a.Severity), Rank(b.Severity)), violation.Compare(a.Violation, b.Violation))
}

// Rank is the place of a severity in policy.Severities, 0 for the worst. What is
// not among them comes last.
func Rank(severity string) int {
	if i := slices.Index(policy.Severities, severity); i >= 0 {
		return i
	}
	return len(policy.Severities)
}

// Judging counts the policies that have a part in an audit: those that judge states.
func (a *Audit) Judging() int {
	n := 0
	for _, p := range a.Policies {
		if p.Judges == policy.JudgesState {
			n++
		}
	}
	return n
}

// Worst is the severity of the worst violation, "" where there is none.
func (a *Audit) Worst() string {
	if len(a.Violations) == 0 {
		return ""
	}
	return a.Violations[0].Severity
}

// Count counts the violations by severity; every one of policy.Severities is in it.
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

// key tells violations apart.
type key struct{ policy, id string }

func keyOf(v *violation.Violation) key { return key{v.Policy, v.ID} }
