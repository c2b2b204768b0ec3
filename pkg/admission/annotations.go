package admission

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// maxAuditViolations bounds the violations in the audit annotations, in bytes. If an API
// server truncates audit events, it first drops the objects from each event of more than
// 100 KiB (k8s.io/apiserver/plugin/pkg/audit/truncate). The objects are more useful than a
// long list of violations.
const maxAuditViolations = 16 << 10

// annotations returns the audit annotations. The API server prefixes their keys with the
// name of the webhook.
func (r *reply) annotations() map[string]string {
	a := map[string]string{"decision": r.result, "data-age": r.age.Round(time.Millisecond).String()}
	if r.notEnforced != "" {
		a["not-enforced"] = r.notEnforced
	}
	if r.decision == nil {
		return a
	}
	if list, omitted := encodeViolations(r.decision); list != "" {
		a["violations"] = list
		if omitted > 0 {
			a["violations-omitted"] = strconv.Itoa(omitted)
		}
	}
	if exempted := r.decision.Exempted(); exempted != nil {
		a["exempted"] = strings.Join(exempted, ",")
	}
	if overrides := r.decision.Excepted(); r.Allowed && overrides != nil {
		var reasons []string
		for _, o := range overrides {
			reasons = append(reasons, fmt.Sprintf("%s (%s): %s", o.Exception, strings.Join(o.Policies, ","), o.Exception.Reason))
		}
		a["exceptions"] = text.Cut(strings.Join(reasons, "; "), maxAuditViolations)
	}
	if r.twin {
		a["second-review"] = "true"
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

// auditViolation is a violation without its details, whose size has no bound.
type auditViolation struct {
	Policy  string           `json:"policy"`
	ID      string           `json:"id"`
	Size    float64          `json:"size"`
	Action  violation.Action `json:"action"`
	Message string           `json:"message"`
}

// encodeViolations returns the violations that the change makes worse as JSON, as many as
// fit, and the number of the rest; "" if there are none.
func encodeViolations(d *validate.Decision) (list string, omitted int) {
	var b strings.Builder
	for v := range d.Worse() {
		if omitted > 0 {
			omitted++
			continue
		}
		of := &v.Violation
		one, err := json.Marshal(auditViolation{of.Policy, of.ID, of.Size, v.Applied(), text.Cut(v.Text(), maxCauseLength)})
		if err != nil || b.Len()+len(one)+2 > maxAuditViolations { // JSON has no NaN and no infinity.
			omitted++
			continue
		}
		b.WriteString(map[bool]string{true: "[", false: ","}[b.Len() == 0])
		b.Write(one)
	}
	return closeList(b.String()), omitted
}

func closeList(list string) string {
	if list == "" {
		return ""
	}
	return list + "]"
}
