//go:build system

package browser

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"
)

// reviewer is an API server that reviews tokens and permissions, and serves no objects.
type reviewer struct {
	expired atomic.Bool // of the token "reader"
}

func (s *reviewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := func(o any) {
		text, err := json.Marshal(o)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // The client reports what it cannot read.
	}
	switch r.URL.Path {
	case "/version":
		answer(version.Info{Major: "1", Minor: "37"})
		return
	case "/api":
		answer(metav1.APIVersions{Versions: []string{"v1"}})
		return
	case "/apis":
		answer(metav1.APIGroupList{})
		return
	case "/api/v1":
		answer(metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "nodes", Kind: "Node", Verbs: metav1.Verbs{"list", "watch"}}}})
		return
	}
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		answer(metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
		return
	}
	answer(s.review(object))
}

func (s *reviewer) review(object runtime.Object) runtime.Object {
	switch review := object.(type) {
	case *authenticationv1.TokenReview:
		review.SetGroupVersionKind(authenticationv1.SchemeGroupVersion.WithKind("TokenReview"))
		review.Status.User.Username = review.Spec.Token
		review.Status.Authenticated = review.Spec.Token == "stranger" || review.Spec.Token == "reader" && !s.expired.Load()
	case *authorizationv1.SubjectAccessReview:
		review.SetGroupVersionKind(authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"))
		review.Status.Allowed = review.Spec.User == "reader"
	}
	return object
}

// submit fills the form in and sends it.
func (p *page) submit(token string) {
	p.Helper()
	ask[bool](p, `(() => {
		const field = document.querySelector("#token");
		field.value = `+"`"+token+"`"+`;
		setTimeout(() => field.form.requestSubmit(), 0);
		return true;
	})()`)
}

// TestAReaderLogsIn logs in to a page of `serve --secure`, with tokens that are valid and not.
func TestAReaderLogsIn(t *testing.T) {
	reviews := &reviewer{}
	server := httptest.NewServer(reviews)
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := strings.ReplaceAll(`{"apiVersion": "v1", "kind": "Config", "current-context": "lab",
		"contexts": [{"name": "lab", "context": {"cluster": "lab"}}], "clusters": [{"name": "lab", "cluster": {"server": "URL"}}]}`, "URL", server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	url, _ := serve(t, "--secure", "--kubeconfig", kubeconfig)
	p := visit(t, url, view{})
	p.failsToLoad = true // The statuses 401, 403 and 503 are meant.
	p.await("Token of a Kubernetes user")
	p.everywhere("login")
	p.look(view{})

	p.submit("wrong")
	p.await("The API server does not accept this token.")
	p.accessible("login with a wrong token", allRules)
	p.submit("stranger")
	p.await(`The user of this token may not "get" the URL /report.`)
	p.submit("reader")
	p.await("Nothing was checked")
	p.says("BGP audit", "Log out")

	// The token expires while the page is open: the page offers the form, which works.
	reviews.expired.Store(true)
	p.comeBack()
	p.await("You are no longer logged in")
	ask[bool](p, `setTimeout(() => document.querySelector(".live button").click(), 0) > 0`)
	p.await("Token of a Kubernetes user")
	p.submit("reader")
	p.await("The API server does not accept this token.")
	reviews.expired.Store(false)
	p.submit("reader")
	p.await("Nothing was checked")
	reviews.expired.Store(true)
	ask[bool](p, `setTimeout(() => location.reload(), 0) > 0`)
	p.await("Your token is no longer valid: log in again.")
	reviews.expired.Store(false)
	p.submit("reader")
	p.await("Nothing was checked")

	ask[bool](p, `setTimeout(() => document.querySelector("header a").click(), 0) > 0`)
	p.await("You are logged in")
	ask[bool](p, `setTimeout(() => document.querySelector("form").requestSubmit(), 0) > 0`)
	p.await("You are logged out.")
	ask[bool](p, `setTimeout(() => { location.pathname = "/report"; }, 0) > 0`)
	p.await("Token of a Kubernetes user")
}
