package admission

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The results of a request, as metrics and audit annotations name them.
const (
	resultAllowed = "allowed"
	resultDenied  = "denied"
	// resultInvalid is a request that cannot be judged because of what it says.
	resultInvalid = "invalid"
	// resultError is one that cannot be judged because of the guard's own state.
	resultError = "error"
)

// maxCauses bounds status.details.causes, maxCauseLength each of their
// messages in bytes: together 64 KiB, which clients of any kind print or keep
// without harm. The message tells how many violations there are in all.
const (
	maxCauses      = 64
	maxCauseLength = 1024
)

// reply is a response in the making, and what is to be counted and logged.
type reply struct {
	admission.Response
	request  *admission.Request
	age      time.Duration
	notes    []string
	id       calico.ID
	decision *validate.Decision
	result   string
	twin     bool
	// notEnforced says why the request is let through although policies deny it
	// or nobody judged it, and message what would have held it back.
	notEnforced, message string
}

// decide turns a decision into the response.
func (r *reply) decide(d *validate.Decision) *reply {
	r.decision = d
	switch {
	case !d.Judged():
		// Fails closed, but for Nodes, and says so: a policy that would deny could
		// not tell.
		return r.fail(http.StatusInternalServerError, "the change could not be judged:\n"+d.Message()+"\n"+r.dataAge())
	case !d.Allowed:
		return r.deny(d.Message())
	default:
		return r.allow()
	}
}

func (r *reply) allow() *reply {
	r.result = resultAllowed
	r.Allowed = true
	return r.complete()
}

func (r *reply) deny(message string) *reply {
	if reason := leniency(r.request); reason != "" {
		return r.letThrough(resultAllowed, reason, message)
	}
	r.result = resultDenied
	r.Result = &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Message: message + "\n" + r.dataAge(),
		Details: &metav1.StatusDetails{
			Name: r.request.Name, Group: r.request.Kind.Group, Kind: r.request.Kind.Kind, Causes: causes(r.decision.Violations),
		},
	}
	return r.complete()
}

func (r *reply) fail(code int32, message string) *reply {
	r.result = resultError
	reason := metav1.StatusReasonInternalError
	switch code {
	case http.StatusServiceUnavailable:
		reason = metav1.StatusReasonServiceUnavailable
	case http.StatusBadRequest:
		r.result, reason = resultInvalid, metav1.StatusReasonBadRequest
	case http.StatusUnprocessableEntity:
		r.result, reason = resultInvalid, metav1.StatusReasonInvalid
	}
	if r.result == resultError && aboutNode(r.request) {
		// Fails open, as the API server does for Nodes when nobody answers.
		return r.letThrough(resultError, unjudgedNode, message)
	}
	r.Result = &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
	return r.complete()
}

// letThrough allows what message would have held back, and tells so.
func (r *reply) letThrough(result, reason, message string) *reply {
	r.result, r.notEnforced, r.message = result, reason, message
	r.Allowed = true
	return r.complete()
}

func (r *reply) complete() *reply {
	var texts []string
	if r.notEnforced != "" {
		texts = append([]string{describe(r.request) + " is let through, because " + r.notEnforced}, strings.Split(r.message, "\n")...)
	}
	if r.decision != nil {
		texts = append(texts, r.decision.Warnings...)
	}
	r.Warnings = warnings(slices.Concat(texts, r.notes))
	r.AuditAnnotations = r.annotations()
	return r
}

func causes(violations []violation.Violation) []metav1.StatusCause {
	var out []metav1.StatusCause
	for _, v := range violations {
		if v.Action == violation.Deny && len(out) < maxCauses {
			out = append(out, metav1.StatusCause{Type: metav1.CauseType(v.Policy + "/" + v.ID), Message: cut(v.Message, maxCauseLength)})
		}
	}
	return out
}

func (r *reply) dataAge() string {
	return fmt.Sprintf("judged on cluster data confirmed %s ago", r.age.Round(time.Second))
}

// log writes one line for each request that was not allowed, or is only for
// who asks. It names the object and never what is in it, apart from what the
// user is told anyway.
func (r *reply) log(log logr.Logger) {
	switch {
	case r.notEnforced != "" && r.result == resultError:
		log.Error(nil, "Could not be judged, let through", "reason", r.notEnforced, "message", r.message)
	case r.notEnforced != "":
		log.Info("Let through against policies", "reason", r.notEnforced, "policies", r.policies(violation.Deny), "message", r.message)
	case r.result == resultDenied:
		log.Info("Denied", "policies", r.policies(violation.Deny), "message", r.Result.Message)
	case r.result == resultInvalid:
		log.Info("Rejected as invalid", "code", r.Result.Code, "message", r.Result.Message)
	case r.result == resultError:
		log.Error(nil, "Could not be judged", "code", r.Result.Code, "message", r.Result.Message)
	case r.decision != nil && len(r.decision.Exempted) > 0:
		log.Info("Let through, as the user is exempt", "policies", r.decision.Exempted)
	}
}

// policies names those that found violations of the given action.
func (r *reply) policies(action violation.Action) []string {
	var names []string
	for _, v := range r.decision.Violations { // sorted by policy
		if v.Action == action && (len(names) == 0 || names[len(names)-1] != v.Policy) {
			names = append(names, v.Policy)
		}
	}
	return names
}
