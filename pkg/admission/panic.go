package admission

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// caught calls f and returns its panic as an error, nil if it did not panic. It logs the
// panic with its stack and counts it.
//
// controller-runtime also recovers a panic, but answers allowed: false. The API server then
// rejects the request of a kubelet or of calico-node too, because failurePolicy does not
// apply to an answer.
func caught(log logr.Logger, f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bgpguard panicked: %v", r)
			logPanic(log, err, debug.Stack())
		}
	}()
	f()
	return nil
}

func logPanic(log logr.Logger, err error, stack []byte) {
	panics.Inc()
	log.Error(err, "Recovered from a panic", "stack", string(stack))
}

// panicked returns the answer to a request whose evaluation panicked.
func panicked(req *admission.Request, err error) *reply {
	r := &reply{request: req, cause: unevaluatedPanic}
	return r.fail(http.StatusInternalServerError, "the change could not be evaluated: "+err.Error())
}

// logPanics logs and counts the panics of single policies, which are evaluation errors.
func (r *reply) logPanics(log logr.Logger) {
	if r.decision == nil {
		return
	}
	for _, f := range r.decision.Failures {
		if p, ok := errors.AsType[*policy.PanicError](f.Err); ok {
			logPanic(log.WithValues("policy", f.Policy), f.Err, p.Stack)
		}
	}
}
