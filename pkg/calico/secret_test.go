package calico_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// password is in every Secret of these tests, plain and encoded as in the field data. It must
// not occur anywhere else.
const password, encoded = "hunter2", "aHVudGVyMg=="

const secret = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"bgp","namespace":"calico-system","labels":{"a":"b"},"annotations":
	{"kubectl.kubernetes.io/last-applied-configuration":"{\"stringData\":{\"tor\":\"hunter2\"}}"}},"data":{"tor":"aHVudGVyMg==","mesh":"aHVudGVyMg=="},"stringData":{"tor":"hunter2","extra":"hunter2"}}`

func leaks(text string) bool {
	return strings.Contains(text, password) || strings.Contains(text, encoded)
}

func TestASecretKeepsTheNamesOfItsKeysAndNoValue(t *testing.T) {
	got := decode(t, secret).(*calico.Secret)
	if got.Name != "bgp" || got.Namespace != "calico-system" || !slices.Equal(got.Keys, []string{"extra", "mesh", "tor"}) {
		t.Errorf("got %+v", got)
	}
	manifest, err := json.Marshal(calico.Manifest(got))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"apiVersion":"v1","kind":"Secret","metadata":{"annotations":{},"labels":{},"name":"bgp","namespace":"calico-system"}}`; string(manifest) != want {
		t.Errorf("its manifest is %s, want %s", manifest, want)
	}
	if text := fmt.Sprintf("%+v %#v", got, got); leaks(text) {
		t.Errorf("it holds a value: %s", text)
	}
	meta := metav1.ObjectMeta{Name: "bgp", Namespace: "calico-system"}
	core := calico.SecretFromCore(&corev1.Secret{
		ObjectMeta: meta,
		Data:       map[string][]byte{"tor": []byte(password), "mesh": nil}, StringData: map[string]string{"tor": password, "extra": password},
	})
	if !calico.Equal(core, got) {
		t.Errorf("from core/v1 it is %+v, from JSON %+v", core, got)
	}
	if calico.Equal(core, calico.SecretFromCore(&corev1.Secret{ObjectMeta: meta})) {
		t.Error("a Secret without keys is equal to one with some")
	}
}

func TestSecretErrorsContainNoValue(t *testing.T) {
	for want, text := range map[string]string{
		"data: must be an object":                        `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":"hunter2"}`,
		"stringData: must be an object":                  `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"stringData":["hunter2"]}`,
		"metadata: must be an object":                    `{"apiVersion":"v1","kind":"Secret","metadata":"hunter2"}`,
		"metadata.name: must be a string":                `{"apiVersion":"v1","kind":"Secret","metadata":{"name":{"tor":"hunter2"}}}`,
		"metadata.name: is missing":                      `{"apiVersion":"v1","kind":"Secret","data":{"tor":"aHVudGVyMg=="}}`,
		"metadata.namespace: must be a string":           `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":["hunter2"]}}`,
		"apiVersion: must be v1 for a Secret, is \"v2\"": `{"apiVersion":"v2","kind":"Secret","metadata":{"name":"s"},"data":{"tor":"hunter2"}}`,
	} {
		t.Run(want, func(t *testing.T) {
			_, err := calico.DecodeJSON([]byte(text))
			if err == nil || !strings.HasPrefix(err.Error(), want) || leaks(err.Error()) {
				t.Errorf("%s: got %v, want %s", text, err, want)
			}
		})
	}
	// Values and annotations are not read, so they cannot be invalid.
	for _, text := range []string{
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"tor":["hunter2"]}}`,
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","annotations":{"last":["hunter2"]}},"data":{"tor":null}}`,
	} {
		if got := decode(t, text).(*calico.Secret); !slices.Equal(got.Keys, []string{"tor"}) {
			t.Errorf("%s: got keys %q", text, got.Keys)
		}
	}
}

func TestMayServeCalicoNode(t *testing.T) {
	for namespace, want := range map[string]bool{"": true, "kube-system": true, "calico-system": true, "default": false} {
		t.Run("namespace "+namespace, func(t *testing.T) {
			if got := (&calico.Secret{Namespace: namespace}).MayServeCalicoNode(); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestABGPFilterIsReadFromBothGroupsAndKept(t *testing.T) {
	const spec = `"metadata":{"name":"f"},"spec":{"exportV4":[{"action":"Reject","matchOperator":"In","cidr":"10.0.0.0/8"}],"fromTheFuture":1}}`
	a := decode(t, `{"apiVersion":"projectcalico.org/v3","kind":"BGPFilter",`+spec).(*calico.BGPFilter)
	b := decode(t, `{"apiVersion":"crd.projectcalico.org/v1","kind":"BGPFilter",`+spec)
	if !calico.Equal(a, b) || a.ID() != (calico.ID{Kind: calico.KindBGPFilter, Name: "f"}) || len(a.Spec) != 2 {
		t.Errorf("got %+v and %+v", a, b)
	}
}

func TestSelectorLabels(t *testing.T) {
	for text, want := range map[string][]string{
		"all()":   nil,
		"has(rr)": {"rr"},
		"!has(b) && (a == 'x' || a in {'y'}) && c not in {'z'} && d contains 'q' && e starts with 'f' && g ends with 'h' && i != 'j'": {"a", "b", "c", "d", "e", "g", "i"},
		"global() || node-role.kubernetes.io/master == ''": {"node-role.kubernetes.io/master"},
	} {
		t.Run(text, func(t *testing.T) {
			s, err := calico.ParseSelector(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Labels(); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
