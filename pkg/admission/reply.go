package admission

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// The results of a request, as metrics and audit annotations name them.
const (
	resultAllowed = "allowed"
	resultDenied  = "denied"
	// resultInvalid is a request that cannot be evaluated because of its content.
	resultInvalid = "invalid"
	// resultError is a request that cannot be evaluated because of bgpguard's own state.
	resultError = "error"
	// resultFull is a create for which the state has no room.
	resultFull = "full"
	// resultBusy is a request that cannot be evaluated because too many other changes are in
	// flight.
	resultBusy = "busy"
)

// maxCauses bounds status.details.causes, maxCauseLength each of their messages in bytes:
// together 64 KiB, which clients can print and store. The message counts all violations.
const (
	maxCauses      = 64
	maxCauseLength = 1024
)

// reply is a response with the data for its metrics and log lines.
type reply struct {
	admission.Response
	request  *admission.Request
	age      time.Duration
	notes    []string
	id       calico.ID
	decision *validate.Decision
	result   string
	twin     bool
	// notEnforced is the reason to allow the request although policies deny it or could not
	// be evaluated; message is the answer that the user would have received without that
	// reason.
	notEnforced, message string
	// cause is why the request could not be evaluated, one of the reasons of unevaluatedNodes.
	cause string
}

// decide turns a decision into the response.
func (r *reply) decide(d *validate.Decision) {
	r.decision = d
	switch {
	case !d.Evaluated():
		// Fails closed except for Nodes: a policy that might deny gave no verdict.
		r.cause = causeOf(d.Failures)
		r.fail(http.StatusInternalServerError, "the change could not be evaluated:\n"+d.Message()+"\n"+r.dataAge())
	case !d.Allowed:
		r.deny(d.Message())
	case d.NotEnforced != "":
		r.override(resultAllowed, d.NotEnforced, d.Message())
	default:
		r.allow()
	}
}

// causeOf returns why policies that may deny could not be evaluated.
func causeOf(failures []validate.Failure) string {
	for _, f := range failures {
		if f.Applied() == violation.Deny && errors.Is(f.Err, context.DeadlineExceeded) {
			return unevaluatedTime
		}
	}
	return unevaluatedPolicy
}

func (r *reply) allow() *reply {
	r.result = resultAllowed
	r.Allowed = true
	return r.complete()
}

func (r *reply) deny(message string) *reply {
	r.result = resultDenied
	r.Result = &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Message: message + "\n" + r.dataAge(),
		Details: &metav1.StatusDetails{
			Name: r.request.Name, Group: r.request.Kind.Group, Kind: r.request.Kind.Kind, Causes: causes(r.decision),
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
	case http.StatusForbidden:
		r.result, reason = resultFull, metav1.StatusReasonForbidden
	case http.StatusTooManyRequests:
		r.result, reason = resultBusy, metav1.StatusReasonTooManyRequests
	case http.StatusBadRequest:
		r.result, reason = resultInvalid, metav1.StatusReasonBadRequest
	case http.StatusUnprocessableEntity:
		r.result, reason = resultInvalid, metav1.StatusReasonInvalid
	}
	if r.result == resultError && aboutNode(r.request) {
		// Fails open, as the API server does for Nodes when the webhook is down.
		return r.override(resultError, nodeWriters, message)
	}
	r.Result = &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
	return r.complete()
}

// nodeWriters is the reason to allow a change of a Node that could not be evaluated.
const nodeWriters = "kubelets and calico-node write Nodes and must not depend on bgpguard"

// aboutNode reports whether a request is about a Node.
func aboutNode(req *admission.Request) bool {
	return req.Kind.Group == "" && req.Kind.Kind == string(calico.KindNode)
}

// override allows the request for a reason. The warnings then contain message.
func (r *reply) override(result, reason, message string) *reply {
	r.result, r.notEnforced, r.message = result, reason, message
	r.Allowed = true
	return r.complete()
}

// complete adds the warnings, the audit annotations and, at the end of the answer, the
// links of the policies.
func (r *reply) complete() *reply {
	var lines []string
	if r.result == resultError && r.notEnforced != "" { // Of a denial, the decision has the warnings.
		lines = append([]string{describe(r.request) + " is allowed anyway: " + r.notEnforced}, strings.Split(r.message, "\n")...)
	}
	see := ""
	if r.decision != nil {
		lines = append(lines, r.decision.Warnings()...)
		see = r.decision.See()
	}
	lines = append(lines, r.notes...)
	if r.decision != nil && r.result == resultAllowed && r.notEnforced == "" {
		if notice := r.decision.Notice(); notice != "" {
			lines = append(lines, notice)
		}
	}
	if see != "" && r.Result != nil { // Clients print it after the warnings.
		r.Result.Message += "\n" + see
		see = ""
	}
	r.Warnings = warnings(lines, see)
	r.AuditAnnotations = r.annotations()
	return r
}

func causes(d *validate.Decision) []metav1.StatusCause {
	var out []metav1.StatusCause
	for v := range d.Worse() {
		if v.Applied() == violation.Deny && len(out) < maxCauses {
			out = append(out, metav1.StatusCause{Type: metav1.CauseType(v.Violation.Policy + "/" + v.Violation.ID), Message: text.Cut(v.Text(), maxCauseLength)})
		}
	}
	return out
}

func (r *reply) dataAge() string {
	return fmt.Sprintf("based on cluster data confirmed %s ago", r.age.Round(time.Second))
}

// log writes one line for each request that was not allowed or that was allowed although
// a policy denies it. It names the object and logs no more of it than the answer.
func (r *reply) log(log logr.Logger) {
	switch {
	case r.notEnforced != "" && r.result == resultError:
		log.Error(nil, "Could not evaluate the change, allowed it anyway", "reason", r.notEnforced, "message", r.message)
	case r.notEnforced != "":
		log.Info("Allowed although policies deny it", "reason", r.notEnforced, "policies", r.policies(violation.Deny), "message", r.message)
	case r.result == resultDenied:
		log.Info("Denied", "policies", r.policies(violation.Deny), "message", r.Result.Message)
	case r.result == resultInvalid:
		log.Info("Rejected as invalid", "code", r.Result.Code, "message", r.Result.Message)
	case r.result == resultFull:
		log.Info("Denied because the state has no room", "code", r.Result.Code, "message", r.Result.Message)
	case r.result == resultBusy:
		log.Info("Rejected because too many changes are in flight", "code", r.Result.Code, "message", r.Result.Message)
	case r.result == resultError:
		log.Error(nil, "Could not evaluate the change", "code", r.Result.Code, "message", r.Result.Message)
	case r.decision != nil:
		for _, o := range r.decision.Excepted() {
			log.Info("Allowed by a BGPException", "exception", o.Exception.Name, "reason", o.Exception.Reason, "policies", o.Policies)
		}
		if exempted := r.decision.Exempted(); exempted != nil {
			log.Info("Allowed, as the user is exempt", "policies", exempted)
		}
	}
}

// policies returns the names of the policies that found a worse violation to which the
// given action applies.
func (r *reply) policies(action violation.Action) []string {
	var names []string
	for v := range r.decision.Worse() { // sorted by policy
		if name := v.Violation.Policy; v.Applied() == action && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	return names
}
