// Package admission turns an AdmissionReview into a change and the decision about it
// into a response.
package admission

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/reserve"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// Cluster returns the current state and its age; *cluster.Store implements it.
type Cluster interface {
	Snapshot() (*state.Snapshot, time.Duration, error)
}

// Decider decides about a change; *validate.Engine implements it.
type Decider interface {
	Decide(context.Context, *state.Snapshot, validate.Request) *validate.Decision
}

// Handler answers admission requests. A denial has code 403. Any other code from 400 on
// means that the request could not be evaluated. Some requests about Nodes are allowed in
// either case; see validate.Request.NotEnforced.
type Handler struct {
	cluster Cluster
	decider Decider
	ledger  *reserve.Ledger
	twins   *twins
	record  Record
	room    func(*state.Snapshot) error
}

// Record is called for each change that is allowed although policies deny it, except for
// dry runs. It must not block.
type Record func(object corev1.ObjectReference, user string, overrides []validate.Override)

// New returns a handler that decides about changes to cluster.
func New(cluster Cluster, decider Decider) *Handler {
	return &Handler{
		cluster: cluster, decider: decider, ledger: reserve.NewLedger(nil, "", logr.Discard()), twins: newTwins(time.Now),
		record: func(corev1.ObjectReference, string, []validate.Override) {}, room: func(*state.Snapshot) error { return nil },
	}
}

// SetRoom sets the function that returns an error if a state has no room for a further BGPPeer. Creates are then denied. It must
// be called before the first request.
func (h *Handler) SetRoom(room func(*state.Snapshot) error) { h.room = room }

// SetLedger sets the ledger of the changes that are in flight. Without it the handler
// reserves changes for itself only. It must be called before the first request.
func (h *Handler) SetLedger(ledger *reserve.Ledger) { h.ledger = ledger }

// SetRecord sets the function that records overridden denials. It must be called before
// the first request.
func (h *Handler) SetRecord(record Record) { h.record = record }

// Handle implements admission.Handler.
func (h *Handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	start := time.Now()
	log := logf.FromContext(ctx)
	var r *reply
	if err := caught(log, func() { r = h.answer(ctx, &req) }); err != nil {
		r = panicked(&req, err)
	}
	took := time.Since(start)
	_ = caught(log, func() { h.account(log, r, took) }) // It has logged the error, which must not change the answer.
	return r.Response
}

// account counts, logs and records an answer.
func (h *Handler) account(log logr.Logger, r *reply, took time.Duration) {
	r.logPanics(log)
	if r.twin {
		log.V(1).Info("Answered the second review of a change, which is not counted again", "result", r.result)
		return
	}
	r.count(took)
	r.log(log)
	if overrides := r.overridden(); overrides != nil && !dryRun(r.request) {
		h.record(r.reference(), r.request.UserInfo.Username, overrides)
	}
}

// staleHint returns what a user can conclude from the answer of a replica with stale data.
func staleHint(err error) string {
	if errors.Is(err, state.ErrStale) {
		return "; this replica is not ready: if the error lasts, all replicas are stale"
	}
	return ""
}

// answer makes the reply. Handle counts, logs and records, so that a dry run gets the same
// answer.
func (h *Handler) answer(ctx context.Context, req *admission.Request) *reply {
	r := &reply{request: req}
	known := h.ledger.Peek() // Before the snapshot, so that each change in flight is in one of the two.
	snapshot, age, err := h.cluster.Snapshot()
	r.age = age
	if err != nil {
		// Fails closed except for Nodes: without the state, or on one that is stale, a
		// change that isolates nodes cannot be distinguished from other changes.
		r.cause = unevaluatedState
		return r.fail(http.StatusServiceUnavailable, err.Error()+staleHint(err))
	}
	c, invalid := readChange(req, snapshot)
	r.notes = c.notes
	switch {
	case invalid != nil:
		return r.fail(invalid.code, invalid.message)
	case c.nothing():
		return r.allow()
	}
	r.id = c.ID()
	if c.Before == nil && r.id.Kind == calico.KindBGPPeer && snapshot.Get(r.id) == nil {
		if err := h.room(snapshot); err != nil {
			return r.fail(http.StatusForbidden, err.Error())
		}
	}
	if !aboutNode(req) {
		r.notes = append(r.notes, ignored(snapshot, r.id)...)
	}
	r = h.decide(ctx, r, snapshot, known.Without(r.id), validate.Request{
		Change: c.Change, User: req.UserInfo.Username, Groups: req.UserInfo.Groups, DryRun: dryRun(req),
	})
	// A denied change is not written, so no second review follows. The same change made
	// again is another request and another line in the log.
	r.twin = r.Allowed && h.twins.second(req, c.Change) || r.twin
	return r
}
