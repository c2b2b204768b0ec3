//go:build system

package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"

	"github.com/bgpguard/bgpguard/test/docs"
	"github.com/bgpguard/bgpguard/test/env"
)

// rack is a BGPPeer whose deletion isolates the nodes that are no route reflectors.
const rack = `nodeSelector: "!has(route-reflector)", peerSelector: has(route-reflector)`

// racked leads the cluster to route reflectors, with the BGPPeer rack-1 in place of workers.
func (c *cluster) racked(t *testing.T) {
	t.Helper()
	c.reflect(t)
	c.allowed(t, c.object("BGPPeer", "rack-1", rack), "apply -f -")
	c.until(t, 0, "", "delete bgppeer workers")
	c.until(t, 1, "", "delete bgppeer rack-1 --dry-run=server")
}

// restored creates rack-1 again, and waits until its deletion is denied.
func (c *cluster) restored(t *testing.T) {
	t.Helper()
	c.until(t, 0, c.object("BGPPeer", "rack-1", rack), "apply -f -")
	c.until(t, 1, "", "delete bgppeer rack-1 --dry-run=server")
}

// bgpException is a manifest of a BGPException for all policies.
func bgpException(name string, ends time.Duration, spec fields) string {
	whole := fields{"policies": []string{"*"}, "match": fields{}, "reason": "INC-4711", "expires": time.Now().Add(ends).UTC().Format(time.RFC3339)}
	maps.Copy(whole, spec)
	text, err := json.Marshal(fields{"apiVersion": "policy.bgpguard.io/v1alpha1", "kind": "BGPException", "metadata": fields{"name": name}, "spec": whole})
	if err != nil {
		panic(err) // Strings alone.
	}
	return string(text)
}

// exception returns a field of a BGPException.
func (c *cluster) exception(t *testing.T, name, jsonpath string) string {
	t.Helper()
	result, err := c.Admin.Run(t.Context(), "get", "bgpexception", name, "-o", "jsonpath="+jsonpath)
	if err != nil {
		t.Fatal(err)
	}
	return result.Stdout
}

func (c *cluster) awaitException(t *testing.T, name, jsonpath, want string) {
	t.Helper()
	got := ""
	for range 400 {
		if got = c.exception(t, name, jsonpath); got == want {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("BGPException %s: %s is %q, want %q\nthe webhook's log:\n%s", name, jsonpath, got, want, c.webhook.Log())
}

// eventNotes returns the notes of the Events of a reason about an object.
func (c *cluster) eventNotes(t *testing.T, kind, name, reason string) string {
	t.Helper()
	result := c.allowed(t, "", "get events.events.k8s.io --namespace=default -o json --field-selector=reportingController=bgpguard,reason="+reason+",regarding.kind="+kind+",regarding.name="+name)
	var list eventsv1.EventList
	if err := json.Unmarshal([]byte(result.Stdout), &list); err != nil {
		t.Fatal(err)
	}
	var notes []string
	for _, e := range list.Items {
		notes = append(notes, e.Note)
	}
	return strings.Join(notes, "\n")
}

const isActive = `{.status.conditions[?(@.type=="Active")].reason}`

func TestExceptions(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV1, "--leader-elect", "--audit-delay=500ms")
	c.racked(t)
	t.Run("who may create one", func(t *testing.T) { c.mayExcept(t) })
	t.Run("what is rejected", func(t *testing.T) { c.rejectedExceptions(t) })
	t.Run("a change that an exception allows is recorded", func(t *testing.T) { c.excepted(t) })
	t.Run("an exception expires", func(t *testing.T) { c.expiredException(t) })
	t.Run("check names the exceptions of the cluster", func(t *testing.T) { c.checkedException(t) })
}

func (c *cluster) mayExcept(t *testing.T) {
	t.Helper()
	file, err := c.UserKubeconfig("joe", "oncall")
	if err != nil {
		t.Fatal(err)
	}
	joe := c.As(file)
	args := []string{"create", "-f", "-", "--dry-run=server"}
	object := bgpException("joes", time.Hour, nil)
	result, err := joe.RunWithInput(t.Context(), object, args...)
	if err != nil || result.ExitCode == 0 || !strings.Contains(result.Stderr, `User "joe" cannot create resource "bgpexceptions"`) {
		t.Fatalf("without the role: %v, %s%s", err, result.Stdout, result.Stderr)
	}
	c.allowed(t, "", "create clusterrolebinding oncall --clusterrole=bgpguard-exceptions --group=oncall")
	for range 200 {
		if result, err = joe.RunWithInput(t.Context(), object, args...); err != nil || result.ExitCode == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("with the role: %v, %s", err, result.Stderr)
	}
}

func (c *cluster) rejectedExceptions(t *testing.T) {
	t.Helper()
	for name, test := range map[string]struct {
		ends time.Duration
		spec fields
		want string
	}{
		"without a reason":      {time.Hour, fields{"reason": ""}, "spec.reason"},
		"with a blank reason":   {time.Hour, fields{"reason": " "}, "must not be blank"},
		"without a policy":      {time.Hour, fields{"policies": []string{}}, "spec.policies"},
		"for all and one":       {time.Hour, fields{"policies": []string{"*", "a"}}, "must be the only item"},
		"for too long":          {8 * 24 * time.Hour, nil, "spec.expires: must be at most 7 days ahead"},
		"that has expired":      {-time.Minute, nil, "spec.expires: must be in the future"},
		"for a kind of nothing": {time.Hour, fields{"match": fields{"kinds": []string{"Pod"}}}, "spec.match.kinds[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			if result := c.kubectl(t, bgpException("wrong", test.ends, test.spec), "create -f -"); result.ExitCode == 0 || !strings.Contains(result.Stderr, test.want) {
				t.Errorf("want %q, got %s%s", test.want, result.Stdout, result.Stderr)
			}
		})
	}
	c.allowed(t, bgpException("record", time.Hour, fields{"users": []string{"joe"}, "policies": []string{"bird-accepts"}}), "create -f -")
	for patch, want := range map[string]string{
		`{"spec":{"reason":"other"}}`:                     "the spec cannot be changed",
		`{"spec":{"users":null}}`:                         "the spec cannot be changed",
		`{"spec":{"groups":["g"]}}`:                       "the spec cannot be changed",
		`{"spec":{"match":{"names":["a"]}}}`:              "the spec cannot be changed",
		`{"spec":{"expires":"2999-01-01T00:00:00Z"}}`:     "expires can only become earlier",
		`{"metadata":{"labels":{"team":"network"}}}`:      "",
		`{"spec":{"expires":"2020-01-01T00:00:00Z"}}`:     "",
		`{"status":{"uses":5},"spec":{"reason":"other"}}`: "the spec cannot be changed",
	} {
		t.Run(patch, func(t *testing.T) {
			result, err := c.Admin.Run(t.Context(), "patch", "bgpexception", "record", "--type=merge", "-p", patch, "--dry-run=server")
			if err != nil || (result.ExitCode == 0) != (want == "") || !strings.Contains(result.Stderr, want) {
				t.Errorf("%v, want %q, got %s%s", err, want, result.Stdout, result.Stderr)
			}
		})
	}
	c.allowed(t, "", "delete bgpexception record")
	c.recorded(t, `"policies.bgpguard.io/exception-deleted":"BGPException record for bird-accepts until `)
}

func (c *cluster) excepted(t *testing.T) {
	t.Helper()
	const remove = "delete bgppeer rack-1"
	c.denied(t, "reachability-preserved", "", remove)
	c.allowed(t, bgpException("incident", time.Hour, fields{
		"policies": []string{"reachability-preserved", "route-reflectors-required"}, "match": fields{"kinds": []string{"BGPPeer"}, "names": []string{"rack-1"}},
	}), "create -f -")
	c.until(t, 0, "", remove+" --dry-run=server")
	c.awaitException(t, "incident", isActive, "Active")
	c.denied(t, meshLimit, c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true"), "apply -f -")
	if uses := c.exception(t, "incident", "{.status.uses}"); uses != "" {
		t.Errorf("%s uses by dry runs", uses)
	}
	warned := c.allowed(t, "", remove)
	if want := " (allowed by BGPException incident until "; !strings.Contains(warned.Stderr, "Warning: [reachability-preserved] ") || !strings.Contains(warned.Stderr, want) {
		t.Errorf("stderr %q, want %q", warned.Stderr, want)
	}
	c.awaitException(t, "incident", "{.status.uses}", "1")
	user := c.exception(t, "incident", "{.status.lastUser}")
	if user == "" || c.exception(t, "incident", "{.status.lastUseTime}") == "" {
		t.Errorf("the last user is %q", user)
	}
	for _, about := range [][3]string{
		{"BGPPeer", "rack-1", "Excepted"}, {"BGPException", "incident", "Used"},
	} {
		note := ""
		for range 200 {
			if note = c.eventNotes(t, about[0], about[1], about[2]); note != "" {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if !strings.Contains(note, user) || !strings.Contains(note, "reachability-preserved,route-reflectors-required") || strings.Contains(note, "\n") {
			t.Errorf("the Event about %s is %q", about[0], note)
		}
	}
	c.recorded(t, `"bgp.bgpguard.io/exceptions":"BGPException incident until `)
	c.recorded(t, `(reachability-preserved,route-reflectors-required): INC-4711"`)
	c.untilLogged(t, `"msg":"Allowed by a BGPException","operation":"DELETE"`)
	c.untilScraped(t, c.prometheus(t), `bgpguard_excepted_changes_total{dry_run="false",policy="reachability-preserved"} 1`)
	for range 400 {
		if v := c.violationOf(t, "reachability-preserved"); v == "Exempt introduced by a change to BGPPeer rack-1 by "+user+", which BGPException incident allowed" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if v := c.violationOf(t, "reachability-preserved"); !strings.Contains(v, "which BGPException incident allowed") {
		t.Errorf("the audit reports %s", v)
	}
	c.allowed(t, "", "delete bgpexception incident")
	c.restored(t)
}

// violationOf returns the origin and the cause of a violation of a policy in the record of audits.
func (c *cluster) violationOf(t *testing.T, policy string) string {
	t.Helper()
	for _, v := range c.followed(t) {
		if v.Policy == policy {
			return fmt.Sprint(v.Origin, " ", v.Cause)
		}
	}
	return "none"
}

func (c *cluster) expiredException(t *testing.T) {
	t.Helper()
	const remove = "delete bgppeer rack-1 --dry-run=server"
	c.allowed(t, bgpException("short", 4*time.Second, nil), "create -f -")
	c.until(t, 0, "", remove)
	c.until(t, 1, "", remove)
	c.awaitException(t, "short", isActive, "Expired")
	// One that expired more than 30 days ago is deleted.
	c.allowed(t, "", `patch bgpexception short --type=merge -p {"spec":{"expires":"2020-01-01T00:00:00Z"}}`)
	c.awaitException(t, "short", "{.metadata.name}", "")
}

func (c *cluster) checkedException(t *testing.T) {
	t.Helper()
	c.allowed(t, bgpException("checked", time.Hour, nil), "create -f -")
	command := docs.Command{Text: "bgpguard check --delete bgppeer/rack-1 --kubeconfig " + c.Admin.Kubeconfig}
	out, err := command.Run(t.Context(), t.TempDir(), c.environment(t))
	if err != nil || !strings.Contains(out, "delete BGPPeer rack-1: allowed") || !strings.Contains(out, "(allowed by BGPException checked until ") {
		t.Errorf("%v: %s", err, out)
	}
	c.allowed(t, "", "delete bgpexception checked")
}

// calicoAPIServer is the user as whom Calico's API server writes.
const calicoAPIServer = "system:serviceaccount:calico-apiserver:calico-apiserver"

// TestSecondReviews has two replicas. Calico's API server has the API server review a deletion as
// projectcalico.org/v3 by jane, and then deletes the object in crd.projectcalico.org/v1 itself.
func TestSecondReviews(t *testing.T) {
	t.Parallel()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV1}}), group: env.GroupV1}
	if err := c.CreateNodes(t.Context(), env.Nodes(nodeCount)); err != nil {
		t.Fatal(err)
	}
	if err := c.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.balanced(t)
	c.racked(t)
	c.allowed(t, "", "create clusterrolebinding calico --clusterrole=cluster-admin --user="+calicoAPIServer)
	second := "--as=" + calicoAPIServer + " delete bgppeer rack-1"
	for name, prepare := range map[string]func(){
		"an exception for a user": func() {
			c.allowed(t, bgpException("jane", time.Hour, fields{"users": []string{"jane"}}), "create -f -")
		},
		"an exempt user": func() {
			for _, policy := range []string{"reachability-preserved", "route-reflectors-required"} {
				c.allowed(t, "", "patch bgppolicy "+policy+` --type=merge -p {"spec":{"exempt":{"users":["jane"]}}}`)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.until(t, 1, "", second+" --dry-run=server")
			prepare()
			for range 2 { // Either replica gets the second review.
				review := c.deletionInV3(t, "rack-1", "jane")
				answer := ""
				for range 200 {
					if answer = c.review(t, review); strings.Contains(answer, `"allowed":true`) {
						break
					}
					time.Sleep(50 * time.Millisecond)
				}
				if !strings.Contains(answer, `"allowed":true`) {
					t.Fatalf("jane is denied: %s", answer)
				}
				c.allowed(t, "", second)
				c.recorded(t, `"bgp.bgpguard.io/second-review":"true"`)
				c.restored(t)
			}
			c.allowed(t, "", "delete bgpexceptions --all")
		})
	}
}

// deletionInV3 returns the AdmissionReview of the deletion of a BGPPeer by a user of Calico's API server.
func (c *cluster) deletionInV3(t *testing.T, name, user string) string {
	t.Helper()
	var old map[string]any
	if err := json.Unmarshal([]byte(c.allowed(t, "", "get bgppeer "+name+" -o json").Stdout), &old); err != nil {
		t.Fatal(err)
	}
	old["apiVersion"] = env.GroupV3.APIVersion()
	kind := fields{"group": "projectcalico.org", "version": "v3", "kind": "BGPPeer"}
	text, err := json.Marshal(fields{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": fields{
		"uid": "1", "kind": kind, "resource": fields{"group": "projectcalico.org", "version": "v3", "resource": "bgppeers"},
		"name": name, "operation": "DELETE", "userInfo": fields{"username": user}, "oldObject": old, "dryRun": false,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// review sends an AdmissionReview to one replica and returns the answer.
func (c *cluster) review(t *testing.T, review string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.webhook.URL, strings.NewReader(review))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// environment returns the environment of a user with kubectl and its plugin bgpguard.
func (c *cluster) environment(t *testing.T) []string {
	t.Helper()
	programs := t.TempDir()
	built, err := filepath.Abs("../../bin/bgpguard")
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"bgpguard": built, "kubectl-bgpguard": built, "kubectl": c.Admin.Path} {
		if err := os.Symlink(target, filepath.Join(programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	return append(os.Environ(), "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"),
		"KUBECONFIG="+c.Admin.Kubeconfig, "KUBECACHEDIR="+t.TempDir(), "KUBERC=off", "NO_COLOR=1")
}

// followPage runs the commands, at most three, that docs/operate.md has below a heading for an emergency.
func (c *cluster) followPage(t *testing.T, anchor string) {
	t.Helper()
	documents, err := docs.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	var commands []docs.Command
	for _, d := range documents {
		for i := range d.Blocks {
			if b := &d.Blocks[i]; b.Info == "sh emergency" && b.Anchor == anchor {
				commands = append(commands, b.Commands()...)
			}
		}
	}
	if len(commands) == 0 || len(commands) > 3 {
		t.Fatalf("%d commands at #%s", len(commands), anchor)
	}
	for _, command := range commands {
		if folder, ok := strings.CutPrefix(command.Text, "kubectl apply -k "); ok { // With the address of this webhook.
			if _, err := c.ApplyKustomization(t.Context(), folder); err != nil {
				t.Fatal(err)
			}
			continue
		}
		var out string
		var err error
		for range 100 { // The API server and the webhook learn of a change by watch.
			if out, err = command.Run(t.Context(), t.TempDir(), c.environment(t)); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", command.Text, err, out)
		}
	}
}

// TestEmergencies follows the emergency page: each of its blocks makes a change that is not possible before.
func TestEmergencies(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV1)
	c.racked(t)
	follow := func(t *testing.T, anchor string) {
		t.Helper()
		c.until(t, 1, "", "delete bgppeer rack-1 --dry-run=server")
		c.followPage(t, anchor)
	}
	t.Run("wrongly denied", func(t *testing.T) {
		follow(t, "wrongly-denied")
		if got := c.allowed(t, "", "get bgpexceptions").Stdout; !strings.Contains(got, "INC-4711: rack 1 moves") {
			t.Errorf("got %s", got)
		}
		c.allowed(t, "", "delete bgpexceptions --all")
		c.restored(t)
	})
	stopped := func(t *testing.T) {
		t.Helper()
		if err := c.webhook.Stop(); err != nil {
			t.Fatal(err)
		}
		if r := c.kubectl(t, "", "delete bgppeer rack-1"); r.ExitCode == 0 || !strings.Contains(r.Stderr, `failed calling webhook "bgp.bgpguard.io"`) {
			t.Fatalf("%s%s", r.Stdout, r.Stderr)
		}
	}
	started := func(t *testing.T) {
		t.Helper()
		var err error
		if c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{}); err != nil {
			t.Fatal(err)
		}
		c.restored(t)
	}
	t.Run("guard down", func(t *testing.T) {
		stopped(t)
		follow(t, "guard-down")
		started(t)
	})
	t.Run("guard unreachable", func(t *testing.T) {
		stopped(t)
		follow(t, "guard-unreachable")
		started(t)
	})
}
