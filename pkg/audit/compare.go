package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Comparison is what became of a violation since an earlier audit.
type Comparison string

// The comparisons.
const (
	// New was not there before.
	New Comparison = "New"
	// Worse was there, and smaller, or did not reach a node or a pair of nodes that it
	// reaches now. The latter is not told of an audit that was read back, which has no
	// Topology.
	Worse Comparison = "Worse"
	// Known was there, and is none of these.
	Known Comparison = "Known"
)

// Compare tells of each violation of a whether it is in an earlier audit, takes
// over since when it is there, and lists those that are gone as resolved.
func (a *Audit) Compare(earlier *Audit) {
	old := make(map[key]*Violation, len(earlier.Violations))
	for i := range earlier.Violations {
		v := &earlier.Violations[i]
		old[keyOf(&v.Violation)] = v
	}
	for i := range a.Violations {
		v := &a.Violations[i]
		was := old[keyOf(&v.Violation)]
		delete(old, keyOf(&v.Violation))
		switch {
		case was == nil:
			v.Compared = New
			continue
		case v.Size > was.Size || a.reachesMore(earlier, &v.Violation):
			v.Compared = Worse
		default:
			v.Compared = Known
		}
		v.FirstSeen = was.FirstSeen
	}
	a.Resolved = []Violation{}
	for i := range earlier.Violations {
		v := &earlier.Violations[i]
		if old[keyOf(&v.Violation)] == nil || a.failed(v.Policy) {
			continue
		}
		gone := *v
		if !a.InForce(v.Policy) {
			gone.Cause = notInForce
		}
		a.Resolved = append(a.Resolved, gone)
	}
}

// reachesMore reports whether a violation that is in both audits reaches a node or a
// pair of nodes now that it did not reach earlier, which admission would deny too.
func (a *Audit) reachesMore(earlier *Audit, v *violation.Violation) bool {
	if a.Topology == nil || earlier.Topology == nil {
		return false
	}
	return slices.ContainsFunc(v.Members, func(members string) bool {
		n, _, err := a.Topology.Gained(earlier.Topology, members)
		return err != nil || n > 0 // What is no set may be any.
	})
}

// notInForce is the cause of a violation that is gone with its policy.
const notInForce = "its policy is no longer in force"

// failed reports whether a policy could not judge: what it found earlier is then
// neither there nor gone.
func (a *Audit) failed(policy string) bool {
	return slices.ContainsFunc(a.Failures, func(f Failure) bool { return f.Policy == policy })
}

// InForce reports whether a policy of that name is among those in force.
func (a *Audit) InForce(policy string) bool {
	return slices.ContainsFunc(a.Policies, func(p Policy) bool { return p.Name == policy })
}

// Point is one audit among many: when, and how much was wrong.
type Point struct {
	Time time.Time `json:"time"`
	// Violations counts them by severity.
	Violations map[string]int `json:"violations"`
	// Nodes counts those that speak BGP, Sessions the sessions between nodes of both
	// families.
	Nodes    int `json:"nodes"`
	Sessions int `json:"sessions"`
	// StartSeconds is how long a node is without routes after a start, at the worst.
	StartSeconds int `json:"startSeconds"`
}

// Point is what a is among many.
func (a *Audit) Point() Point {
	p := Point{Time: a.Time, Violations: a.Count()}
	if s := a.Summary; s != nil {
		p.Nodes, p.Sessions, p.StartSeconds = s.Nodes.BGP, s.Sessions.IPv4.Total+s.Sessions.IPv6.Total, s.Convergence.Start.Seconds
	}
	return p
}

// AddTrend puts earlier audits of the same cluster before a, and theirs before them.
// Those that are not earlier than a are left out.
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

// Of returns the audit of a cluster by name, nil where r has none. Where r is of
// one cluster alone, it is that one whatever it is called: files have no name.
func (r *Report) Of(cluster string) *Audit {
	for _, a := range r.Clusters {
		if a.Cluster == cluster || len(r.Clusters) == 1 && (cluster == "" || a.Cluster == "") {
			return a
		}
	}
	return nil
}

// Read reads the JSON form of a report. Errors say what is wrong with it.
func Read(in io.Reader) (*Report, error) {
	var r Report
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return nil, fmt.Errorf("no report of bgpguard audit -o json: %w", err)
	}
	if len(r.Clusters) == 0 {
		return nil, errors.New("no report of bgpguard audit -o json: no clusters in it")
	}
	for i, a := range r.Clusters {
		if a == nil || a.Time.IsZero() {
			return nil, fmt.Errorf("no report of bgpguard audit -o json: clusters[%d] has no time", i)
		}
		if a.Summary != nil && !whole(a) {
			return nil, fmt.Errorf("no report of bgpguard audit -o json: clusters[%d].summary is not whole", i)
		}
	}
	return &r, nil
}

// whole reports whether what Point reads is there.
func whole(a *Audit) bool {
	s := a.Summary
	return s.Nodes != nil && s.Sessions != nil && s.Convergence != nil
}
