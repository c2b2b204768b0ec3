package admission

import (
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// undertakers are the users that delete a Node after its machine. The names are
// whole ones: a name of its own in any namespace would be a way around the
// policies for everybody who may make a ServiceAccount somewhere.
var undertakers = []string{
	// The node lifecycle, cloud-node and cloud-node-lifecycle controllers share
	// one ServiceAccount (k8s.io/cloud-provider/app/controllermanager.go) ...
	"system:serviceaccount:kube-system:node-controller",
	// ... or run as the controller manager that they are part of, where that has
	// no credentials for each controller (--use-service-account-credentials).
	"system:kube-controller-manager",
	"system:cloud-controller-manager",
	"system:serviceaccount:kube-system:cloud-controller-manager",
	"eks:cloud-controller-manager",
	// The cluster-autoscaler leaves Nodes to the above, except with a few cloud
	// providers (its chart's templates/clusterrole.yaml).
	"system:serviceaccount:kube-system:cluster-autoscaler",
	// Karpenter, in the namespace that it is installed into now and the one before.
	"system:serviceaccount:kube-system:karpenter",
	"system:serviceaccount:karpenter:karpenter",
}

// calicoNodes are the users that calico-node writes its Node as: installed by
// Calico's manifests, and by the Tigera operator.
var calicoNodes = []string{
	"system:serviceaccount:kube-system:calico-node",
	"system:serviceaccount:calico-system:calico-node",
}

// Why a request is let through although nobody judged it, or policies deny it.
const (
	unjudgedNode   = "kubelets and calico-node write Nodes, and do not depend on the guard"
	dyingNode      = "the Node is being deleted, and a refusal would keep it for ever"
	departedNode   = "this controller deletes the Nodes of machines that are gone, which no refusal brings back"
	calicoNodeUser = "calico-node stops when it is refused to write its Node"
)

// aboutNode reports whether a request is about a Node.
func aboutNode(req *admission.Request) bool {
	return req.Kind.Group == "" && req.Kind.Kind == string(calico.KindNode)
}

// leniency says why a request that policies deny is let through, "" where the
// denial holds. Only Nodes have leniency, and changes of their labels only for
// calico-node: an upgrade or a cloud controller that takes a label away is what
// the policies are there for.
func leniency(req *admission.Request) string {
	switch user := req.UserInfo.Username; {
	case !aboutNode(req):
		return ""
	case slices.Contains(calicoNodes, user):
		return calicoNodeUser
	case req.Operation == admissionv1.Delete && slices.Contains(undertakers, user):
		return departedNode
	case req.Operation == admissionv1.Update && deleting(req.Object.Raw):
		return dyingNode
	default:
		return ""
	}
}
