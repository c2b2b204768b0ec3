package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// PolicyPath is the path of the webhook that reviews BGPPolicies and BGPExceptions.
const PolicyPath = "/validate-bgppolicy"

// Policies checks documents and returns the policies in force; *enforce.Keeper implements
// it.
type Policies interface {
	// Check compiles and tests a document. An error names the reason why it cannot be used.
	Check(context.Context, *policy.Document) (*policy.Policy, error)
	// Set returns the policies in force.
	Set() *policy.Set
}

// Try returns the violations of the policy of a document in the current state, none if the state
// is not known yet. An error means that the policy cannot be evaluated on it, unless it wraps
// validate.ErrNoTopology or state.ErrStale, or is a *validate.UnreadError.
type Try func(context.Context, *policy.Document, *policy.Policy) ([]violation.Violation, error)

// PolicyHandler reviews BGPPolicies and BGPExceptions. It rejects those that cannot be used. A
// change that weakens or deletes a policy, and each change of an exception, is allowed with a log
// line and an audit annotation.
type PolicyHandler struct {
	policies Policies
	try      Try
	notes    []string
	now      func() time.Time
}

// NewPolicyHandler returns a handler. notes are warnings that each answer carries.
func NewPolicyHandler(policies Policies, try Try, notes ...string) *PolicyHandler {
	return &PolicyHandler{policies: policies, try: try, notes: notes, now: time.Now}
}

// HTTP returns the HTTP handler of the webhook; see Handler.HTTP.
func (h *PolicyHandler) HTTP(log logr.Logger, limit time.Duration, in *Intake) (http.Handler, error) {
	return serve(h, log, limit, in)
}

// Handle implements admission.Handler.
func (h *PolicyHandler) Handle(ctx context.Context, req admission.Request) admission.Response {
	var r *policyReview
	if err := caught(logf.FromContext(ctx), func() { r = h.review(ctx, &req) }); err != nil {
		// Fails open, as the API server does for BGPPolicies when the webhook is down: a
		// policy that cannot be used is shown in its status, and does no harm.
		r = &policyReview{result: resultError}
		r.Allowed, r.AuditAnnotations = true, map[string]string{}
		r.Warnings = []string{fmt.Sprintf("%s was not reviewed: %v", describe(&req), err)}
	}
	r.Warnings = warnings(append(r.Warnings, h.notes...), "")
	r.AuditAnnotations["decision"] = r.result
	requests.WithLabelValues(r.result, operationLabel(&reply{request: &req}), kindLabel(&req), strconv.FormatBool(dryRun(&req))).Inc()
	return r.Response
}

// policyReview is a response and its result.
type policyReview struct {
	admission.Response
	result string
}

func (h *PolicyHandler) review(ctx context.Context, req *admission.Request) *policyReview {
	log := logf.FromContext(ctx)
	r := &policyReview{result: resultAllowed}
	r.Allowed, r.AuditAnnotations = true, map[string]string{}
	switch {
	case req.Kind.Group == v1alpha1.Group && req.Kind.Kind == v1alpha1.KindBGPException:
		return h.reviewException(log, r, req)
	case req.Kind.Group != v1alpha1.Group || req.Kind.Kind != v1alpha1.KindBGPPolicy:
		return r.reject(log, http.StatusBadRequest, metav1.StatusReasonBadRequest,
			fmt.Errorf("this path reviews %s and %s, not %s of %q", v1alpha1.KindBGPPolicy, v1alpha1.KindBGPException, req.Kind.Kind, req.Kind.Group))
	}
	var old, is v1alpha1.BGPPolicy
	if len(req.OldObject.Raw) > 0 && json.Unmarshal(req.OldObject.Raw, &old) != nil {
		old = v1alpha1.BGPPolicy{} // It can still be fixed or deleted.
	}
	if req.Operation == admissionv1.Delete {
		if old.Name == "" {
			old.Name = req.Name
		}
		h.warnDeleted(log, r, &old)
		return r
	}
	if err := json.Unmarshal(req.Object.Raw, &is); err != nil {
		return r.reject(log, http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Errorf("%s does not parse: %w", describe(req), err))
	}
	if is.DeletionTimestamp != nil || (req.Operation == admissionv1.Update && reflect.DeepEqual(old.Spec, is.Spec)) {
		return r // Only metadata changes, such as finalizers, and a rejection would block it.
	}
	if is.Name == "" { // The API server generates one after the review.
		is.Name = is.GenerateName
	}
	d := &policy.Document{BGPPolicy: is}
	p, err := h.policies.Check(ctx, d)
	if err == nil {
		err = h.warnViolations(ctx, r, d, p)
	}
	if errors.Is(err, policy.ErrNotChecked) {
		r.reject(log, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, fmt.Errorf("%w: try again", err))
		r.result = resultError
		return r
	}
	if err != nil {
		return r.rejectFields(log, req, err)
	}
	if req.Operation == admissionv1.Update {
		warnWeakened(log, r, p, &old, &is)
	}
	return r
}

func (r *policyReview) reject(log logr.Logger, code int32, reason metav1.StatusReason, err error) *policyReview {
	r.Allowed, r.result = false, resultInvalid
	r.Result = &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: err.Error()}
	log.Info("Rejected as invalid", "code", code, "message", err.Error())
	return r
}

// rejectFields rejects an object with invalid fields.
func (r *policyReview) rejectFields(log logr.Logger, req *admission.Request, err error) *policyReview {
	r.reject(log, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, err)
	r.Result.Details = &metav1.StatusDetails{Name: req.Name, Group: req.Kind.Group, Kind: req.Kind.Kind, Causes: fieldCauses(err)}
	return r
}

// warnViolations warns about the violations of a policy in the current state. A policy that
// cannot be evaluated is an error: it would deny every change, or none.
func (h *PolicyHandler) warnViolations(ctx context.Context, r *policyReview, d *policy.Document, p *policy.Policy) error {
	found, err := h.try(ctx, d, p)
	if _, unread := errors.AsType[*validate.UnreadError](err); unread || errors.Is(err, validate.ErrNoTopology) || errors.Is(err, state.ErrStale) {
		// Fails open, as the API server does for BGPPolicies when the webhook is down.
		r.Warnings = append(r.Warnings, fmt.Sprintf("BGPPolicy %s was not evaluated on the current state: %v", p.Name, err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("BGPPolicy %s: cannot be evaluated on the current state: %w", p.Name, err)
	}
	if len(found) > 0 {
		warning := fmt.Sprintf("BGPPolicy %s finds %s in the current state. Only changes that make %s worse are affected: %s", p.Name,
			text.Count(len(found), "violation"), text.Either(len(found), "it", "them"), found[0].Message)
		if len(found) > 1 {
			warning += fmt.Sprintf("; and %d more", len(found)-1)
		}
		r.Warnings = append(r.Warnings, warning)
	}
	return nil
}

// warnDeleted warns that a policy is no longer enforced.
func (h *PolicyHandler) warnDeleted(log logr.Logger, r *policyReview, o *v1alpha1.BGPPolicy) {
	left := len(h.policies.Set().Policies())
	message := fmt.Sprintf("BGPPolicy %s was not in force", o.Name)
	for _, p := range h.policies.Set().Policies() {
		if p.Name == o.Name {
			left--
			message = fmt.Sprintf("BGPPolicy %s is deleted: it no longer enforces policy %s (%s)", o.Name, p.Definition.Name, actions(o.Spec.ValidationActions))
		}
	}
	if left == 0 {
		message += "; no policy is left, so all changes are allowed"
	} else {
		message += fmt.Sprintf("; %s in force", text.Count(left, "policy remains", "policies remain"))
	}
	r.Warnings = append(r.Warnings, message)
	r.AuditAnnotations["no-longer-enforced"] = message
	log.Info("BGPPolicy deleted", "message", message)
}

// warnWeakened warns that a BGPPolicy enforces less than before, or may do so. p is the policy
// after the change.
func warnWeakened(log logr.Logger, r *policyReview, p *policy.Policy, old, is *v1alpha1.BGPPolicy) {
	ways, possible := weakened(p, &old.Spec, &is.Spec)
	var warnings []string
	if ways != nil {
		warnings = append(warnings, fmt.Sprintf("BGPPolicy %s enforces less than before: %s", is.Name, strings.Join(ways, "; ")))
	}
	if possible != nil {
		warnings = append(warnings, fmt.Sprintf("BGPPolicy %s may enforce less than before, because the effect of a change is not known: %s", is.Name, strings.Join(possible, "; ")))
	}
	if warnings == nil {
		return
	}
	r.Warnings = append(r.Warnings, warnings...)
	message := strings.Join(warnings, "; ")
	r.AuditAnnotations["weakened"] = text.Cut(message, maxCauseLength)
	log.Info("BGPPolicy weakened", "message", message)
}

// weakened returns the ways in which a spec enforces less than the one before, and those in
// which it may do so. The METADATA of the policy says which changes of parameters loosen it.
func weakened(p *policy.Policy, old, is *v1alpha1.BGPPolicySpec) (ways, possible []string) {
	if old.Policy != "" && old.Policy != is.Policy {
		ways = append(ways, fmt.Sprintf("it no longer enforces policy %s", old.Policy))
	}
	if slices.Contains(old.ValidationActions, violation.Deny) && !slices.Contains(is.ValidationActions, violation.Deny) {
		ways = append(ways, fmt.Sprintf("it no longer denies (validationActions: %s, was %s)", actions(is.ValidationActions), actions(old.ValidationActions)))
	}
	if is.Match != nil && !reflect.DeepEqual(old.Match, is.Match) {
		ways = append(ways, "it evaluates only the changes that its new match selects")
	}
	had := exempted(old.Exempt)
	var more []string
	for _, who := range exempted(is.Exempt) {
		if !slices.Contains(had, who) {
			more = append(more, who)
		}
	}
	if more != nil {
		ways = append(ways, "it exempts "+strings.Join(more, ", "))
	}
	switch {
	case old.Rego != nil && is.Rego == nil:
		possible = append(possible, "its Rego is replaced by policy "+is.Policy)
	case old.Rego != nil && !maps.Equal(rules(old.Rego), rules(is.Rego)):
		possible = append(possible, "its Rego changed")
	}
	if old.Policy != is.Policy {
		return ways, possible // The parameters are those of another policy.
	}
	loosened, unknown, err := p.Definition.Loosened(raw(old.Parameters), raw(is.Parameters))
	if err != nil {
		unknown = append(unknown, fmt.Sprintf("its parameters, of which the old ones do not match the policy (%v)", err))
	}
	return append(ways, loosened...), append(possible, unknown...)
}

// rules returns the Rego modules without tests, by name.
func rules(r *v1alpha1.Rego) map[string]string {
	out := map[string]string{}
	for _, m := range r.Modules {
		if !policy.IsTest(m.Name) {
			out[m.Name] = m.Text
		}
	}
	return out
}

func raw(parameters *apiextensionsv1.JSON) []byte {
	if parameters == nil {
		return nil
	}
	return parameters.Raw
}

// exempted returns the names of all users, groups and service accounts that are exempt.
func exempted(e *v1alpha1.Exempt) []string {
	if e == nil {
		return nil
	}
	var out []string
	for _, name := range e.Users {
		out = append(out, "user "+name)
	}
	for _, name := range e.Groups {
		out = append(out, "group "+name)
	}
	for _, a := range e.ServiceAccounts {
		out = append(out, "service account "+a.Namespace+"/"+a.Name)
	}
	return out
}

func actions(list []violation.Action) string {
	var names []string
	for _, a := range list {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}

// fieldCauses returns a cause for each of the joined errors, with the field that it is
// about.
func fieldCauses(err error) []metav1.StatusCause {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []metav1.StatusCause
		for _, one := range joined.Unwrap() {
			out = append(out, fieldCauses(one)...)
		}
		return out[:min(len(out), maxCauses)]
	}
	cause := metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec", Message: err.Error()}
	if f, ok := errors.AsType[*policy.FieldError](err); ok {
		cause.Field, cause.Message = f.Field, f.Err.Error()
	}
	cause.Message = text.Cut(cause.Message, maxCauseLength)
	return []metav1.StatusCause{cause}
}
