package admission

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// Path is the path of the webhook that reviews changes.
const Path = "/validate"

// maxMargin bounds the time between an answer and the API server's timeout. With this
// margin, the user gets bgpguard's message instead of "context deadline exceeded".
const maxMargin = 200 * time.Millisecond

// HTTP returns the HTTP handler of the webhook, which reads requests through in. An answer takes
// at most limit, or less if the API server's timeout is shorter.
func (h *Handler) HTTP(log logr.Logger, limit time.Duration, in *Intake) (http.Handler, error) {
	return serve(h, log, limit, in)
}

func serve(h admission.Handler, log logr.Logger, limit time.Duration, in *Intake) (http.Handler, error) {
	hook := &admission.Webhook{Handler: h, LogConstructor: withRequest}
	others, err := admission.StandaloneWebhook(hook, admission.StandaloneOptions{Logger: log})
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The server's context ends when a shutdown begins, but requests in flight are
		// still answered.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), deadline(r.URL.Query().Get("timeout"), limit))
		defer cancel()
		if r.Body != nil && r.Body != http.NoBody {
			body, done, err := in.read(ctx, w, r)
			if err != nil {
				in.reject(w, log, err)
				return
			}
			defer done()
			if request := decodeReview(body); request != nil && r.Header.Get("Content-Type") == runtime.ContentTypeJSON {
				response := hook.Handle(ctx, admission.Request{AdmissionRequest: *request})
				writeReview(w, log, &response)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		others.ServeHTTP(w, r.WithContext(ctx))
	}), nil
}

// deadline returns the maximum duration of an answer. asked is the API server's ?timeout=; it
// is ignored if it does not parse.
func deadline(asked string, limit time.Duration) time.Duration {
	d, err := time.ParseDuration(asked)
	if err != nil || d <= 0 || d > limit {
		d = limit
	}
	return d - min(d/10, maxMargin)
}

// withRequest adds the request to log lines, without the user's groups and extra fields,
// which may hold more than an identity.
func withRequest(log logr.Logger, req *admission.Request) logr.Logger {
	if req == nil {
		return log
	}
	return log.WithValues("operation", req.Operation, "group", req.Kind.Group, "kind", req.Kind.Kind, "name", req.Name,
		"user", req.UserInfo.Username, "dryRun", dryRun(req), "requestID", req.UID)
}

func dryRun(req *admission.Request) bool { return req.DryRun != nil && *req.DryRun }
