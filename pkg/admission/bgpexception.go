package admission

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// reviewException reviews a change of a BGPException. The API server has validated the schema, whose
// rules allow no change of the spec except an earlier end.
func (h *PolicyHandler) reviewException(log logr.Logger, r *policyReview, req *admission.Request) *policyReview {
	var old, is v1alpha1.BGPException
	if len(req.OldObject.Raw) > 0 && json.Unmarshal(req.OldObject.Raw, &old) != nil {
		old = v1alpha1.BGPException{} // It can still be deleted.
	}
	if req.Operation == admissionv1.Delete {
		if old.Name == "" {
			old.Name = req.Name
		}
		r.recordException(log, "deleted", &old)
		return r
	}
	if err := json.Unmarshal(req.Object.Raw, &is); err != nil {
		return r.reject(log, http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Errorf("%s does not parse: %w", describe(req), err))
	}
	if is.DeletionTimestamp != nil || req.Operation == admissionv1.Update && reflect.DeepEqual(old.Spec, is.Spec) {
		return r // Only metadata changes, such as finalizers.
	}
	if is.Name == "" { // The API server generates one after the review.
		is.Name = is.GenerateName
	}
	_, err := policy.NewException(&is)
	if err == nil && req.Operation == admissionv1.Create {
		err = policy.CheckExpiry(&is, h.now())
	}
	if err != nil {
		return r.rejectFields(log, req, err)
	}
	if req.Operation == admissionv1.Update {
		r.recordException(log, "changed", &is)
		return r
	}
	h.warnException(r, &is)
	r.recordException(log, "created", &is)
	return r
}

// warnException warns about an exception that allows nothing, or everything.
func (h *PolicyHandler) warnException(r *policyReview, o *v1alpha1.BGPException) {
	names := h.policies.Set().Names()
	var unknown []string
	for _, name := range o.Spec.Policies {
		if name != v1alpha1.AllPolicies && !slices.Contains(names, name) {
			unknown = append(unknown, name)
		}
	}
	switch {
	case unknown != nil:
		r.Warnings = append(r.Warnings, fmt.Sprintf("BGPException %s: no BGPPolicy of this name is in force: %s", o.Name, strings.Join(unknown, ", ")))
	case o.Spec.Policies[0] == v1alpha1.AllPolicies && reflect.DeepEqual(o.Spec.Match, v1alpha1.Match{}) && len(o.Spec.Users)+len(o.Spec.Groups) == 0:
		r.Warnings = append(r.Warnings, fmt.Sprintf("BGPException %s: no policy denies any change until %s", o.Name, o.Spec.Expires.UTC().Format(time.RFC3339)))
	}
}

// recordException logs a change of an exception and adds the audit annotation.
func (r *policyReview) recordException(log logr.Logger, verb string, o *v1alpha1.BGPException) {
	expires := o.Spec.Expires.UTC().Format(time.RFC3339)
	r.AuditAnnotations["exception-"+verb] = fmt.Sprintf("BGPException %s for %s until %s: %s", o.Name, strings.Join(o.Spec.Policies, ","), expires, o.Spec.Reason)
	log.Info("BGPException "+verb, "policies", o.Spec.Policies, "expires", expires, "reason", o.Spec.Reason)
}

// kindLabel returns the value of the kind label of a request for PolicyPath.
func kindLabel(req *admission.Request) string {
	if req.Kind.Kind == v1alpha1.KindBGPException {
		return v1alpha1.KindBGPException
	}
	return v1alpha1.KindBGPPolicy
}
