package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and version of the API, and its kinds of objects.
const (
	Group            = "policy.bgpguard.io"
	Version          = "v1alpha1"
	APIVersion       = Group + "/" + Version
	KindBGPPolicy    = "BGPPolicy"
	KindBGPException = "BGPException"
)

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// AddToScheme adds the types of this package to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &BGPPolicy{}, &BGPPolicyList{}, &BGPException{}, &BGPExceptionList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
