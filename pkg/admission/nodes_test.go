package admission

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// coreNode returns a Node as JSON. more holds further fields of its metadata.
func coreNode(more string) string {
	return `{"apiVersion":"v1","kind":"Node","metadata":{"name":"cp-1"` + more + `}}`
}

// nodeRequest returns a request of user that removes the label from the Node cp-1 that makes
// it a route reflector, or deletes the Node.
func nodeRequest(op admissionv1.Operation, user string) admission.Request {
	object, old := coreNode(""), coreNode(`,"labels":{"rr":""}`)
	if op == remove {
		object = ""
	}
	r := request(op, "", "Node", "cp-1", object, old)
	r.Kind.Version = "v1"
	r.UserInfo.Username = user
	return r
}

// inStatus returns the request for the subresource status.
func inStatus(r admission.Request) admission.Request {
	r.SubResource = "status"
	return r
}

const (
	lifecycle  = "system:serviceaccount:kube-system:node-controller"
	calicoNode = "system:serviceaccount:kube-system:calico-node"
)

func TestWhoseDenialsAreNotEnforced(t *testing.T) {
	dying := nodeRequest(update, "jane")
	dying.Object.Raw = []byte(coreNode(`,"deletionTimestamp":"2026-11-01T00:00:00Z"`))
	unparsed := request(update, v3, "BGPPeer", "a", peer(v3, "a", goodSpec), peer(v3, "a", goodSpec))
	unparsed.UserInfo.Username = calicoNode
	tests := map[string]struct {
		request admission.Request
		want    string // the reason not to enforce the denial, "" if the request is denied
	}{
		"a person who removes a label":                        {nodeRequest(update, "jane"), ""},
		"a person who removes a label through the status":     {inStatus(nodeRequest(update, "jane")), ""},
		"a person who deletes a Node":                         {nodeRequest(remove, "jane"), ""},
		"a cluster-admin's upgrade that removes a label":      {nodeRequest(update, "kubernetes-admin"), ""},
		"a kubelet that removes a label of its Node":          {inStatus(kubeletRequest(update, "cp-1")), nodeKubelet},
		"a kubelet that deletes its Node":                     {kubeletRequest(remove, "cp-1"), nodeKubelet},
		"a kubelet that writes another Node":                  {inStatus(kubeletRequest(update, "cp-2")), ""},
		"a user with the name of a kubelet, not in its group": {inStatus(nodeRequest(update, "system:node:cp-1")), ""},
		"the node controllers that delete a Node":             {nodeRequest(remove, lifecycle), nodeRemoved},
		"the node controllers that remove a label":            {nodeRequest(update, lifecycle), ""},
		"kube-controller-manager":                             {nodeRequest(remove, "system:kube-controller-manager"), nodeRemoved},
		"cloud-controller-manager with a certificate":         {nodeRequest(remove, "system:cloud-controller-manager"), nodeRemoved},
		"cloud-controller-manager as a ServiceAccount":        {nodeRequest(remove, "system:serviceaccount:kube-system:cloud-controller-manager"), nodeRemoved},
		"cloud-controller-manager of EKS":                     {nodeRequest(remove, "eks:cloud-controller-manager"), nodeRemoved},
		"cluster-autoscaler":                                  {nodeRequest(remove, "system:serviceaccount:kube-system:cluster-autoscaler"), nodeRemoved},
		"Karpenter":                                           {nodeRequest(remove, "system:serviceaccount:kube-system:karpenter"), nodeRemoved},
		"Karpenter in the namespace it had before":            {nodeRequest(remove, "system:serviceaccount:karpenter:karpenter"), nodeRemoved},
		"another ServiceAccount named karpenter":              {nodeRequest(remove, "system:serviceaccount:team-a:karpenter"), ""},
		"calico-node that writes its Node":                    {inStatus(nodeRequest(update, calicoNode)), nodeCalico},
		"calico-node of the operator":                         {inStatus(nodeRequest(update, "system:serviceaccount:calico-system:calico-node")), nodeCalico},
		"another ServiceAccount named calico-node":            {inStatus(nodeRequest(update, "system:serviceaccount:team-a:calico-node")), ""},
		"calico-node that writes anything else":               {unparsed, ""},
		"finalizers of a Node that is being deleted already":  {dying, nodeTerminating},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := New(fakeCluster{}, always(denied())).Handle(t.Context(), test.request)
			if got := r.AuditAnnotations["not-enforced"]; got != test.want || r.Allowed != (test.want != "") {
				t.Errorf("allowed %t, because %q, want %q", r.Allowed, got, test.want)
			}
		})
	}
}

// The reasons of validate.Request.NotEnforced.
const (
	nodeTerminating = "the Node is being deleted, and a denial would keep it forever"
	nodeRemoved     = "this controller deletes Nodes whose machines no longer exist"
	nodeCalico      = "calico-node exits when it cannot write its Node"
	nodeKubelet     = "a kubelet repeats its registration until it is accepted, and its Node is NotReady until then"
)

func TestAnswersAboutNodes(t *testing.T) {
	failed := &validate.Decision{
		Verdicts: fresh(violation.Violation{Policy: "timers-consistent", ID: "x", Action: violation.Warn, Message: "2 sessions differ", Link: "https://example.com/timers"}),
		Failures: []validate.Failure{{Policy: "mine", Action: violation.Deny, Err: errors.New("division by zero")}},
	}
	const violations = `"violations":"[{\"policy\":\"mesh-node-limit\",\"id\":\"mesh\",\"size\":20,\"action\":\"Deny\",\"message\":\"120 nodes, limit 100: turn the mesh off\"}]"`
	tests := map[string]struct {
		request   admission.Request
		decider   Decider
		cluster   fakeCluster
		want, log string
	}{
		"a denial names the Node": {
			request: nodeRequest(update, "jane"), decider: always(denied()),
			want: `{"uid":"","allowed":false,"status":{"metadata":{},"status":"Failure","message":"[mesh-node-limit] 120 nodes, limit 100: turn the mesh off\nbased on cluster data confirmed 3s ago","reason":"Forbidden","details":{"name":"cp-1","kind":"Node","causes":[{"reason":"mesh-node-limit/mesh","message":"120 nodes, limit 100: turn the mesh off"}]},"code":403},` +
				`"auditAnnotations":{"data-age":"3s","decision":"denied",` + violations + `}}`,
			log: `{"level":"INFO","msg":"Denied","policies":["mesh-node-limit"],"message":"[mesh-node-limit] 120 nodes, limit 100: turn the mesh off\nbased on cluster data confirmed 3s ago"}` + "\n",
		},
		"a denial that is not enforced for a controller is a warning, recorded and logged": {
			request: nodeRequest(remove, lifecycle), decider: always(denied()),
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed","not-enforced":"this controller deletes Nodes whose machines no longer exist",` + violations + `},` +
				`"warnings":["Node cp-1 is allowed anyway: this controller deletes Nodes whose machines no longer exist","[mesh-node-limit] 120 nodes, limit 100: turn the mesh off"]}`,
			log: `{"level":"INFO","msg":"Allowed although policies deny it","reason":"this controller deletes Nodes whose machines no longer exist","policies":["mesh-node-limit"],"message":"[mesh-node-limit] 120 nodes, limit 100: turn the mesh off"}` + "\n",
		},
		"what is allowed anyway has no reason": {
			request: nodeRequest(update, calicoNode), decider: always(allowed()),
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"allowed"}}`,
		},
		"a policy that failed blocks no Node": {
			request: nodeRequest(update, "jane"), decider: always(failed),
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"3s","decision":"error","failed-policies":"mine","not-enforced":"kubelets and calico-node write Nodes and must not depend on bgpguard","violations":"[{\"policy\":\"timers-consistent\",\"id\":\"x\",\"size\":0,\"action\":\"Warn\",\"message\":\"2 sessions differ\"}]"},` +
				`"warnings":["Node cp-1 is allowed anyway: kubelets and calico-node write Nodes and must not depend on bgpguard","the change could not be evaluated:","[mine] evaluation error: division by zero","based on cluster data confirmed 3s ago","[timers-consistent] 2 sessions differ","See https://example.com/timers"]}`,
			log: `{"level":"ERROR","msg":"Could not evaluate the change, allowed it anyway","reason":"kubelets and calico-node write Nodes and must not depend on bgpguard","message":"the change could not be evaluated:\n[mine] evaluation error: division by zero\nbased on cluster data confirmed 3s ago"}` + "\n",
		},
		"stale data blocks no Node": {
			request: nodeRequest(update, "jane"), decider: always(denied()),
			cluster: fakeCluster{err: fmt.Errorf("%w: for 4m0s the API server has sent nothing about Node", state.ErrStale), age: 4 * time.Minute},
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"4m0s","decision":"error","not-enforced":"kubelets and calico-node write Nodes and must not depend on bgpguard"},` +
				`"warnings":["Node cp-1 is allowed anyway: kubelets and calico-node write Nodes and must not depend on bgpguard","stale data: for 4m0s the API server has sent nothing about Node; this replica is not ready: if the error lasts, all replicas are stale"]}`,
			log: `{"level":"ERROR","msg":"Could not evaluate the change, allowed it anyway","reason":"kubelets and calico-node write Nodes and must not depend on bgpguard","message":"stale data: for 4m0s the API server has sent nothing about Node; this replica is not ready: if the error lasts, all replicas are stale"}` + "\n",
		},
		"a state that is not known yet blocks no Node": {
			request: nodeRequest(update, "system:node:cp-1"), decider: always(denied()),
			cluster: fakeCluster{err: fmt.Errorf("%w: still reading Node from the API server", state.ErrNotSynced)},
			want: `{"uid":"","allowed":true,"auditAnnotations":{"data-age":"0s","decision":"error","not-enforced":"kubelets and calico-node write Nodes and must not depend on bgpguard"},` +
				`"warnings":["Node cp-1 is allowed anyway: kubelets and calico-node write Nodes and must not depend on bgpguard","not ready: still reading Node from the API server"]}`,
			log: `{"level":"ERROR","msg":"Could not evaluate the change, allowed it anyway","reason":"kubelets and calico-node write Nodes and must not depend on bgpguard","message":"not ready: still reading Node from the API server"}` + "\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, log := logged(t)
			r := New(test.cluster, test.decider).Handle(ctx, test.request)
			if got := toJSON(t, r.AdmissionResponse); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
			if got := log.String(); got != test.log {
				t.Errorf("logged\n%swant\n%s", got, test.log)
			}
		})
	}
}

// Metrics count the action that was taken: a denial that is not enforced is a warning.
func TestADenialThatIsNotEnforcedIsCountedAsAWarning(t *testing.T) {
	counters := map[string]func() float64{
		"allowed": func() float64 {
			return testutil.ToFloat64(requests.WithLabelValues("allowed", "DELETE", "Node", "true"))
		},
		"Deny": func() float64 {
			return testutil.ToFloat64(decisions.WithLabelValues("mesh-node-limit", "Deny", "true"))
		},
		"Warn": func() float64 {
			return testutil.ToFloat64(decisions.WithLabelValues("mesh-node-limit", "Warn", "true"))
		},
		"other result": func() float64 {
			return testutil.ToFloat64(requests.WithLabelValues("denied", "DELETE", "Node", "true"))
		},
	}
	want := map[string]float64{"allowed": 1, "Warn": 1}
	before := map[string]float64{}
	for name, count := range counters {
		before[name] = count()
	}
	req, dry := nodeRequest(remove, lifecycle), true
	req.DryRun = &dry
	New(fakeCluster{}, always(denied())).Handle(t.Context(), req)
	for name, count := range counters {
		t.Run(name, func(t *testing.T) {
			if got := count() - before[name]; got != want[name] {
				t.Errorf("counted %v, want %v", got, want[name])
			}
		})
	}
}

// Annotations that Calico ignores are a warning, never a reason to reject the Node.
func TestNodeWithBadAnnotations(t *testing.T) {
	req := nodeRequest(update, "jane")
	req.Object.Raw = []byte(coreNode(`,"annotations":{"projectcalico.org/IPv4Address":"autodetect","projectcalico.org/RouteReflectorClusterID":"rack-1","projectcalico.org/labels":"[]"}`))
	c, failure := readChange(&req, nil)
	if failure != nil || len(c.notes) > 0 {
		t.Fatalf("got %v, notes %q", failure, c.notes)
	}
	node := c.After.(*calico.Node)
	if node.SpeaksBGP(calico.IPv4) || node.RouteReflector() || len(node.Problems()) != 3 {
		t.Errorf("got %+v with problems %v", node, node.Problems())
	}
}
