package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and Version of the API, and the names of a BGPPolicy in it.
const (
	Group         = "policy.bgpguard.io"
	Version       = "v1alpha1"
	APIVersion    = Group + "/" + Version
	KindBGPPolicy = "BGPPolicy"
)

// GroupVersion is that of the package's types.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

// AddToScheme makes the package's types known to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &BGPPolicy{}, &BGPPolicyList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
