package auditor

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func value(t testing.TB, c prometheus.Collector) float64 {
	t.Helper()
	return testutil.ToFloat64(c)
}

// many returns a record of n violations, each with its own node and its own cause.
func many(n int) record {
	r := record{Trail: &audit.Trail{Time: began, Policies: map[string]string{"a": "x"}}}
	for i := range n {
		id := fmt.Sprintf("node-%x", sha256.Sum256([]byte{byte(i), byte(i >> 8)})) // does not compress
		r.Trail.Violations = append(r.Trail.Violations, audit.Seen{
			Policy: "a", ID: id, Size: float64(i * 31 % 977), Severity: policy.Severities[i%len(policy.Severities)], Action: violation.Deny,
			FirstSeen: began.Add(time.Duration(i) * 1237 * time.Millisecond), LastSeen: began, Origin: audit.PastAdmission,
			Cause: "introduced by a change to Node " + id + " that the policy denies", Object: &violation.Object{Kind: "Node", Name: id},
		})
	}
	return r
}

func TestARecordFitsIntoAConfigMap(t *testing.T) {
	for _, test := range []struct {
		violations, kept int // at least
		all              bool
	}{{0, 0, true}, {10_000, 10_000, true}, {20_000, 10_000, false}} {
		t.Run(fmt.Sprintf("%d violations", test.violations), func(t *testing.T) {
			r := many(test.violations)
			r.fit(test.violations)
			kept, size := len(r.Trail.Violations), len(r.encode())
			if size > maxRecord || kept < test.kept || r.Omitted != test.violations-kept || (r.Omitted == 0) != test.all {
				t.Errorf("kept %d, omitted %d, %d bytes", kept, r.Omitted, size)
			}
			count := map[string]int{}
			for i, s := range r.Trail.Violations {
				count[s.Severity]++
				if i > 0 && s.ID < r.Trail.Violations[i-1].ID && !test.all {
					t.Fatalf("%s comes after %s", s.ID, r.Trail.Violations[i-1].ID)
				}
			}
			if r.Omitted > 0 && (count["medium"] != test.violations/4 || count["low"] == test.violations/4) {
				t.Errorf("kept %v", count)
			}
		})
	}
}

func TestNoticesThatWaitAreBounded(t *testing.T) {
	r := many(0)
	for i := range maxNotices + 7 {
		r.Notices = append(r.Notices, notice{ID: fmt.Sprint(i)})
	}
	r.fit(0)
	if len(r.Notices) != maxNotices || r.Notices[0].ID != "7" {
		t.Errorf("kept %d from %s on", len(r.Notices), r.Notices[0].ID)
	}
}

func TestARecordComesBackAsItWas(t *testing.T) {
	r := many(3)
	r.Omitted, r.Notices = 7, []notice{{Reason: reasonFound, Time: began, Policy: "a", ID: "b", Note: "c", Objects: []violation.Object{{Kind: "Node", Name: "d"}}}}
	got, err := decode(r.encode())
	if err != nil || !reflect.DeepEqual(got, r) || !got.same(&r) {
		t.Errorf("got %+v, %v", got, err)
	}
	r.Trail.Time, r.Trail.Violations[1].LastSeen = began.Add(time.Hour), began.Add(time.Hour)
	if !got.same(&r) {
		t.Error("when it was seen last makes a difference")
	}
	for name, change := range map[string]func(*audit.Trail){
		"a policy":           func(t *audit.Trail) { t.Policies = map[string]string{"a": "y"} },
		"one that failed":    func(t *audit.Trail) { t.Failed = []string{"a"} },
		"how large it is":    func(t *audit.Trail) { t.Violations[1].Size++ },
		"since when":         func(t *audit.Trail) { t.Violations[1].FirstSeen = began.Add(time.Hour) },
		"which object":       func(t *audit.Trail) { t.Violations[1].Object = &violation.Object{Kind: "Node", Name: "other"} },
		"that it is of none": func(t *audit.Trail) { t.Violations[1].Object = nil },
		"that one is gone":   func(t *audit.Trail) { t.Violations = t.Violations[1:] },
	} {
		other := many(3)
		change(other.Trail)
		t.Run(name, func(t *testing.T) {
			if got.same(&other) || other.same(&got) {
				t.Error("it makes no difference")
			}
		})
	}
}

// An unusable record is logged, and the present violations are Standing.
func TestAnUnusableRecordIsIgnored(t *testing.T) {
	good := many(1)
	packed := func(text string) []byte {
		var b bytes.Buffer
		b.Write(gzipped(t, text))
		return b.Bytes()
	}
	for name, test := range map[string]struct {
		format string
		data   []byte
		want   string
	}{
		"a format that is not known": {"2", good.encode(), `it has format \"2\", this bgpguard knows \"1\"`},
		"no record at all":           {"1", nil, "EOF"},
		"a record that is cut short": {"1", good.encode()[:100], "unexpected EOF"},
		"a record that is no JSON":   {"1", packed("{"), "unexpected end of JSON input"},
		"a record without a trail":   {"1", packed("{}"), "it has no trail with a time"},
		"a trail without a time":     {"1", packed(`{"trail":{}}`), "it has no trail with a time"},
		"far too much":               {"1", packed(strings.Repeat(" ", maxDecoded+1)), "it has more than 33554432 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			server.configMap = &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "bgpguard-system", Name: configMapName, ResourceVersion: "7", Labels: map[string]string{"mine": "yes"}},
				Data:       map[string]string{formatKey: test.format}, BinaryData: map[string][]byte{recordKey: test.data},
			}
			r := start(t, server, policies(t, deny3), nil)
			r.then(t, 0, cluster(t, 4, true))
			if v := r.Latest().Violations[0]; v.Origin != audit.Standing {
				t.Errorf("the mesh has origin %q", v.Origin)
			}
			if !strings.Contains(r.log.String(), `msg="Cannot use the record of the last audit, ignoring it" err=`) || !strings.Contains(r.log.String(), test.want) {
				t.Errorf("want %s, logged\n%s", test.want, r.log)
			}
			if _, err := decode(server.configMap.BinaryData[recordKey]); err != nil || server.configMap.Data[formatKey] != format || server.configMap.Labels["mine"] != "yes" {
				t.Errorf("wrote %v (%v)", server.configMap, err)
			}
		})
	}
}

// If a user labels or deletes the ConfigMap, the leader does not treat this as a write of
// another leader.
func TestAConfigMapThatAUserChangedIsWritten(t *testing.T) {
	for name, touch := range map[string]func(*apiServer){
		"a user labels it":  func(s *apiServer) { s.configMap.ResourceVersion = "x"; s.configMap.Labels["mine"] = "yes" },
		"a user deletes it": func(s *apiServer) { s.configMap = nil },
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			r := start(t, server, policies(t, deny3), nil)
			r.then(t, 0, cluster(t, 4, false))
			touch(server)
			r.then(t, 10*time.Second, cluster(t, 4, true))
			got, err := decode(server.configMap.BinaryData[recordKey])
			if err != nil || len(got.Trail.Violations) != 1 || len(server.events) != 1 {
				t.Errorf("wrote %+v (%v), sent\n%s\nlogged\n%s", got, err, server.eventLines(), r.log)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	r := many(2)
	f.Add(r.encode())
	f.Add(gzipped(f, `{"trail":{"time":"2026-03-14T19:00:00Z","violations":[{"policy":"a","object":{}}]},"notices":[{}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := decode(in)
		if err != nil {
			return
		}
		again, err := decode(got.encode())
		if err != nil || !again.same(&got) {
			t.Errorf("%+v came back as %+v (%v)", got, again, err)
		}
	})
}
