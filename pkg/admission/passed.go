package admission

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// passed names the policies that deny the change and do not hold for the user, nil
// where the change is not made or nothing denies it. A change that could not be judged
// is not among them: no policy has denied it.
func (r *reply) passed() []string {
	if !r.Allowed || r.decision == nil || r.result != resultAllowed {
		return nil
	}
	policies := r.decision.Exempted
	if r.notEnforced != "" {
		policies = slices.Concat(policies, r.policies(violation.Deny))
	}
	return policies
}

// reference names the changed object as Events do. An object that is created may have
// no UID yet.
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

// uid is "" where an object has none, or is not there.
func uid(raw []byte) types.UID {
	var object struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if json.Unmarshal(raw, &object) != nil {
		return ""
	}
	return object.Metadata.UID
}
