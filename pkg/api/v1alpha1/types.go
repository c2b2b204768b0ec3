// Package v1alpha1 is the API group policy.bgpguard.io/v1alpha1.
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// GroupVersion and Kind of a BGPPolicy.
const (
	GroupVersion  = "policy.bgpguard.io/v1alpha1"
	KindBGPPolicy = "BGPPolicy"
)

// BGPPolicy says that a policy holds, with which parameters, and what follows
// from its violations.
type BGPPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec BGPPolicySpec `json:"spec"`
}

// BGPPolicySpec is the spec of a BGPPolicy.
type BGPPolicySpec struct {
	// Policy is the name of a library policy, for example "mesh-node-limit".
	Policy string `json:"policy"`
	// Parameters are the policy's, as its METADATA describes them; those left
	// out have the defaults given there.
	Parameters map[string]any `json:"parameters,omitempty"`
	// ValidationActions say what follows from a violation: Deny or Warn,
	// and Audit. Deny and Warn exclude each other.
	ValidationActions []violation.Action `json:"validationActions"`
}
