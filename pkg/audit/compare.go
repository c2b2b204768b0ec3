package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Comparison relates a violation to an earlier audit.
type Comparison string

// The comparisons: what a validate.Relation means for an audit.
const (
	// New: the violation did not exist: validate.New.
	New Comparison = "New"
	// Worse: the violation existed, and was smaller or did not reach all its present nodes:
	// validate.Larger and validate.Spread.
	Worse Comparison = "Worse"
	// Known: the violation existed and is not worse: validate.Standing and
	// validate.Smaller.
	Known Comparison = "Known"
)

// comparison returns what a verdict means for an audit. Whether the nodes of a violation
// joined matters only to the one who makes a change.
func comparison(v *validate.Verdict) Comparison {
	switch {
	case v.Before == nil:
		return New
	case v.Relation.Worse() || v.Relation == validate.Joined:
		return Worse
	default:
		return Known
	}
}

// Compare compares a with an earlier audit. It sets Compared and FirstSeen of each
// violation and lists the violations that no longer exist as resolved. An earlier audit that
// was read back from JSON does not say which nodes its violations reached; members are
// then not compared, see validate.Compare. A violation whose members are unknown has no
// Compared, and its policy is among the Failures.
func (a *Audit) Compare(earlier *Audit) {
	verdicts := a.compare(earlier.found())
	old := make(map[key]*Violation, len(earlier.Violations))
	for i := range earlier.Violations {
		v := &earlier.Violations[i]
		old[keyOf(&v.Violation)] = v
	}
	for i := range a.Violations {
		v := &a.Violations[i]
		k := keyOf(&v.Violation)
		if verdict := verdicts[k]; verdict != nil {
			v.Compared = comparison(verdict)
		}
		if was := old[k]; was != nil {
			v.FirstSeen = was.FirstSeen
		}
	}
	a.Resolved = []Violation{}
	for _, v := range earlier.Violations {
		if verdict := verdicts[keyOf(&v.Violation)]; verdict == nil || verdict.Relation != validate.Gone {
			continue
		}
		if !a.InForce(v.Policy) {
			v.Cause = notInForce
		}
		a.Resolved = append(a.Resolved, v)
	}
}

// found returns the violations of a in the form that validate.Compare takes.
func (a *Audit) found() validate.Found {
	f := validate.Found{Violations: make([]violation.Violation, len(a.Violations)), Topology: a.Topology}
	for i := range a.Violations {
		f.Violations[i] = a.Violations[i].Violation
	}
	for i := range a.Failures {
		f.Failed = append(f.Failed, a.Failures[i].Policy)
	}
	return f
}

// compare compares the violations of a with those before. Policies whose violations
// cannot be compared are added to the Failures.
func (a *Audit) compare(before validate.Found) map[key]*validate.Verdict {
	verdicts, failures := validate.Compare(before, a.found())
	a.fail(failures)
	out := make(map[key]*validate.Verdict, len(verdicts))
	for i := range verdicts {
		out[keyOf(&verdicts[i].Violation)] = &verdicts[i]
	}
	return out
}

// notInForce is the cause of a violation that is resolved because its policy was removed.
const notInForce = "its policy is no longer in force"

// failed reports whether a policy could not be evaluated. It is then not known whether
// its earlier violations are resolved.
func (a *Audit) failed(policy string) bool {
	return slices.ContainsFunc(a.Failures, func(f Failure) bool { return f.Policy == policy })
}

// InForce reports whether a policy of that name is in force.
func (a *Audit) InForce(policy string) bool {
	return slices.ContainsFunc(a.Policies, func(p Policy) bool { return p.Name == policy })
}

// Point is one audit of a trend.
type Point struct {
	Time time.Time `json:"time"`
	// Violations counts the violations by severity.
	Violations map[string]int `json:"violations"`
	// Nodes counts the nodes with a BGP address, Sessions the sessions between nodes in
	// both address families.
	Nodes    int `json:"nodes"`
	Sessions int `json:"sessions"`
	// StartSeconds is how long a node is without routes after a start, in the worst case.
	StartSeconds int `json:"startSeconds"`
}

// Point returns a as a point of a trend.
func (a *Audit) Point() Point {
	p := Point{Time: a.Time, Violations: a.Count()}
	if s := a.Summary; s != nil {
		p.Nodes, p.Sessions, p.StartSeconds = s.Nodes.BGP, s.Sessions.IPv4.Total+s.Sessions.IPv6.Total, s.Convergence.Start.Seconds
	}
	return p
}

// AddTrend sets the trend of a to earlier audits of the same cluster and their trends.
// Audits that are not earlier than a are skipped.
func (a *Audit) AddTrend(earlier ...*Audit) {
	byTime := map[time.Time]Point{}
	for _, e := range earlier {
		for _, p := range append(slices.Clone(e.Trend), e.Point()) {
			if p.Time.Before(a.Time) {
				byTime[p.Time] = p
			}
		}
	}
	a.Trend = make([]Point, 0, len(byTime))
	for _, p := range byTime {
		a.Trend = append(a.Trend, p)
	}
	slices.SortFunc(a.Trend, func(a, b Point) int { return a.Time.Compare(b.Time) })
}

// Of returns the audit of the named cluster, nil if r does not have it. If r has exactly one
// audit and one of the two names is empty, Of returns that audit: a state that was read from
// files has no name.
func (r *Report) Of(cluster string) *Audit {
	for _, a := range r.Clusters {
		if a.Cluster == cluster || len(r.Clusters) == 1 && (cluster == "" || a.Cluster == "") {
			return a
		}
	}
	return nil
}

// Read reads the JSON form of a report.
func Read(in io.Reader) (*Report, error) {
	var r Report
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return nil, fmt.Errorf("not a report of bgpguard audit -o json: %w", err)
	}
	if len(r.Clusters) == 0 {
		return nil, errors.New("not a report of bgpguard audit -o json: it has no clusters")
	}
	for i, a := range r.Clusters {
		if a == nil || a.Time.IsZero() {
			return nil, fmt.Errorf("not a report of bgpguard audit -o json: clusters[%d] has no time", i)
		}
		if a.Summary != nil && !complete(a) {
			return nil, fmt.Errorf("not a report of bgpguard audit -o json: clusters[%d].summary lacks nodes, sessions or convergence", i)
		}
	}
	return &r, nil
}

// complete reports whether the summary has the parts that Point reads.
func complete(a *Audit) bool {
	s := a.Summary
	return s.Nodes != nil && s.Sessions != nil && s.Convergence != nil
}
