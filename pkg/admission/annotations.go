package admission

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// maxAuditViolations bounds the violations in the audit annotations, in bytes.
// The API server cuts an audit event of more than 100 KiB short, where it
// truncates at all, by dropping the objects from it first
// (k8s.io/apiserver/plugin/pkg/audit/truncate): they are worth more than a
// long list of violations.
const maxAuditViolations = 16 << 10

// annotations returns the audit annotations; the API server puts the name of
// the webhook before their keys.
func (r *reply) annotations() map[string]string {
	a := map[string]string{"decision": r.result, "data-age": r.age.Round(time.Millisecond).String()}
	if r.notEnforced != "" {
		a["not-enforced"] = r.notEnforced
	}
	if r.decision == nil {
		return a
	}
	if text, omitted := encodeViolations(r.decision.Violations); text != "" {
		a["violations"] = text
		if omitted > 0 {
			a["violations-omitted"] = strconv.Itoa(omitted)
		}
	}
	if len(r.decision.Exempted) > 0 {
		a["exempted"] = strings.Join(r.decision.Exempted, ",")
	}
	var failed []string
	for _, f := range r.decision.Failures {
		failed = append(failed, f.Policy)
	}
	if failed != nil {
		a["failed-policies"] = strings.Join(failed, ",")
	}
	return a
}

// auditViolation is a violation without its details, which have no bound.
type auditViolation struct {
	Policy  string           `json:"policy"`
	ID      string           `json:"id"`
	Size    float64          `json:"size"`
	Action  violation.Action `json:"action"`
	Message string           `json:"message"`
}

// encodeViolations returns as many violations as fit and the number of the
// rest, "" where there are none.
func encodeViolations(violations []violation.Violation) (text string, omitted int) {
	var b strings.Builder
	for i, v := range violations {
		one, err := json.Marshal(auditViolation{v.Policy, v.ID, v.Size, v.Action, cut(v.Message, maxCauseLength)})
		if err != nil || b.Len()+len(one)+2 > maxAuditViolations { // a size that is no number
			return closeList(b.String()), len(violations) - i
		}
		b.WriteString(map[bool]string{true: "[", false: ","}[i == 0])
		b.Write(one)
	}
	return closeList(b.String()), 0
}

func closeList(list string) string {
	if list == "" {
		return ""
	}
	return list + "]"
}
