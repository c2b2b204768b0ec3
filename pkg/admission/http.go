package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Path is where the API server finds the webhook.
const Path = "/validate"

// maxBody bounds an AdmissionReview: etcd takes objects of up to 1.5 MiB, a
// review carries the old and the new one, and 1 MiB is for the rest of it.
// Anything smaller would keep somebody from deleting an object that is there.
const maxBody = 4 << 20

// maxMargin is how long before the API server gives up an answer is due at the
// latest, so that it says more than "context deadline exceeded".
const maxMargin = 200 * time.Millisecond

// HTTP returns the handler as the API server calls it. An answer takes limit at
// the most, less where the API server waits for less.
func (h *Handler) HTTP(log logr.Logger, limit time.Duration) (http.Handler, error) {
	return serve(h, log, limit)
}

func serve(h admission.Handler, log logr.Logger, limit time.Duration) (http.Handler, error) {
	hook, err := admission.StandaloneWebhook(&admission.Webhook{Handler: h, LogConstructor: withRequest}, admission.StandaloneOptions{Logger: log})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The server's context ends when a shutdown begins, but the requests
		// that are there are still to be answered.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), deadline(r.URL.Query().Get("timeout"), limit))
		defer cancel()
		if r.Body != nil && r.Body != http.NoBody {
			body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
			if err == nil && len(body) > maxBody {
				err = fmt.Errorf("the AdmissionReview has more than %d bytes", maxBody)
				log.Error(err, "Bad request")
				write(w, log, admission.Errored(http.StatusRequestEntityTooLarge, err))
				return
			}
			if err != nil {
				log.Error(err, "Bad request")
				write(w, log, admission.Errored(http.StatusBadRequest, fmt.Errorf("reading the AdmissionReview: %w", err)))
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		hook.ServeHTTP(w, r.WithContext(ctx))
	}), nil
}

// deadline returns how long an answer may take: asked is the API server's
// ?timeout=. One that does not parse is as good as none.
func deadline(asked string, limit time.Duration) time.Duration {
	d, err := time.ParseDuration(asked)
	if err != nil || d <= 0 || d > limit {
		d = limit
	}
	return d - min(d/10, maxMargin)
}

// withRequest says which request a line of the log is about. The user's groups
// and extra fields stay out: they may hold more than an identity.
func withRequest(log logr.Logger, req *admission.Request) logr.Logger {
	if req == nil {
		return log
	}
	return log.WithValues("operation", req.Operation, "group", req.Kind.Group, "kind", req.Kind.Kind, "name", req.Name,
		"user", req.UserInfo.Username, "dryRun", dryRun(req), "requestID", req.UID)
}

func dryRun(req *admission.Request) bool { return req.DryRun != nil && *req.DryRun }

func write(w io.Writer, log logr.Logger, r admission.Response) {
	review := admissionv1.AdmissionReview{Response: &r.AdmissionResponse}
	review.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
	if err := json.NewEncoder(w).Encode(review); err != nil {
		log.Error(err, "Cannot write the response")
	}
}
