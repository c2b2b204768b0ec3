package admission

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// The bounds of an Intake, in bytes. The memory of a review is a multiple of its body.
const (
	// maxBody bounds an AdmissionReview. etcd accepts objects of 1.5 MiB, and stores custom
	// resources in the JSON that a review has. The review of a deletion has one object, so that
	// every object that exists can be deleted. The review of an update has the old and the new
	// object, and is rejected if both together are too large. So can be a review of a Node, which
	// etcd does not store as JSON; the API server then allows the change.
	maxBody = 3 << 20
	// smallBody is the largest body in the lane of small ones. Objects that people write have
	// a few KiB.
	smallBody = 256 << 10
	// minShare is what a body counts at least. It bounds the number of small reviews.
	minShare = 16 << 10
	// smallLane and largeLane bound the bodies in memory.
	smallLane = 4 << 20
	largeLane = maxBody
)

const (
	// maxWaiting bounds the requests that wait for one lane.
	maxWaiting = 256
	// bodyTime is how long a body may take to arrive, from the moment it has its share of a lane.
	// The API server sends it at once.
	bodyTime = time.Second
)

// Intake bounds the bodies of reviews that are in memory at once. All handlers of a process
// share one. A body is read when its lane has room for it: small and large bodies have a lane
// each, so that large ones never delay small ones. A lane serves requests in the order of their
// arrival.
//
// A request that exceeds a bound gets an error of HTTP and no AdmissionReview, so that the
// failurePolicy of the webhook applies.
type Intake struct {
	small, large *lane
	logged       rate.Sometimes
}

// lane is the memory for bodies of one sort.
type lane struct {
	room    *semaphore.Weighted // in bytes
	waiting *semaphore.Weighted // in requests
}

// NewIntake returns an Intake.
func NewIntake() *Intake {
	newLane := func(room int64) *lane {
		return &lane{room: semaphore.NewWeighted(room), waiting: semaphore.NewWeighted(maxWaiting)}
	}
	return &Intake{small: newLane(smallLane), large: newLane(largeLane), logged: rate.Sometimes{Interval: time.Second}}
}

// crowdedError means that a review was not read because others are in flight.
type crowdedError struct{ reason, message string }

// Error returns the message for the user.
func (e *crowdedError) Error() string { return e.message }

var errWaited = &crowdedError{rejectedWaited, "the review was not read before its deadline, because too many others are in flight: try again in a few seconds"}

// enter waits for a share of the lane until ctx is done. The error is a *crowdedError.
func (l *lane) enter(ctx context.Context, share int64) error {
	if l.room.TryAcquire(share) {
		return nil
	}
	if !l.waiting.TryAcquire(1) {
		return &crowdedError{rejectedFull, fmt.Sprintf("%d reviews already wait to be read, the most that can wait: try again in a few seconds", maxWaiting)}
	}
	defer l.waiting.Release(1)
	if l.room.Acquire(ctx, share) != nil {
		return errWaited
	}
	return nil
}

// read returns the body of a request, as soon as its lane has room. It waits until ctx is done.
// The caller calls done when neither the body nor what was made of it is in use any more. The
// error is a *crowdedError, an *http.MaxBytesError, or an error of reading, which is
// os.ErrDeadlineExceeded if the body does not arrive in time.
func (in *Intake) read(ctx context.Context, w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	share := r.ContentLength
	if share < 0 { // It is not known.
		share = maxBody
	}
	if share > maxBody {
		return nil, nil, &http.MaxBytesError{Limit: maxBody}
	}
	through := in.small
	if share > smallBody {
		through = in.large
	}
	share = max(share, minShare)
	if err := through.enter(ctx, share); err != nil {
		return nil, nil, err
	}
	inFlight.Inc()
	done = func() {
		inFlight.Dec()
		through.room.Release(share)
	}
	if body, err = receive(ctx, w, r); err != nil {
		done()
		return nil, nil, err
	}
	return body, done, nil
}

// receive reads the body, which must arrive within bodyTime.
func receive(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	until := time.Now().Add(bodyTime)
	deadline, ok := ctx.Deadline()
	short := ok && deadline.Before(until) // The wait took the time for the body.
	if short {
		until = deadline
	}
	// Errors mean that w has no connection. Every writer of a server has one.
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(until)
	defer func() { _ = connection.SetReadDeadline(time.Time{}) }()
	body, err := readBody(w, r)
	if short && errors.Is(err, os.ErrDeadlineExceeded) {
		err = errWaited
	}
	return body, err
}

// readBody reads a body of at most maxBody.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 {
		return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// reject answers a request whose body was not read, and ends its connection. err is that of read.
func (in *Intake) reject(w http.ResponseWriter, log logr.Logger, err error) {
	code, reason, message := http.StatusBadRequest, rejectedUnreadable, "the AdmissionReview cannot be read: "+err.Error()
	// A client that still sends the body has this time to read the answer.
	end := time.Now().Add(bodyTime)
	crowd, tooLarge := (*crowdedError)(nil), (*http.MaxBytesError)(nil)
	switch {
	case errors.As(err, &crowd):
		code, reason, message = http.StatusTooManyRequests, crowd.reason, crowd.message
	case errors.As(err, &tooLarge):
		code, reason = http.StatusRequestEntityTooLarge, rejectedLarge
		message = fmt.Sprintf("the AdmissionReview has more than %d bytes, the most that bgpguard reads", tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		code, reason = http.StatusRequestTimeout, rejectedSlow
		message = fmt.Sprintf("the AdmissionReview did not arrive within %s", bodyTime)
		end = time.Now()
	}
	rejectedReviews.WithLabelValues(reason).Inc()
	in.logged.Do(func() { // A flood of requests must not be one of log lines: the metric counts them.
		log.Info("Rejected a review before it was read; at most one such line a second", "reason", reason, "code", code, "message", message)
	})
	_ = http.NewResponseController(w).SetReadDeadline(end) // See receive.
	w.Header().Set("Connection", "close")
	http.Error(w, message, code)
}
