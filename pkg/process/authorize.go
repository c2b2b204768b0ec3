package process

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// reviewTimeout bounds the two requests to the API server that authorize one request.
const reviewTimeout = 10 * time.Second

// Authorization returns a filter that passes requests with the Bearer token of a user who may
// use the verb of the method, such as "get", on the path. The API server of config decides. The
// status is 401 without a valid token, 403 without the permission, and 500 if the API server
// cannot be asked. It is a metricsserver.Options.FilterProvider. The one of controller-runtime
// answers 500 to a token that is not valid.
func Authorization(config *rest.Config, client *http.Client) (metricsserver.Filter, error) {
	reviews, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("creating a client for reviews of tokens: %w", err)
	}
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status, err := review(r, reviews)
			switch {
			case err != nil:
				log.Error(err, "Cannot authorize a request", "path", r.URL.Path)
				http.Error(w, "the API server could not review the token", http.StatusInternalServerError)
			case status == http.StatusUnauthorized:
				http.Error(w, "the API server does not accept the token", status)
			case status == http.StatusForbidden:
				http.Error(w, fmt.Sprintf("the user of the token may not %q the URL %s", verb(r), r.URL.Path), status)
			default:
				next.ServeHTTP(w, r)
			}
		}), nil
	}, nil
}

// verb returns the verb of a request. HEAD needs the permission of GET, whose headers it returns.
func verb(r *http.Request) string {
	if r.Method == http.MethodHead {
		return "get"
	}
	return strings.ToLower(r.Method)
}

// review returns the status of a request: 200, 401 or 403.
func review(r *http.Request, reviews kubernetes.Interface) (status int, err error) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token = strings.TrimSpace(token); !bearer || token == "" {
		return http.StatusUnauthorized, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), reviewTimeout)
	defer cancel()
	known, err := reviews.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("reviewing the token: %w", err)
	}
	if !known.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	user := known.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, value := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(value)
	}
	access, err := reviews.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: r.URL.Path, Verb: verb(r)},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("reviewing the permissions of the token's user: %w", err)
	}
	if !access.Status.Allowed {
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}
