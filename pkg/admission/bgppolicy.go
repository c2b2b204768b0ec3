package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// PolicyPath is where the API server has BGPPolicies reviewed.
const PolicyPath = "/validate-bgppolicy"

// Policies is what a BGPPolicy is reviewed against; *enforce.Keeper is it.
type Policies interface {
	// Check says why a document cannot be used.
	Check(context.Context, *policy.Document) (*policy.Policy, error)
	// Set is the policies in force.
	Set() *policy.Set
}

// Try returns what a policy would find in the state as it is, nothing where the
// state is not known yet. An error says that the policy cannot judge it.
type Try func(context.Context, *policy.Policy) ([]violation.Violation, error)

// PolicyHandler reviews BGPPolicies: one that cannot be used is refused, one
// that guards less than before is allowed, told and recorded. It keeps nobody
// from removing what is there.
type PolicyHandler struct {
	policies Policies
	try      Try
	// notes are told with each answer.
	notes []string
}

// NewPolicyHandler returns a handler. notes are for the user of each request.
func NewPolicyHandler(policies Policies, try Try, notes ...string) *PolicyHandler {
	return &PolicyHandler{policies: policies, try: try, notes: notes}
}

// HTTP returns the handler as the API server calls it; see Handler.HTTP.
func (h *PolicyHandler) HTTP(log logr.Logger, limit time.Duration) (http.Handler, error) {
	return serve(h, log, limit)
}

// Handle implements admission.Handler.
func (h *PolicyHandler) Handle(ctx context.Context, req admission.Request) admission.Response {
	r := h.review(ctx, &req)
	r.Warnings = warnings(append(r.Warnings, h.notes...))
	r.AuditAnnotations["decision"] = r.result
	requests.WithLabelValues(r.result, operationLabel(&reply{request: &req}), v1alpha1.KindBGPPolicy, strconv.FormatBool(dryRun(&req))).Inc()
	return r.Response
}

// policyReview is an answer in the making.
type policyReview struct {
	admission.Response
	result string
}

func (h *PolicyHandler) review(ctx context.Context, req *admission.Request) *policyReview {
	log := logf.FromContext(ctx)
	r := &policyReview{result: resultAllowed}
	r.Allowed, r.AuditAnnotations = true, map[string]string{}
	if req.Kind.Kind != v1alpha1.KindBGPPolicy || req.Kind.Group != v1alpha1.Group {
		return r.refuse(log, http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Errorf("%s is reviewed here, not %s of %q", v1alpha1.KindBGPPolicy, req.Kind.Kind, req.Kind.Group))
	}
	var old, is v1alpha1.BGPPolicy
	if len(req.OldObject.Raw) > 0 && json.Unmarshal(req.OldObject.Raw, &old) != nil {
		old = v1alpha1.BGPPolicy{} // It keeps nobody from mending or removing it.
	}
	if req.Operation == admissionv1.Delete {
		if old.Name == "" {
			old.Name = req.Name
		}
		h.tellDeleted(log, r, &old)
		return r
	}
	if err := json.Unmarshal(req.Object.Raw, &is); err != nil {
		return r.refuse(log, http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Errorf("%s does not parse: %w", describe(req), err))
	}
	if is.DeletionTimestamp != nil || (req.Operation == admissionv1.Update && reflect.DeepEqual(old.Spec, is.Spec)) {
		return r // Labels, finalizers: of those nothing depends, and a refusal would lock them in.
	}
	if is.Name == "" { // The API server gives it one after the review.
		is.Name = is.GenerateName
	}
	p, err := h.policies.Check(ctx, &policy.Document{BGPPolicy: is})
	if err == nil {
		err = h.tellFound(ctx, r, p)
	}
	if err != nil {
		r.refuse(log, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, err)
		r.Result.Details = &metav1.StatusDetails{
			Name: req.Name, Group: req.Kind.Group, Kind: req.Kind.Kind, Causes: fieldCauses(err),
		}
		return r
	}
	if req.Operation == admissionv1.Update {
		tellWeakened(log, r, &old, &is)
	}
	return r
}

func (r *policyReview) refuse(log logr.Logger, code int32, reason metav1.StatusReason, err error) *policyReview {
	r.Allowed, r.result = false, resultInvalid
	r.Result = &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: err.Error()}
	log.Info("Rejected as invalid", "code", code, "message", err.Error())
	return r
}

// tellFound says what a policy finds in the state as it is. One that cannot judge
// it would hold back every change, or none.
func (h *PolicyHandler) tellFound(ctx context.Context, r *policyReview, p *policy.Policy) error {
	found, err := h.try(ctx, p)
	if err != nil {
		return fmt.Errorf("BGPPolicy %s: cannot judge the cluster as it is: %w", p.Name, err)
	}
	if len(found) > 0 {
		text := fmt.Sprintf("BGPPolicy %s finds %s in the cluster as it is, which %s no change back that does not make it worse: %s", p.Name,
			text.Count(len(found), "violation"), text.Either(len(found), "holds", "hold"), found[0].Message)
		if len(found) > 1 {
			text += fmt.Sprintf("; and %d more", len(found)-1)
		}
		r.Warnings = append(r.Warnings, text)
	}
	return nil
}

// tellDeleted says what is no longer enforced.
func (h *PolicyHandler) tellDeleted(log logr.Logger, r *policyReview, o *v1alpha1.BGPPolicy) {
	left := len(h.policies.Set().Policies())
	message := fmt.Sprintf("BGPPolicy %s was not in force", o.Name)
	for _, p := range h.policies.Set().Policies() {
		if p.Name == o.Name {
			left--
			message = fmt.Sprintf("BGPPolicy %s is deleted: policy %s is no longer enforced by it (%s)", o.Name, p.Definition.Name, actions(o.Spec.ValidationActions))
		}
	}
	if left == 0 {
		message += "; no policy is left, so that changes are no longer judged at all"
	} else {
		message += fmt.Sprintf("; changes are still judged by %s", text.Count(left, "policy", "policies"))
	}
	r.Warnings = append(r.Warnings, message)
	r.AuditAnnotations["no-longer-enforced"] = message
	log.Info("A BGPPolicy is deleted", "message", message)
}

// tellWeakened says what a change takes away.
func tellWeakened(log logr.Logger, r *policyReview, old, is *v1alpha1.BGPPolicy) {
	ways := weakened(&old.Spec, &is.Spec)
	if ways == nil {
		return
	}
	text := fmt.Sprintf("BGPPolicy %s guards less than before: %s", is.Name, strings.Join(ways, "; "))
	r.Warnings = append(r.Warnings, text)
	r.AuditAnnotations["weakened"] = cut(text, maxCauseLength)
	log.Info("A BGPPolicy is weakened", "message", text)
}

// weakened tells in which ways a spec guards less than the one before, as far as
// that shows without knowing what its parameters mean.
func weakened(old, is *v1alpha1.BGPPolicySpec) []string {
	var ways []string
	if old.Policy != "" && old.Policy != is.Policy {
		ways = append(ways, fmt.Sprintf("policy %s is no longer enforced by it", old.Policy))
	}
	if slices.Contains(old.ValidationActions, violation.Deny) && !slices.Contains(is.ValidationActions, violation.Deny) {
		ways = append(ways, fmt.Sprintf("what it finds is no longer denied (validationActions: %s, was %s)", actions(is.ValidationActions), actions(old.ValidationActions)))
	}
	if is.Match != nil && !reflect.DeepEqual(old.Match, is.Match) {
		ways = append(ways, "it judges only the changes that its new match selects")
	}
	had := exempted(old.Exempt)
	var more []string
	for _, who := range exempted(is.Exempt) {
		if !slices.Contains(had, who) {
			more = append(more, who)
		}
	}
	if more != nil {
		ways = append(ways, "it no longer holds back "+strings.Join(more, ", "))
	}
	return ways
}

// exempted names all who are exempt.
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

// fieldCauses gives each error that is about a field as a cause.
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
	cause.Message = cut(cause.Message, maxCauseLength)
	return []metav1.StatusCause{cause}
}
