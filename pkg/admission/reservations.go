package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/reserve"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// decide decides about the change of r on a snapshot, which was taken after the view known of the
// changes in flight. A change that matters is decided together with them, and reserved if it is
// allowed. A change that is denied is decided again if changes are in flight, because one of them
// may make it possible. All other changes are answered without a wait.
func (h *Handler) decide(ctx context.Context, r *reply, snapshot *state.Snapshot, known reserve.View, request validate.Request) *reply {
	d := h.decider.Decide(ctx, snapshot, request)
	if h.reviewed(ctx, r, request, d) {
		r.decision, r.twin = d, true
		return r.allow()
	}
	first := *r
	first.decide(d)
	switch {
	case !first.Allowed && len(known.Open) == 0:
		return &first
	case first.Allowed && !first.reserves(request.Change):
		answer, err := h.decideInert(ctx, &first, snapshot, known, request)
		switch {
		case err != nil:
			return h.unreserved(r, request, err)
		case answer != nil:
			return answer
		}
	}
	hurry := time.Now().Add(patience(ctx))
	for {
		answer, err := h.decideTogether(ctx, r, snapshot, d, request, hurry)
		switch {
		case err == nil:
			return answer
		case errors.Is(err, reserve.ErrConflict):
		case first.result == resultDenied && aboutNode(r.request):
			return &first // Any other error would allow a change that is known to do harm.
		default:
			return h.unreserved(r, request, err)
		}
	}
}

// decideInert returns the answer to a change that is allowed on a snapshot and alters nothing there, unless it
// alters what changes in flight lead to, or is denied with them: then it is nil, and the change must wait for
// them. first is the answer for the snapshot alone, and view the changes in flight when it was taken.
//
// What nobody reads alters no state. Any other change can seem to alter nothing on a snapshot that is late, and
// nothing is written for it, so that no precondition shows that other replicas have allowed changes since:
// decideInert reads the record.
func (h *Handler) decideInert(ctx context.Context, first *reply, snapshot *state.Snapshot, view reserve.View, request validate.Request) (*reply, error) {
	if calico.Alike(request.Before, request.After) {
		return first, nil
	}
	answer := *first
	current := true
	if !request.DryRun {
		fresh, late, err := h.ledger.Refresh(ctx)
		if err != nil || late {
			return nil, err
		}
		if current = fresh.Current(view); !current {
			view = fresh.Without(first.id)
			if snapshot, answer.age, err = h.cluster.Snapshot(); err != nil {
				return nil, err
			}
		}
	}
	if current && len(view.Open) == 0 {
		return first, nil
	}
	request.Pending = pending(view.Open, snapshot)
	answer.decide(h.decider.Decide(ctx, snapshot, request))
	if !answer.Allowed || answer.reserves(request.Change) {
		return nil, nil
	}
	return &answer, nil
}

// reviewed reports whether the request is the second review of a change, which Calico's API server
// causes as itself: the answer to the first one counts. Before a second review is denied, the
// reservations of the other replicas are read. Calico's API server persists no dry run, so that a
// dry run has no second review.
func (h *Handler) reviewed(ctx context.Context, r *reply, request validate.Request, d *validate.Decision) bool {
	known := func() bool {
		return h.ledger.Reviewed(request.Change, r.request.Kind.Group, func() string { return version(r.request.OldObject.Raw) })
	}
	switch {
	case request.DryRun, !calico.IsAPIServer(request.User):
		return false
	case known():
		return true
	default:
		return !d.Allowed && r.request.Kind.Group == calico.GroupV1 && h.ledger.Load(ctx) == nil && known()
	}
}

// reserves reports whether an allowed change is reserved: it matters, or its second review would
// be denied without a reservation.
func (r *reply) reserves(c state.Change) bool {
	return matters(r.decision, c) || r.request.Kind.Group == calico.GroupV3 && r.overridden() != nil
}

// matters reports whether a change can do harm together with another one: it alters the
// topology, or the spec of a BGPPeer, which can be the same peering by another label. Other
// changes that alter nothing, such as of annotations, are not reserved.
func matters(d *validate.Decision, c state.Change) bool {
	return d.Alters || c.ID().Kind == calico.KindBGPPeer && !reflect.DeepEqual(specOf(c.Before), specOf(c.After))
}

func specOf(o calico.Object) map[string]any {
	if meta := calico.MetadataOf(o); meta != nil {
		return meta.Spec
	}
	return nil
}

// decideTogether decides about a change together with the changes in flight, and reserves it
// if it is allowed. d is the decision for snapshot without changes in flight. The error is
// reserve.ErrConflict if the change must be decided again, and another one if it was not
// decided.
func (h *Handler) decideTogether(ctx context.Context, r *reply, snapshot *state.Snapshot, d *validate.Decision, request validate.Request, hurry time.Time) (*reply, error) {
	start := time.Now()
	view, end, err := h.ledger.Await(ctx, r.id, hurry)
	waits.Observe(time.Since(start).Seconds())
	if err != nil {
		return nil, err
	}
	defer end()
	// The snapshot must be newer than the view.
	fresh, age, err := h.cluster.Snapshot()
	if err != nil {
		return nil, err
	}
	request.Pending = pending(view.Open, fresh)
	if groups := validate.GroupsOf(request.Pending); len(groups) > validate.MaxPending && !aboutNode(r.request) {
		return r.crowded(groups), nil
	}
	if len(request.Pending) > 0 || fresh != snapshot {
		d = h.decider.Decide(ctx, fresh, request)
	}
	answer := *r
	answer.age = age
	answer.decide(d)
	if !answer.Allowed || request.DryRun {
		return &answer, nil
	}
	if !answer.reserves(request.Change) {
		end()
		request.Pending = nil
		inert, err := h.decideInert(ctx, &answer, fresh, view, request)
		if err == nil && inert == nil {
			err = reserve.ErrConflict
		}
		return inert, err
	}
	reservation, err := h.reservation(r, request)
	if err == nil {
		err = h.ledger.Reserve(ctx, view, reservation)
	}
	switch {
	case err == nil:
		return &answer, nil
	case errors.Is(err, reserve.ErrConflict):
		return nil, err
	default:
		return h.unreserved(r, request, err), nil
	}
}

// patience returns how long a change waits for the outcome of other changes: half of its
// time, so that it is evaluated even if they take long.
func patience(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline) / 2
	}
	return reserve.Lifetime
}

// reservation returns the reservation of a change.
func (h *Handler) reservation(r *reply, request validate.Request) (*reserve.Reservation, error) {
	return reserve.New(request.Change, version(r.request.OldObject.Raw), request.User, r.request.Kind.Group)
}

// unreserved answers a change that could not be reserved. If it is allowed in spite of this,
// at least this replica remembers it.
func (h *Handler) unreserved(r *reply, request validate.Request, err error) *reply {
	if errors.Is(err, reserve.ErrBusy) && !aboutNode(r.request) {
		return r.busy(fmt.Sprintf("%s was not evaluated, because other changes are in flight; repeat it: %v", describe(r.request), err))
	}
	r.cause = unevaluatedInFlight
	r.fail(http.StatusServiceUnavailable, "the change could not be evaluated together with the changes that are in flight: "+err.Error())
	if r.Allowed && !request.DryRun {
		if reservation, err := h.reservation(r, request); err == nil {
			h.ledger.Keep(reservation)
		}
	}
	return r
}

// maxInFlight bounds the changes in flight that a message names.
const maxInFlight = 5

// crowded answers a change that is rejected because more changes are in flight than can be
// combined.
func (r *reply) crowded(groups [][]validate.Pending) *reply {
	names := make([]string, 0, maxInFlight)
	for _, group := range groups[:min(len(groups), maxInFlight)] {
		name := group[0].ID().String()
		if n := len(group); n > 1 {
			name = text.Count(n, "Node") + " that join"
		}
		names = append(names, name)
	}
	return r.busy(fmt.Sprintf("%d other changes are in flight (%s), and at most %d are evaluated together; repeat %s in a few seconds",
		len(groups), text.SomeOf(names, len(groups)), validate.MaxPending, describe(r.request)))
}

// busy answers a change that can be repeated at once. Clients of Kubernetes do so by
// themselves after the given time.
func (r *reply) busy(message string) *reply {
	r.fail(http.StatusTooManyRequests, message)
	r.Result.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	return r
}

// pending returns the changes that open reservations make to a snapshot.
func pending(open []*reserve.Reservation, snapshot *state.Snapshot) []validate.Pending {
	var out []validate.Pending
	created, changed := map[calico.ID]calico.Object{}, map[calico.ID]bool{}
	for _, r := range open {
		c := state.Change{Before: snapshot.Get(r.ID()), After: r.After()}
		if c.Before == nil {
			c.Before = created[r.ID()]
		}
		// The snapshot shows the change, unless an earlier one is pending that this one takes back.
		if c.Before == nil && c.After == nil || calico.Equal(c.Before, c.After) && !changed[r.ID()] {
			continue
		}
		changed[r.ID()] = true
		if c.After != nil {
			created[r.ID()] = c.After
		}
		out = append(out, validate.Pending{Change: c, User: r.User, Joins: r.Joins})
	}
	return out
}

// version returns the resourceVersion of an object as JSON, "" if there is none.
func version(raw []byte) string {
	var object struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if json.Unmarshal(raw, &object) != nil {
		return ""
	}
	return object.Metadata.ResourceVersion
}
