package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MaxExceptionAge is the longest time that a BGPException holds. Whatever its spec says, it ends
// this long after its creation.
const MaxExceptionAge = 7 * 24 * time.Hour

// AllPolicies in spec.policies of a BGPException stands for every policy.
const AllPolicies = "*"

// BGPException allows changes that policies deny, until it expires. bgpguard warns about
// each such change and records it. Who may create a BGPException is a matter of RBAC.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=bgpex,categories=bgpguard
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Policies",type=string,JSONPath=`.spec.policies`
// +kubebuilder:printcolumn:name="Active",type=string,JSONPath=`.status.conditions[?(@.type=="Active")].status`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expires`
// +kubebuilder:printcolumn:name="Uses",type=integer,JSONPath=`.status.uses`
// +kubebuilder:printcolumn:name="Last-User",type=string,JSONPath=`.status.lastUser`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPException struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the exception allows. It is a record and does not change,
	// except that expires can become earlier.
	Spec BGPExceptionSpec `json:"spec"`
	// Status is the observed state of the exception. Only bgpguard writes it.
	// +optional
	Status BGPExceptionStatus `json:"status,omitempty"`
}

// BGPExceptionList is a list of BGPExceptions.
//
// +kubebuilder:object:root=true
type BGPExceptionList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BGPException `json:"items"`
}

// BGPExceptionSpec is the spec of a BGPException.
//
// +kubebuilder:validation:XValidation:rule="self.policies == oldSelf.policies && self.match == oldSelf.match && self.reason == oldSelf.reason && has(self.users) == has(oldSelf.users) && (!has(self.users) || self.users == oldSelf.users) && has(self.groups) == has(oldSelf.groups) && (!has(self.groups) || self.groups == oldSelf.groups)",message="the spec cannot be changed, except to an earlier time in expires: create another BGPException"
// +kubebuilder:validation:XValidation:rule="self.expires <= oldSelf.expires",message="expires can only become earlier: create another BGPException"
type BGPExceptionSpec struct {
	// Policies are names of BGPPolicies that do not deny, or "*" alone for all.
	// A policy that cannot be evaluated does not deny either.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!('*' in self) || size(self) == 1",message="\"*\" stands for every policy and must be the only item"
	Policies []string `json:"policies"`
	// Match selects the changes that are allowed, as in a BGPPolicy, but a
	// labelSelector must select the object before and after an update. {} selects
	// every change.
	Match Match `json:"match"`
	// Users are the names of users whose changes are allowed, as in RBAC
	// subjects. A ServiceAccount is system:serviceaccount:NAMESPACE:NAME. If
	// neither users nor groups are set, the changes of every user are allowed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Users []string `json:"users,omitempty"`
	// Groups are groups whose changes are allowed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=1024
	Groups []string `json:"groups,omitempty"`
	// Reason is why the exception exists, for example the incident. The record of
	// each change that it allows contains the reason.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.trim() != \"\"",message="must not be blank"
	Reason string `json:"reason"`
	// Expires is when the exception ends: at most 7 days after its creation.
	Expires metav1.Time `json:"expires"`
}

// ConditionActive is the type of a BGPException's condition that is True while it allows
// changes.
const ConditionActive = "Active"

// The reasons of condition Active.
const (
	// ReasonActive: Active is True.
	ReasonActive = "Active"
	// ReasonExpired: Active is False because the exception has expired.
	ReasonExpired = "Expired"
)

// BGPExceptionStatus is the observed state of a BGPException.
type BGPExceptionStatus struct {
	// ObservedGeneration is the generation that the conditions describe.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Uses is the number of changes that the exception allowed.
	// +optional
	Uses int64 `json:"uses,omitempty"`
	// LastUseTime is the time of the last such change.
	// +optional
	LastUseTime *metav1.Time `json:"lastUseTime,omitempty"`
	// LastUser is the user who made the last such change.
	// +optional
	LastUser string `json:"lastUser,omitempty"`
	// Conditions are Active.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
