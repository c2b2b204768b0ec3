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

// BGPPolicy puts a policy in force: with parameters, for some or all changes, and
// with the actions that follow from violations.
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

	// Spec is the desired policy.
	Spec BGPPolicySpec `json:"spec"`
	// Status is the observed state of the policy. Only bgpguard writes it.
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
	// Rego is a custom policy.
	// +optional
	Rego *Rego `json:"rego,omitempty"`
	// Parameters are the parameters of the policy. Its METADATA describes them
	// and has the defaults of those that are not set.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	Parameters *apiextensionsv1.JSON `json:"parameters,omitempty"`
	// ValidationActions are the actions that follow from a violation: Deny denies
	// the change, Warn returns a warning to the user, Audit adds the violation to
	// the audit event. Deny and Warn exclude each other.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +kubebuilder:validation:items:Enum=Deny;Warn;Audit
	// +kubebuilder:validation:XValidation:rule="!('Deny' in self && 'Warn' in self)",message="Deny and Warn exclude each other: a denial already shows the message to the user"
	ValidationActions []violation.Action `json:"validationActions"`
	// Match limits the changes that the policy evaluates. If it is not set, the
	// policy evaluates all changes. It does not limit the audit of the state.
	// +optional
	Match *Match `json:"match,omitempty"`
	// Exempt lists users whose changes the policy never denies. They get the
	// denial as a warning, and it is recorded. Calico's API server writes with
	// its own service account: an exemption of that account exempts every user
	// of Calico's API server.
	// +optional
	Exempt *Exempt `json:"exempt,omitempty"`
}

// Rego is a policy in Rego v1.
type Rego struct {
	// Modules are compiled together, with the helpers in data.policies.lib. One
	// of them has the package policies.NAME with METADATA and the rule
	// "violation". Modules whose name ends in "_test.rego" are tests: all of
	// them must pass.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Modules []Module `json:"modules"`
}

// Module is one file of Rego.
type Module struct {
	// Name is a file name, for example "rack_limit.rego".
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_./-]+\.rego$`
	Name string `json:"name"`
	// Text is the content of the file.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=262144
	Text string `json:"text"`
}

// Match selects changes. A change must match all fields that are set. An empty
// list matches every change.
type Match struct {
	// Kinds are kinds of the changed object.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Enum=Node;BGPConfiguration;BGPPeer;BGPFilter;IPPool;FelixConfiguration;Installation
	Kinds []string `json:"kinds,omitempty"`
	// Operations are CREATE, UPDATE and DELETE.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:Enum=CREATE;UPDATE;DELETE
	Operations []string `json:"operations,omitempty"`
	// Names are names of the changed object. "*" matches any characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Names []string `json:"names,omitempty"`
	// LabelSelector selects the changed object by its labels. It matches if the
	// labels before or after the change match.
	// +optional
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
}

// Exempt lists exempt users.
type Exempt struct {
	// Users are user names, as in RBAC subjects.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	Users []string `json:"users,omitempty"`
	// Groups are group names, as in RBAC subjects.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	Groups []string `json:"groups,omitempty"`
	// ServiceAccounts are service accounts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	ServiceAccounts []ServiceAccount `json:"serviceAccounts,omitempty"`
}

// ServiceAccount names a service account.
type ServiceAccount struct {
	// Namespace is the namespace of the service account.
	// +kubebuilder:validation:MinLength=1
	Namespace string `json:"namespace"`
	// Name is the name of the service account.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// The types of a BGPPolicy's conditions.
const (
	// ConditionCompiled is True if the policy of the current generation compiles,
	// its parameters are valid and its tests pass.
	ConditionCompiled = "Compiled"
	// ConditionEnforced is True if every replica enforces the current generation.
	ConditionEnforced = "Enforced"
)

// The reasons of conditions.
const (
	// ReasonValid: Compiled is True.
	ReasonValid = "Valid"
	// ReasonInvalid: Compiled is False. Enforced is False and no generation is
	// enforced.
	ReasonInvalid = "Invalid"
	// ReasonEnforced: Enforced is True.
	ReasonEnforced = "Enforced"
	// ReasonLastGood: Enforced is False because the current generation is
	// rejected. An older one is still enforced.
	ReasonLastGood = "LastGood"
	// ReasonNotAsked: Enforced is False because the API server does not ask bgpguard about
	// some or all changes.
	ReasonNotAsked = "NotAsked"
	// ReasonStateTooLarge: Enforced is False because the cluster has more BGPPeers than fit into the
	// memory of bgpguard, which then evaluates no change.
	ReasonStateTooLarge = "StateTooLarge"
	// ReasonEvaluationFails: Enforced is False because the evaluation of the policy failed so
	// often in succession that it is quarantined.
	ReasonEvaluationFails = "EvaluationFails"
	// ReasonReplicasDiffer: Enforced is False because some replicas do not enforce
	// the current generation yet.
	ReasonReplicasDiffer = "ReplicasDiffer"
)

// BGPPolicyStatus is the observed state of a BGPPolicy.
type BGPPolicyStatus struct {
	// ObservedGeneration is the generation that the status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Policy is the name of the policy. For a custom policy it is the name of
	// its package.
	// +optional
	Policy string `json:"policy,omitempty"`
	// Judges is what the policy evaluates: "state" or "change".
	// +optional
	Judges string `json:"judges,omitempty"`
	// Violations is the number of violations in the current state. It is not set
	// if the policy evaluates changes, or if its evaluation fails.
	// +optional
	Violations *int32 `json:"violations,omitempty"`
	// LastAuditTime is the time of the audit that counted the violations. It is
	// updated when their number changes, and otherwise every few minutes.
	// +optional
	LastAuditTime *metav1.Time `json:"lastAuditTime,omitempty"`
	// Conditions are Compiled and Enforced.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Replicas is the state of the policy on each replica of bgpguard.
	// +optional
	// +listType=map
	// +listMapKey=name
	Replicas []Replica `json:"replicas,omitempty"`
}

// Replica is the state of a BGPPolicy on one replica.
type Replica struct {
	// Name is the host name of the replica.
	Name string `json:"name"`
	// ObservedGeneration is the last generation that the replica has seen.
	ObservedGeneration int64 `json:"observedGeneration"`
	// EnforcedGeneration is the generation that the replica enforces, 0 for none.
	// +optional
	EnforcedGeneration int64 `json:"enforcedGeneration,omitempty"`
	// Error is the reason why the replica rejects the observed generation.
	// +optional
	Error string `json:"error,omitempty"`
	// LastTransitionTime is the time of the last change to any of these fields.
	LastTransitionTime metav1.Time `json:"lastTransitionTime"`
}
