package report

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// sarifStates are the baseline states of results (3.27.24).
var sarifStates = map[audit.Comparison]string{audit.New: "new", audit.Worse: "updated", audit.Known: "unchanged"}

// fingerprint is the name of the fingerprint that identifies a result across runs
// (3.27.17).
const fingerprint = "bgpguard/v1"

// writeAuditSARIF writes one run per cluster. The run of an unread cluster has no
// results and an unsuccessful invocation.
func writeAuditSARIF(w io.Writer, a *Audit) error {
	log := sarifLog{sarifSchema, sarifVersion, []sarifRun{}}
	for _, u := range a.Unread {
		run := a.sarifRun(u.Cluster)
		run.Invocations[0] = sarifInvocation{Notifications: []sarifNotification{{Level: "error", Message: sarifText("not read: " + clean(u.Message))}}}
		log.Runs = append(log.Runs, run)
	}
	for _, one := range a.Clusters {
		log.Runs = append(log.Runs, a.sarifOf(one))
	}
	return text.JSON(w, log)
}

func (a *Audit) sarifRun(cluster string) sarifRun {
	run := sarifRun{Invocations: []sarifInvocation{{ExecutionSuccessful: true}}, Results: []sarifResult{}, Automation: &sarifAutomation{strings.TrimSuffix("bgpguard-audit/"+cluster, "/") + "/"}}
	run.Tool.Driver = sarifDriver{Name: "bgpguard", Version: a.Version, InformationURI: homepage, Rules: []sarifRule{}}
	return run
}

func (a *Audit) sarifOf(one *audit.Audit) sarifRun {
	run := a.sarifRun(one.Cluster)
	var rules []string
	for _, p := range one.Policies {
		d := policy.Definition{Name: p.Policy, Title: p.Title, Description: p.Description, Severity: p.Severity}
		if p.Link != "" {
			d.Related = []policy.Link{{Ref: p.Link}}
		}
		rules = append(rules, p.Name)
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(p.Name, &d))
	}
	for _, f := range one.Failures {
		run.Invocations[0].ExecutionSuccessful = false
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications,
			sarifNotification{Level: "error", Message: sarifText("[" + clean(f.Policy) + "] " + clean(f.Message))})
	}
	for i := range one.Violations {
		v := &one.Violations[i]
		result := a.sarifResult(one, v, slices.Index(rules, v.Policy))
		result.State = sarifStates[v.Compared]
		run.Results = append(run.Results, result)
	}
	for i := range one.Resolved {
		v := &one.Resolved[i]
		// The index is -1 if the policy is no longer in force.
		result := a.sarifResult(one, v, slices.Index(rules, v.Policy))
		result.State = "absent"
		result.Message = sarifText("resolved: " + clean(v.ID) + gone(v))
		run.Results = append(run.Results, result)
	}
	return run
}

func (a *Audit) sarifResult(one *audit.Audit, v *audit.Violation, rule int) sarifResult {
	text := clean(v.Text())
	if h := history(one, v); h != "" {
		text += "\n" + h
	}
	out := sarifResult{
		RuleID: v.Policy, RuleIndex: rule, Level: sarifLevels[v.Severity], Message: sarifText(text), Locations: []sarifLocation{},
		Fingerprints: map[string]string{fingerprint: v.Policy + "/" + v.ID},
		Properties:   map[string]any{"action": v.Action, "severity": v.Severity, "firstSeen": v.FirstSeen, "origin": v.Origin, "drift": v.Origin.Drift()},
	}
	if len(v.Nodes) > 0 {
		out.Properties["nodes"] = v.Nodes
	}
	for _, o := range v.Objects[:min(len(v.Objects), shown)] {
		out.Locations = append(out.Locations, a.sarifLocation(o))
	}
	if len(out.Locations) == 0 { // Code scanning needs a location.
		out.Locations = append(out.Locations, a.sarifLocation(violation.Subject{Object: violation.Object{Kind: "Cluster", Name: cmp.Or(one.Cluster, "state")}}))
	}
	return out
}

func (a *Audit) sarifLocation(o violation.Subject) sarifLocation {
	out := sarifLocation{Logical: []sarifLogical{{Name: o.Name, Full: o.Kind + "/" + o.Name, Kind: "resource"}}}
	if a.Sources == nil {
		return out
	}
	if s := a.Sources(o.Object); s.File != "" {
		out.Physical = &sarifPhysical{}
		out.Physical.Artifact.URI = fileURI(s.File)
		out.Physical.Region.StartLine = s.lineOf(o.Fields)
	}
	return out
}
