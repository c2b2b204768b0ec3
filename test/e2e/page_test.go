//go:build system

package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bgpguard/bgpguard/test/env"
)

// TestServedPage reads the page of `bgpguard serve` as its component installs it, beside the webhook that audits.
func TestServedPage(t *testing.T) {
	t.Parallel()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV3}}), group: env.GroupV3}
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
	address, err := c.StartServe(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	stranger, reader := c.token(t, "stranger"), c.token(t, "reader")
	c.allowed(t, "", "create clusterrolebinding reader --clusterrole=bgpguard-report-reader --serviceaccount=default:reader")
	for name, request := range map[string]struct {
		method, address, token string
		want                   int
	}{
		"without a token":  {http.MethodGet, address, "", http.StatusUnauthorized},
		"without the role": {http.MethodGet, address, stranger, http.StatusForbidden},
		"DELETE":           {http.MethodDelete, address, reader, http.StatusForbidden},
		"another path":     {http.MethodGet, strings.TrimSuffix(address, "report") + "metrics", reader, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if status, _, _ := fetch(t, request.method, request.address, request.token); status != request.want {
				t.Errorf("status %d, want %d", status, request.want)
			}
		})
	}
	status, header, body := fetch(t, http.MethodGet, address, reader)
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

	testLogin(t, strings.TrimSuffix(address, "report")+"login", stranger, reader)

	// It follows the cluster.
	c.allowed(t, "", "delete bgppolicy "+meshLimit)
	deadline := time.Now().Add(20 * time.Second)
	for strings.Contains(body, ">mesh-node-limit<") {
		if time.Now().After(deadline) {
			t.Fatal("the page still shows a policy that was deleted")
		}
		time.Sleep(100 * time.Millisecond)
		_, _, body = fetch(t, http.MethodGet, address, reader)
	}
}

// testLogin logs in as a browser does, with tokens that the API server issued.
func testLogin(t *testing.T, login, stranger, reader string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer browser.CloseIdleConnections()
	send := func(method, url string, form url.Values) (status int, path, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept", "text/html")
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := browser.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Request.URL.Path, string(text)
	}
	report := strings.TrimSuffix(login, "login") + "report"
	if _, path, body := send(http.MethodGet, report, nil); path != "/login" || !strings.Contains(body, `name="token"`) {
		t.Errorf("without a session, the report leads to %s: %s", path, body)
	}
	for _, one := range []struct {
		token, path string
		status      int
	}{{"nobody", "/login", http.StatusUnauthorized}, {stranger, "/login", http.StatusForbidden}, {reader, "/report", http.StatusOK}} {
		if status, path, body := send(http.MethodPost, login, url.Values{"token": {one.token}}); status != one.status || path != one.path {
			t.Errorf("a login leads to %s with %d, want %s with %d: %s", path, status, one.path, one.status, body)
		}
	}
	if _, path, body := send(http.MethodGet, report, nil); path != "/report" || !strings.Contains(body, "<title>BGP audit") {
		t.Errorf("with a session, the report leads to %s: %s", path, body)
	}
	if _, _, body := send(http.MethodPost, login, url.Values{"out": {"true"}}); !strings.Contains(body, "You are logged out.") {
		t.Errorf("the logout leads to %s", body)
	}
	if _, path, _ := send(http.MethodGet, report, nil); path != "/login" {
		t.Errorf("after the logout, the report leads to %s", path)
	}
}

// TestServedFleet reads the page of two clusters, one of which nobody can reach.
func TestServedFleet(t *testing.T) {
	t.Parallel()
	e := startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV3}})
	if err := e.CreateNodes(t.Context(), env.Nodes(nodeCount)); err != nil {
		t.Fatal(err)
	}
	admin, err := clientcmd.LoadFromFile(filepath.Join(e.Dir, "admin.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	there := *admin.Contexts[admin.CurrentContext]
	gone := there
	gone.Cluster = "gone"
	admin.Clusters["gone"] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:1"} // Nothing listens there.
	admin.Contexts = map[string]*clientcmdapi.Context{"lab": &gone, "prod": &there}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*admin, kubeconfig); err != nil {
		t.Fatal(err)
	}
	address, err := e.StartLocalServe(t.Context(), "--kubeconfig="+kubeconfig, "--context=prod", "--context=lab")
	if err != nil {
		t.Fatal(err)
	}
	// The error of the API server comes a moment after the start.
	missing, body := []string{""}, ""
	for n := 0; len(missing) > 0 && n < 200; n++ {
		time.Sleep(100 * time.Millisecond)
		_, _, body = fetch(t, http.MethodGet, address, "")
		missing = slices.DeleteFunc([]string{"BGP audit of 2 clusters", "1 cluster could not be read", "<strong>lab</strong>", "127.0.0.1:1", "110 nodes"},
			func(want string) bool { return strings.Contains(body, want) })
	}
	if len(missing) > 0 {
		t.Errorf("no %q in the page:\n%s", missing, body)
	}
}

// TestServedPageOnLoopback reads the page of a user's own `bgpguard serve`, in a cluster without bgpguard.
func TestServedPageOnLoopback(t *testing.T) {
	t.Parallel()
	e := startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV1}})
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
