//go:build system

package chart

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/test/env"
	"github.com/bgpguard/bgpguard/test/tool"
)

const meshOff = `apiVersion: crd.projectcalico.org/v1
kind: BGPConfiguration
metadata: {name: default}
spec: {asNumber: 64512, nodeToNodeMeshEnabled: false}
`

// cluster is an API server without a kubelet: the test writes the status of the Deployment, and the webhook runs as a
// process.
type cluster struct {
	*env.Environment
	t    *testing.T
	helm string
}

// helmRun runs helm as an administrator, and returns what it printed.
func (c *cluster) helmRun(args ...string) (string, error) {
	c.t.Helper()
	command := exec.CommandContext(c.t.Context(), c.helm, append(args, "--namespace", Namespace)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+c.Admin.Kubeconfig, "HELM_CACHE_HOME="+c.Dir, "HELM_CONFIG_HOME="+c.Dir, "HELM_DATA_HOME="+c.Dir)
	out, err := command.CombinedOutput()
	return string(out), err
}

// mustHelm fails the test if helm fails.
func (c *cluster) mustHelm(args ...string) string {
	c.t.Helper()
	out, err := c.helmRun(args...)
	if err != nil {
		c.t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// packaged packages the chart with a version, and with a registration that calls the webhook of the test.
func (c *cluster) packaged(version string) string {
	c.t.Helper()
	dir := filepath.Join(c.t.TempDir(), "bgpguard")
	if err := os.CopyFS(dir, os.DirFS(Folder)); err != nil {
		c.t.Fatal(err)
	}
	file := filepath.Join(dir, "manifests", "webhook.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	pointed, err := env.PointAt(string(text), c.WebhookPort)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(pointed), 0o600); err != nil {
		c.t.Fatal(err)
	}
	out := c.t.TempDir()
	c.mustHelm("package", dir, "--version", version, "--app-version", version, "--destination", out)
	return filepath.Join(out, "bgpguard-"+version+".tgz")
}

// registration returns the UID and the CA bundle of the registration, "" and "" if there is none.
func (c *cluster) registration() (uid, bundle string) {
	c.t.Helper()
	is, err := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(c.t.Context(), "bgpguard", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", ""
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return string(is.UID), string(is.Webhooks[0].ClientConfig.CABundle)
}

// image returns the image of the Deployment.
func (c *cluster) image() string {
	c.t.Helper()
	d, err := c.Client.AppsV1().Deployments(Namespace).Get(c.t.Context(), "bgpguard", metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return d.Spec.Template.Spec.Containers[0].Image
}

// meshOff returns what kubectl answers to a change that leaves the nodes without routes.
func (c *cluster) meshOff() env.Result {
	c.t.Helper()
	result, err := c.Admin.RunWithInput(c.t.Context(), meshOff, "apply", "-f", "-", "--dry-run=server")
	if err != nil {
		c.t.Fatal(err)
	}
	return result
}

func (c *cluster) mustDeny() {
	c.t.Helper()
	if result := c.meshOff(); !strings.Contains(result.Stderr, "denied the request") {
		c.t.Errorf("the change is not denied: exit code %d: %s%s", result.ExitCode, result.Stdout, result.Stderr)
	}
}

func (c *cluster) mustAllow() {
	c.t.Helper()
	if err := c.meshOff().Err(); err != nil {
		c.t.Error(err)
	}
}

func TestReleaseOnAnAPIServer(t *testing.T) {
	helm, err := tool.Path("helm")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Environment: env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV1}}), t: t, helm: helm}
	if err := c.CreateNodes(t.Context(), env.Nodes(3)); err != nil {
		t.Fatal(err)
	}
	older, newer := c.packaged("0.0.9"), c.packaged("0.1.0")

	// An image that does not start: no pod becomes ready, and the install fails.
	if out, err := c.helmRun("install", "bgpguard", older, "--create-namespace", "--set", "image.tag=missing", "--wait", "--timeout", "5s"); err == nil {
		t.Errorf("the install succeeds without pods:\n%s", out)
	}
	if uid, _ := c.registration(); uid != "" {
		t.Error("the webhook is registered before a replica is ready")
	}
	c.mustAllow()

	// Another attempt with the right image, still without pods. Without a value, Helm keeps that of the attempt before.
	if out := c.mustHelm("upgrade", "--install", "bgpguard", older, "--set", "image.tag=v0.0.9"); !strings.Contains(out, "NOT GUARDED YET") {
		t.Errorf("the notes are\n%s", out)
	}
	if uid, _ := c.registration(); uid != "" {
		t.Error("the webhook is registered before a replica is ready")
	}
	c.mustAllow()

	// The pods are ready: the same command, here for revision 3, registers the webhook.
	if err := c.MarkReady(t.Context(), Namespace, "bgpguard"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartWebhook(t.Context(), env.WebhookOptions{}); err != nil {
		t.Fatal(err)
	}
	if out := c.mustHelm("upgrade", "--install", "bgpguard", older, "--wait", "--timeout", "1m"); strings.Contains(out, "NOT GUARDED YET") {
		t.Errorf("the notes are\n%s", out)
	}
	uid, bundle := c.awaitBundle()
	c.mustDeny()

	// An upgrade changes the image and the policies, and keeps the registration with its CA.
	c.mustHelm("upgrade", "bgpguard", newer, "--set", "policies.mesh-node-limit.parameters.maxNodes=7")
	if got := c.image(); got != "bgpguard/webhook:v0.1.0" {
		t.Errorf("the image is %s", got)
	}
	c.mustKeep("upgrade", uid, bundle)
	c.mustPrint("7", "get", "bgppolicy", "mesh-node-limit", "-o", "jsonpath={.spec.parameters.maxNodes}")

	// An upgrade to an image that does not start, and the way back.
	c.mustHelm("upgrade", "bgpguard", newer, "--reuse-values", "--set", "image.tag=missing")
	c.mustKeep("upgrade to a missing image", uid, bundle)
	c.mustHelm("rollback", "bgpguard")
	if got := c.image(); got != "bgpguard/webhook:v0.1.0" {
		t.Errorf("the image is %s", got)
	}
	c.mustKeep("rollback", uid, bundle)
	c.mustPrint("7", "get", "bgppolicy", "mesh-node-limit", "-o", "jsonpath={.spec.parameters.maxNodes}")

	// Back to the older version, as it was registered.
	c.mustHelm("rollback", "bgpguard", "3")
	if got := c.image(); got != "bgpguard/webhook:v0.0.9" {
		t.Errorf("the image is %s", got)
	}
	c.mustKeep("rollback to the older version", uid, bundle)

	// Back to before the registration, and forward again.
	c.mustHelm("rollback", "bgpguard", "2")
	if uid, _ := c.registration(); uid != "" {
		t.Errorf("after a rollback to before the registration, it is %q", uid)
	}
	c.mustAllow()
	c.mustHelm("upgrade", "bgpguard", newer)
	c.awaitBundle()
	c.mustDeny()

	// A change of the kinds comes by kubectl, because Helm does not upgrade crds/.
	c.mustPrint("", "apply", "--server-side", "--force-conflicts", "-f", filepath.Join(Folder, "crds"), "-o", "jsonpath={''}")

	c.uninstall()
}

// `make install` waits for the pods before it registers the webhook.
func TestMakeInstall(t *testing.T) {
	c := &cluster{Environment: env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV1}}), t: t}
	done := make(chan error, 1)
	go func() {
		command := exec.CommandContext(t.Context(), "make", "install", "IMAGE=registry.example.com/bgpguard/webhook:v9")
		command.Dir = "../.."
		command.Env = append(os.Environ(), "KUBECONFIG="+c.Admin.Kubeconfig, "PATH="+filepath.Dir(c.Admin.Path)+":"+os.Getenv("PATH"), "KUBERC=off", "KUBECACHEDIR="+t.TempDir())
		out, err := command.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		done <- err
	}()
	for {
		select {
		case err := <-done:
			t.Fatalf("make install ends before the pods are ready: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		if uid, _ := c.registration(); uid != "" {
			t.Fatal("the webhook is registered before the pods are ready")
		}
		err := c.MarkReady(t.Context(), Namespace, "bgpguard")
		if err == nil {
			break
		}
		if !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := c.image(); got != "registry.example.com/bgpguard/webhook:v9" {
		t.Errorf("the image is %s", got)
	}
	if uid, _ := c.registration(); uid == "" {
		t.Error("the webhook is not registered")
	}
	c.mustPrint("mesh-node-limit", "get", "bgppolicy", "mesh-node-limit", "-o", "jsonpath={.metadata.name}")
}

// awaitBundle waits until bgpguard has written its CA into the registration.
func (c *cluster) awaitBundle() (uid, bundle string) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if uid, bundle = c.registration(); bundle != "" {
			return uid, bundle
		}
	}
	c.t.Fatalf("the registration %q has no CA bundle after a minute", uid)
	return "", ""
}

// mustKeep fails the test if a step has replaced the registration or lost its CA.
func (c *cluster) mustKeep(step, uid, bundle string) {
	c.t.Helper()
	if gotUID, gotBundle := c.registration(); gotUID != uid || gotBundle != bundle {
		c.t.Errorf("%s: the registration is %q with a CA of %d bytes, was %q with %d bytes", step, gotUID, len(gotBundle), uid, len(bundle))
	}
	c.mustDeny()
}

func (c *cluster) mustPrint(want string, args ...string) {
	c.t.Helper()
	result, err := c.Admin.Run(c.t.Context(), args...)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := strings.TrimSpace(result.Stdout); result.ExitCode != 0 || got != want {
		c.t.Errorf("%s prints %q and %q, want %q", result, got, result.Stderr, want)
	}
}

// uninstall removes the release, and checks that the registration ends before the Deployment, and that nothing stays but
// the kinds and the namespace.
func (c *cluster) uninstall() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	watch, err := c.Client.AppsV1().Deployments(Namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer watch.Stop()
	atDeletion := make(chan string, 1)
	go func() {
		for event := range watch.ResultChan() {
			if event.Type == "DELETED" {
				uid, _ := c.registration()
				atDeletion <- uid
				return
			}
		}
		atDeletion <- "the Deployment was not deleted"
	}()
	c.mustHelm("uninstall", "bgpguard", "--wait=hookOnly")
	if uid := <-atDeletion; uid != "" {
		c.t.Errorf("when the Deployment is deleted, the registration is %q", uid)
	}
	c.mustAllow()
	for _, kinds := range []string{
		"bgppolicies,clusterroles,clusterrolebindings,validatingwebhookconfigurations", "serviceaccounts,deployments,services,secrets,roles,rolebindings,poddisruptionbudgets",
	} {
		result, err := c.Admin.Run(c.t.Context(), "get", kinds, "--all-namespaces", "-o", "json", "-l", "app.kubernetes.io/part-of=bgpguard")
		if err != nil {
			c.t.Fatal(err)
		}
		var left metav1.PartialObjectMetadataList
		if err := json.Unmarshal([]byte(result.Stdout), &left); err != nil {
			c.t.Fatalf("%v: %s%s", err, result.Stdout, result.Stderr)
		}
		for _, object := range left.Items {
			c.t.Errorf("%s %s/%s is left", object.Kind, object.Namespace, object.Name)
		}
	}
}
