//go:build system && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"

	"github.com/bgpguard/bgpguard/test/env"
)

const namespace = "bgpguard-system"

// way is a way to install bgpguard.
type way struct {
	name string
	// install installs the image of the manifests as docs/install.md describes.
	install func(t *testing.T, c *cluster)
	// upgrade replaces the image.
	upgrade func(t *testing.T, c *cluster, image string)
	// uninstall removes everything.
	uninstall func(t *testing.T, c *cluster)
}

var ways = []way{
	{
		name: "kustomize",
		install: func(t *testing.T, c *cluster) {
			c.run(t, "apply -k "+c.config("crd"))
			c.run(t, "wait --for=condition=Established crd/bgppolicies.policy.bgpguard.io crd/bgpexceptions.policy.bgpguard.io --timeout=3m")
			c.run(t, "apply -k "+c.config("default"))
		},
		upgrade: func(t *testing.T, c *cluster, image string) {
			manifests := strings.ReplaceAll(c.run(t, "kustomize "+c.config("default")), c.image(t), image)
			c.runWithInput(t, manifests, "apply -f -")
		},
		uninstall: func(t *testing.T, c *cluster) {
			c.run(t, "delete validatingwebhookconfiguration bgpguard")
			c.run(t, "delete -k "+c.config("default")+" --ignore-not-found --wait=false")
			c.run(t, "delete -k "+c.config("crd"))
		},
	},
}

// config returns the path of a directory of config/.
func (c *cluster) config(name string) string { return filepath.Join(c.root, "config", name) }

// image returns the image of the manifests.
func (c *cluster) image(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(c.run(t, "kustomize "+c.config("default"))) {
		if _, image, found := strings.Cut(strings.TrimSpace(line), "image: "); found {
			return image
		}
	}
	t.Fatal("config/default has no image")
	return ""
}

// TestCluster installs bgpguard in each way. The steps are in the order of the life of an installation.
func TestCluster(t *testing.T) {
	c := start(t)
	c.prepare(t)
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			before, err := c.inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.install(t, c)
			t.Run("both replicas become ready, without a restart or a warning", c.becomesReady)
			t.Run("the containers are confined", c.isConfined)
			t.Run("the webhook denies a change and allows another one", c.reviews)
			t.Run("an upgrade loses no request", func(t *testing.T) { c.upgrade(t, w) })
			if i == 0 { // These do not depend on how it was installed.
				t.Run("the pods stay on nodes that are not ready", c.stays)
				t.Run("a drain loses no request", c.drain)
				t.Run("5,000 nodes", c.grow)
				t.Run("a killed replica loses few requests and comes back", c.kill)
				t.Run("the memory is below the request", c.memory)
			}
			t.Run("uninstalling leaves nothing behind", func(t *testing.T) { c.uninstall(t, w, before) })
		})
	}
}

// next returns the name of the image of an upgrade.
func next(image string) string { return image + "-next" }

// prepare makes a cluster in which Calico works: images, CRDs and objects, without bgpguard.
func (c *cluster) prepare(t *testing.T) {
	t.Helper()
	webhook, crds := filepath.Join(c.root, "bin", "webhook"), filepath.Join(c.root, "bin", "crds", string(env.GroupV3))
	if err := errors.Join(env.Need(webhook, "run `make build`"), env.Need(crds, "run `make crds`")); err != nil {
		t.Fatal(err)
	}
	name := c.image(t)
	if err := c.importImages(t.Context(),
		image{name: sandbox, program: c.program("pause"), user: "65532:65532"},
		image{name: qualified(name), program: webhook, user: "65532:65532"},
		image{name: qualified(next(name)), program: webhook, user: "65532:65532"},
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
	c.run(t, "label node "+c.nodes[0].name+" node-role.kubernetes.io/control-plane=")
	// It is the controller manager's, and pods need it.
	eventually(t, func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})

	c.run(t, "apply --server-side -f "+crds)
	c.run(t, "wait --for=condition=Established crd --all --timeout=3m")
	c.create(t, 0, nodesBefore)
	c.runWithInput(t, c.sample(t), "apply -f -")
}

// qualified returns the full name of an image, with the registry that a kubelet adds.
func qualified(image string) string {
	if host, _, found := strings.Cut(image, "/"); found && strings.ContainsAny(host, ".:") {
		return image
	}
	return "docker.io/" + image
}

// sample returns Calico's objects of config/samples. The Nodes are those of c.create.
func (c *cluster) sample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.config("samples"), "cluster.yaml"))
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
	// nodesBefore and nodesAfter are numbers of Nodes without a kubelet. Together with the real ones they are 5,000 in the end.
	nodesBefore = 20
	nodesAfter  = 4998
	reflectors  = 3
	// imagesOfNode is how many images a kubelet reports at most.
	imagesOfNode = 50
	creators     = 16
)

// create creates Nodes that calico-node runs on, and no kubelet that this cluster could schedule pods to.
func (c *cluster) create(t *testing.T, from, to int) {
	t.Helper()
	images := make([]corev1.ContainerImage, imagesOfNode)
	for i := range images {
		name := fmt.Sprintf("registry.example.com/team-%d/service-%d", i%7, i)
		images[i] = corev1.ContainerImage{Names: []string{name + ":v1.0.0", name + "@sha256:" + strings.Repeat("0", 64)}, SizeBytes: 1 << 20}
	}
	problems := make([]error, to-from)
	workqueue.ParallelizeUntil(t.Context(), creators, to-from, func(i int) {
		tweaks := []env.NodeTweak{func(n *corev1.Node) { n.Spec.Unschedulable, n.Status.Images = true, images }}
		if number := from + i; number < reflectors {
			tweaks = append(tweaks, env.RouteReflector("244.0.0.1"))
		}
		_, problems[i] = c.client.CoreV1().Nodes().Create(t.Context(), env.Node(from+i, tweaks...), metav1.CreateOptions{})
	})
	if err := errors.Join(problems...); err != nil {
		t.Fatal(err)
	}
}
