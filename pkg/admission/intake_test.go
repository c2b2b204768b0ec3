package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

// connection is a ResponseWriter whose read deadline ends the bodies of its request.
type connection struct {
	*httptest.ResponseRecorder

	deadline time.Time
	passed   *time.Timer
	ended    chan struct{} // closed at the first deadline that passes
	end      func()
}

func connect() *connection {
	c := &connection{ResponseRecorder: httptest.NewRecorder(), ended: make(chan struct{})}
	c.end = sync.OnceFunc(func() { close(c.ended) })
	return c
}

// SetReadDeadline implements what http.ResponseController looks for.
func (c *connection) SetReadDeadline(deadline time.Time) error {
	if c.passed != nil {
		c.passed.Stop()
	}
	c.deadline = deadline
	if !deadline.IsZero() {
		c.passed = time.AfterFunc(time.Until(deadline), c.end)
	}
	return nil
}

// withheld is a body whose last bytes never arrive.
type withheld struct{ on *connection }

// Read implements io.Reader.
func (b withheld) Read([]byte) (int, error) {
	<-b.on.ended
	return 0, os.ErrDeadlineExceeded
}

// Close implements io.Closer.
func (withheld) Close() error { return nil }

// sent returns a request with a body of a length, -1 if the header does not say it.
func sent(t *testing.T, length int64, body io.Reader) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/validate?timeout=4s", body)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = length
	return r
}

// padded returns an AdmissionReview of a length.
func padded(length int) string { return review() + strings.Repeat(" ", length-len(review())) }

// gate has a decider that blocks each decision until it is open.
type gate struct {
	entered chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 1000), make(chan struct{})} }

func (g *gate) decider() deciderFunc {
	return func(context.Context, *state.Snapshot, validate.Request) *validate.Decision {
		g.entered <- struct{}{}
		<-g.open
		return allowed()
	}
}

// web returns the HTTP handler of a decider.
func web(t *testing.T, decider Decider, in *Intake) http.Handler {
	t.Helper()
	h, err := New(fakeCluster{}, decider).HTTP(logr.Discard(), 4*time.Second, in)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// answered reports whether an answer is an AdmissionReview.
func answered(t *testing.T, w *connection) bool {
	t.Helper()
	var review admissionv1.AdmissionReview
	return w.Code == http.StatusOK && json.Unmarshal(w.Body.Bytes(), &review) == nil && review.Response != nil
}

func TestLengthOfAReview(t *testing.T) {
	chunked := func(text string) io.Reader { return io.MultiReader(strings.NewReader(text)) }
	for name, test := range map[string]struct {
		length int64
		body   io.Reader
		code   int
	}{
		"a usual one":                      {int64(len(review())), strings.NewReader(review()), http.StatusOK},
		"the longest":                      {maxBody, strings.NewReader(padded(maxBody)), http.StatusOK},
		"one byte more, which is not read": {maxBody + 1, unreadBody{}, http.StatusRequestEntityTooLarge},
		"of unknown length":                {-1, chunked(padded(maxBody)), http.StatusOK},
		"of unknown length, one byte more": {-1, chunked(padded(maxBody + 1)), http.StatusRequestEntityTooLarge},
		"shorter than announced":           {100, strings.NewReader("{}"), http.StatusBadRequest},
		"a broken connection":              {100, io.MultiReader(strings.NewReader("{"), broken{}), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			before := testutil.ToFloat64(rejectedReviews.WithLabelValues(rejectedLarge))
			w := connect()
			in := NewIntake()
			web(t, always(allowed()), in).ServeHTTP(w, sent(t, test.length, test.body))
			if w.Code != test.code || answered(t, w) != (test.code == http.StatusOK) {
				t.Errorf("got %d: %s", w.Code, w.Body)
			}
			large := test.code == http.StatusRequestEntityTooLarge
			if got := testutil.ToFloat64(rejectedReviews.WithLabelValues(rejectedLarge)) - before; (got == 1) != large {
				t.Errorf("counted %v that are too large", got)
			}
			if want := "the AdmissionReview has more than 3145728 bytes, the most that bgpguard reads\n"; large && w.Body.String() != want {
				t.Errorf("got %q, want %q", w.Body, want)
			}
			if closes := w.Header().Get("Connection") == "close"; closes != (test.code != http.StatusOK) {
				t.Errorf("closes the connection: %t", closes)
			}
			if !in.small.room.TryAcquire(smallLane) || !in.large.room.TryAcquire(largeLane) || testutil.ToFloat64(inFlight) != 0 {
				t.Error("it keeps its share of a lane")
			}
		})
	}
}

// unreadBody is a body that must not be read.
type unreadBody struct{}

func (unreadBody) Read([]byte) (int, error) { panic("the body is read") }

// broken is a connection that ended.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// An object of the largest size that etcd stores can be deleted.
func TestTheLargestObjectCanBeDeleted(t *testing.T) {
	const etcdLimit = 1.5 * (1 << 20)
	object := strings.Replace(peer(v3, "a", goodSpec), `"metadata":{`, `"metadata":{"annotations":{"a":"`+strings.Repeat("x", etcdLimit-200)+`"},`, 1)
	body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"uid-1","operation":"DELETE","name":"a","kind":{"group":"projectcalico.org","version":"v3","kind":"BGPPeer"},"object":null,"oldObject":` + object + `}}`
	w := connect()
	web(t, always(allowed()), NewIntake()).ServeHTTP(w, sent(t, int64(len(body)), strings.NewReader(body)))
	if !answered(t, w) || !strings.Contains(w.Body.String(), `"allowed":true`) {
		t.Errorf("got %d: %.300s", w.Code, w.Body)
	}
}

// A body that does not arrive in time ends with 408, and what it occupied is free again.
func TestABodyMustArriveInTime(t *testing.T) {
	for name, length := range map[string]int64{"small": 1000, "large": maxBody, "of unknown length": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, in, w := time.Now(), NewIntake(), connect()
				before := testutil.ToFloat64(rejectedReviews.WithLabelValues(rejectedSlow))
				web(t, always(allowed()), in).ServeHTTP(w, sent(t, length, withheld{w}))
				if took := time.Since(start); took != bodyTime {
					t.Errorf("took %s, want %s", took, bodyTime)
				}
				if want := "the AdmissionReview did not arrive within 1s\n"; w.Code != http.StatusRequestTimeout || w.Body.String() != want {
					t.Errorf("got %d: %s, want %s", w.Code, w.Body, want)
				}
				if got := testutil.ToFloat64(rejectedReviews.WithLabelValues(rejectedSlow)) - before; got != 1 {
					t.Errorf("counted %v", got)
				}
				// net/http does not wait for the rest either.
				if w.deadline.After(time.Now()) || w.deadline.IsZero() {
					t.Errorf("the deadline of the connection is %s", w.deadline)
				}
				if !in.small.room.TryAcquire(smallLane) || !in.large.room.TryAcquire(largeLane) {
					t.Error("it keeps its share of a lane")
				}
			})
		})
	}
}

// While a request is answered, the connection has no deadline for reading.
func TestTheDeadlineOfABodyEndsWithIt(t *testing.T) {
	w := connect()
	web(t, always(allowed()), NewIntake()).ServeHTTP(w, sent(t, int64(len(review())), strings.NewReader(review())))
	if !answered(t, w) || !w.deadline.IsZero() || w.passed == nil {
		t.Errorf("got %d, deadline %s", w.Code, w.deadline)
	}
}

// flood sends reviews at once and counts the answers.
type flood struct {
	t       *testing.T
	handler http.Handler
	wg      sync.WaitGroup
	mu      sync.Mutex
	codes   map[int]int
	last    string
}

func newFlood(t *testing.T, handler http.Handler) *flood {
	return &flood{t: t, handler: handler, codes: map[int]int{}}
}

// send sends n reviews of a length and returns when each is answered, or waits.
func (f *flood) send(n, length int) {
	f.t.Helper()
	body := padded(length)
	for range n {
		f.wg.Go(func() {
			w := connect()
			f.handler.ServeHTTP(w, sent(f.t, int64(length), strings.NewReader(body)))
			f.mu.Lock()
			defer f.mu.Unlock()
			f.codes[w.Code]++
			if w.Code != http.StatusOK {
				f.last = w.Body.String()
			}
		})
	}
	synctest.Wait()
}

// answers returns the number of answers by status, and the last one that is no AdmissionReview.
func (f *flood) answers() (codes map[int]int, last string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.codes), f.last
}

// The bodies in memory, and the requests that wait for them, are bounded for each lane.
func TestLanes(t *testing.T) {
	for name, test := range map[string]struct{ length, inFlight int }{
		"the smallest":         {1000, smallLane / minShare},
		"as large as small is": {smallBody, smallLane / smallBody},
		"as small as large is": {smallBody + 1, largeLane / (smallBody + 1)},
		"the largest":          {maxBody, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				f := newFlood(t, web(t, g.decider(), NewIntake()))
				before := testutil.ToFloat64(rejectedReviews.WithLabelValues(rejectedFull))
				f.send(test.inFlight+maxWaiting, test.length)
				if got := len(g.entered); got != test.inFlight || testutil.ToFloat64(inFlight) != float64(got) {
					t.Errorf("%d are in flight, want %d; the metric is %v", got, test.inFlight, testutil.ToFloat64(inFlight))
				}
				if codes, _ := f.answers(); len(codes) > 0 {
					t.Errorf("answered: %v", codes)
				}
				f.send(1, test.length)
				codes, last := f.answers()
				if want := "256 reviews already wait to be read, the most that can wait: try again in a few seconds\n"; codes[http.StatusTooManyRequests] != 1 || last != want {
					t.Errorf("one more: %v, %s, want %s", codes, last, want)
				}
				if got := testutil.ToFloat64(rejectedReviews.WithLabelValues(rejectedFull)) - before; got != 1 {
					t.Errorf("counted %v", got)
				}
				want := test.inFlight + maxWaiting
				if test.length >= smallBody { // Decoding all of them takes seconds. They wait until their deadline.
					time.Sleep(5 * time.Second)
					want = test.inFlight
				}
				close(g.open)
				f.wg.Wait()
				if codes, _ = f.answers(); codes[http.StatusOK] != want {
					t.Errorf("answered: %v, want %d", codes, want)
				}
			})
		})
	}
}

// Large reviews that fill their lane and its queue delay no small one.
func TestLargeReviewsDelayNoSmallOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, first := newGate(), true
		h := web(t, deciderFunc(func(ctx context.Context, s *state.Snapshot, r validate.Request) *validate.Decision {
			if first {
				first = false
				return g.decider()(ctx, s, r)
			}
			return allowed()
		}), NewIntake())
		f := newFlood(t, h)
		f.send(1, maxBody)
		f.send(maxWaiting, maxBody)
		start, w := time.Now(), connect()
		h.ServeHTTP(w, sent(t, int64(len(review())), strings.NewReader(review())))
		if !answered(t, w) || time.Since(start) != 0 {
			t.Errorf("got %d after %s", w.Code, time.Since(start))
		}
		time.Sleep(5 * time.Second) // Until the large ones that wait give up.
		close(g.open)
		f.wg.Wait()
		if codes, _ := f.answers(); codes[http.StatusOK] != 1 || codes[http.StatusTooManyRequests] != maxWaiting {
			t.Errorf("the large ones: %v", codes)
		}
	})
}

// A review that waits until its deadline ends with 429.
func TestAWaitEndsWithTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		f := newFlood(t, web(t, g.decider(), NewIntake()))
		before := testutil.ToFloat64(rejectedReviews.WithLabelValues(rejectedWaited))
		f.send(2, maxBody)
		time.Sleep(5 * time.Second)
		const want = "the review was not read before its deadline, because too many others are in flight: try again in a few seconds\n"
		if codes, last := f.answers(); codes[http.StatusTooManyRequests] != 1 || last != want {
			t.Errorf("after 5s: %v, %s, want %s", codes, last, want)
		}
		if got := testutil.ToFloat64(rejectedReviews.WithLabelValues(rejectedWaited)) - before; got != 1 {
			t.Errorf("counted %v", got)
		}
		close(g.open)
		f.wg.Wait()
	})
}

// A body that begins to arrive just before the deadline of its request has until then: the wait took its time.
func TestABodyEndsWithTheDeadlineOfItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, in := newGate(), NewIntake()
		f := newFlood(t, web(t, g.decider(), in))
		f.send(1, maxBody)
		time.AfterFunc(3500*time.Millisecond, func() { close(g.open) })
		start, w := time.Now(), connect()
		f.handler.ServeHTTP(w, sent(t, maxBody, withheld{w}))
		if took := time.Since(start); w.Code != http.StatusTooManyRequests || took != 3800*time.Millisecond {
			t.Errorf("got %d after %s: %s", w.Code, took, w.Body)
		}
		f.wg.Wait()
	})
}

// A flood of rejected reviews is no flood of log lines.
func TestRejectedReviewsAreLoggedOnceASecond(t *testing.T) {
	var out bytes.Buffer
	h, err := New(fakeCluster{}, always(allowed())).HTTP(jsonLogger(&out), 4*time.Second, NewIntake())
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		h.ServeHTTP(connect(), sent(t, maxBody+1, unreadBody{}))
	}
	if n := strings.Count(out.String(), "\n"); n < 1 || n > 100 || !strings.Contains(out.String(), `"reason":"large","code":413`) {
		t.Errorf("%d lines: %.500s", n, out.String())
	}
}

// FuzzHandler sends any body to both webhooks. Each is answered, without a panic.
func FuzzHandler(f *testing.F) {
	f.Add([]byte(review()), true)
	f.Add([]byte(strings.Replace(review(), "CREATE", "DELETE", 1)), true)
	f.Add([]byte(strings.Replace(review(), `"peerIP":"10.0.0.1"`, `"nodeSelector":"`+strings.Repeat("(", 1000)+`"`, 1)), true)
	f.Add([]byte(`{"kind":`), false)

	in, inForce := NewIntake(), inForce(f)
	changes, err := New(fakeCluster{snapshot: state.New()}, validate.NewEngine(inForce.Set())).HTTP(logr.Discard(), 4*time.Second, in)
	if err != nil {
		f.Fatal(err)
	}
	policies, err := NewPolicyHandler(inForce, nothing).HTTP(logr.Discard(), 4*time.Second, in)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, known bool) {
		before := testutil.ToFloat64(panics)
		length := int64(-1)
		if known {
			length = int64(len(body))
		}
		for name, h := range map[string]http.Handler{Path: changes, PolicyPath: policies} {
			w := connect()
			h.ServeHTTP(w, sent(t, length, bytes.NewReader(body)))
			if !answered(t, w) {
				t.Errorf("%s: got %d: %s", name, w.Code, w.Body)
			}
		}
		if got := testutil.ToFloat64(panics) - before; got > 0 {
			t.Errorf("%v panics", got)
		}
	})
}
