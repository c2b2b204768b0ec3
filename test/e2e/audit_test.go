//go:build system

package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"

	"github.com/bgpguard/bgpguard/test/env"
)

// meshLimit is the policy that denies the mesh in a cluster of this size, and the id
// of its violation.
const (
	meshLimit = "mesh-node-limit"
	meshID    = "node-to-node-mesh"
	hygiene   = "selector-hygiene"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV1, "--leader-elect", "--audit-delay=500ms")
	t.Run("what stood before is found and is no drift", func(t *testing.T) { c.standing(t) })
	t.Run("what is mended is resolved once", func(t *testing.T) { c.resolved(t) })
	t.Run("what a policy lets pass is no drift", func(t *testing.T) { c.warned(t) })
	t.Run("a webhook that the API server does not ask as installed is reported", func(t *testing.T) { c.notAsked(t) })
	t.Run("what came while the webhook was not asked is drift", func(t *testing.T) { c.past(t) })
	t.Run("what an exempt user did has their name", func(t *testing.T) { c.exempted(t) })
	t.Run("ten thousand violations are few Events and a small record", func(t *testing.T) { c.many(t) })
	t.Run("a leader that is killed takes nothing with it, and nothing is told twice", func(t *testing.T) { c.elected(t) })
}

// events are those of bgpguard about an object and a policy, by reason. While the
// cluster is led from one form to another, other policies may find something too.
func (c *cluster) events(t *testing.T, policy, kind, name string) map[string][]eventsv1.Event {
	t.Helper()
	result := c.kubectl(t, "", "get events.events.k8s.io --namespace=default -o json --field-selector=reportingController=bgpguard,regarding.kind="+kind+",regarding.name="+name)
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	var list eventsv1.EventList
	if err := json.Unmarshal([]byte(result.Stdout), &list); err != nil {
		t.Fatal(err)
	}
	out := map[string][]eventsv1.Event{}
	for _, e := range list.Items {
		if e.Annotations["policy.bgpguard.io/policies"] == policy {
			out[e.Reason] = append(out[e.Reason], e)
		}
	}
	return out
}

// reported waits for a number of Events about an object and a policy, and returns the last.
func (c *cluster) reported(t *testing.T, policy, kind, name, reason string, count int) eventsv1.Event {
	t.Helper()
	var found []eventsv1.Event
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if found = c.events(t, policy, kind, name)[reason]; len(found) >= count {
			break
		}
	}
	if len(found) != count {
		t.Fatalf("%d Events %s of %s about %s %s, want %d; the webhook's log:\n%s", len(found), reason, policy, kind, name, count, c.webhook.Log())
	}
	last := found[0]
	for _, e := range found {
		if e.EventTime.After(last.EventTime.Time) {
			last = e
		}
	}
	return last
}

// followed are the violations in the record for the next leader, by policy and id.
func (c *cluster) followed(t *testing.T) map[string]seen {
	t.Helper()
	text := c.allowed(t, "", `get configmap bgpguard-audit --namespace=bgpguard-system -o jsonpath={.binaryData.record\.json\.gz}`).Stdout
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Trail struct {
			Violations []seen `json:"violations"`
		} `json:"trail"`
	}
	if err := json.NewDecoder(zip).Decode(&record); err != nil {
		t.Fatal(err)
	}
	out := map[string]seen{}
	for _, v := range record.Trail.Violations {
		out[v.Policy+"/"+v.ID] = v
	}
	return out
}

type seen struct {
	Policy    string    `json:"policy"`
	ID        string    `json:"id"`
	Origin    string    `json:"origin"`
	Cause     string    `json:"cause"`
	FirstSeen time.Time `json:"firstSeen"`
}

// origin expects how the violation of the mesh came about.
func (c *cluster) origin(t *testing.T, origin, cause string) {
	t.Helper()
	if v := c.followed(t)[meshLimit+"/"+meshID]; v.Origin != origin || v.Cause != cause {
		t.Errorf("the mesh has origin %q and cause %q, want %q and %q", v.Origin, v.Cause, origin, cause)
	}
}

func (c *cluster) mesh(on bool) string {
	return c.object("BGPConfiguration", "default", fmt.Sprintf("nodeToNodeMeshEnabled: %t", on))
}

func (c *cluster) standing(t *testing.T) {
	t.Helper()
	c.allowed(t, c.mesh(true), "apply -f -")
	c.await(t, meshLimit, "{.status.violations}", "1")
	if at := c.get(t, meshLimit, "{.status.lastAuditTime}"); !strings.HasPrefix(at, "20") {
		t.Errorf("audited at %q", at)
	}
	e := c.reported(t, meshLimit, "BGPConfiguration", "default", "ViolationFound", 1)
	if !strings.HasPrefix(e.Note, "["+meshLimit+"] the node-to-node mesh is too large") || e.Type != "Warning" || e.Action != "Audit" {
		t.Errorf("the Event is %+v", e)
	}
	if e.Regarding.APIVersion != "crd.projectcalico.org/v1" || e.ReportingInstance == "" {
		t.Errorf("it is about %+v and was reported by %q", e.Regarding, e.ReportingInstance)
	}
	c.origin(t, "Standing", "")
}

func (c *cluster) resolved(t *testing.T) {
	t.Helper()
	c.reflect(t)
	c.await(t, meshLimit, "{.status.violations}", "0")
	e := c.reported(t, meshLimit, "BGPConfiguration", "default", "ViolationResolved", 1)
	if e.Type != "Normal" || !strings.HasPrefix(e.Note, "["+meshLimit+"] resolved: "+meshID+", first seen at 20") {
		t.Errorf("the Event is %+v", e)
	}
	if result := c.allowed(t, "", "describe bgpconfiguration default"); !strings.Contains(result.Stdout, "ViolationResolved") {
		t.Errorf("kubectl describe does not show it:\n%s", result.Stdout)
	}
	log, err := os.ReadFile(c.webhook.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), `"msg":"Violation resolved","logger":"audit","policy":"`+meshLimit+`","severity":"high","id":"`+meshID+`","origin":"Standing"`); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, grep(string(log), "Violation"))
	}
	c.untilScraped(t, c.prometheus(t), `bgpguard_audit_resolved_total{policy="`+meshLimit+`"} 1`)
}

func (c *cluster) warned(t *testing.T) {
	t.Helper()
	c.allowed(t, c.object("BGPPeer", "typo", `nodeSelector: "has(", peerSelector: all()`), "apply -f -")
	e := c.reported(t, hygiene, "BGPPeer", "typo", "ViolationFound", 1)
	if e.Regarding.UID == "" {
		t.Errorf("the Event has no UID: %+v", e)
	}
	for name, v := range c.followed(t) {
		if v.Policy == hygiene && v.Origin != "Allowed" {
			t.Errorf("%s has origin %q", name, v.Origin)
		}
	}
}

// unasked deletes the webhook configuration, and waits until a change is no longer
// reviewed.
func (c *cluster) unasked(t *testing.T, input, args string) {
	t.Helper()
	c.allowed(t, "", "delete validatingwebhookconfiguration bgpguard")
	c.until(t, 0, input, args)
}

// quiet is the spec of an IPPool whose routes no node is told.
const quiet = "cidr: 10.9.0.0/16, disableBGPExport: true"

// asked puts it back.
func (c *cluster) asked(t *testing.T) {
	t.Helper()
	if _, err := c.ApplyKustomization(t.Context(), "config/webhook"); err != nil {
		t.Fatal(err)
	}
	c.until(t, 1, c.object("IPPool", "quiet", quiet), "create -f - --dry-run=server")
}

// notAsked deletes the webhook configuration, restores it, weakens it, and restores it again.
func (c *cluster) notAsked(t *testing.T) {
	t.Helper()
	enforced := func(want, message string) {
		t.Helper()
		c.allowed(t, "", "wait bgppolicy "+meshLimit+" --for=condition=Enforced="+want+" --timeout=30s")
		if got := c.get(t, meshLimit, `{.status.conditions[?(@.type=="Enforced")].message}`); !strings.Contains(got, message) {
			t.Errorf("the message is %q, want %q", got, message)
		}
	}
	differences := func(want string) {
		t.Helper()
		_, metrics := c.scrape(t, c.prometheus(t))
		if line := `bgpguard_webhook_configuration_differences{name="bgpguard"} ` + want; !strings.Contains(metrics, line) {
			t.Errorf("no %s in the metrics:\n%s", line, grep(metrics, "differences"))
		}
	}
	differences("0")
	c.unasked(t, c.object("IPPool", "quiet", quiet), "create -f - --dry-run=server")
	enforced("False", "ValidatingWebhookConfiguration bgpguard does not exist: the API server asks bgpguard about no change")
	differences("1")
	c.asked(t)
	enforced("True", "is enforced on all replicas")
	c.allowed(t, "", `patch validatingwebhookconfiguration bgpguard --type=json -p [{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`)
	enforced("False", "webhook bgp.bgpguard.io of ValidatingWebhookConfiguration bgpguard: failurePolicy is Ignore, not Fail")
	c.asked(t)
	enforced("True", "is enforced on all replicas")
	if events := c.allowed(t, "", "get events.events.k8s.io --namespace=default -o jsonpath={.items[*].reason} --field-selector=regarding.kind=ValidatingWebhookConfiguration").Stdout; strings.Count(events, "NotAsked") != 2 {
		t.Errorf("the Events are %q, want two of NotAsked", events)
	}
}

const pastCause = "introduced by a change to BGPConfiguration default that the policy denies: it bypassed the webhook"

func (c *cluster) past(t *testing.T) {
	t.Helper()
	c.unasked(t, c.mesh(true), "apply -f -")
	e := c.reported(t, meshLimit, "BGPConfiguration", "default", "DriftFound", 1)
	if want := "[" + meshLimit + "] drift, " + pastCause + "; the node-to-node mesh is too large"; !strings.HasPrefix(e.Note, want) {
		t.Errorf("got %q, want %q", e.Note, want)
	}
	c.origin(t, "PastAdmission", pastCause)
	c.asked(t)
	c.allowed(t, c.mesh(false), "apply -f -")
	c.reported(t, meshLimit, "BGPConfiguration", "default", "ViolationResolved", 2)
}

func (c *cluster) exempted(t *testing.T) {
	t.Helper()
	c.allowed(t, "", "create clusterrolebinding jane --clusterrole=cluster-admin --user=jane")
	c.denied(t, meshLimit, c.mesh(true), "--as=jane apply -f - --dry-run=server")
	c.allowed(t, "", `patch bgppolicy mesh-node-limit --type=merge -p {"spec":{"exempt":{"users":["jane"]}}}`)
	// A dry run leaves no record.
	c.until(t, 0, c.mesh(true), "--as=jane apply -f - --dry-run=server")
	if n := len(c.events(t, meshLimit, "BGPConfiguration", "default")["Exempted"]); n != 0 {
		t.Errorf("%d records of a dry run", n)
	}
	c.allowed(t, c.mesh(true), "--as=jane apply -f -")
	record := c.reported(t, meshLimit, "BGPConfiguration", "default", "Exempted", 1)
	if record.Regarding.UID == "" || record.Annotations["policy.bgpguard.io/user"] != "jane" {
		t.Errorf("the record is %+v", record)
	}
	c.reported(t, meshLimit, "BGPConfiguration", "default", "DriftFound", 2)
	c.origin(t, "Exempt", "introduced by a change to BGPConfiguration default by jane, who is exempt from the policy")
	c.allowed(t, c.mesh(false), "apply -f -")
	c.reported(t, meshLimit, "BGPConfiguration", "default", "ViolationResolved", 3)
}

// manyPolicy finds 10,000 violations, whatever the state.
const manyPolicy = `# METADATA
# title: A policy that finds much
# custom:
#   severity: low
#   judges: state
#   validationActions: [Warn]
package policies.much

violation contains {
	"id": sprintf("violation-%d", [i]),
	"size": 1,
	"msg": sprintf("number %d of 10,000 things that are wrong with the cluster, which has %d nodes", [i, input.state.nodes.total]),
	"objects": [{"kind": "Node", "name": sprintf("node-%04d", [i % 100])}],
} if {
	some i in numbers.range(1, 10000)
}
`

func (c *cluster) many(t *testing.T) {
	t.Helper()
	c.allowed(t, bgpPolicy("much", fields{"rego": rego("much.rego", manyPolicy), "validationActions": []string{"Warn"}}), "apply -f -")
	c.await(t, "much", "{.status.violations}", "10000")
	if e := c.reported(t, "much", "BGPPolicy", "much", "ViolationFound", 1); e.Note != "[much] 9,950 more violations found" || e.Regarding.UID == "" {
		t.Errorf("the Event is %+v", e)
	}
	if n := len(c.followed(t)); n < 10_000 {
		t.Errorf("%d violations are followed", n)
	}
	c.allowed(t, "", "delete bgppolicy much")
	if e := c.reported(t, "much", "BGPPolicy", "much", "ViolationResolved", 1); e.Note != "[much] 9,950 more violations resolved" {
		t.Errorf("the Event is %+v", e)
	}
	if v, there := c.followed(t)["much/violation-1"]; there {
		t.Errorf("still followed: %v", v)
	}
}

// elected has the leader killed while violations stand, one come while there is none,
// and one go.
func (c *cluster) elected(t *testing.T) {
	t.Helper()
	c.allowed(t, c.object("BGPPeer", "gone", `nodeSelector: "has(", peerSelector: all()`), "apply -f -")
	c.reported(t, hygiene, "BGPPeer", "gone", "ViolationFound", 1)
	second, err := c.StartWebhook(t.Context(), env.WebhookOptions{Hostname: "second", Args: []string{"--leader-elect", "--audit-delay=500ms"}})
	if err != nil {
		t.Fatal(err)
	}
	before, told := c.followed(t), c.events(t, hygiene, "BGPPeer", "typo")["ViolationFound"]
	// The second replica looks at the state no later than this is found by the first.
	c.allowed(t, c.object("BGPPeer", "last", `nodeSelector: "has(", peerSelector: all()`), "apply -f -")
	c.reported(t, hygiene, "BGPPeer", "last", "ViolationFound", 1)
	c.webhook.Kill()
	c.webhook = second
	c.unasked(t, c.object("IPPool", "quiet", quiet), "create -f -")
	c.until(t, 0, "", "delete bgppeer gone")

	e := c.reported(t, "reachability-preserved", "IPPool", "quiet", "DriftFound", 1)
	const cause = "introduced by a change to IPPool quiet that the policy denies: it bypassed the webhook"
	if !strings.HasPrefix(e.Note, "[reachability-preserved] drift, "+cause) || e.ReportingInstance != "second" {
		t.Errorf("%s says %q", e.ReportingInstance, e.Note)
	}
	c.reported(t, hygiene, "BGPPeer", "gone", "ViolationResolved", 1)
	c.await(t, "reachability-preserved", "{.status.violations}", "1")
	after := c.followed(t)
	for name, v := range before {
		now, there := after[name]
		if gone := strings.Contains(name, "gone"); gone == there {
			t.Errorf("%s: still there: %v", name, there)
		} else if there && !now.FirstSeen.Equal(v.FirstSeen) {
			t.Errorf("%s: first seen at %s, and then at %s", name, v.FirstSeen, now.FirstSeen)
		}
	}
	if len(after) != len(before)+1 {
		t.Errorf("%d violations, before %d and two more and one less:\n%v", len(after), len(before), after)
	}
	if now := c.events(t, hygiene, "BGPPeer", "typo")["ViolationFound"]; len(now) != len(told) {
		t.Errorf("%d Events of what stood, %d before", len(now), len(told))
	}
	for _, name := range []string{"typo", "last"} {
		c.reported(t, hygiene, "BGPPeer", name, "ViolationFound", 1)
	}
	c.reported(t, meshLimit, "BGPConfiguration", "default", "ViolationFound", 1)
}
