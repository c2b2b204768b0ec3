package calico

import "slices"

// apiServers are the users as which Calico's API server writes objects of
// crd.projectcalico.org/v1 (github.com/tigera/operator, pkg/render/apiserver.go).
var apiServers = []string{
	// Calico's manifests, and the Tigera operator in earlier versions.
	"system:serviceaccount:calico-apiserver:calico-apiserver",
	// The Tigera operator now.
	"system:serviceaccount:calico-system:calico-apiserver",
	// Calico Enterprise in earlier versions.
	"system:serviceaccount:tigera-system:tigera-apiserver",
}

// IsAPIServer reports whether a user is Calico's API server. Namespace and name must both match:
// everybody who may create a ServiceAccount in some namespace could otherwise take its place.
func IsAPIServer(user string) bool { return slices.Contains(apiServers, user) }
