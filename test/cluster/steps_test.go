//go:build system && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// replicas is the number of replicas in the manifests.
const replicas = 2

// pods returns the pods of bgpguard.
func (c *cluster) pods(ctx context.Context) ([]corev1.Pod, error) {
	list, err := c.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=bgpguard"})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// ready returns the pods if all replicas are ready and run an image, and an error otherwise.
func (c *cluster) ready(ctx context.Context, image string) ([]corev1.Pod, error) {
	pods, err := c.pods(ctx)
	if err != nil {
		return nil, err
	}
	if len(pods) != replicas {
		return nil, fmt.Errorf("there are %d pods, want %d", len(pods), replicas)
	}
	for _, pod := range pods {
		ready := slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
			return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
		})
		if !ready || pod.DeletionTimestamp != nil || pod.Spec.Containers[0].Image != image {
			return nil, fmt.Errorf("pod %s with image %s on node %q: ready %t, %s, %+v", pod.Name, pod.Spec.Containers[0].Image,
				pod.Spec.NodeName, ready, pod.Status.Phase, pod.Status.ContainerStatuses)
		}
	}
	return pods, nil
}

// awaitReady waits until all replicas are ready with an image, and the API server calls them.
func (c *cluster) awaitReady(t *testing.T, image string) (pods []corev1.Pod) {
	t.Helper()
	eventually(t, func(ctx context.Context) (err error) {
		pods, err = c.ready(ctx, image)
		return err
	})
	return pods
}

func (c *cluster) becomesReady(t *testing.T, image string) {
	began := time.Now()
	pods := c.awaitReady(t, image)
	t.Logf("ready after %s", time.Since(began).Round(time.Second))
	if pods[0].Spec.NodeName == pods[1].Spec.NodeName {
		t.Errorf("both replicas run on node %s", pods[0].Spec.NodeName)
	}
	for _, pod := range pods {
		if restarts := pod.Status.ContainerStatuses[0].RestartCount; restarts != 0 {
			t.Errorf("pod %s restarted %d times", pod.Name, restarts)
		}
	}
	events, err := c.client.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("type", corev1.EventTypeWarning).String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range events.Items {
		// The kubelet probes before the webhook has read the cluster.
		if event.Reason != "Unhealthy" || !strings.HasPrefix(event.Message, "Readiness probe failed") {
			t.Errorf("warning about %s %s: %s: %s", event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message)
		}
	}
}

func (c *cluster) reviews(t *testing.T) {
	// The replicas write the CA into the configuration.
	eventually(t, func(ctx context.Context) error { return c.write(ctx, 1) })
	result, err := c.kubectl.Run(t.Context(), "apply", "-f", "config/samples/change.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode == 0 || !strings.Contains(result.Stderr, `admission webhook "bgp.bgpguard.io" denied the request: [`) {
		t.Errorf("%s: exit code %d: %s%s", result, result.ExitCode, result.Stdout, result.Stderr)
	}
	t.Log(result.Stderr)
	c.kubectlRun(t, "", "apply", "-f", "config/samples/new-peer.yaml")
	c.kubectlRun(t, "", "delete", "-f", "config/samples/new-peer.yaml")
}

func (c *cluster) upgrade(t *testing.T, w way, image string) {
	l := c.under(t, func() {
		c.do(t, w.upgrade, image)
		c.awaitReady(t, image)
	})
	if len(l.failed) > 0 {
		t.Error(l)
	}
}

// stays checks that Kubernetes evicts no replica from a node that is not ready. No node is ready, because there is no CNI
// plugin. Pods without the toleration are evicted from the same nodes.
func (c *cluster) stays(t *testing.T, image string) {
	before, err := c.ready(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range before {
		if got := seconds(pod.Spec.Tolerations, corev1.TaintNodeNotReady); got != "forever" {
			t.Errorf("pod %s stays on a node that is not ready: %s, want forever", pod.Name, got)
		}
		// A node that cannot be reached may be gone.
		if got := seconds(pod.Spec.Tolerations, corev1.TaintNodeUnreachable); got != "300" {
			t.Errorf("pod %s stays on a node that cannot be reached: %s, want 300 s", pod.Name, got)
		}
	}
	for _, n := range c.nodes {
		c.createControl(t, n.name)
	}
	for _, n := range c.nodes {
		eventually(t, func(ctx context.Context) error {
			pod, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).Get(ctx, controlName(n.name), metav1.GetOptions{})
			if err != nil {
				return err
			}
			if !evicted(*pod) {
				return fmt.Errorf("pod %s was not evicted: %s, %+v", pod.Name, pod.Status.Phase, pod.Status.Conditions)
			}
			return nil
		})
	}
	// The replicas were on the nodes before the other pods: Kubernetes would have evicted them first.
	after, err := c.ready(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range after {
		if !slices.ContainsFunc(before, func(old corev1.Pod) bool { return old.UID == pod.UID }) || evicted(pod) {
			t.Errorf("pod %s is new or was evicted: %+v", pod.Name, pod.Status.Conditions)
		}
	}
}

// finalizer keeps an evicted pod, so that the test can read why it was deleted.
const finalizer = "example.com/observed"

func controlName(node string) string { return "control-" + node }

// createControl creates a pod on a node with the taints of a node that is not ready. The pod tolerates them as bgpguard once
// did: with the effect NoSchedule only. The test deletes it at its end.
func (c *cluster) createControl(t *testing.T, node string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		got, err := c.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, taint := range got.Spec.Taints {
			if taint.Key == corev1.TaintNodeNotReady && taint.Effect == corev1.TaintEffectNoExecute {
				return nil
			}
		}
		return fmt.Errorf("node %s has the taints %+v, none that evicts pods from a node that is not ready", node, got.Spec.Taints)
	})
	pods := c.client.CoreV1().Pods(metav1.NamespaceDefault)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: controlName(node), Finalizers: []string{finalizer}},
		Spec: corev1.PodSpec{
			NodeName: node, HostNetwork: true,
			Containers:  []corev1.Container{{Name: "pause", Image: sandbox}},
			Tolerations: []corev1.Toleration{{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		},
	}
	if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The context of the test has ended. Until the pod is gone, nodes cannot be drained.
		if err := await(context.Background(), func(ctx context.Context) error {
			_, err := pods.Patch(ctx, pod.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
			if err == nil {
				err = pods.Delete(ctx, pod.Name, metav1.DeleteOptions{})
			}
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(err, fmt.Errorf("pod %s still exists", pod.Name))
		}); err != nil {
			t.Error(err)
		}
	})
}

// evicted reports whether Kubernetes deleted a pod because of a taint of its node.
func evicted(pod corev1.Pod) bool {
	return pod.DeletionTimestamp != nil && slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.DisruptionTarget && condition.Status == corev1.ConditionTrue && condition.Reason == "DeletionByTaintManager"
	})
}

// seconds returns how long a pod with tolerations may stay on a node with a taint: a number of seconds, "forever", or
// "not".
func seconds(tolerations []corev1.Toleration, key string) string {
	for _, toleration := range tolerations {
		if toleration.Key != key || toleration.Effect != "" && toleration.Effect != corev1.TaintEffectNoExecute {
			continue
		}
		if toleration.TolerationSeconds == nil {
			return "forever"
		}
		return strconv.FormatInt(*toleration.TolerationSeconds, 10)
	}
	return "not"
}

// drain drains the node of the leader.
func (c *cluster) drain(t *testing.T, image string) {
	node := ""
	eventually(t, func(ctx context.Context) error {
		leases, err := c.client.CoordinationV1().Leases(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		pods, err := c.ready(ctx, image)
		if err != nil {
			return err
		}
		for _, lease := range leases.Items {
			for _, pod := range pods {
				// On the host network, the name of the host is that of the node.
				if holder := lease.Spec.HolderIdentity; holder != nil && (strings.HasPrefix(*holder, pod.Name) || strings.HasPrefix(*holder, pod.Spec.NodeName)) {
					node = pod.Spec.NodeName
					return nil
				}
			}
		}
		return fmt.Errorf("no pod holds a Lease: %+v", leases.Items)
	})
	l := c.under(t, func() {
		c.kubectlRun(t, "", "drain", node, "--delete-emptydir-data", "--timeout=3m")
		pods, err := c.pods(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, pod := range pods {
			if pod.Spec.NodeName == node {
				t.Errorf("pod %s is still on node %s", pod.Name, node)
			}
		}
		c.kubectlRun(t, "", "uncordon", node)
		c.awaitReady(t, image)
	})
	if len(l.failed) > 0 {
		t.Error(l)
	}
}

// mostLost is how many writes may fail after a replica was killed, until its node reports it, the Service drops it and
// kube-proxy no longer uses it: half of the writes of five seconds.
const mostLost = 5 * writesPerSecond / 2

// kill kills the process of a replica. Writes fail that the API server sends to it, until its node has reported it.
func (c *cluster) kill(t *testing.T, image string) {
	pods := c.awaitReady(t, image)
	killed := pods[0]
	restarts := killed.Status.ContainerStatuses[0].RestartCount
	container, err := find(killed)
	if err != nil {
		t.Fatal(err)
	}
	l := c.under(t, func() {
		if err := syscall.Kill(container.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, func(ctx context.Context) error {
			pods, err := c.ready(ctx, image)
			if err != nil {
				return err
			}
			for _, pod := range pods {
				if pod.Name == killed.Name && pod.Status.ContainerStatuses[0].RestartCount > restarts {
					return nil
				}
			}
			return fmt.Errorf("pod %s did not restart", killed.Name)
		})
	})
	if len(l.failed) > mostLost {
		t.Errorf("at most %d writes may fail: %s", mostLost, l)
	}
	if l := c.under(t, func() { time.Sleep(3 * time.Second) }); len(l.failed) > 0 {
		t.Errorf("after the replica is ready again: %s", l)
	}
}

// memory compares the memory of the containers since their start with their request.
func (c *cluster) memory(t *testing.T, image string) {
	// The evaluation of a change needs memory, too. The API server calls any replica.
	for turn := range 8 * replicas {
		eventually(t, func(ctx context.Context) error { return c.write(ctx, turn) })
	}
	pods, err := c.ready(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		container, err := find(pod)
		if err != nil {
			t.Fatal(err)
		}
		peak, err := container.peak()
		if err != nil {
			t.Fatal(err)
		}
		request := pod.Spec.Containers[0].Resources.Requests.Memory()
		t.Logf("pod %s on node %s: %.1f MiB at most, request %s", pod.Name, pod.Spec.NodeName, float64(peak)/(1<<20), request)
		if peak >= request.Value() {
			t.Errorf("pod %s has used %d bytes, more than its request of %s", pod.Name, peak, request)
		}
	}
}

func (c *cluster) uninstall(t *testing.T, w way, before map[string]bool) {
	c.do(t, w.uninstall, "")
	eventually(t, func(context.Context) error {
		after, err := c.inventory(t.Context())
		if err != nil {
			return err
		}
		var left []string
		for object := range after {
			if !before[object] {
				left = append(left, object)
			}
		}
		if len(left) == 0 {
			return nil
		}
		slices.Sort(left)
		return fmt.Errorf("left over:\n%s", strings.Join(left, "\n"))
	})
	eventually(t, func(context.Context) error { return nothingRuns() })
	if err := c.patch(t.Context(), "bgpconfigurations/default", `{"metadata":{"annotations":{"example.com/uninstalled":"true"}}}`); err != nil {
		t.Error(err)
	}
}

// inventory returns the objects of the cluster, as KIND NAMESPACE/NAME, without Nodes and without what Kubernetes writes
// about its own work.
func (c *cluster) inventory(ctx context.Context) (map[string]bool, error) {
	lists, err := c.client.Discovery().ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || slices.Contains([]string{"Event", "Lease", "Node", "CSINode"}, resource.Kind) {
				continue
			}
			objects, err := c.objects.Resource(version.WithResource(resource.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue // Its kind is being removed.
			}
			if err != nil {
				return nil, err
			}
			for _, object := range objects.Items {
				all[fmt.Sprintf("%s %s/%s", resource.Kind, object.GetNamespace(), object.GetName())] = true
			}
		}
	}
	return all, nil
}
