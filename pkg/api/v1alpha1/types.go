// Package v1alpha1 is the API group policy.bgpguard.io/v1alpha1.
//
// +kubebuilder:object:generate=true
// +groupName=policy.bgpguard.io
package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// BGPPolicy says that a policy holds, with which parameters, for which changes,
// and what follows from its violations.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=bgppol,categories=bgpguard
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Policy",type=string,JSONPath=`.status.policy`
// +kubebuilder:printcolumn:name="Judges",type=string,JSONPath=`.status.judges`
// +kubebuilder:printcolumn:name="Actions",type=string,JSONPath=`.spec.validationActions`
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`
// +kubebuilder:printcolumn:name="Violations",type=integer,JSONPath=`.status.violations`
// +kubebuilder:printcolumn:name="Audited",type=date,JSONPath=`.status.lastAuditTime`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what its author wants.
	Spec BGPPolicySpec `json:"spec"`
	// Status is what became of it. Only bgpguard writes it.
	// +optional
	Status BGPPolicyStatus `json:"status,omitempty"`
}

// BGPPolicyList is a list of BGPPolicies.
//
// +kubebuilder:object:root=true
type BGPPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BGPPolicy `json:"items"`
}

// BGPPolicySpec is the spec of a BGPPolicy.
//
// +kubebuilder:validation:XValidation:rule="has(self.policy) != has(self.rego)",message="exactly one of policy and rego must be set"
type BGPPolicySpec struct {
	// Policy is the name of a policy of the library, for example
	// "mesh-node-limit".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Policy string `json:"policy,omitempty"`
	// Rego is a policy of one's own.
	// +optional
	Rego *Rego `json:"rego,omitempty"`
	// Parameters are the policy's, as its METADATA describes them; those left
	// out have the defaults given there.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	Parameters *apiextensionsv1.JSON `json:"parameters,omitempty"`
	// ValidationActions say what follows from a violation: Deny or Warn,
	// and Audit. Deny and Warn exclude each other.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=Deny;Warn;Audit
	// +kubebuilder:validation:XValidation:rule="!('Deny' in self && 'Warn' in self)",message="Deny and Warn exclude each other: a denial already tells the user"
	ValidationActions []violation.Action `json:"validationActions"`
	// Match limits the changes that the policy judges; without it, all. It does
	// not limit the audit of the state, in which there is no change.
	// +optional
	Match *Match `json:"match,omitempty"`
	// Exempt names those whose changes the policy does not hold back: what it
	// finds is told as a warning and recorded. A change through Calico's API
	// server is reviewed as its service account's too, so an exemption of that
	// account is one of everybody.
	// +optional
	Exempt *Exempt `json:"exempt,omitempty"`
}

// Rego is a policy in Rego v1.
type Rego struct {
	// Modules are compiled together, and with the helpers below
	// data.policies.lib. One of them has the package policies.NAME with METADATA
	// and the rule "violation". Those whose name ends in "_test.rego" are tests:
	// all have to pass.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Modules []Module `json:"modules"`
}

// Module is one file of Rego.
type Module struct {
	// Name is that of a file, for example "rack_limit.rego".
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_./-]+\.rego$`
	Name string `json:"name"`
	// Text is the file's content.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	Text string `json:"text"`
}

// Match limits changes. A list that is left out or empty limits nothing; a
// change has to match all fields that are set.
type Match struct {
	// Kinds are those of the changed object.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Enum=Node;BGPConfiguration;BGPPeer;BGPFilter;IPPool;FelixConfiguration
	Kinds []string `json:"kinds,omitempty"`
	// Operations are what is done to it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:Enum=CREATE;UPDATE;DELETE
	Operations []string `json:"operations,omitempty"`
	// Names are those of the changed object; "*" stands for any characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`
	// LabelSelector selects the changed object by its labels, those before the
	// change or those after it.
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
}

// Exempt names who is exempt.
type Exempt struct {
	// Users are user names, as the API server knows them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	Users []string `json:"users,omitempty"`
	// Groups are groups of users.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	Groups []string `json:"groups,omitempty"`
	// ServiceAccounts are accounts of pods.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	ServiceAccounts []ServiceAccount `json:"serviceAccounts,omitempty"`
}

// ServiceAccount names a service account.
type ServiceAccount struct {
	// Namespace is that of the account.
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`
	// Name is that of the account.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// The types of a BGPPolicy's conditions.
const (
	// ConditionCompiled tells whether the policy of the current generation
	// compiles, its parameters fit and its tests pass.
	ConditionCompiled = "Compiled"
	// ConditionEnforced tells whether changes are judged by the current
	// generation, on every replica.
	ConditionEnforced = "Enforced"
)

// The reasons of conditions.
const (
	// ReasonValid is that of Compiled where it is true.
	ReasonValid = "Valid"
	// ReasonInvalid is that of Compiled where it is false, and of Enforced where
	// nothing at all is enforced.
	ReasonInvalid = "Invalid"
	// ReasonEnforced is that of Enforced where it is true.
	ReasonEnforced = "Enforced"
	// ReasonLastGood is that of Enforced where changes are judged by an older
	// generation, as the current one cannot be used.
	ReasonLastGood = "LastGood"
	// ReasonReplicasDiffer is that of Enforced where some replicas do not judge by
	// the current generation.
	ReasonReplicasDiffer = "ReplicasDiffer"
)

// BGPPolicyStatus is what became of a BGPPolicy.
type BGPPolicyStatus struct {
	// ObservedGeneration is the generation that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Policy is the name of the policy, which for one in Rego is that of its
	// package.
	// +optional
	Policy string `json:"policy,omitempty"`
	// Judges is "state" or "change".
	// +optional
	Judges string `json:"judges,omitempty"`
	// Violations counts those that the policy finds in the state as it is. It is
	// not there where the policy judges changes, or cannot judge.
	// +optional
	Violations *int32 `json:"violations,omitempty"`
	// LastAuditTime is when they were counted: brought up to date when there are
	// more or fewer, and otherwise every few minutes.
	// +optional
	LastAuditTime *metav1.Time `json:"lastAuditTime,omitempty"`
	// Conditions are Compiled and Enforced.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Replicas says what each replica of bgpguard made of it.
	// +optional
	// +listType=map
	// +listMapKey=name
	Replicas []Replica `json:"replicas,omitempty"`
}

// Replica is what one replica made of a BGPPolicy.
type Replica struct {
	// Name is the replica's host name.
	Name string `json:"name"`
	// ObservedGeneration is the generation that it last saw.
	ObservedGeneration int64 `json:"observedGeneration"`
	// EnforcedGeneration is the generation that it judges by, 0 for none.
	// +optional
	EnforcedGeneration int64 `json:"enforcedGeneration,omitempty"`
	// Error is why it cannot judge by the generation that it last saw.
	// +optional
	Error string `json:"error,omitempty"`
	// LastTransitionTime is when any of the above last changed.
	LastTransitionTime metav1.Time `json:"lastTransitionTime"`
}
