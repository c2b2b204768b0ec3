//go:build system && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"

	"github.com/bgpguard/bgpguard/test/env"
)

const namespace = "bgpguard-system"

// way is a way to install bgpguard: the command lines of docs/install.md, with IMAGE and TAG for an image.
type way struct {
	name string
	// start starts the pods, and register registers the webhook when they are ready.
	start, register []string
	upgrade         []string
	uninstall       []string
}

var ways = []way{
	{
		name: "kustomize",
		start: []string{
			"kubectl apply -k config/crd",
			"kubectl wait --for=condition=Established --timeout=3m crd/bgppolicies.policy.bgpguard.io crd/bgpexceptions.policy.bgpguard.io",
			"kubectl apply -k config/start",
		},
		register: []string{"kubectl apply -k config/default"},
		upgrade:  []string{"kubectl --namespace=" + namespace + " set image deployment/bgpguard webhook=IMAGE"},
		uninstall: []string{
			"kubectl delete validatingwebhookconfiguration bgpguard",
			"kubectl delete -k config/default --ignore-not-found --wait=false",
			"kubectl delete -k config/crd",
		},
	},
	{
		name:     "helm",
		start:    []string{"helm upgrade --install bgpguard charts/bgpguard --namespace " + namespace + " --create-namespace"},
		register: []string{"helm upgrade bgpguard charts/bgpguard --namespace " + namespace + " --reuse-values"},
		upgrade:  []string{"helm upgrade bgpguard charts/bgpguard --namespace " + namespace + " --reuse-values --set image.tag=TAG"},
		uninstall: []string{
			"helm uninstall bgpguard --namespace " + namespace,
			"kubectl delete -f charts/bgpguard/crds",
			"kubectl delete namespace " + namespace,
		},
	},
}

// do runs command lines.
func (c *cluster) do(t *testing.T, lines []string, image string) {
	t.Helper()
	for _, line := range lines {
		c.run(t, line, image)
	}
}

// image returns the image of the manifests.
func (c *cluster) image(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(c.kubectlRun(t, "", "kustomize", "config/default")) {
		if _, image, found := strings.Cut(strings.TrimSpace(line), "image: "); found {
			return image
		}
	}
	t.Fatal("config/default has no image")
	return ""
}

// next returns the image of an upgrade.
func next(image string) string { return image + "-next" }

// TestCluster installs bgpguard in each way. The steps are in the order of the life of an installation.
func TestCluster(t *testing.T) {
	c := start(t)
	t.Chdir(c.root)
	image := c.image(t)
	c.prepare(t, image)
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			before, err := c.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.do(t, w.start, image)
			t.Run("both replicas become ready, without a restart or a warning", func(t *testing.T) { c.becomesReady(t, image) })
			t.Run("the containers are confined", func(t *testing.T) { c.isConfined(t, image) })
			c.do(t, w.register, image)
			t.Run("the webhook denies a change and allows another one", c.reviews)
			t.Run("an upgrade loses no request", func(t *testing.T) { c.upgrade(t, w, next(image)) })
			if i == 0 { // These do not depend on how it was installed.
				t.Run("the pods stay on nodes that are not ready", func(t *testing.T) { c.stays(t, next(image)) })
				t.Run("a drain loses no request", func(t *testing.T) { c.drain(t, next(image)) })
				t.Run("a killed replica loses few requests and comes back", func(t *testing.T) { c.kill(t, next(image)) })
			}
			t.Run("uninstalling leaves nothing behind", func(t *testing.T) { c.uninstall(t, w, before) })
		})
	}
	t.Run("the memory is below the request at 5,000 nodes", func(t *testing.T) {
		// Nothing reviews them now: bgpguard would review one after the other.
		c.createNodes(t, fewNodes, nodesInAll-len(nodes))
		c.do(t, ways[0].start, image)
		c.awaitReady(t, image)
		c.do(t, ways[0].register, image)
		c.memory(t, image)
	})
}

// prepare makes a cluster in which Calico works: images, CRDs and objects, without bgpguard.
func (c *cluster) prepare(t *testing.T, image string) {
	t.Helper()
	if err := errors.Join(
		c.importImage(t.Context(), sandbox, "test/cluster/pause/Dockerfile", "pause", "bin/cluster"),
		c.importImage(t.Context(), image, "Dockerfile", "webhook", "bin"),
		c.importImage(t.Context(), next(image), "Dockerfile", "webhook", "bin"),
	); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		eventually(t, func(ctx context.Context) error {
			_, err := c.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
			return err
		})
	}
	// A kubelet may not set this label.
	c.kubectlRun(t, "", "label", "node", c.nodes[0].name, "node-role.kubernetes.io/control-plane=")
	// It is the controller manager's, and pods need it.
	eventually(t, func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})

	c.kubectlRun(t, "", "apply", "--server-side", "-f", "bin/crds/"+string(env.GroupV3))
	c.kubectlRun(t, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=3m")
	c.createNodes(t, 0, fewNodes)
	c.kubectlRun(t, sample(t), "apply", "-f", "-")
}

// sample returns Calico's objects of config/samples. The Nodes are those of c.create.
func sample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("config/samples/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		if !strings.Contains(document, "kind: Node\n") {
			kept = append(kept, document)
		}
	}
	return strings.Join(kept, "\n---\n")
}

const (
	// fewNodes is the number of Nodes without a kubelet in all tests but that of memory, in which there are nodesInAll with the
	// real ones.
	fewNodes   = 20
	nodesInAll = 5000
	reflectors = 3
	// imagesOfNode is how many images a kubelet reports at most.
	imagesOfNode = 50
	creators     = 16
)

// createNodes creates Nodes that calico-node runs on, and no kubelet that the scheduler could give pods to.
func (c *cluster) createNodes(t *testing.T, from, to int) {
	t.Helper()
	images := make([]corev1.ContainerImage, imagesOfNode)
	for i := range images {
		name := fmt.Sprintf("registry.example.com/team-%d/service-%d", i%7, i)
		images[i] = corev1.ContainerImage{Names: []string{name + ":v1.0.0", name + "@sha256:" + strings.Repeat("0", 64)}, SizeBytes: 1 << 20}
	}
	problems := make([]error, to-from)
	workqueue.ParallelizeUntil(t.Context(), creators, len(problems), func(i int) {
		node := env.Node(from+i, func(n *corev1.Node) { n.Spec.Unschedulable, n.Status.Images = true, images })
		if from+i < reflectors {
			env.RouteReflector("244.0.0.1")(node)
		}
		_, problems[i] = c.client.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	})
	if err := errors.Join(problems...); err != nil {
		t.Fatal(err)
	}
}
