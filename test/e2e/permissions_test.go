//go:build system

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"

	"github.com/bgpguard/bgpguard/test/env"
	"github.com/bgpguard/bgpguard/test/tool"
)

// permission is a verb that a ServiceAccount may use, or has used, on a resource.
type permission struct{ group, resource, verb string }

// String returns the permission as kubectl auth can-i takes it.
func (p permission) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s %s.%s", p.verb, p.resource, p.group), ".")
}

// account is bgpguard's user name.
const account = "system:serviceaccount:bgpguard-system:bgpguard"

// usage collects what bgpguard's ServiceAccount has done in all environments.
var usage = struct {
	sync.Mutex
	used, forbidden map[permission]bool
}{used: map[permission]bool{}, forbidden: map[permission]bool{}}

// startEnvironment starts an environment whose audit log is evaluated at its end.
func startEnvironment(t *testing.T, options env.Options) *env.Environment {
	t.Helper()
	e := env.StartForTest(t, options)
	t.Cleanup(func() {
		if err := collect(e.AuditLog); err != nil {
			t.Errorf("reading the audit log: %v", err)
		}
	})
	return e
}

// collect adds the requests in an audit log to usage.
func collect(path string) error {
	log, err := os.Open(path)
	if err != nil {
		return err
	}
	defer log.Close()
	usage.Lock()
	defer usage.Unlock()
	for decoder := json.NewDecoder(bufio.NewReader(log)); ; {
		var event auditv1.Event
		if err := decoder.Decode(&event); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		// Some tests write as this account without its process.
		impersonated := event.ImpersonatedUser != nil && event.ImpersonatedUser.Username == account
		if event.User.Username != account && !impersonated || event.ObjectRef == nil || event.ResponseStatus == nil {
			continue
		}
		resource := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			resource += "/" + event.ObjectRef.Subresource
		}
		p := permission{event.ObjectRef.APIGroup, resource, event.Verb}
		switch {
		case event.Annotations["authorization.k8s.io/decision"] == "allow":
			usage.used[p] = true
		case !impersonated && resource != "caliconodestatuses": // A test removes this permission.
			usage.forbidden[p] = true
		}
	}
}

// granted returns the permissions of bgpguard's ServiceAccount in manifests.
func granted(manifests string) (map[permission]bool, error) {
	out := map[permission]bool{}
	documents := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	for {
		var o unstructured.Unstructured
		if err := documents.Decode(&o); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		// The Roles of users have no binding in the manifests.
		users := []string{"bgpguard-metrics-reader", "bgpguard-exceptions"}
		if kind := o.GetKind(); kind != "Role" && kind != "ClusterRole" || slices.Contains(users, o.GetName()) {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
			return nil, err
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						out[permission{group, resource, verb}] = true
					}
				}
			}
		}
	}
}

// unused returns why a permission that no test uses is granted, "" if there is no reason.
func unused(p permission) string {
	switch {
	case p.verb == "list" && usage.used[permission{p.group, p.resource, "watch"}]:
		return "API servers without streaming lists need it for the same informer"
	case p.verb == "create" && usage.used[permission{p.group, p.resource, "patch"}]:
		return "server-side apply of a new object needs it, and is a patch"
	case p == permission{"crd.projectcalico.org", "bgpfilters", "list"}, p == permission{"crd.projectcalico.org", "bgpfilters", "watch"}:
		return "the CRDs of this group that Calico publishes as a module are older than the kind"
	default:
		return ""
	}
}

// comparePermissions returns what bgpguard's ServiceAccount was denied, and what it may do and has
// not done in any test.
func comparePermissions() []string {
	path, err := tool.Path("kustomize")
	if err != nil {
		return []string{err.Error()}
	}
	rendered, err := exec.Command(path, "build", "../../config/default").Output()
	if err != nil {
		return []string{err.Error()}
	}
	may, err := granted(string(rendered))
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for p := range usage.forbidden {
		out = append(out, fmt.Sprintf("bgpguard is not allowed to %s, and tries", p))
	}
	for p := range may {
		if !usage.used[p] && unused(p) == "" {
			out = append(out, fmt.Sprintf("bgpguard may %s, and no test needs it", p))
		}
	}
	slices.Sort(out)
	return out
}

// TestMain compares the requests of bgpguard in all tests with config/rbac.
func TestMain(m *testing.M) {
	code := m.Run()
	// Some tests alone do not use every permission.
	if code == 0 && flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == "" {
		for _, problem := range comparePermissions() {
			fmt.Fprintln(os.Stderr, "config/rbac:", problem)
			code = 1
		}
	}
	os.Exit(code)
}
