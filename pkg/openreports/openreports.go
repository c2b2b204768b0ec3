// Package openreports converts an audit into reports that tools such as Policy Reporter
// read: one for each policy, of the API OpenReports or the older wgpolicyk8s.io. It is
// pure; pkg/auditor writes the reports.
package openreports

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	bgpguard "github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

const (
	// Source is the source of the reports.
	Source = "bgpguard"
	// NamePrefix begins the names of reports. The name of the policy follows.
	NamePrefix = "bgpguard-"
	// ManagedByLabel is a label of every report, with the value Source.
	ManagedByLabel = "app.kubernetes.io/managed-by"
	// CutAnnotation counts the violations that a report does not list. It is absent from
	// complete reports.
	CutAnnotation = "bgpguard.io/results-cut"
	// maxResults bounds the violations that a report lists. etcd accepts objects of up to
	// 1.5 MiB, and a client that lists reports holds all of them in memory.
	maxResults = 500
	// maxSize bounds the violations of a report as JSON, in bytes.
	maxSize = 700 << 10

	category = "BGP"
	// cutRule is the rule of the result that reports that violations are not listed.
	cutRule = "results-cut"
	// maxMessage bounds a message and maxValue a property, in bytes. maxDetails and
	// maxResources bound the details and the objects of a violation. The policies of the
	// library stay far below.
	maxMessage   = 4096
	maxValue     = 256
	maxDetails   = 20
	maxResources = 20
)

// The values of a result.
const (
	pass    v1alpha1.Result = "pass"
	fail    v1alpha1.Result = "fail"
	warn    v1alpha1.Result = "warn"
	errored v1alpha1.Result = "error"
)

// Reference returns an object in the form that reports use.
type Reference func(violation.Object) corev1.ObjectReference

// References returns an object by its kind and name, a Calico object with the API version
// projectcalico.org/v3.
func References(o violation.Object) corev1.ObjectReference {
	version := calico.APIVersionV3
	switch info := calico.Kind(o.Kind).Info(); {
	case o.Kind == bgpguard.KindBGPPolicy:
		version = bgpguard.APIVersion
	case info.Kind != "" && !info.Calico:
		version = calico.APIVersionCore
	}
	return corev1.ObjectReference{APIVersion: version, Kind: o.Kind, Name: o.Name}
}

// Reports returns the reports of an audit in order of policies, one for each policy that
// evaluates states. Reports of equal violations are equal: the only times in them are those
// at which violations were first seen.
func Reports(a *audit.Audit, reference Reference) []*v1alpha1.ClusterReport {
	violations, failures := map[string][]*audit.Violation{}, map[string]string{}
	for i := range a.Violations {
		v := &a.Violations[i]
		violations[v.Policy] = append(violations[v.Policy], v)
	}
	for _, f := range a.Failures {
		failures[f.Policy] = f.Message
	}
	reports := []*v1alpha1.ClusterReport{}
	for i := range a.Policies {
		p := &a.Policies[i]
		if p.Judges != policy.JudgesState {
			continue
		}
		b := builder{policy: p, notes: a.Notes, reference: reference, report: &v1alpha1.ClusterReport{
			TypeMeta:      metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ClusterReport"},
			ObjectMeta:    metav1.ObjectMeta{Name: Name(p.Name), Labels: map[string]string{ManagedByLabel: Source}},
			Source:        Source,
			Configuration: &v1alpha1.ReportConfiguration{Limits: v1alpha1.Limits{MaxResults: maxResults}},
		}}
		message, failed := failures[p.Name]
		b.build(violations[p.Name], failed, message)
		reports = append(reports, b.report)
	}
	return reports
}

// Name returns the name of the report of a policy: NamePrefix and the name of the policy.
// If that is not a valid object name, Name shortens or replaces it and adds a hash.
func Name(policyName string) string {
	name := NamePrefix + policyName
	if len(validation.IsDNS1123Subdomain(name)) == 0 {
		return name
	}
	sum := sha256.Sum256([]byte(policyName))
	hash := hex.EncodeToString(sum[:8])
	if len(validation.IsDNS1123Subdomain(policyName)) > 0 {
		return NamePrefix + hash
	}
	cut := name[:validation.DNS1123SubdomainMaxLength-len(hash)-1]
	return strings.TrimRight(cut, "-.") + "-" + hash
}

// builder makes the report of one policy.
type builder struct {
	policy *audit.Policy
	// notes are those of the audit. The first result has them.
	notes     []string
	reference Reference
	report    *v1alpha1.ClusterReport
}

func (b *builder) build(violations []*audit.Violation, failed bool, message string) {
	r := b.report
	switch {
	case failed:
		r.Summary.Error = 1
		result := b.result(errored, "", "the policy could not be evaluated, so its violations are not known: "+message)
		result.Subjects = []corev1.ObjectReference{b.reference(violation.Object{Kind: bgpguard.KindBGPPolicy, Name: b.policy.Name})}
		r.Results = append(r.Results, result)
	case len(violations) == 0:
		r.Summary.Pass = 1
		result := b.result(pass, "", "no violations: "+b.policy.Title)
		r.Results = append(r.Results, result)
	}
	if b.policy.Action == violation.Deny {
		r.Summary.Fail = len(violations)
	} else {
		r.Summary.Warn = len(violations)
	}
	b.list(violations)
	// There may be violations in the parts that are not known, and policies that are not enforced.
	if len(b.notes) > 0 {
		r.Results[0].Properties["notes"] = text.Cut(strings.Join(b.notes, "; "), maxMessage)
	}
}

// list lists the violations, the largest first, as many as fit. If not all are listed, the
// first result reports this, as the last one is easily overlooked.
func (b *builder) list(violations []*audit.Violation) {
	violations = slices.Clone(violations)
	slices.SortStableFunc(violations, func(v, w *audit.Violation) int {
		return cmp.Or(cmp.Compare(w.Size, v.Size), cmp.Compare(v.ID, w.ID))
	})
	results, size := []v1alpha1.ReportResult{}, 0
	for _, v := range violations[:min(len(violations), maxResults)] {
		result := b.violation(v)
		text, err := json.Marshal(result)
		if err != nil {
			panic(err) // It holds strings and numbers.
		}
		if size += len(text) + 1; size > maxSize {
			break
		}
		results = append(results, result)
	}
	if rest := len(violations) - len(results); rest > 0 {
		b.report.Annotations = map[string]string{CutAnnotation: strconv.Itoa(rest)}
		cut := b.result(b.outcome(), cutRule, fmt.Sprintf("%s of %s are not listed for lack of space: run bgpguard audit to list all",
			text.Number(rest), text.Count(len(violations), "violation")))
		cut.Subjects = []corev1.ObjectReference{b.reference(violation.Object{Kind: bgpguard.KindBGPPolicy, Name: b.policy.Name})}
		b.report.Results = append(b.report.Results, cut)
	}
	b.report.Results = append(b.report.Results, results...)
}

// outcome returns the result of a violation: fail if the policy denies, else warn.
func (b *builder) outcome() v1alpha1.Result {
	if b.policy.Action == violation.Deny {
		return fail
	}
	return warn
}

func (b *builder) result(outcome v1alpha1.Result, rule, message string) v1alpha1.ReportResult {
	return v1alpha1.ReportResult{
		Source: Source, Policy: b.policy.Name, Rule: rule, Category: category, Severity: v1alpha1.ResultSeverity(b.policy.Severity),
		Result: outcome, Scored: b.policy.Action == violation.Deny, Description: text.Cut(message, maxMessage),
		Properties: map[string]string{"action": string(b.policy.Action)},
	}
}

func (b *builder) violation(v *audit.Violation) v1alpha1.ReportResult {
	result := b.result(b.outcome(), v.ID, v.Message)
	result.Timestamp = metav1.Timestamp{Seconds: v.FirstSeen.Unix(), Nanos: int32(v.FirstSeen.Nanosecond())}
	for _, o := range v.Objects[:min(len(v.Objects), maxResources)] {
		result.Subjects = append(result.Subjects, b.reference(o.Object))
	}
	p := result.Properties
	flatten(p, "details", v.Details)
	p["size"] = number(v.Size)
	p["first-seen"] = v.FirstSeen.UTC().Format(time.RFC3339)
	if len(v.Objects) > maxResources {
		p["objects"] = strconv.Itoa(len(v.Objects))
	}
	for name, value := range map[string]string{"origin": string(v.Origin), "cause": v.Cause, "link": v.Link} {
		if value != "" {
			p[name] = text.Cut(value, maxMessage)
		}
	}
	return result
}

// flatten adds details to properties with their paths as names, in order of names, until
// there are maxDetails properties.
func flatten(properties map[string]string, path string, details map[string]any) {
	names := make([]string, 0, len(details))
	for name := range details {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at := text.Cut(path+"."+name, maxValue)
		if value, ok := details[name].(map[string]any); ok {
			flatten(properties, at, value)
			continue
		}
		if value, ok := plain(details[name]); ok && len(properties) < maxDetails {
			properties[at] = text.Cut(value, maxValue)
		}
	}
}

// plain returns a scalar, or a list of scalars, as text; false for other values.
func plain(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case float64:
		return number(v), true
	case json.Number:
		return v.String(), true
	case int, int64:
		return fmt.Sprint(v), true
	case []any:
		parts := make([]string, 0, len(v))
		for _, element := range v {
			part, ok := plain(element)
			if !ok {
				return "", false
			}
			parts = append(parts, part)
		}
		return strings.Join(parts, ", "), len(parts) > 0
	default:
		return "", false
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
