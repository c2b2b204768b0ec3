//go:build system

package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/test/env"
)

// TestServedPage reads the page of `bgpguard serve` as its component installs it, beside the webhook that audits.
func TestServedPage(t *testing.T) {
	c := &cluster{Environment: env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV3}}), group: env.GroupV3}
	if err := c.CreateNodes(t.Context(), env.Nodes(nodeCount)); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"config/crd", "test/e2e/testdata/serve"} {
		if _, err := c.ApplyKustomization(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
	}
	deployed := c.allowed(t, "", "get deployment bgpguard-serve --namespace=bgpguard-system -o jsonpath={.spec.template.spec.containers[0].args}")
	if want := `["serve","--secure","--bind-address=:8444","--health-probe-bind-address=127.0.0.1:8082","--log-format=json"]`; deployed.Stdout != want {
		t.Errorf("the component's arguments are %s, want %s", deployed.Stdout, want)
	}
	var err error
	if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{Args: []string{"--leader-elect", "--audit-delay=100ms"}}); err != nil {
		t.Fatal(err)
	}
	c.await(t, meshLimit, "{.status.violations}", "1")
	url, err := c.StartServe(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	stranger, reader := c.token(t, "stranger"), c.token(t, "reader")
	c.allowed(t, "", "create clusterrolebinding reader --clusterrole=bgpguard-report-reader --serviceaccount=default:reader")
	for name, request := range map[string]struct {
		method, url, token string
		want               int
	}{
		"without a token":  {http.MethodGet, url, "", http.StatusUnauthorized},
		"without the role": {http.MethodGet, url, stranger, http.StatusForbidden},
		"DELETE":           {http.MethodDelete, url, reader, http.StatusForbidden},
		"another path":     {http.MethodGet, strings.TrimSuffix(url, "report") + "metrics", reader, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, _ := fetch(t, request.method, request.url, request.token); status != request.want {
				t.Errorf("status %d, want %d", status, request.want)
			}
		})
	}
	status, header, body := fetch(t, http.MethodGet, url, reader)
	if status != http.StatusOK || header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d, %v\n%s", status, header, body)
	}
	for _, want := range []string{"<title>BGP audit", "mesh-node-limit", "110 nodes", "<svg", "</html>"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	// What the webhook recorded: the violation was there before the first audit.
	if strings.Contains(body, "is not known:") || !strings.Contains(body, "before the first audit") {
		t.Errorf("the page does not show what the webhook recorded:\n%s", body)
	}

	// It follows the cluster.
	c.allowed(t, "", "delete bgppolicy "+meshLimit)
	deadline := time.Now().Add(20 * time.Second)
	for strings.Contains(body, ">mesh-node-limit<") {
		if time.Now().After(deadline) {
			t.Fatal("the page still shows a policy that was deleted")
		}
		time.Sleep(100 * time.Millisecond)
		_, _, body = fetch(t, http.MethodGet, url, reader)
	}
}

// TestServedPageOnLoopback reads the page of a user's own `bgpguard serve`, in a cluster without bgpguard.
func TestServedPageOnLoopback(t *testing.T) {
	e := env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV1}})
	if err := e.CreateNodes(t.Context(), env.Nodes(nodeCount)); err != nil {
		t.Fatal(err)
	}
	url, err := e.StartLocalServe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	status, _, body := fetch(t, http.MethodGet, url, "")
	if status != http.StatusOK {
		t.Fatalf("%d: %s", status, body)
	}
	for _, want := range []string{"110 nodes", "the API server does not serve BGPPolicy of policy.bgpguard.io/v1alpha1: all policies of the library were evaluated with their defaults"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the page", want)
		}
	}
}

// fetch asks for a URL whose certificate is the guard's own.
func fetch(t *testing.T, method, url, token string) (int, http.Header, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}
