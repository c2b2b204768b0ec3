package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Audit is the audits of one cluster or of several, and how they are shown.
type Audit struct {
	*audit.Report

	// FailOn is the severity from which on a violation counts as a failure, or
	// audit.NoSeverity.
	FailOn string
	// Sources tells where objects stand; nil where they are in no files.
	Sources func(violation.Object) Source
	// Color makes Text use a terminal's colours.
	Color bool
}

// auditOf names the cluster of an audit where it has a name.
func auditOf(a *audit.Audit) string {
	if a.Cluster == "" {
		return "the state"
	}
	return "cluster " + clean(a.Cluster)
}

// nothingChecked is the verdict of an audit without a policy that has a part in it.
const nothingChecked = "nothing was checked: no policy that judges a state is in force"

// auditVerdict says how much is wrong, and how bad that is.
func auditVerdict(a *audit.Audit) string {
	judged, counts := a.Judging(), a.Count()
	var out string
	switch n := len(a.Violations); {
	case n == 0 && judged == 0:
		return nothingChecked
	case n == 0:
		out = "no violation"
	case a.Worst() == "":
		out = Count(n, "violation")
	default:
		var parts []string
		for _, severity := range policy.Severities {
			if counts[severity] > 0 {
				parts = append(parts, number(counts[severity])+" "+severity)
			}
		}
		out = fmt.Sprintf("%s (%s)", Count(n, "violation"), strings.Join(parts, ", "))
	}
	out += " of " + Count(judged, "policy", "policies")
	if n := len(a.Failures); n > 0 {
		out += fmt.Sprintf(", of which %s could not judge", number(n))
	}
	return out
}

// comparedText says what became of the violations since the baseline, or by the
// change; "" where there is neither.
func comparedText(a *audit.Audit) string {
	counts := map[audit.Comparison]int{}
	for i := range a.Violations {
		counts[a.Violations[i].Compared]++
	}
	compared := counts[audit.New] + counts[audit.Worse] + counts[audit.Known]
	if compared == 0 && len(a.Resolved) == 0 {
		return ""
	}
	var parts []string
	for _, part := range []struct {
		n    int
		word string
	}{{counts[audit.New], "new"}, {counts[audit.Worse], "worse"}, {counts[audit.Known], "as before"}, {len(a.Resolved), "gone"}} {
		if part.n > 0 {
			parts = append(parts, number(part.n)+" "+part.word)
		}
	}
	since := "Since the audit before: "
	switch {
	case a.Before != nil:
		since = "By the change: "
	case compared > 0:
		since = "Since the baseline: "
	}
	return since + strings.Join(parts, ", ") + "."
}

// drifting counts the violations that came past admission.
func drifting(a *audit.Audit) int {
	n := 0
	for i := range a.Violations {
		if a.Violations[i].Origin.Drift() {
			n++
		}
	}
	return n
}

// auditFigures are what a cluster amounts to, in a line.
func auditFigures(a *audit.Audit) string {
	s := a.Summary
	if s == nil {
		return ""
	}
	parts := []string{Count(s.Nodes.BGP, "node") + " with BGP"}
	if s.Nodes.Reflectors > 0 {
		parts = append(parts, Count(s.Nodes.Reflectors, "route reflector"))
	}
	parts = append(parts,
		Count(s.Sessions.IPv4.Total+s.Sessions.IPv6.Total, "session")+" between nodes",
		"mesh "+either(btoi(s.Mesh.Enabled), "on", "off"),
		fmt.Sprintf("a start of calico-node costs a node up to %s s of routes", number(s.Convergence.Start.Seconds)))
	return strings.Join(parts, ", ")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bgpHealth says what the nodes report of their sessions, in a line; "" where the
// report does not tell.
func bgpHealth(a *audit.Audit) string {
	h := a.Health
	switch {
	case h == nil:
		return ""
	case !h.Known:
		return "not known: no CalicoNodeStatus was read"
	case h.Reporting == 0:
		return fmt.Sprintf("not known: none of %s has a CalicoNodeStatus of class BGP that is kept up to date", Count(h.Nodes, "node"))
	}
	predicted, established := 0, 0
	for _, f := range calico.Families {
		s := h.Sessions.In(f)
		predicted, established = predicted+s.Predicted, established+s.Established
	}
	parts := []string{fmt.Sprintf("%s of %s established", number(established), Count(predicted, "predicted half-session"))}
	for _, one := range []struct {
		n    int
		what string
	}{
		{h.Down.Total, "down"}, {h.Absent.Total, "absent"}, {h.Unexpected.Total, "not predicted"},
	} {
		if one.n > 0 {
			parts = append(parts, number(one.n)+" "+one.what)
		}
	}
	if n := h.NotReady.Total; n > 0 {
		parts = append(parts, Count(n, "BIRD is", "BIRDs are")+" not ready")
	}
	if s := h.Restarts.SlowestSeconds; s != nil {
		parts = append(parts, fmt.Sprintf("sessions were up at most %s s after the last starts (median %s s)", number(*s), number(*h.Restarts.MedianSeconds)))
	}
	return strings.Join(parts, ", ") + fmt.Sprintf("; as %s of %s report", number(h.Reporting), Count(h.Nodes, "node"))
}

// history says since when a violation is there, how it came about, and what became
// of it; "" where there is nothing to say.
func history(a *audit.Audit, v *audit.Violation) string {
	var parts []string
	switch v.Compared {
	case audit.New:
		parts = append(parts, "new")
	case audit.Worse:
		parts = append(parts, "worse than before")
	case audit.Known:
		parts = append(parts, "known")
	}
	if v.FirstSeen.Before(a.Time) {
		parts = append(parts, "since "+v.FirstSeen.UTC().Format(time.RFC3339))
	}
	if v.Origin.Drift() {
		parts = append(parts, "came past admission ("+string(v.Origin)+")")
	}
	if v.Cause != "" {
		parts = append(parts, clean(v.Cause))
	}
	return strings.Join(parts, "; ")
}

// objects names what a violation is about.
func objects(v *violation.Violation) string {
	list := make([]string, 0, shown)
	for _, o := range v.Objects[:min(len(v.Objects), shown)] {
		list = append(list, o.String())
	}
	return names(list, len(v.Objects))
}

// auditTotals are the clusters of a fleet, a row each, beneath auditColumns.
func auditTotals(r *audit.Report) [][]string {
	var out [][]string
	for _, a := range r.Clusters {
		counts := a.Count()
		row := []string{clean(a.Cluster), number(len(a.Violations))}
		for _, severity := range policy.Severities {
			row = append(row, number(counts[severity]))
		}
		row = append(row, number(drifting(a)))
		if s := a.Summary; s != nil {
			row = append(row, number(s.Nodes.BGP), number(s.Sessions.IPv4.Total+s.Sessions.IPv6.Total))
		} else {
			row = append(row, "", "")
		}
		out = append(out, row)
	}
	return out
}

// auditColumns are the headings of auditTotals.
func auditColumns() []string {
	return slices.Concat([]string{"cluster", "violations"}, policy.Severities, []string{"drift", "nodes", "sessions"})
}

// source is where the first object of a violation stands that is in a file.
func (a *Audit) source(v *violation.Violation) (Source, int) {
	if a.Sources == nil {
		return Source{}, 0
	}
	for _, o := range v.Objects {
		if s := a.Sources(o); s.File != "" {
			field := ""
			if fields := v.Fields(); len(fields) > 0 {
				field = fields[0]
			}
			return s, s.line(field)
		}
	}
	return Source{}, 0
}
