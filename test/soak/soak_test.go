//go:build system

// Package soak sends many requests to a webhook in a large cluster whose Nodes change all the time, and checks that no
// request fails, and that memory and goroutines do not grow.
package soak

import (
	"bufio"
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
)

const (
	clients  = 32
	variants = 100 // of the allowed change
	// samples is how many times memory and goroutines are read.
	samples = 20
	// growth is how much the second half of a run may exceed the first one, in percent.
	growth = 25
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
	var memory, goroutines []int
	for range samples {
		time.Sleep(*duration / (samples + 1))
		resident, err := s.webhook.Memory()
		if err != nil {
			t.Fatal(err)
		}
		memory, goroutines = append(memory, resident>>10), append(goroutines, s.metric(t, "go_goroutines "))
	}
	wg.Wait()

	slices.Sort(s.took)
	t.Logf("%d reviews, %d of them failed; p50 %s, p99 %s, max %s; %d changes of labels; RSS in MiB %v; goroutines %v",
		len(s.took), len(s.errors), s.percentile(50), s.percentile(99), s.percentile(100), s.changed.Load(), memory, goroutines)
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
	if n := strings.Count(string(log), "failed-open.validating.webhook.admission.k8s.io"); n > 0 {
		t.Errorf("%d changes of Nodes were not evaluated in time", n)
	}
	for name, values := range map[string][]int{"memory in MiB": memory, "goroutines": goroutines} {
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
	if err == nil {
		err = s.Install(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if s.webhook, err = s.StartWebhook(t.Context(), env.WebhookOptions{Args: []string{"--leader-elect"}}); err != nil {
		t.Fatal(err)
	}
	if s.token, err = s.MetricsToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	calico, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	peers := calico.Resource(schema.GroupVersionResource{Group: "crd.projectcalico.org", Version: "v1", Resource: "bgppeers"})
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
		if err != nil {
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

// metric returns the value of the metric whose line begins with prefix.
func (s *soak) metric(t *testing.T, prefix string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.webhook.MetricsURL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			number, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(number)
		}
	}
	t.Fatalf("%s: no metric %s", response.Status, prefix)
	return 0
}

// percentile returns the nearest-rank percentile of the times to an answer, 0 without any.
func (s *soak) percentile(percent int) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return s.took[(len(s.took)*percent+99)/100-1].Round(time.Millisecond / 10)
}
