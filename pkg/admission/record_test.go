package admission

import (
	"fmt"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

func TestOverriddenDenialsAreRecorded(t *testing.T) {
	exempted := &validate.Decision{Allowed: true, Verdicts: exempt("mesh-node-limit", "mine")}
	stillDenied := denied()
	stillDenied.Verdicts = append(stillDenied.Verdicts, exempt("mine")...)
	peerWith := func(op admissionv1.Operation, object, old string) admission.Request {
		return request(op, v1, "BGPPeer", "a", object, old)
	}
	withUID := `{"apiVersion":"crd.projectcalico.org/v1","kind":"BGPPeer","metadata":{"name":"a","uid":"u-1"},"spec":` + goodSpec + `}`
	dry, yes := peerWith(create, peer(v1, "a", goodSpec), ""), true
	dry.DryRun = &yes
	for name, test := range map[string]struct {
		request  admission.Request
		decision *validate.Decision
		cluster  fakeCluster
		want     string
	}{
		"a user who is exempt creates":            {peerWith(create, peer(v1, "a", goodSpec), ""), exempted, fakeCluster{}, "crd.projectcalico.org/v1 BGPPeer a  by jane [mesh-node-limit mine]"},
		"a user who is exempt updates":            {peerWith(update, withUID, withUID), exempted, fakeCluster{}, "crd.projectcalico.org/v1 BGPPeer a u-1 by jane [mesh-node-limit mine]"},
		"a user who is exempt deletes":            {peerWith(remove, "", withUID), exempted, fakeCluster{}, "crd.projectcalico.org/v1 BGPPeer a u-1 by jane [mesh-node-limit mine]"},
		"a user who is exempt tries it":           {dry, exempted, fakeCluster{}, ""},
		"a user who is exempt from not enough":    {peerWith(create, peer(v1, "a", goodSpec), ""), stillDenied, fakeCluster{}, ""},
		"a change that an exception allows":       {peerWith(create, peer(v1, "a", goodSpec), ""), excepted(t), fakeCluster{}, "crd.projectcalico.org/v1 BGPPeer a  by jane [failing mesh-node-limit] incident"},
		"what is allowed anyway":                  {peerWith(create, peer(v1, "a", goodSpec), ""), allowed(), fakeCluster{}, ""},
		"what is denied":                          {nodeRequest(update, "jane"), denied(), fakeCluster{}, ""},
		"a controller for which none is enforced": {nodeRequest(remove, lifecycle), denied(), fakeCluster{}, "v1 Node cp-1  by " + lifecycle + " [mesh-node-limit]"},
		"one that is exempt from another as well": {nodeRequest(remove, lifecycle), stillDenied, fakeCluster{}, "v1 Node cp-1  by " + lifecycle + " [mesh-node-limit mine]"},
		"a Node that could not be evaluated":      {nodeRequest(update, "jane"), denied(), fakeCluster{err: state.ErrNotSynced}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			h := New(test.cluster, always(test.decision))
			h.SetRecord(func(o corev1.ObjectReference, user string, overrides []validate.Override) {
				for _, by := range overrides {
					got += fmt.Sprintf("%s %s %s %s by %s %v", o.APIVersion, o.Kind, o.Name, o.UID, user, by.Policies)
					if by.Exception != nil {
						got += " " + by.Exception.Name
					}
				}
			})
			h.Handle(t.Context(), test.request)
			if got != test.want {
				t.Errorf("recorded %q, want %q", got, test.want)
			}
		})
	}
}
