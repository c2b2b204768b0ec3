package validate

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
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

// The reasons to allow a change of a Node although policies deny it.
const (
	nodeTerminating = "the Node is being deleted, and a denial would keep it forever"
	nodeRemoved     = "this controller deletes Nodes whose machines no longer exist"
	nodeCalico      = "calico-node exits when it cannot write its Node"
	nodeKubelet     = "a kubelet repeats its registration until it is accepted, and its Node is NotReady until then"
)

// NotEnforced returns the reason to allow a change that policies deny, "" if the denial is
// enforced. Only changes of Nodes can have a reason. calico-node may make any change, and a
// kubelet any change of its own Node. A node controller may only delete: policies exist to
// deny, for example, that a cloud controller removes a label. Every user may update a Node
// that is being deleted.
func (r *Request) NotEnforced() string {
	switch {
	case r.ID().Kind != calico.KindNode:
		return ""
	case slices.Contains(calicoNodes, r.User):
		return nodeCalico
	case r.ownKubelet():
		return nodeKubelet
	case r.Operation() == state.Delete && slices.Contains(nodeControllers, r.User):
		return nodeRemoved
	case r.Operation() == state.Update && terminating(r.After):
		return nodeTerminating
	default:
		return ""
	}
}

// ownKubelet reports whether a kubelet writes the Node on which it runs. The group matters:
// everybody who may create a user of any name, as in some identity providers, could otherwise
// bypass the policies.
func (r *Request) ownKubelet() bool {
	return r.User == "system:node:"+r.ID().Name && slices.Contains(r.Groups, "system:nodes")
}

// terminating reports whether a Node is being deleted.
func terminating(o calico.Object) bool {
	n, ok := o.(*calico.Node)
	return ok && n.DeletionTimestamp != ""
}

// Admit allows the change of r if policies deny it and the denial is not enforced. The
// decision then warns of what policies deny.
func (d *Decision) Admit(r *Request) {
	if !d.Allowed && d.Evaluated() {
		d.NotEnforced = r.NotEnforced()
		d.Allowed = d.NotEnforced != ""
	}
}
