//go:build system

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

const (
	// maxReview is the largest review that bgpguard reads.
	maxReview = 3 << 20
	// hostileTime bounds all attacks together.
	hostileTime = time.Minute
	// endTime is how long a connection with a withheld body may last: a request waits at most until
	// its deadline, and its body must arrive within a second.
	endTime = 20 * time.Second
	// maxMemory bounds the resident memory of the process, whose limit is containerMemory.
	maxMemory = 200 << 20
)

// attacker sends reviews straight to the webhook.
type attacker struct {
	*cluster

	client  *http.Client
	address string
	config  *tls.Config
	scraper string // a token for the metrics
}

// TestHostileInput attacks a webhook by clients that reach its port, and by users who may create BGPPeers. Meanwhile it
// answers the reviews of others, and its memory stays below its limit. Where the machine permits it, the webhook runs in a cgroup with
// the memory limit of the container, in which the kernel would kill it.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV1)
	u, err := url.Parse(c.webhook.URL)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{InsecureSkipVerify: true}
	a := &attacker{
		cluster: c, address: u.Host, config: config, scraper: c.prometheus(t),
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 4}},
	}
	t.Cleanup(a.client.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), hostileTime)
	defer cancel()

	others := a.others(ctx)
	for _, attack := range []struct {
		name string
		run  func(context.Context, *testing.T)
	}{
		{"100 large reviews at once", a.large},
		{"200 bodies whose last bytes are withheld", a.withheld},
		{"selectors of parentheses", a.selectors},
		{"HTTP/2", a.http2},
		{"the largest object is created and deleted", a.largestObject},
	} {
		t.Run(attack.name, func(t *testing.T) {
			begin := time.Now()
			attack.run(ctx, t)
			t.Logf("took %s; the largest memory was %d MiB", time.Since(begin).Round(100*time.Millisecond), a.memory(t)>>20)
		})
	}
	answers := others()
	t.Logf("%d of %d other reviews were allowed", answers.allowed, answers.allowed+len(answers.failed))
	if answers.allowed == 0 || len(answers.failed) > 0 {
		t.Errorf("%d other reviews were allowed, %d not: %q", answers.allowed, len(answers.failed), answers.failed)
	}
	if got := a.memory(t); got > maxMemory {
		t.Errorf("the process used %d MiB, want at most %d MiB", got>>20, maxMemory>>20)
	}
	if group := a.webhook.Group; group == nil {
		t.Logf("resident memory: %d MiB at most, in no cgroup", a.memory(t)>>20)
	} else if peak, err := group.Peak(); err != nil {
		t.Error(err)
	} else {
		t.Logf("resident memory: %d MiB at most; the cgroup of %d MiB: %d MiB at most, with the page cache and the trials of policies", a.memory(t)>>20, containerMemory>>20, peak>>20)
	}
	_, metrics := a.scrape(t, a.scraper)
	for _, reason := range []string{"waited", "slow"} {
		series := fmt.Sprintf("bgpguard_rejected_reviews_total{reason=%q} ", reason)
		if !strings.Contains(metrics, series) || strings.Contains(metrics, series+"0\n") {
			t.Errorf("no rejected review with the reason %s:\n%s", reason, grep(metrics, "bgpguard_rejected"))
		}
	}
}

// reviewOf returns an AdmissionReview of a BGPPeer. It is a dry run, of a length in bytes or the usual one.
func reviewOf(name string, length int) []byte {
	const text = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","name":"%[1]s","dryRun":true,` +
		`"kind":{"group":"crd.projectcalico.org","version":"v1","kind":"BGPPeer"},"userInfo":{"username":"jane"},"object":{"apiVersion":"crd.projectcalico.org/v1",` +
		`"kind":"BGPPeer","metadata":{"name":"%[1]s","annotations":{"padding":"%[2]s"}},"spec":{"peerIP":"192.0.2.1","asNumber":64600,"node":"node-0001"}}}}`
	usual := len(fmt.Sprintf(text, name, ""))
	return fmt.Appendf(nil, text, name, strings.Repeat("x", max(0, length-usual)))
}

// post sends a review and returns the status, and the answer if it is 200.
func (a *attacker) post(ctx context.Context, body []byte) (int, *admissionv1.AdmissionResponse, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.webhook.URL+"?timeout=10s", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return response.StatusCode, nil, err
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(text, &review); err != nil || review.Response == nil {
		return response.StatusCode, nil, fmt.Errorf("no AdmissionReview: %w: %s", err, text)
	}
	return response.StatusCode, review.Response, nil
}

// otherAnswers are the answers to the reviews of others.
type otherAnswers struct {
	allowed int
	failed  []string
}

// others sends good reviews until the returned function is called.
func (a *attacker) others(ctx context.Context) func() otherAnswers {
	stop := make(chan struct{})
	done := make(chan otherAnswers, 1)
	go func() {
		var out otherAnswers
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- out
				return
			case <-time.After(50 * time.Millisecond):
			}
			code, response, err := a.post(ctx, reviewOf(fmt.Sprint("other-", i), 0))
			switch {
			case err != nil:
				out.failed = append(out.failed, err.Error())
			case response == nil:
				out.failed = append(out.failed, http.StatusText(code))
			case !response.Allowed:
				out.failed = append(out.failed, response.Result.Message)
			default:
				out.allowed++
			}
		}
	}()
	return func() otherAnswers {
		close(stop)
		return <-done
	}
}

// memory returns the largest resident memory of the webhook in its life.
func (a *attacker) memory(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.webhook.Pid))
	if err != nil {
		t.Fatalf("the webhook is gone: %v\n%s", err, a.webhook.Log())
	}
	var kib int
	for line := range strings.Lines(string(data)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			if _, err := fmt.Sscan(value, &kib); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kib << 10
}

// large sends valid reviews of the largest accepted size. Each is evaluated, or rejected because too many are in flight.
func (a *attacker) large(ctx context.Context, t *testing.T) {
	t.Helper()
	body := reviewOf("large", maxReview)
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			code, _, err := a.post(ctx, body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	wg.Wait()
	t.Logf("answers by status: %v", codes)
	// On a busy machine, a body can take longer than a second.
	if codes[http.StatusOK] == 0 || codes[http.StatusOK]+codes[http.StatusTooManyRequests]+codes[http.StatusRequestTimeout] != 100 {
		t.Errorf("got %v, want 200 and 429", codes)
	}
	if code, _, err := a.post(ctx, append(body, ' ')); err != nil || code != http.StatusRequestEntityTooLarge {
		t.Errorf("one byte more: %d, %v", code, err)
	}
}

// withheld sends all but the last bytes of reviews. Each connection ends.
func (a *attacker) withheld(ctx context.Context, t *testing.T) {
	t.Helper()
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for i := range 200 {
		length := maxReview
		if i%2 == 0 {
			length = 4 << 10
		}
		wg.Go(func() {
			code, err := a.withhold(ctx, reviewOf("withheld", length))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	wg.Wait()
	t.Logf("answers by status, 0 for a connection that was only closed: %v", codes)
	if codes[http.StatusRequestTimeout] == 0 || codes[http.StatusOK] > 0 {
		t.Errorf("got %v, want 408 among them", codes)
	}
}

// withhold sends a request without the last bytes of its body, and returns the status of the answer once the connection
// has ended, 0 if there was none. It is an error if the connection does not end.
func (a *attacker) withhold(ctx context.Context, body []byte) (int, error) {
	connection, err := (&tls.Dialer{Config: a.config}).DialContext(ctx, "tcp", a.address)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(endTime)); err != nil {
		return 0, err
	}
	go func() { // The connection can end before all is written.
		_, _ = fmt.Fprintf(connection, "POST /validate?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
		_, _ = connection.Write(body[:len(body)-10])
	}()
	answer := bufio.NewReader(connection)
	code := 0
	if response, err := http.ReadResponse(answer, nil); err == nil {
		code = response.StatusCode
		_ = response.Body.Close()
	}
	if _, err := io.Copy(io.Discard, answer); errors.Is(err, os.ErrDeadlineExceeded) {
		return code, fmt.Errorf("the connection is open after %s", endTime)
	}
	return code, nil
}

// selectors are rejected before they are parsed, with the bound in the message.
func (a *attacker) selectors(_ context.Context, t *testing.T) {
	t.Helper()
	for _, length := range []int{60_000, 400_000, 1_900_000} {
		want := fmt.Sprintf("BGPPeer deep does not parse: spec.nodeSelector: has %d bytes, and a selector can have at most 65536", length)
		if length < 65536 {
			want = "BGPPeer deep does not parse: spec.nodeSelector: has 29996 levels of nesting, and a selector can have at most 64"
		}
		const inner = "a == 'b'"
		around := (length - len(inner)) / 2
		object := a.object("BGPPeer", "deep", fmt.Sprintf("nodeSelector: %q, peerSelector: all()", strings.Repeat("(", around)+inner+strings.Repeat(")", around)))
		if got := a.kubectl(t, object, "create -f - --dry-run=server"); got.ExitCode != 1 || !strings.Contains(got.Stderr, want) {
			t.Errorf("%d bytes: exit code %d, %.500s, want %s", length, got.ExitCode, got.Stderr, want)
		}
	}
}

// http2 offers only HTTP/2. No connection is made.
func (a *attacker) http2(ctx context.Context, t *testing.T) {
	t.Helper()
	for range 20 {
		config := a.config.Clone()
		config.NextProtos = []string{"h2"}
		connection, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", a.address)
		if err == nil {
			t.Errorf("a connection with the protocol %q", connection.(*tls.Conn).ConnectionState().NegotiatedProtocol)
			connection.Close()
		} else if !strings.Contains(err.Error(), "no application protocol") {
			t.Error(err)
		}
	}
}

// largestObject is near the largest size that etcd stores. It was created without a review. A change of it can be too
// large, and its deletion never is.
func (a *attacker) largestObject(_ context.Context, t *testing.T) {
	t.Helper()
	const unreviewed = "unreviewed"
	if err := a.SkipReviews(t.Context(), unreviewed); err != nil {
		t.Fatal(err)
	}
	object := func(length int) string {
		return a.object("BGPPeer", "largest", "asNumber: 64600, node: node-0001, peerIP: "+strings.Repeat("x", length))
	}
	a.until(t, 0, object(1_400_000), "create -f - --as=importer --as-group=system:masters --as-group="+unreviewed)
	changed := a.kubectl(t, object(2_000_000), "replace -f - --dry-run=server")
	if want := `failed calling webhook "bgp.bgpguard.io": failed to call webhook: the server responded with the status code 413`; changed.ExitCode != 1 || !strings.Contains(changed.Stderr, want) {
		t.Errorf("a change: exit code %d, %.500s, want %s", changed.ExitCode, changed.Stderr, want)
	}
	a.allowed(t, "", "delete bgppeer largest")
	if _, metrics := a.scrape(t, a.scraper); !strings.Contains(metrics, `bgpguard_requests_total{dry_run="false",kind="BGPPeer",operation="DELETE",result="allowed"} 1`) {
		t.Errorf("the deletion was not reviewed:\n%s", grep(metrics, "bgpguard_requests_total"))
	}
}
