package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// BenchmarkRespond measures a request without HTTP and without the decision: it decodes the
// change and converts a decision to a response.
func BenchmarkRespond(b *testing.B) {
	for name, h := range map[string]*Handler{
		"allowed": New(fakeCluster{}, always(allowed())),
		"denied":  New(fakeCluster{}, always(denied())),
	} {
		b.Run(name, func(b *testing.B) {
			req := request(update, v1, "BGPPeer", "a", peer(v1, "a", goodSpec), peer(v1, "a", goodSpec))
			b.ReportAllocs()
			for b.Loop() {
				if r := h.Handle(b.Context(), req); r.Allowed != (name == "allowed") {
					b.Fatal(r.Result)
				}
			}
		})
	}
}

// BenchmarkNodeLabel measures a request that changes a label of a Node, in a cluster with 3
// route reflectors. The floor is the same request without a decision. A label that no selector
// uses must take about as long as the floor at any size of cluster.
func BenchmarkNodeLabel(b *testing.B) {
	for _, size := range []int{100, 5000} {
		snapshot := state.New(reflected(b, size)...)
		for _, label := range []string{"floor", "unread", "selected"} {
			b.Run(fmt.Sprintf("label=%s/nodes=%d", label, size), func(b *testing.B) {
				var decider Decider = always(allowed())
				if label != "floor" {
					decider = warm(b, snapshot)
				}
				requests := make([]admission.Request, min(size, 50)) // More than the decisions that the engine remembers.
				for i := range requests {
					requests[i] = labelled(size-1-i, map[string]string{"floor": "other", "unread": "other", "selected": "rack"}[label])
					requests[i].DryRun = new(true) // Otherwise each waits for the change before it.
				}
				h := New(fakeCluster{snapshot: snapshot}, decider)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if r := h.Handle(b.Context(), requests[i%len(requests)]); !r.Allowed || r.AuditAnnotations["decision"] != resultAllowed {
						b.Fatal(r.Result, r.AuditAnnotations)
					}
				}
			})
		}
	}
}

// labelled returns a request that adds a label to a node of the cluster that reflected returns.
func labelled(number int, label string) admission.Request {
	r := request(update, "", "Node", nodeName(number), benchNode(number, `,"`+label+`":"a"`), benchNode(number, ""))
	r.Kind.Version = "v1"
	return r
}

func nodeName(number int) string { return fmt.Sprintf("node-%05d", number) }

// benchNode returns a Node as an API server writes it, of about the usual size; the first three are route reflectors.
func benchNode(number int, moreLabels string) string {
	role, clusterID := "worker", ""
	if number < 3 {
		role, clusterID = "reflector", `,"projectcalico.org/RouteReflectorClusterID":"244.0.0.1"`
	}
	var images strings.Builder
	for i := range 20 {
		fmt.Fprintf(&images, `,{"names":["registry.example.com/platform/service-%02d@sha256:%064x","registry.example.com/platform/service-%02d:v1.0.%d"],"sizeBytes":%d}`, i, i, i, i, 20_000_000+i)
	}
	return fmt.Sprintf(`{"kind":"Node","apiVersion":"v1","metadata":{"name":%q,"labels":{"kubernetes.io/hostname":%[1]q,"role":%q%s},"annotations":{"projectcalico.org/IPv4Address":"10.%d.%d.1/8"%s}},"status":{"conditions":[{"type":"Ready","status":"True"}],"images":[{"names":[]}%s]}}`,
		nodeName(number), role, moreLabels, number>>8, number&255, clusterID, &images)
}

// reflected returns a cluster of size nodes without a mesh. Its selectors use the labels role
// and rack.
func reflected(b *testing.B, size int) []calico.Object {
	b.Helper()
	documents := []string{
		`{"apiVersion":"projectcalico.org/v3","kind":"BGPConfiguration","metadata":{"name":"default"},"spec":{"nodeToNodeMeshEnabled":false}}`,
		peer(v3, "all", `{"nodeSelector":"all()","peerSelector":"role == 'reflector'"}`),
		peer(v3, "rack", `{"nodeSelector":"rack == 'a'","peerIP":"172.16.0.1","asNumber":64600}`),
	}
	for number := range size {
		documents = append(documents, benchNode(number, ""))
	}
	objects := make([]calico.Object, len(documents))
	for i, document := range documents {
		var err error
		if objects[i], err = calico.DecodeJSON([]byte(document)); err != nil {
			b.Fatal(err)
		}
	}
	return objects
}

// warm returns an engine with the policies of the default install that has evaluated the
// snapshot, as the webhook does before the first request.
func warm(b *testing.B, snapshot *state.Snapshot) *validate.Engine {
	b.Helper()
	documents, err := policy.Defaults()
	if err != nil {
		b.Fatal(err)
	}
	set, err := policy.Compile(documents)
	if err != nil {
		b.Fatal(err)
	}
	engine := validate.NewEngine(set)
	if err := engine.Warm(b.Context(), snapshot); err != nil {
		b.Fatal(err)
	}
	return engine
}

// BenchmarkReview measures the handler of the webhook for a change of a label that nobody reads, from the body of the request
// to that of the response. The floor is a handler of controller-runtime that allows everything.
func BenchmarkReview(b *testing.B) {
	snapshot := state.New(reflected(b, 1000)...)
	handler, err := New(fakeCluster{snapshot: snapshot}, warm(b, snapshot)).HTTP(logr.Discard(), time.Minute, NewIntake())
	if err != nil {
		b.Fatal(err)
	}
	allow := admission.HandlerFunc(func(context.Context, admission.Request) admission.Response { return admission.Allowed("") })
	floor, err := admission.StandaloneWebhook(&admission.Webhook{Handler: allow}, admission.StandaloneOptions{Logger: logr.Discard()})
	if err != nil {
		b.Fatal(err)
	}
	req := labelled(999, "other").AdmissionRequest
	body, err := json.Marshal(&admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: &req})
	if err != nil {
		b.Fatal(err)
	}
	for name, h := range map[string]http.Handler{"floor": floor, "bgpguard": handler} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, Path, bytes.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK || !bytes.Contains(w.Body.Bytes(), []byte(`"allowed":true`)) {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
