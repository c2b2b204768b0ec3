package process

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestOnlyUsersWithThePermissionPass(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		asked := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		switch asked.Spec.Token {
		case "expired":
			asked.Status.Error = "[invalid bearer token, service account token has expired]"
		case "unlucky":
			return true, nil, errors.New("no route to host")
		default:
			asked.Status.Authenticated = true
			asked.Status.User = authenticationv1.UserInfo{Username: asked.Spec.Token, Groups: []string{"readers"}, Extra: map[string]authenticationv1.ExtraValue{"pod": {"a"}}}
		}
		return true, asked, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		asked := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		if asked.Spec.User == "unlucky too" {
			return true, nil, errors.New("no route to host")
		}
		of := asked.Spec.NonResourceAttributes
		asked.Status.Allowed = asked.Spec.User == "reader" && len(asked.Spec.Groups) == 1 && len(asked.Spec.Extra["pod"]) == 1 && of.Verb == "get" && of.Path == "/metrics"
		return true, asked, nil
	})
	for name, test := range map[string]struct {
		method, path, authorization string
		status                      int
		fails                       bool
	}{
		"no token":                      {"GET", "/metrics", "", http.StatusUnauthorized, false},
		"no Bearer token":               {"GET", "/metrics", "Basic reader", http.StatusUnauthorized, false},
		"an empty token":                {"GET", "/metrics", "Bearer ", http.StatusUnauthorized, false},
		"a token that is not valid":     {"GET", "/metrics", "Bearer expired", http.StatusUnauthorized, false},
		"a user without the permission": {"GET", "/metrics", "Bearer stranger", http.StatusForbidden, false},
		"another verb":                  {"POST", "/metrics", "Bearer reader", http.StatusForbidden, false},
		"another path":                  {"GET", "/report", "Bearer reader", http.StatusForbidden, false},
		"a user with the permission":    {"GET", "/metrics", "Bearer reader", http.StatusOK, false},
		"only the headers":              {"HEAD", "/metrics", "Bearer reader", http.StatusOK, false},
		"no review of the token":        {"GET", "/metrics", "Bearer unlucky", 0, true},
		"no review of the permissions":  {"GET", "/metrics", "Bearer unlucky too", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), test.method, test.path, http.NoBody)
			r.Header.Set("Authorization", test.authorization)
			if status, err := review(r, client); status != test.status || (err != nil) != test.fails {
				t.Errorf("got %d, %v", status, err)
			}
		})
	}
}
