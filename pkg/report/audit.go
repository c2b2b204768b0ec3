package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/health"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Audit contains the audits of one or more clusters and the options of the report.
type Audit struct {
	*audit.Report

	// FailOn is the lowest severity at which a violation counts as a failure, or
	// audit.NoSeverity.
	FailOn string
	// Sources returns the position of an object; nil if the state is not from files.
	Sources func(violation.Object) Source
	// All makes Text name all nodes of a violation.
	All bool
	// Changes are the changes with their decisions, of each cluster in the order of
	// Clusters; nil without changes.
	Changes [][]Checked
	// Color makes Text use the colors of a terminal.
	Color bool
	// Live is the version of a page that a server updates: the page reloads itself, or offers
	// to, when its URL has another version as ETag. "" is a page in a file.
	Live string
	// Logout is the URL where readers of a served page log out, "" for none.
	Logout string
}

// auditOf returns the name of the audited state: "cluster prod-eu", or "the state" for files.
func auditOf(a *audit.Audit) string {
	if a.Cluster == "" {
		return "the state"
	}
	return "cluster " + clean(a.Cluster)
}

// nothingChecked is the verdict of an audit without a policy that evaluates states.
const nothingChecked = "nothing was checked: no policy that evaluates states is in force"

// auditVerdict counts the violations by severity and the evaluated policies.
func auditVerdict(a *audit.Audit) string {
	judged, counts := a.Judging(), a.Count()
	var out string
	switch n := len(a.Violations); {
	case n == 0 && judged == 0:
		return nothingChecked
	case n == 0:
		out = "no violations"
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
		out += fmt.Sprintf("; %s could not be evaluated", number(n))
	}
	return out
}

// comparedText counts violations by their relation to the baseline, the previous audit
// or the state before the change. It returns "" without a baseline.
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
	}{{counts[audit.New], "new"}, {counts[audit.Worse], "worse"}, {counts[audit.Known], "as before"}, {len(a.Resolved), "resolved"}} {
		if part.n > 0 {
			parts = append(parts, number(part.n)+" "+part.word)
		}
	}
	since := "Since the previous audit: "
	switch {
	case a.Before != nil:
		since = "By the change: "
	case compared > 0:
		since = "Since the baseline: "
	}
	return since + strings.Join(parts, ", ") + "."
}

// drifting counts the violations that bypassed admission.
func drifting(a *audit.Audit) int {
	n := 0
	for i := range a.Violations {
		if a.Violations[i].Origin.Drift() {
			n++
		}
	}
	return n
}

// auditFigures describes a cluster in one line; "" if it has no summary.
func auditFigures(a *audit.Audit) string {
	s := a.Summary
	if s == nil {
		return ""
	}
	parts := []string{Count(s.Nodes.BGP, "node") + " with BGP"}
	if s.Nodes.Reflectors > 0 {
		parts = append(parts, Count(s.Nodes.Reflectors, "route reflector"))
	}
	start := "up to " + Count(s.Convergence.Start.Seconds, "second") + " without routes after a start of calico-node"
	if n := max(s.Routes.IPv4.WithTransit.Isolated.Nodes, s.Routes.IPv6.WithTransit.Isolated.Nodes); n > 0 {
		isolated := Count(n, "isolated node") + either(n, " never gets", " never get") + " routes"
		if start += " on the others, " + isolated; n >= s.Nodes.BGP {
			start = isolated
		}
	}
	parts = append(parts,
		Count(s.Sessions.IPv4.Total+s.Sessions.IPv6.Total, "session")+" between nodes",
		"mesh "+either(btoi(s.Mesh.Enabled), "on", "off"),
		start)
	return strings.Join(parts, ", ")
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// bgpHealth summarizes in one line what the nodes report about their sessions; "" if
// the audit did not read it.
func bgpHealth(a *audit.Audit) string {
	h := a.Health
	switch {
	case h == nil:
		return ""
	case !h.Known:
		return "unknown: no CalicoNodeStatus was read"
	case h.Reporting == 0:
		return fmt.Sprintf("unknown: none of %s has an up-to-date CalicoNodeStatus of class BGP", Count(h.Nodes, "node")) + deadReflectors(h)
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
		parts = append(parts, fmt.Sprintf("sessions came up within %s of the last starts (median %s)", Count(*s, "second"), Count(*h.Restarts.MedianSeconds, "second")))
	}
	return strings.Join(parts, ", ") + fmt.Sprintf("; reported by %s of %s", number(h.Reporting), Count(h.Nodes, "node")) + deadReflectors(h)
}

// maxDeadReflectors bounds the route reflectors that the line about health names.
const maxDeadReflectors = 3

// deadReflectors names the route reflectors that are probably dead, with the evidence for the
// first ones; "" if there are none.
func deadReflectors(h *health.Health) string {
	if h.Reflectors.Total == 0 {
		return ""
	}
	var out []string
	for _, r := range h.Reflectors.Items[:min(len(h.Reflectors.Items), maxDeadReflectors)] {
		out = append(out, r.Node+": "+r.Message)
	}
	if n := h.Reflectors.Total - len(out); n > 0 {
		out = append(out, number(n)+" more")
	}
	return fmt.Sprintf("; %s probably dead (%s)", Count(h.Reflectors.Total, "route reflector is", "route reflectors are"), strings.Join(out, "; "))
}

// history returns the relation of a violation to the baseline, when it was first seen
// and its origin. It returns "" if none of these is known.
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
		parts = append(parts, "bypassed admission ("+string(v.Origin)+")")
	}
	if v.Cause != "" {
		parts = append(parts, clean(v.Cause))
	}
	return strings.Join(parts, "; ")
}

// objects names the objects of a violation.
func objects(v *violation.Violation) string {
	list := make([]string, 0, shown)
	for _, o := range v.Objects[:min(len(v.Objects), shown)] {
		list = append(list, o.String())
	}
	return names(list, len(v.Objects))
}

// auditTotals returns one row per cluster; auditColumns are the headings.
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

// source returns the position of the first object of a violation that is in a file.
func (a *Audit) source(v *violation.Violation) (Source, int) {
	if a.Sources == nil {
		return Source{}, 0
	}
	for _, o := range v.Objects {
		if s := a.Sources(o.Object); s.File != "" {
			return s, s.lineOf(o.Fields)
		}
	}
	return Source{}, 0
}
