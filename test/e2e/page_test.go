//go:build system

package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/test/env"
)

// TestReportPage reads the report of the current audit where the component is
// installed, from the replica that audits and from another one.
func TestReportPage(t *testing.T) {
	c := &cluster{Environment: env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV3}}), group: env.GroupV3}
	if err := c.CreateNodes(t.Context(), env.Nodes(nodeCount)); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"config/crd", "test/e2e/testdata/report"} {
		if _, err := c.ApplyKustomization(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
	}
	if deployed := c.allowed(t, "", "get deployment bgpguard --namespace=bgpguard-system -o jsonpath={.spec.template.spec.containers[0].args}"); !strings.Contains(deployed.Stdout, "--report-bind-address=:8444") {
		t.Errorf("the component's arguments are %s", deployed.Stdout)
	}
	pages := map[string]string{}
	for _, name := range []string{"", "second"} { // The first is elected.
		address := freeAddress(t)
		webhook, err := c.StartWebhook(t.Context(), env.WebhookOptions{
			Hostname: name, Args: []string{"--leader-elect", "--audit-delay=100ms", "--report-bind-address=" + address},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := webhook.Stop(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("the log of %q:\n%s", name, webhook.Log())
			}
		})
		if c.webhook == nil {
			c.webhook = webhook
			c.await(t, meshLimit, "{.status.violations}", "1")
		}
		pages[name] = "https://" + address + "/report"
	}

	stranger, reader := c.token(t, "stranger"), c.token(t, "reader")
	c.allowed(t, "", "create clusterrolebinding reader --clusterrole=bgpguard-report-reader --serviceaccount=default:reader")
	for name, url := range pages {
		if status, _, _ := fetch(t, http.MethodGet, url, ""); status != http.StatusUnauthorized {
			t.Errorf("%q: without a token: %d", name, status)
		}
		if status, _, _ := fetch(t, http.MethodGet, url, stranger); status != http.StatusForbidden {
			t.Errorf("%q: without the role: %d", name, status)
		}
		if status, _, _ := fetch(t, http.MethodDelete, url, reader); status != http.StatusForbidden {
			t.Errorf("%q: DELETE: %d", name, status)
		}
		if status, _, _ := fetch(t, http.MethodGet, strings.TrimSuffix(url, "report")+"metrics", reader); status != http.StatusNotFound {
			t.Errorf("%q: another path: %d", name, status)
		}
		status, header, body := fetch(t, http.MethodGet, url, reader)
		if status != http.StatusOK || header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%q: %d, %v\n%s", name, status, header, body)
		}
		for _, want := range []string{"<title>BGP audit", "mesh-node-limit", "110 nodes", "<svg", "</html>"} {
			if !strings.Contains(body, want) {
				t.Errorf("%q: no %q in the page", name, want)
			}
		}
	}
}

// freeAddress is one of loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
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
