//go:build system

// Package soak sends many requests to a webhook in a large cluster whose Nodes change all the time, and checks that no
// request fails, and that memory and goroutines do not grow.
//
// A client sends its next request after the answer to the last one, so that a busy machine gets fewer requests than
// were asked for, and not more at the same time. The log has the rates. A change that was not evaluated in time is an
// error only if the machine kept up with them. Every other wrong answer is an error on any machine. The webhook sets its
// limits as in a container with -memory, which its resident memory must not exceed.
package soak

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/bgpguard/bgpguard/test/env"
)

var (
	duration = flag.Duration("duration", 5*time.Minute, "time of the load")
	nodes    = flag.Int("nodes", 5000, "number of Nodes")
	requests = flag.Int("requests", 200, "reviews a second")
	changes  = flag.Int("changes", 100, "changes of labels of Nodes a second")
	bgppeers = flag.Int("bgppeers", 0, "number of further BGPPeers, each for an external peer of one Node")
	memory   = flag.Int("memory", 256, "memory limit of the container, in MiB")
)

const (
	clients  = 8
	variants = 100 // of the allowed change
	// samples is how many times memory and goroutines are read.
	samples = 20
	// growth is how much the second half of a run may exceed the first one, in percent.
	growth = 25
	// kept is the share of the requests, in percent, from which on a machine has kept up.
	kept = 90
)

// soak is a cluster under load.
type soak struct {
	*env.Environment
	webhook *env.Webhook
	token   string
	nodes   kubernetes.Interface
	denied  []byte
	allowed [][]byte

	mu     sync.Mutex
	took   []time.Duration
	errors []error
	// late are the answers that the evaluation took too long.
	late []error

	changed, unchanged atomic.Int64
}

func TestSoak(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), *duration)
	defer cancel()
	var wg sync.WaitGroup
	reviews, labels := rate.NewLimiter(rate.Limit(*requests), clients), rate.NewLimiter(rate.Limit(*changes), clients)
	for client := range clients {
		wg.Go(func() { s.review(ctx, t.Context(), client, reviews) })
		wg.Go(func() { s.label(ctx, t.Context(), client, labels) })
	}
	began := time.Now()
	before, err := s.webhook.CPU()
	if err != nil {
		t.Fatal(err)
	}
	var residents, goroutines []int
	for range samples {
		time.Sleep(*duration / (samples + 1))
		used, err := s.webhook.Memory()
		if err != nil {
			t.Fatal(err)
		}
		running, err := s.webhook.Metric(t.Context(), s.token, "go_goroutines ")
		if err != nil {
			t.Fatal(err)
		}
		residents, goroutines = append(residents, used.Resident>>10), append(goroutines, int(running))
	}
	wg.Wait()
	took := time.Since(began)
	after, err := s.webhook.CPU()
	if err != nil {
		t.Fatal(err)
	}
	used := after - before
	most, err := s.webhook.Memory()
	if err != nil {
		t.Fatal(err)
	}

	rate := func(n int) string { return fmt.Sprintf("%.0f/s", float64(n)/took.Seconds()) }
	changed, first := int(s.changed.Load()), s.took[:len(s.took)/2]
	t.Logf("%d reviews (%s, asked for %d/s), %d of them failed; p50 %s, p99 %s in the first half and %s in the second, max %s",
		len(s.took), rate(len(s.took)), *requests, len(s.errors), percentile(s.took, 50), percentile(first, 99), percentile(s.took[len(first):], 99), percentile(s.took, 100))
	peak := most.Peak >> 10
	t.Logf("%d changes of labels (%s, asked for %d/s); CPU time of the webhook %s, %s for each review and change; RSS in MiB %v, at most %d of %d; goroutines %v",
		changed, rate(changed), *changes, used.Round(time.Millisecond), (used / time.Duration(max(1, len(s.took)+changed))).Round(time.Microsecond), residents, peak, *memory, goroutines)
	if peak > *memory {
		t.Errorf("the resident memory was %d MiB, more than the limit of %d MiB", peak, *memory)
	}
	if len(s.errors) > 0 {
		t.Errorf("%d reviews failed, the first: %v", len(s.errors), s.errors[0])
	}
	if n := s.unchanged.Load(); n > 0 {
		t.Errorf("%d changes of labels failed", n)
	}
	log, err := os.ReadFile(s.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	unjudged := strings.Count(string(log), "failed-open.validating.webhook.admission.k8s.io")
	enough := func(n, asked int) bool { return float64(n) >= float64(asked)*took.Seconds()*kept/100 }
	switch late := len(s.late); {
	case late+unjudged == 0:
	case enough(len(s.took), *requests) && enough(changed, *changes):
		t.Errorf("%d reviews and %d changes of Nodes were not evaluated in time", late, unjudged)
	default:
		t.Logf("%d reviews and %d changes of Nodes were not evaluated in time, on a machine that did not keep up", late, unjudged)
	}
	if len(s.took) == len(s.late) || changed == 0 {
		t.Error("no review was answered, or no label was changed")
	}
	for name, values := range map[string][]int{"memory in MiB": residents, "goroutines": goroutines} {
		first, second := slices.Max(values[:samples/2]), slices.Max(values[samples/2:])
		if second > first+first*growth/100 {
			t.Errorf("%s: at most %d in the first half and %d in the second", name, first, second)
		}
	}
}

// start fills a cluster without violations and starts the webhook.
func start(t *testing.T) *soak {
	t.Helper()
	s := &soak{Environment: env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV1}})}
	config := rest.CopyConfig(s.Config)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	s.nodes, s.Client = client, client
	all := env.Nodes(*nodes)
	for _, node := range all[:3] {
		env.RouteReflector("244.0.0.1")(node)
	}
	if err := s.CreateNodes(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	const objects = `
{apiVersion: crd.projectcalico.org/v1, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}
---
{apiVersion: crd.projectcalico.org/v1, kind: BGPPeer, metadata: {name: workers}, spec: {nodeSelector: "!has(route-reflector) && has(rack)", peerSelector: has(route-reflector)}}
---
{apiVersion: crd.projectcalico.org/v1, kind: BGPPeer, metadata: {name: reflectors}, spec: {nodeSelector: has(route-reflector), peerSelector: has(route-reflector)}}
`
	applied, err := s.Admin.RunWithInput(t.Context(), objects, "apply", "-f", "-")
	if err == nil {
		err = applied.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	calico, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	peers := calico.Resource(schema.GroupVersionResource{Group: "crd.projectcalico.org", Version: "v1", Resource: "bgppeers"})
	if err := addPeers(t.Context(), peers); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.webhook, err = s.StartWebhook(t.Context(), env.WebhookOptions{Args: []string{"--leader-elect"}, Memory: int64(*memory) << 20}); err != nil {
		t.Fatal(err)
	}
	if s.token, err = s.MetricsToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	workers, err := peers.Get(t.Context(), "workers", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.denied, err = env.DryRunReview("bgppeers", workers, nil); err != nil {
		t.Fatal(err)
	}
	for i := range variants {
		after := workers.DeepCopy()
		if err := unstructured.SetNestedField(after.Object, i%2 == 0, "spec", "keepOriginalNextHop"); err != nil {
			t.Fatal(err)
		}
		after.SetAnnotations(map[string]string{"example.com/variant": strconv.Itoa(i)})
		review, err := env.DryRunReview("bgppeers", workers, after)
		if err != nil {
			t.Fatal(err)
		}
		s.allowed = append(s.allowed, review)
	}
	return s
}

// addPeers creates the BGPPeers of -bgppeers.
func addPeers(ctx context.Context, peers dynamic.ResourceInterface) error {
	var wg errgroup.Group
	for client := range clients {
		wg.Go(func() error {
			for i := client; i < *bgppeers; i += clients {
				_, err := peers.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": env.GroupV1.APIVersion(), "kind": "BGPPeer", "metadata": map[string]any{"name": fmt.Sprintf("external-%05d", i)},
					"spec": map[string]any{"node": env.Node(i % *nodes).Name, "peerIP": fmt.Sprintf("192.%d.%d.%d", 168+i>>16, i>>8&255, i&255), "asNumber": int64(64600)},
				}}, metav1.CreateOptions{})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return wg.Wait()
}

// review sends reviews over one connection until ctx is done: in turn of a change that is allowed, and of one that is
// denied.
func (s *soak) review(ctx, request context.Context, client int, limiter *rate.Limiter) {
	transport := &http.Transport{MaxConnsPerHost: 1, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	for turn := client; limiter.Wait(ctx) == nil; turn++ {
		want, body := turn%2 == 0, s.denied
		if want {
			body = s.allowed[turn%variants]
		}
		began := time.Now()
		answer, err := env.PostReview(request, &http.Client{Transport: transport}, s.webhook.URL, body)
		took := time.Since(began)
		if err == nil && (answer.Allowed != want || !want && answer.Result.Code != http.StatusForbidden) {
			err = fmt.Errorf("allowed %t with code %d: %s", answer.Allowed, answer.Result.Code, answer.Result.Message)
		}
		s.mu.Lock()
		s.took = append(s.took, took)
		switch {
		case err == nil:
		case strings.Contains(err.Error(), context.DeadlineExceeded.Error()):
			s.late = append(s.late, err)
		default:
			s.errors = append(s.errors, err)
		}
		s.mu.Unlock()
	}
}

// label changes labels of Nodes until ctx is done, one that a selector reads and one that none reads.
func (s *soak) label(ctx, request context.Context, client int, limiter *rate.Limiter) {
	for turn := client; limiter.Wait(ctx) == nil; turn += clients {
		key := []string{"rack", "example.com/unread"}[turn/clients%2]
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"v-%d"}}}`, key, turn%250)
		name := env.Node(3 + turn%(*nodes-3)).Name
		if _, err := s.nodes.CoreV1().Nodes().Patch(request, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			s.unchanged.Add(1)
			continue
		}
		s.changed.Add(1)
	}
}

// percentile returns the nearest-rank percentile of times, 0 without any.
func percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[(len(sorted)*percent+99)/100-1].Round(time.Millisecond / 10)
}
