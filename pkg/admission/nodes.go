package admission

import (
	"slices"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// nodeControllers are the users that delete the Nodes of machines that no longer exist.
// Namespace and name must both match: everybody who may create a ServiceAccount in some
// namespace could otherwise bypass the policies by its name.
var nodeControllers = []string{
	// The node lifecycle, cloud-node and cloud-node-lifecycle controllers share
	// one ServiceAccount (k8s.io/cloud-provider/app/controllermanager.go) ...
	"system:serviceaccount:kube-system:node-controller",
	// ... or, if their controller manager runs without
	// --use-service-account-credentials, its user.
	"system:kube-controller-manager",
	"system:cloud-controller-manager",
	"system:serviceaccount:kube-system:cloud-controller-manager",
	"eks:cloud-controller-manager",
	// With a few cloud providers the cluster-autoscaler deletes Nodes itself (its chart's
	// templates/clusterrole.yaml).
	"system:serviceaccount:kube-system:cluster-autoscaler",
	// Karpenter, in its present and its former default namespace.
	"system:serviceaccount:kube-system:karpenter",
	"system:serviceaccount:karpenter:karpenter",
}

// calicoNodes are the users as which calico-node writes its Node: installed by Calico's
// manifests, and by the Tigera operator.
var calicoNodes = []string{
	"system:serviceaccount:kube-system:calico-node",
	"system:serviceaccount:calico-system:calico-node",
}

// The reasons to allow a request about a Node although policies deny it or could not be
// evaluated.
const (
	nodeWriters     = "kubelets and calico-node write Nodes and must not depend on bgpguard"
	nodeTerminating = "the Node is being deleted, and a denial would keep it forever"
	nodeRemoved     = "this controller deletes Nodes whose machines no longer exist"
	nodeCalico      = "calico-node exits when it cannot write its Node"
	nodeKubelet     = "a kubelet repeats its registration until it is accepted, and its Node is NotReady until then"
)

// aboutNode reports whether a request is about a Node.
func aboutNode(req *admission.Request) bool {
	return req.Kind.Group == "" && req.Kind.Kind == string(calico.KindNode)
}

// notEnforced returns the reason to allow a request that policies deny, "" if the denial is
// enforced. Only requests about Nodes can have a reason. calico-node may make any change, and
// a kubelet any change of its own Node. A
// node controller may only delete: policies exist to deny, for example, that a cloud controller
// removes a label. Every user may update a Node that is being deleted.
func notEnforced(req *admission.Request) string {
	switch user := req.UserInfo.Username; {
	case !aboutNode(req):
		return ""
	case slices.Contains(calicoNodes, user):
		return nodeCalico
	case ownKubelet(req):
		return nodeKubelet
	case req.Operation == admissionv1.Delete && slices.Contains(nodeControllers, user):
		return nodeRemoved
	case req.Operation == admissionv1.Update && deleting(req.Object.Raw):
		return nodeTerminating
	default:
		return ""
	}
}

// ownKubelet reports whether a kubelet writes the Node on which it runs. The group matters:
// everybody who may create a user of any name, as in some identity providers, could otherwise
// bypass the policies.
func ownKubelet(req *admission.Request) bool {
	return req.Name != "" && req.UserInfo.Username == "system:node:"+req.Name && slices.Contains(req.UserInfo.Groups, "system:nodes")
}
