package auditor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
)

const meshNote = "[mesh-node-limit] the node-to-node mesh is too large: 4 nodes (limit 3), 3 sessions per node, 6 in total; " +
	"the mesh is on because nodeToNodeMeshEnabled is true: peer the nodes with route reflectors, then set nodeToNodeMeshEnabled: false in BGPConfiguration default"

const drift = "drift, introduced by a change to BGPConfiguration default that the policy denies: it bypassed the webhook; "

func TestEvents(t *testing.T) {
	on, off := cluster(t, 4, true), cluster(t, 4, false)
	set := policies(t, deny3)
	found := func(at string) string {
		return at + " ViolationFound BGPConfiguration default: " + meshNote
	}
	drifted := func(at, how string) string {
		return at + " DriftFound BGPConfiguration default: " + strings.Replace(meshNote, "] ", "] "+how, 1)
	}
	resolved := func(at, since string) string {
		return at + " ViolationResolved BGPConfiguration default: [mesh-node-limit] resolved: node-to-node-mesh, first seen at 2026-03-14T" + since + "Z"
	}
	for name, test := range map[string]struct {
		states []*state.Snapshot
		want   []string
	}{
		"a violation at the start":                {[]*state.Snapshot{on}, []string{found("19:00:00")}},
		"a violation that stays is reported once": {[]*state.Snapshot{on, on, cluster(t, 4, true)}, []string{found("19:00:00")}},
		"a resolved violation is reported once":   {[]*state.Snapshot{on, off, off, cluster(t, 4, false)}, []string{found("19:00:00"), resolved("19:00:10", "19:00:00")}},
		"a change that bypasses the webhook":      {[]*state.Snapshot{off, on}, []string{drifted("19:00:10", drift)}},
		"drift that comes again":                  {[]*state.Snapshot{off, on, off, on}, []string{drifted("19:00:10", drift), resolved("19:00:20", "19:00:10"), drifted("19:00:30", drift)}},
		"no violation":                            {[]*state.Snapshot{off, off}, nil},
		"a node that joins makes no drift":        {[]*state.Snapshot{cluster(t, 3, true), on}, []string{found("19:00:10")}},
		"a violation that grows is reported once": {[]*state.Snapshot{on, cluster(t, 5, true)}, []string{found("19:00:00")}},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			r := start(t, server, set, test.states[0])
			after := time.Duration(0)
			for _, s := range test.states {
				if again := r.then(t, after, s); again <= time.Minute {
					t.Errorf("looks again in %s", again)
				}
				after = 10 * time.Second
			}
			if got, want := server.eventLines(), strings.Join(test.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if server.created != len(test.want) {
				t.Errorf("%d Events were made", server.created)
			}
		})
	}
}

func TestTheExemptUserIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		object, policy string
		age            time.Duration
		want           audit.Origin
	}{
		"a change that was recorded":                 {"default", "mesh-node-limit", 0, audit.Exempt},
		"a change of another object":                 {"other", "mesh-node-limit", 0, audit.PastAdmission},
		"a change past another policy":               {"default", "mesh-node", 0, audit.PastAdmission},
		"a change long before":                       {"default", "mesh-node-limit", time.Minute, audit.PastAdmission},
		"a change just before the audit before this": {"default", "mesh-node-limit", 12 * time.Second, audit.Exempt},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			r := start(t, server, policies(t, deny3), nil)
			r.then(t, 0, cluster(t, 4, false))
			r.at = began.Add(10*time.Second - test.age)
			r.exemptions.Record(corev1.ObjectReference{Kind: "BGPConfiguration", Name: test.object}, "jane", exemptFrom("timer-safety", test.policy))
			r.exemptions.write(r.exemptions.queued())
			if strings.HasPrefix(name, "a change that was recorded") { // Audits do not read Events, which anybody can write.
				server.events = nil
			}
			r.at = began
			r.then(t, 10*time.Second, cluster(t, 4, true))
			v := r.Latest().Violations[0]
			if v.Origin != test.want || (v.Origin == audit.Exempt) != (v.Cause == "introduced by a change to BGPConfiguration default by jane, who is exempt from the policy") {
				t.Errorf("got %s: %s", v.Origin, v.Cause)
			}
		})
	}
}

func TestChangesWithinASecondAreOneRecord(t *testing.T) {
	server := newAPIServer()
	r := start(t, server, policies(t, deny3), nil)
	ctx, cancel := context.WithCancel(t.Context())
	for range 3 {
		r.exemptions.Record(corev1.ObjectReference{Kind: "Node", Name: "a", UID: "u"}, "jane", exemptFrom("b", "a"))
	}
	r.at = r.at.Add(2 * time.Second)
	r.exemptions.Record(corev1.ObjectReference{Kind: "Node", Name: "a", UID: "u"}, "jane", exemptFrom("a", "b"))
	cancel() // Start still writes the records in the queue.
	if err := r.exemptions.Start(ctx); err != nil {
		t.Error(err)
	}
	const note = " Exempted Node a: a change by jane was allowed although policies deny it, because they are not enforced for this user: a,b"
	if got, want := server.eventLines(), "19:00:00"+note+"\n19:00:02"+note; got != want {
		t.Errorf("got\n%s", got)
	}
}

// exemptFrom returns the override of a user who is exempt from policies.
func exemptFrom(policies ...string) []validate.Override {
	return []validate.Override{{Policies: policies}}
}

func TestAnExceptionIsNamed(t *testing.T) {
	server := newAPIServer()
	r := start(t, server, policies(t, deny3), nil)
	r.then(t, 0, cluster(t, 4, false))
	x, err := policy.NewException(&v1alpha1.BGPException{
		ObjectMeta: metav1.ObjectMeta{Name: "incident", UID: "u-1"},
		Spec:       v1alpha1.BGPExceptionSpec{Policies: []string{"*"}, Reason: "INC-1: no routes", Expires: metav1.NewTime(began.Add(time.Hour))},
	})
	if err != nil {
		t.Fatal(err)
	}
	changed := corev1.ObjectReference{Kind: "BGPConfiguration", Name: "default"}
	r.exemptions.Record(changed, "jane", []validate.Override{{Exception: x, Policies: []string{"mesh-node-limit"}}})
	r.exemptions.write(r.exemptions.queued())
	want := "19:00:00 Excepted BGPConfiguration default: BGPException incident until 2026-03-14T20:00:00Z allowed a change by jane that policies deny: mesh-node-limit; reason: INC-1: no routes\n" +
		"19:00:00 Used BGPException incident: allowed a change to BGPConfiguration default by jane that policies deny: mesh-node-limit"
	if got := server.eventLines(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r.then(t, 10*time.Second, cluster(t, 4, true))
	if v := r.Latest().Violations[0]; v.Origin != audit.Exempt || v.Cause != "introduced by a change to BGPConfiguration default by jane, which BGPException incident allowed" {
		t.Errorf("got %s: %s", v.Origin, v.Cause)
	}
}

// The replicas share the record: none overwrites what another one wrote, and old exemptions are removed.
func TestReplicasShareTheRecordOfExemptions(t *testing.T) {
	server := newAPIServer()
	first, second := start(t, server, policies(t, deny3), nil), start(t, server, policies(t, deny3), nil)
	record := func(r *replica, name string) {
		t.Helper()
		r.exemptions.Record(corev1.ObjectReference{Kind: "BGPPeer", Name: name}, "jane", exemptFrom("a"))
		r.exemptions.write(r.exemptions.queued())
	}
	names := func() string {
		_, list, err := first.exemptions.read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, x := range list {
			out += x.Object.Name + " "
		}
		return out
	}
	record(first, "old")
	first.at, second.at = began.Add(keepExemptions+time.Second), began.Add(keepExemptions+time.Second)
	record(second, "a")
	record(first, "b")
	record(second, "b")
	if got := names(); got != "a b " {
		t.Errorf("recorded %s", got)
	}
	server.exemptions.Data = map[string]string{exemptionsKey: "{"}
	record(second, "c")
	if got := names(); got != "c " {
		t.Errorf("recorded %s after a record that did not parse", got)
	}
	for i := range maxExemptions + 10 {
		first.exemptions.Record(corev1.ObjectReference{Kind: "BGPPeer", Name: fmt.Sprint(i)}, "jane", exemptFrom("a"))
		if i%100 == 0 {
			first.exemptions.write(first.exemptions.queued())
		}
	}
	first.exemptions.write(first.exemptions.queued())
	if _, list, err := first.exemptions.read(t.Context()); err != nil || len(list) != maxExemptions || list[0].Object.Name == "c" {
		t.Errorf("%d are recorded, %v", len(list), err)
	}
}

func TestARecordNeverBlocks(t *testing.T) {
	r := start(t, newAPIServer(), policies(t, deny3), nil)
	before := value(t, exemptionsDropped)
	for range maxQueue + 2 {
		r.exemptions.Record(corev1.ObjectReference{Kind: "Node", Name: "a"}, "jane", exemptFrom("a"))
	}
	if got := value(t, exemptionsDropped) - before; got != 2 {
		t.Errorf("%v were dropped", got)
	}
}

// The next leader continues the work of a leader that ends at any point.
func TestANewLeaderLosesAndRepeatsNothing(t *testing.T) {
	on, off := cluster(t, 4, true), cluster(t, 4, false)
	broken := errors.New("broken")
	end := map[string]func(server *apiServer, first *replica){
		"after all was done":                   func(*apiServer, *replica) {},
		"before the Events were sent":          func(s *apiServer, _ *replica) { s.fail["event"] = broken },
		"before the trail was written":         func(s *apiServer, _ *replica) { s.fail["write"] = broken },
		"after the trail was written, unheard": func(s *apiServer, _ *replica) { s.lost = true },
	}
	for name, end := range end {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer()
			set := policies(t, deny3, hygiene)
			typo := calicotest.Object(t, "BGPPeer", "typo", map[string]any{"nodeSelector": "has("})
			first, second := start(t, server, set, nil), start(t, server, set, nil)
			second.phase = following
			both := func(after time.Duration, s *state.Snapshot) {
				first.then(t, after, s)
				second.then(t, after, s)
			}
			both(0, cluster(t, 4, false, typo))
			end(server, first)
			both(10*time.Second, on) // drift, and the typo is gone
			server.fail = map[string]error{}

			second.phase = loading // the first has ended
			second.then(t, 15*time.Second, on)
			second.then(t, 10*time.Second, on)
			second.then(t, 10*time.Second, off)

			got := map[string]int{}
			for _, e := range server.events {
				got[e.Reason+" "+e.Regarding.Name]++
			}
			want := map[string]int{"ViolationFound typo": 1, "ViolationResolved typo": 1, "DriftFound default": 1, "ViolationResolved default": 1}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("sent %v, want %v:\n%s", got, want, server.eventLines())
			}
			if !strings.Contains(server.eventLines(), "] "+drift) {
				t.Errorf("the drift has another cause:\n%s", server.eventLines())
			}
		})
	}
}

// If two replicas act as the leader at the same time, they do not overwrite each other's record.
func TestAnOldLeaderContinuesFromTheRecordOfTheNewOne(t *testing.T) {
	server := newAPIServer()
	set := policies(t, deny3)
	on, off := cluster(t, 4, true), cluster(t, 4, false)
	first, second := start(t, server, set, nil), start(t, server, set, nil)
	first.then(t, 0, off)
	second.then(t, time.Second, off)
	second.then(t, time.Second, on)
	before := server.configMap.ResourceVersion
	if again := first.then(t, 3*time.Second, on); again != failedRetry {
		t.Errorf("looks again in %s", again)
	}
	if server.configMap.ResourceVersion != before || !strings.Contains(first.log.String(), "Another replica has audited the state") {
		t.Errorf("wrote over the other's trail:\n%s", first.log)
	}
	first.then(t, failedRetry, on)
	if got := first.Latest().Violations[0]; !got.FirstSeen.Equal(began.Add(2*time.Second)) || got.Origin != audit.PastAdmission {
		t.Errorf("first seen %s, %s", got.FirstSeen, got.Origin)
	}
	if len(server.events) != 1 {
		t.Errorf("sent\n%s", server.eventLines())
	}
}

func TestTheRecordIsWrittenOnlyWhenDue(t *testing.T) {
	server := newAPIServer()
	r := start(t, server, policies(t, deny3), nil)
	step := func(after time.Duration, s *state.Snapshot, writes int, why string) {
		t.Helper()
		before := server.writes
		r.then(t, after, s)
		if got := server.writes - before; got != writes {
			t.Errorf("%s: %d writes, want %d", why, got, writes)
		}
	}
	off := cluster(t, 4, false)
	step(0, off, 1, "the first audit")
	step(10*time.Second, off, 0, "nothing changed")
	step(10*time.Second, cluster(t, 5, false), 0, "a state in which nothing is found")
	step(10*time.Second, cluster(t, 5, true), 1, "a violation")
	step(10*time.Second, cluster(t, 6, true), 1, "a larger violation")
	step(30*time.Second, cluster(t, 6, true), 0, "a state with the same violation")
	step(30*time.Second, cluster(t, 6, true), 1, "states for a minute")
	last := cluster(t, 6, true)
	step(time.Minute, last, 1, "another minute")
	step(4*time.Minute, last, 0, "less than an interval")
	step(time.Minute, last, 1, "an interval")
	r.engine.SetPolicies(policies(t, deny3, hygiene))
	step(time.Second, last, 1, "other policies")
}

func TestAnAuditIsOnlyMadeWhenDue(t *testing.T) {
	r := start(t, newAPIServer(), policies(t, deny3), nil)
	step := func(after time.Duration, s *state.Snapshot, want bool, why string) {
		t.Helper()
		before := r.Latest()
		r.then(t, after, s)
		if audited := r.Latest() != before; audited != want {
			t.Errorf("%s: audited %t", why, audited)
		}
	}
	off := cluster(t, 4, false)
	r.state.err = errors.New("not known yet")
	step(0, off, false, "a state that is not known")
	r.state.err = nil
	r.phase = following
	step(time.Hour, off, false, "a replica that was not elected")
	r.phase = loading
	step(0, off, true, "one that was")
	step(5*time.Minute-1, off, false, "less than an interval")
	step(1, off, true, "an interval")
	step(1, cluster(t, 4, false), true, "another state")
	r.engine.SetPolicies(policies(t, deny3))
	step(1, r.state.snapshot, true, "other policies")
	step(-3*time.Hour, r.state.snapshot, true, "a clock that was set back")
	step(time.Second, r.state.snapshot, false, "less than an interval after that")
	step(5*time.Minute, r.state.snapshot, true, "an interval after that")
	step(3*time.Hour, r.state.snapshot, true, "a clock that was set forward")
}

func TestFailuresAreRetriedAndLoggedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		fail, fix func(*apiServer, *replica)
		log       string
	}{
		"the trail cannot be read": {
			func(s *apiServer, _ *replica) { s.fail["read"] = errors.New("forbidden") }, func(s *apiServer, _ *replica) { s.fail = map[string]error{} },
			`level=ERROR msg="Cannot read the record of the last audit, trying again" err=forbidden` + "\n",
		},
		"the trail cannot be written": {
			func(s *apiServer, _ *replica) { s.fail["write"] = errors.New("forbidden") }, func(s *apiServer, _ *replica) { s.fail = map[string]error{} },
			`level=ERROR msg="Cannot deliver all results of the audit, trying again" err="writing the record: forbidden"` + "\n",
		},
		"Events cannot be written": {
			func(s *apiServer, _ *replica) { s.fail["event"] = errors.New("forbidden") }, func(s *apiServer, _ *replica) { s.fail = map[string]error{} },
			`level=ERROR msg="Cannot deliver all results of the audit, trying again" err="sending Events: forbidden"` + "\n",
		},
		"a publisher fails": {
			func(_ *apiServer, r *replica) { r.out.err = errors.New("no such kind") }, func(_ *apiServer, r *replica) { r.out.err = nil },
			`level=ERROR msg="Cannot deliver all results of the audit, trying again" err="no such kind"` + "\n",
		},
		"a panic": {
			func(_ *apiServer, r *replica) { r.events.reference = nil }, func(s *apiServer, r *replica) {
				r.events.reference = start(t, s, policies(t, deny3), nil).events.reference
			},
			`level=ERROR msg="Cannot audit the state, trying again" err="panic: runtime error: invalid memory address or nil pointer dereference"` + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, on := newAPIServer(), cluster(t, 4, true)
			r := start(t, server, policies(t, deny3), on)
			test.fail(server, r)
			for range 3 {
				if again := r.then(t, failedRetry, on); again != failedRetry {
					t.Errorf("tries again in %s", again)
				}
			}
			var errs string
			for line := range strings.Lines(r.log.String()) {
				if strings.Contains(line, "level=ERROR") {
					errs += line
				}
			}
			if errs != test.log {
				t.Errorf("logged\n%s", errs)
			}
			test.fix(server, r)
			if again := r.then(t, failedRetry, on); again < time.Minute {
				t.Errorf("all is well and it looks again in %s", again)
			}
			if len(server.events) != 1 || server.configMap == nil || len(r.out.audits) == 0 || r.out.audits[len(r.out.audits)-1] != r.Latest() {
				t.Errorf("sent\n%s\nlogged\n%s", server.eventLines(), r.log)
			}
		})
	}
}

func TestOldNoticesAreDropped(t *testing.T) {
	server, on := newAPIServer(), cluster(t, 4, true)
	r := start(t, server, policies(t, deny3), on)
	server.fail["event"] = errors.New("forbidden")
	r.then(t, 0, on)
	server.fail = map[string]error{}
	r.then(t, eventAge+time.Minute, on)
	if len(server.events) > 0 {
		t.Errorf("sent\n%s", server.eventLines())
	}
}

func TestCounts(t *testing.T) {
	r := start(t, newAPIServer(), policies(t, deny3, hygiene, "change-window validationActions: [Deny]"), nil)
	if got, _ := r.Counts(); got != nil {
		t.Errorf("before the first audit: %v", got)
	}
	r.then(t, 0, cluster(t, 4, true))
	if got := fmt.Sprint(r.Counts()); got != "map[mesh-node-limit:1 selector-hygiene:0] 2026-03-14 19:00:00 +0000 UTC" {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(r.Latest().Notes); got != "[a note]" {
		t.Errorf("the notes are %s", got)
	}
	r.latest.Store(&audit.Audit{Time: began, Policies: r.Latest().Policies, Failures: []audit.Failure{{Policy: "selector-hygiene"}}})
	if got := fmt.Sprint(r.Counts()); got != "map[mesh-node-limit:1] 2026-03-14 19:00:00 +0000 UTC" {
		t.Errorf("got %s", got)
	}
}

func TestChangesWithinTheDelayAreOneAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newAPIServer(), policies(t, deny3), cluster(t, 4, true))
		r.Auditor.now = time.Now
		check := func(audits int, why string) {
			t.Helper()
			synctest.Wait()
			if got := r.out.count(); got != audits {
				t.Errorf("%s: %d audits, want %d", why, got, audits)
			}
		}
		end := run(t, r.Follow)
		check(0, "not elected")
		end()
		end = run(t, r.Lead)
		check(1, "elected")
		for range 3 {
			r.state.set(cluster(t, 4, true))
			r.Notify()
			r.Notify()
			time.Sleep(500 * time.Millisecond)
			check(1, "changes within the delay")
		}
		time.Sleep(time.Second)
		check(2, "after the delay")
		time.Sleep(4*time.Minute + 59*time.Second)
		check(2, "before the interval is over")
		time.Sleep(2 * time.Second)
		check(3, "after the interval")
		end()
	})
}

// run calls f in the background. The returned function ends its context and waits for it.
func run(t *testing.T, f func(context.Context)) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f(ctx) }()
	return func() { cancel(); <-done }
}

// A replica that is elected again continues from the record of the leader in between.
func TestALostLeadershipIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, set := newAPIServer(), policies(t, deny3)
		on, off := cluster(t, 4, true), cluster(t, 4, false)
		first, second := start(t, server, set, on), start(t, server, set, on)
		first.Auditor.now, second.Auditor.now = time.Now, time.Now
		terms := []struct{ leads, follows *replica }{{first, second}, {second, first}, {first, second}}
		for i, term := range terms {
			stop, lose := run(t, term.follows.Follow), run(t, term.leads.Lead)
			synctest.Wait()
			if i == 1 {
				first.state.set(off)
				second.state.set(off)
				first.Notify()
				second.Notify()
				time.Sleep(10 * time.Second)
			}
			if term.leads.Latest() == nil || term.follows.Latest() != nil {
				t.Errorf("term %d: the leader has %v, the other replica %v", i, term.leads.Latest(), term.follows.Latest())
			}
			lose()
			stop()
			if got := term.leads.Latest(); got != nil {
				t.Errorf("after term %d there is still an audit: %v", i, got)
			}
			time.Sleep(20 * time.Second)
		}
		got := map[string]int{}
		for _, e := range server.events {
			got[e.Reason]++
		}
		if fmt.Sprint(got) != "map[ViolationFound:1 ViolationResolved:1]" {
			t.Errorf("sent\n%s", server.eventLines())
		}
	})
}

// If the results differ after every state, they are delivered at once for a while and then
// rarely: each delivery writes Events, a ConfigMap, statuses and reports.
func TestFlappingResultsAreThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		states := []*state.Snapshot{cluster(t, 4, true), cluster(t, 4, false)}
		r := start(t, server, policies(t, deny3), states[0])
		r.Auditor.now = time.Now
		end := run(t, r.Lead)
		for i := range 20 * 60 { // One hour.
			r.state.set(states[i%2])
			r.Notify()
			time.Sleep(3 * time.Second)
			if i == changesBurst-1 && r.out.count() != changesBurst {
				t.Errorf("%d audits of the first %d states", r.out.count(), changesBurst)
			}
		}
		synctest.Wait()
		most := changesBurst + int(time.Hour/changesInterval)
		if seldom := int(time.Hour / trailRefresh); server.created > most || server.writes > most+seldom || r.out.count() > most+seldom {
			t.Errorf("%d Events, %d writes of the trail, %d audits; want no more than %d", server.created, server.writes, r.out.count(), most)
		}
		end()
	})
}

func TestOnlyChangingResultsAreThrottled(t *testing.T) {
	r := start(t, newAPIServer(), policies(t, deny3), nil)
	for i := range 2 * changesBurst {
		r.then(t, time.Second, cluster(t, 4, i%2 == 0))
		if waits := i >= changesBurst+changesBurst/int(changesInterval/time.Second); waits != (r.throttle.delay > changesInterval/2) || r.throttle.delay > changesInterval {
			t.Errorf("after %d changes the next audit waits for %s", i+1, r.throttle.delay)
		}
	}
	r.then(t, time.Second, cluster(t, 4, false))
	if r.throttle.delay > 0 {
		t.Errorf("after a state with the same violations the next audit waits for %s", r.throttle.delay)
	}
}
