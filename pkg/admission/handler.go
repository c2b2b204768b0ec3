// Package admission turns an AdmissionReview into a change, and the decision
// about it into a response.
package admission

import (
	"context"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// Cluster tells the state to judge on and how old it is; *cluster.Store does.
type Cluster interface {
	Snapshot() (*state.Snapshot, time.Duration, error)
}

// Judge decides about a change; *validate.Engine does.
type Judge interface {
	Decide(context.Context, *state.Snapshot, validate.Request) *validate.Decision
}

// Handler answers admission requests. A denial is a response with code 403;
// any other code from 400 on says that the request could not be judged. Some
// writes of Nodes are let through in spite of either; see leniency.
type Handler struct {
	cluster Cluster
	judge   Judge
	twins   *twins
	record  Record
}

// Record is told of each change that is let through although policies deny it, as they
// do not hold for the user, and that is going to be made. It must not block.
type Record func(object corev1.ObjectReference, user string, policies []string)

// New returns a handler that asks judge about changes to cluster.
func New(cluster Cluster, judge Judge) *Handler {
	return &Handler{cluster: cluster, judge: judge, twins: newTwins(time.Now), record: func(corev1.ObjectReference, string, []string) {}}
}

// SetRecord has record told. It is for use before the first request.
func (h *Handler) SetRecord(record Record) { h.record = record }

// Handle implements admission.Handler.
func (h *Handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	start := time.Now()
	r := h.answer(ctx, &req)
	took := time.Since(start)
	if r.twin {
		logf.FromContext(ctx).V(1).Info("Answered the second review of a change, not counted again", "result", r.result)
		return r.Response
	}
	r.count(took)
	r.log(logf.FromContext(ctx))
	if policies := r.passed(); policies != nil && !dryRun(&req) {
		h.record(r.reference(), req.UserInfo.Username, policies)
	}
	return r.Response
}

// answer leaves no trace beyond the reply, so that a dry run is judged by the
// same code as the rest.
func (h *Handler) answer(ctx context.Context, req *admission.Request) *reply {
	r := &reply{request: req}
	snapshot, age, err := h.cluster.Snapshot()
	if err != nil {
		// Fails closed, but for Nodes: without the state a change that cuts nodes
		// off looks like any other.
		return r.fail(http.StatusServiceUnavailable, err.Error())
	}
	r.age = age
	c, failure := readChange(req, snapshot)
	r.notes = c.notes
	switch {
	case failure != nil:
		return r.fail(failure.code, failure.message)
	case c.nothing():
		return r.allow()
	}
	r.id = c.ID()
	r.decide(h.judge.Decide(ctx, snapshot, validate.Request{
		Change: c.Change, User: req.UserInfo.Username, Groups: req.UserInfo.Groups, DryRun: req.DryRun != nil && *req.DryRun,
	}))
	// What is denied is not written, so no second review follows it: asked
	// again it is another request, and another line in the log.
	r.twin = r.Allowed && h.twins.second(req, c.Change)
	return r
}
