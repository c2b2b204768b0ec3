package main

import (
	"context"
	"fmt"
	"runtime"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"github.com/bgpguard/bgpguard/test/env"
)

// form is a way in which a BGPPeer selects one node.
type form struct {
	name string
	spec func(node string) map[string]any
}

// forms are measured in this order.
var forms = []form{
	{"node", func(node string) map[string]any { return map[string]any{"node": node} }},
	{"nodeSelector", func(node string) map[string]any {
		return map[string]any{"nodeSelector": fmt.Sprintf("kubernetes.io/hostname == '%s'", node)}
	}},
}

// perNodeChanges are the changes that are measured in a cluster with a BGPPeer for each node.
var perNodeChanges = []string{
	"label of a Node that nobody reads", "rack of a Node", "BGPPeer create", "BGPPeer update", "BGPPeer delete", timerDenied, deleteDenied,
}

func perNodeSubject(f form, change string) string {
	return fmt.Sprintf("a BGPPeer per node by %s: %s", f.name, change)
}

func perNodeSubjects() []string {
	var subjects []string
	for _, f := range forms {
		for _, change := range perNodeChanges {
			subjects = append(subjects, perNodeSubject(f, change))
		}
	}
	return subjects
}

// measurePerNode measures with a BGPPeer for each of largeNodes nodes, to a router of its own, in each form.
func (b *bench) measurePerNode(ctx context.Context) error {
	config := rest.CopyConfig(b.Config)
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	peers := client.Resource(schema.GroupVersionResource{Group: "crd.projectcalico.org", Version: "v1", Resource: "bgppeers"})
	for _, f := range forms {
		say("%d nodes: a BGPPeer for each by %s", largeNodes, f.name)
		if err := b.stopWebhook(ctx); err != nil {
			return err
		}
		if err := createPeers(ctx, peers, f); err != nil {
			return err
		}
		if err := b.measureForm(ctx, f); err != nil {
			return err
		}
		if err := b.stopWebhook(ctx); err != nil {
			return err
		}
		if err := peers.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: perNodeLabel}); err != nil {
			return err
		}
	}
	return nil
}

// perNodeLabel is on the BGPPeers for single nodes.
const perNodeLabel = "per-node"

// peerOfNode returns the BGPPeer of a node, to the router with the same number.
func peerOfNode(f form, number int) *unstructured.Unstructured {
	node := env.Node(number).Name
	spec := f.spec(node)
	spec["peerIP"], spec["asNumber"] = fmt.Sprintf("10.128.%d.%d", number/250, number%250+1), int64(64700)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": env.GroupV1.APIVersion(), "kind": "BGPPeer",
		"metadata": map[string]any{"name": "router-of-" + node, "labels": map[string]any{perNodeLabel: "true"}}, "spec": spec,
	}}
}

func createPeers(ctx context.Context, peers dynamic.ResourceInterface, f form) error {
	problems := make([]error, largeNodes)
	workqueue.ParallelizeUntil(ctx, 16, largeNodes, func(i int) {
		_, problems[i] = peers.Create(ctx, peerOfNode(f, i), metav1.CreateOptions{})
	})
	for _, err := range problems {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (b *bench) measureForm(ctx context.Context, f form) error {
	if _, err := b.restart(ctx); err != nil {
		return err
	}
	questions, err := perNodeQuestions(ctx, b.Environment, f)
	if err != nil {
		return err
	}
	runtime.GC()
	for _, q := range questions {
		var timings []timing
		for range b.repetitions {
			t, err := b.guard.measure(ctx, q, 1, b.duration)
			if err != nil {
				return err
			}
			timings = append(timings, t)
		}
		b.results.add(q.name, p50Milliseconds, largeNodes, medianOf(timings, func(t timing) float64 { return t.p50.Seconds() * 1000 }))
		used, err := cpuOf(ctx, b.options, b.webhook.Process, b.guard, []question{q})
		if err != nil {
			return err
		}
		b.results.add(q.name, cpuMilliseconds, largeNodes, used.Seconds()*1000)
	}
	memory, err := b.webhook.Memory()
	if err != nil {
		return err
	}
	b.results.add("a BGPPeer per node by "+f.name, residentMiB, largeNodes, float64(memory.Resident)/1024)
	return nil
}

// perNodeQuestions returns the questions about perNodeChanges, as dry runs.
func perNodeQuestions(ctx context.Context, e *env.Environment, f form) ([]question, error) {
	node, err := read(ctx, e, "/api/v1/nodes/"+env.Node(reflectors).Name)
	if err != nil {
		return nil, err
	}
	own, err := readCalico(ctx, e, "bgppeers", peerOfNode(f, reflectors).GetName())
	if err != nil {
		return nil, err
	}
	shared, err := readCalico(ctx, e, "bgppeers", rackPeer(0))
	if err != nil {
		return nil, err
	}
	create := func(o *unstructured.Unstructured) error {
		o.Object = peerOfNode(f, reflectors).Object
		o.SetName("second-router")
		return unstructured.SetNestedField(o.Object, "10.160.0.1", "spec", "peerIP")
	}
	changes := []change{
		{operation: admissionv1.Update, resource: "nodes", live: node, edit: label("example.com/owner")},
		{operation: admissionv1.Update, resource: "nodes", live: node, edit: numbered(func(o *unstructured.Unstructured) error {
			return unstructured.SetNestedField(o.Object, rack(0), "metadata", "labels", "rack")
		})},
		{operation: admissionv1.Create, resource: "bgppeers", edit: numbered(create)},
		{operation: admissionv1.Update, resource: "bgppeers", live: own, edit: numbered(spec("keepOriginalNextHop", true))},
		{operation: admissionv1.Delete, resource: "bgppeers", live: own},
		{operation: admissionv1.Update, resource: "bgppeers", live: shared, edit: numbered(spec("maxRestartTime", "300s")), denied: true},
		{operation: admissionv1.Delete, resource: "bgppeers", live: shared, denied: true},
	}
	questions := make([]question, len(changes))
	for i, c := range changes {
		c.name, c.dryRun = perNodeSubject(f, perNodeChanges[i]), true
		if questions[i], err = c.question(); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return questions, nil
}
