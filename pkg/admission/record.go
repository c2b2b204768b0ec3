package admission

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// overridden returns what allows a change that policies deny: exceptions, and then the policies
// from which the user is exempt, or all policies if the request has a reason not to enforce
// them. It returns nil if no policy denies the change, if the change is not allowed or if
// bgpguard could not evaluate it.
func (r *reply) overridden() []validate.Override {
	if !r.Allowed || r.decision == nil || r.result != resultAllowed {
		return nil
	}
	out := r.decision.Excepted()
	policies := r.decision.Exempted()
	if r.notEnforced != "" {
		policies = slices.Concat(policies, r.policies(violation.Deny))
	}
	if policies != nil {
		slices.Sort(policies)
		out = append(out, validate.Override{Policies: slices.Compact(policies)})
	}
	return out
}

// reference returns the changed object in the form that Events use. An object that is
// created may have no UID yet.
func (r *reply) reference() corev1.ObjectReference {
	kind := r.request.Kind
	ref := corev1.ObjectReference{
		APIVersion: schema.GroupVersion{Group: kind.Group, Version: kind.Version}.String(), Kind: kind.Kind, Name: r.id.Name,
	}
	for _, raw := range [][]byte{r.request.OldObject.Raw, r.request.Object.Raw} {
		if ref.UID == "" {
			ref.UID = uid(raw)
		}
	}
	return ref
}

// uid returns the UID of an object as JSON, "" if there is none.
func uid(raw []byte) types.UID {
	var object struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if json.Unmarshal(raw, &object) != nil {
		return ""
	}
	return object.Metadata.UID
}
