//go:build system

package env

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestControlPlaneServesCalicoObjects(t *testing.T) {
	tests := map[Group]struct{ spec, stored string }{
		GroupV1: {
			spec:   `{nodeSelector: all(), peerSelector: role == 'reflector', maxRestartTime: 2m}`,
			stored: `{"maxRestartTime":"2m","nodeSelector":"all()","peerSelector":"role == 'reflector'"}`,
		},
		GroupV3: {
			spec:   `{nodeSelector: all(), peerSelector: role == 'reflector', keepaliveTime: 40s}`,
			stored: `{"keepaliveTime":"40s","nodeSelector":"all()","peerSelector":"role == 'reflector'"}`,
		},
	}
	for group, test := range tests {
		t.Run(string(group), func(t *testing.T) {
			e := StartForTest(t, Options{Groups: []Group{group}})

			if err := e.CreateNodes(t.Context(), Nodes(10, ASNumber(64512))); err != nil {
				t.Fatal(err)
			}
			nodes, err := e.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "rack=rack-000"})
			if err != nil {
				t.Fatal(err)
			}
			if len(nodes.Items) != 10 {
				t.Errorf("got %d nodes, want 10", len(nodes.Items))
			}

			peer := fmt.Sprintf("{apiVersion: %s, kind: BGPPeer, metadata: {name: to-reflectors}, spec: %s}",
				group.APIVersion(), test.spec)
			apiGroup, _, _ := strings.Cut(group.APIVersion(), "/")
			expect(t, kubectl(t, e.Admin, peer, "apply", "-f", "-"),
				Result{Stdout: fmt.Sprintf("bgppeer.%s/to-reflectors created\n", apiGroup)})
			expect(t, kubectl(t, e.Admin, "", "get", "bgppeer", "to-reflectors", "-o", "jsonpath={.spec}"),
				Result{Stdout: test.stored})

			log, err := os.ReadFile(e.AuditLog)
			if err != nil {
				t.Fatal(err)
			}
			if name := `"name":"to-reflectors"`; !strings.Contains(string(log), name) {
				t.Errorf("the audit log does not hold %s:\n%s", name, log)
			}
		})
	}
}

func TestOnlyRBACGivesPermissions(t *testing.T) {
	e := StartForTest(t, Options{Groups: []Group{GroupV1}})
	if _, err := e.ApplyKustomization(t.Context(), "test/env/testdata/kustomization"); err != nil {
		t.Fatal(err)
	}
	user, err := e.UserKubeconfig("jane", "network-team")
	if err != nil {
		t.Fatal(err)
	}
	account, err := e.ServiceAccountKubeconfig(t.Context(), "bgpguard-system", "bgpguard")
	if err != nil {
		t.Fatal(err)
	}

	const refusal = `Error from server (Forbidden): bgppeers.crd.projectcalico.org is forbidden: ` +
		`User %q cannot list resource "bgppeers" in API group "crd.projectcalico.org" at the cluster scope` + "\n"
	list := []string{"get", "bgppeers"}
	for owner, kubeconfig := range map[string]string{
		"jane": user,
		"system:serviceaccount:bgpguard-system:bgpguard": account,
	} {
		t.Run(owner, func(t *testing.T) {
			expect(t, kubectl(t, e.As(kubeconfig), "", list...), Result{Stderr: fmt.Sprintf(refusal, owner), ExitCode: 1})
		})
	}

	for _, args := range [][]string{
		{"create", "clusterrole", "peer-reader", "--verb=list", "--resource=bgppeers.crd.projectcalico.org"},
		{"create", "clusterrolebinding", "team", "--clusterrole=peer-reader", "--group=network-team"},
		{"create", "clusterrolebinding", "account", "--clusterrole=peer-reader", "--serviceaccount=bgpguard-system:bgpguard"},
	} {
		if err := kubectl(t, e.Admin, "", args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, kubeconfig := range []string{user, account} {
		expect(t, kubectl(t, e.As(kubeconfig), "", list...), Result{Stderr: "No resources found\n"})
	}
}

func TestStopLeavesNothingBehind(t *testing.T) {
	e, err := Start(t.Context(), Options{Groups: []Group{GroupV1}})
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{
		e.plane.ControlPlane.APIServer.HostPort(),
		e.plane.ControlPlane.Etcd.URL.Host,
	}
	for range 2 {
		if err := e.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	for _, address := range addresses {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			t.Errorf("something still listens on %s", address)
		}
	}
	if _, err := os.Stat(e.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", e.Dir, err)
	}
}

// kubectl runs kubectl. It fails the test only if kubectl does not run.
func kubectl(t *testing.T, k Kubectl, input string, args ...string) Result {
	t.Helper()
	result, err := k.RunWithInput(t.Context(), input, args...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// expect compares the whole output of kubectl.
func expect(t *testing.T, got, want Result) {
	t.Helper()
	if got.Stdout != want.Stdout || got.Stderr != want.Stderr || got.ExitCode != want.ExitCode {
		t.Errorf("%s\n got: %d %q %q\nwant: %d %q %q", got,
			got.ExitCode, got.Stdout, got.Stderr, want.ExitCode, want.Stdout, want.Stderr)
	}
}
