//go:build system

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/test/env"
)

// peerNames is a policy of somebody's own: it judges changes.
const peerNames = `# METADATA
# title: Names of BGPPeers
# custom:
#   severity: low
#   judges: change
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       prefix: {type: string, default: bad-}
package policies.peer_names

violation contains {
	"id": "name",
	"size": 1,
	"msg": sprintf("the name %s begins with %s: choose another", [input.change.name, input.parameters.prefix]),
} if {
	input.change.operation == "CREATE"
	startswith(input.change.name, input.parameters.prefix)
}
`

const peerNamesTest = `package policies.peer_names_test

import data.policies.peer_names

test_a_bad_name if {
	count(peer_names.violation) == 1 with input as {"change": {"operation": "CREATE", "name": "bad-1"}, "parameters": {"prefix": "bad-"}}
}
`

// failing is a policy that compiles and fails at each evaluation.
const failing = `# METADATA
# title: Division by zero
# custom:
#   severity: low
#   judges: state
#   validationActions: [Deny]
package policies.failing

violation contains {"id": "one", "size": 1 / (input.state.nodes.total - input.state.nodes.total), "msg": "never"}
`

// doubling is a policy that makes a string of 4 GiB.
const doubling = `# METADATA
# title: A long string
# custom:
#   severity: low
#   judges: state
#   validationActions: [Deny]
package policies.doubling

s1 := replace("aaaaaaaaaaaaaaaa", "a", "aaaaaaaaaaaaaaaa")

s2 := replace(s1, "a", s1)

s3 := replace(s2, "a", s2)

violation contains {"id": "one", "size": count(s3), "msg": "never"}
`

type fields map[string]any

// bgpPolicy is a manifest of a BGPPolicy that denies, unless the spec says
// otherwise.
func bgpPolicy(name string, spec fields) string {
	whole := fields{"validationActions": []string{"Deny"}}
	maps.Copy(whole, spec)
	text, err := json.Marshal(fields{
		"apiVersion": "policy.bgpguard.io/v1alpha1", "kind": "BGPPolicy", "metadata": fields{"name": name}, "spec": whole,
	})
	if err != nil {
		panic(err) // Strings alone.
	}
	return string(text)
}

// rego is a policy of one's own, by name and text of its modules in turn.
func rego(modules ...string) fields {
	var list []fields
	for i := 0; i < len(modules); i += 2 {
		list = append(list, fields{"name": modules[i], "text": modules[i+1]})
	}
	return fields{"modules": list}
}

func TestBGPPolicies(t *testing.T) {
	t.Parallel()
	c := start(t, env.GroupV1, "--leader-elect")
	t.Run("the default install is in force and says so", func(t *testing.T) { c.installed(t) })
	t.Run("the schema refuses what no policy can be", func(t *testing.T) { c.schema(t) })
	t.Run("the webhook refuses what cannot be used, with the reason", func(t *testing.T) { c.refused(t) })
	t.Run("what is applied is in force", func(t *testing.T) { c.applied(t) })
	t.Run("a weakened policy is a warning and recorded", func(t *testing.T) { c.weakened(t) })
	t.Run("match and exempt", func(t *testing.T) { c.exempt(t) })
	t.Run("a bad policy that got past the webhook harms nothing", func(t *testing.T) { c.bad(t) })
	t.Run("each replica has its entry", func(t *testing.T) { c.replicas(t) })
	t.Run("a delete is told and recorded", func(t *testing.T) { c.deleted(t) })
}

// quarantined creates a policy that fails at each evaluation, while the API server does not ask
// about policies.
func (c *cluster) quarantined(t *testing.T) {
	t.Helper()
	peer := c.object("BGPPeer", "harmless", "nodeSelector: has(nothing), peerSelector: has(nothing)")
	create := "create -f - --dry-run=server"
	c.allowed(t, bgpPolicy("failing", fields{"rego": rego("failing.rego", failing)}), "apply -f -")
	c.until(t, 1, peer, create)
	c.until(t, 0, peer, create)
	if warned := c.allowed(t, peer, create); !strings.Contains(warned.Stderr, "Warning: [failing] not enforced: quarantined: the last ") {
		t.Errorf("stderr %q, want a warning of the quarantine", warned.Stderr)
	}
	c.denied(t, required, c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false"), "apply -f -")
	c.await(t, "failing", `{.status.conditions[?(@.type=="Enforced")].reason}`, "EvaluationFails")
	if _, metrics := c.scrape(t, c.prometheus(t)); !strings.Contains(metrics, `bgpguard_policy_quarantined{policy="failing"} 1`) {
		t.Errorf("no bgpguard_policy_quarantined in the metrics:\n%s", grep(metrics, "bgpguard_polic"))
	}
	c.allowed(t, "", "delete bgppolicy failing")
}

// get is a part of a BGPPolicy.
func (c *cluster) get(t *testing.T, name, jsonpath string) string {
	t.Helper()
	result, err := c.Admin.Run(t.Context(), "get", "bgppolicy", name, "-o", "jsonpath="+jsonpath)
	if err != nil {
		t.Fatal(err)
	}
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	return result.Stdout
}

// await waits until a part of a BGPPolicy says what it should.
func (c *cluster) await(t *testing.T, name, jsonpath, want string) {
	t.Helper()
	result, err := c.Admin.Run(t.Context(), "wait", "bgppolicy", name, "--for=jsonpath="+jsonpath+"="+want, "--timeout=30s")
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode != 0 {
		t.Fatalf("%s: %s\n%s", result, result.Stderr, c.get(t, name, "{.status}"))
	}
}

func (c *cluster) installed(t *testing.T) {
	t.Helper()
	c.allowed(t, "", "wait bgppolicies --all --for=condition=Enforced --timeout=30s")
	c.await(t, "mesh-node-limit", "{.status.violations}", "1")
	got := c.allowed(t, "", "get bgppol mesh-node-limit reachability-preserved").Stdout
	lines := strings.Split(got, "\n")
	for i, want := range []string{
		"NAME POLICY JUDGES ACTIONS ENFORCED VIOLATIONS AGE",
		"mesh-node-limit " + `mesh-node-limit state ["Deny"] True 1 `,
		"reachability-preserved " + `reachability-preserved state ["Deny"] True 0 `,
	} {
		if line := strings.Join(strings.Fields(lines[i]), " "); !strings.HasPrefix(line, want) {
			t.Errorf("got %q, want %q, of\n%s", line, want, got)
		}
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if name := os.Getenv("HOSTNAME"); name != "" {
		hostname = name
	}
	for jsonpath, want := range map[string]string{
		"{.status.observedGeneration}":                        "1",
		"{.status.policy}":                                    "mesh-node-limit",
		`{.status.conditions[?(@.type=="Compiled")].reason}`:  "Valid",
		`{.status.conditions[?(@.type=="Enforced")].message}`: "generation 1 is enforced on all replicas (1)",
		"{.status.replicas[*].name}":                          hostname,
		"{.status.replicas[*].enforcedGeneration}":            "1",
	} {
		t.Run(jsonpath, func(t *testing.T) {
			if got := c.get(t, "mesh-node-limit", jsonpath); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	// What says the same is not written again.
	version := c.get(t, "mesh-node-limit", "{.metadata.resourceVersion}")
	c.allowed(t, c.object("BGPPeer", "unused", "nodeSelector: has(nothing), peerSelector: has(nothing)"), "apply -f -")
	c.allowed(t, "", "delete bgppeer unused")
	c.allowed(t, bgpPolicy("other", fields{"policy": "mesh-node-limit", "parameters": fields{"maxNodes": 7}}), "apply -f -")
	c.await(t, "other", "{.status.violations}", "1")
	if got := c.get(t, "mesh-node-limit", "{.metadata.resourceVersion}"); got != version {
		t.Errorf("mesh-node-limit was written again: %s", c.get(t, "mesh-node-limit", "{}"))
	}
	c.allowed(t, "", "delete bgppolicy other")
}

func (c *cluster) schema(t *testing.T) {
	t.Helper()
	for name, test := range map[string]struct {
		spec fields
		want string
	}{
		"a library policy and Rego": {fields{"policy": "mesh-node-limit", "rego": rego("a.rego", "package a")}, "exactly one of policy and rego must be set"},
		"neither":                   {nil, "exactly one of policy and rego must be set"},
		"Deny and Warn":             {fields{"policy": "mesh-node-limit", "validationActions": []string{"Deny", "Warn"}}, "Deny and Warn exclude each other: a denial already shows the message to the user"},
		"an action that is none":    {fields{"policy": "mesh-node-limit", "validationActions": []string{"Shout"}}, `spec.validationActions[0]: Unsupported value: "Shout"`},
		"no action":                 {fields{"policy": "mesh-node-limit", "validationActions": []string{}}, "spec.validationActions in body should have at least 1 items"},
		"a kind that is not Calico's": {fields{"policy": "mesh-node-limit", "match": fields{"kinds": []string{"Pod"}}},
			`spec.match.kinds[0]: Unsupported value: "Pod"`},
		"parameters that are a list": {fields{"policy": "mesh-node-limit", "parameters": []string{"a"}}, `spec.parameters: Invalid value: "array": spec.parameters in body must be of type object`},
		"a field that is not known":  {fields{"policy": "mesh-node-limit", "action": "Deny"}, `unknown field "spec.action"`},
	} {
		t.Run(name, func(t *testing.T) {
			result := c.kubectl(t, bgpPolicy("wrong", test.spec), "apply -f -")
			if result.ExitCode != 1 || !strings.Contains(result.Stderr, test.want) {
				t.Errorf("exit code %d, want %q, got %s", result.ExitCode, test.want, result.Stderr)
			}
		})
	}
}

func (c *cluster) refused(t *testing.T) {
	t.Helper()
	for name, test := range map[string]struct {
		spec fields
		want string
	}{
		"a policy that does not compile": {
			fields{"rego": rego("peer_names.rego", strings.Replace(peerNames, "input.change.operation", "input.change.action", 1))},
			"spec.rego.modules: peer_names.rego:19: rego_type_error: undefined ref: input.change.action",
		},
		"a policy that does not parse": {
			fields{"rego": rego("peer_names.rego", peerNames+"\nviolation contains {")},
			"spec.rego.modules: peer_names.rego:23: rego_parse_error: ",
		},
		"a test that fails": {
			fields{"rego": rego("peer_names.rego", peerNames, "peer_names_test.rego", peerNamesTest+"\ntest_never if false\n")},
			"spec.rego.modules: peer_names_test.rego:9: test policies.peer_names_test.test_never fails",
		},
		"a policy that takes more memory than it may": {
			fields{"rego": rego("doubling.rego", doubling)},
			"BGPPolicy wrong: cannot be evaluated on the current state: doubling.rego:13: eval_builtin_error: replace: the result would have more than 16 MiB",
		},
		"a parameter that is not known": {
			fields{"policy": "mesh-node-limit", "parameters": fields{"maxNode": 7}},
			"spec.parameters: additional properties 'maxNode' not allowed; known are maxNodes",
		},
		"a parameter that does not fit": {
			fields{"policy": "mesh-node-limit", "parameters": fields{"maxNodes": 0}},
			"spec.parameters.maxNodes: ",
		},
		"a policy that is not in the library": {
			fields{"policy": "mesh-limit"},
			`spec.policy: "mesh-limit" is not in the library; known are address-autodetection, `,
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, how := range []string{"apply -f -", "create -f - --dry-run=server"} {
				result := c.kubectl(t, bgpPolicy("wrong", test.spec), how)
				if result.ExitCode != 1 || !strings.Contains(result.Stderr, test.want) {
					t.Errorf("%s: exit code %d, want %q, got %s", how, result.ExitCode, test.want, result.Stderr)
				}
			}
		})
	}
	// What cannot be used is denied as a change of what can, too; labels are nobody's business.
	c.allowed(t, "", "label bgppolicy mesh-node-limit team=network")
	if result := c.kubectl(t, "", `patch bgppolicy mesh-node-limit --type=merge -p {"spec":{"policy":"none"}}`); result.ExitCode != 1 {
		t.Error("a policy that is not known was patched in")
	}
}

func (c *cluster) applied(t *testing.T) {
	t.Helper()
	named := c.object("BGPPeer", "bad-1", "nodeSelector: has(nothing), peerSelector: has(nothing)")
	create := "create -f - --dry-run=server"
	c.allowed(t, named, create)
	c.allowed(t, bgpPolicy("names", fields{"rego": rego("peer_names.rego", peerNames, "peer_names_test.rego", peerNamesTest)}), "apply -f -")
	c.until(t, 1, named, create)
	c.denied(t, "names", named, create)
	c.await(t, "names", `{.status.conditions[?(@.type=="Enforced")].status}`, "True")
	if got := c.get(t, "names", "{.status.policy} {.status.judges} {.status.violations}"); got != "peer-names change " {
		t.Errorf("the status says %q", got)
	}
	c.allowed(t, "", `patch bgppolicy names --type=merge -p {"spec":{"parameters":{"prefix":"other-"}}}`)
	c.until(t, 0, named, create)
	c.await(t, "names", "{.status.observedGeneration}", "2")
}

func (c *cluster) weakened(t *testing.T) {
	t.Helper()
	for patch, want := range map[string]string{
		`{"spec":{"validationActions":["Warn"]}}`:  "enforces less than before: it no longer denies (validationActions: Warn, was Deny)",
		`{"spec":{"exempt":{"users":["jane"]}}}`:   "enforces less than before: it exempts user jane",
		`{"spec":{"match":{"kinds":["BGPPeer"]}}}`: "enforces less than before: it evaluates only the changes that its new match selects",
		`{"spec":{"parameters":{"prefix":"x"}}}`:   `may enforce less than before, because the effect of a change is not known: parameter prefix is "x", was "other-"`,
	} {
		t.Run(patch, func(t *testing.T) {
			result, err := c.Admin.Run(t.Context(), "patch", "bgppolicy", "names", "--type=merge", "-p", patch, "--dry-run=server")
			if err != nil {
				t.Fatal(err)
			}
			warning := "Warning: BGPPolicy names " + want + "\n"
			if err := result.Err(); err != nil || result.Stderr != warning {
				t.Errorf("%v, got %q, want %q", err, result.Stderr, warning)
			}
		})
	}
	c.recorded(t, `"policies.bgpguard.io/weakened":"BGPPolicy names enforces less than before: it exempts user jane"`)
}

// library counts the policies of the default install.
func (c *cluster) library(t *testing.T) int {
	t.Helper()
	l, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return len(l.Definitions())
}

// recorded expects a text in the audit log.
func (c *cluster) recorded(t *testing.T, text string) {
	t.Helper()
	data, err := os.ReadFile(c.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), text) {
		t.Errorf("%s is not in the audit log:\n%s", text, grep(string(data), "policies.bgpguard.io/"))
	}
}

func (c *cluster) exempt(t *testing.T) {
	t.Helper()
	c.allowed(t, "", "create clusterrolebinding jane --clusterrole=cluster-admin --user=jane")
	c.allowed(t, bgpPolicy("names", fields{
		"rego": rego("peer_names.rego", peerNames), "parameters": fields{"prefix": "bad-"},
		"exempt": fields{"users": []string{"jane"}},
		"match":  fields{"names": []string{"bad-*", "worse-*"}, "kinds": []string{"BGPPeer"}},
	}), "apply -f -")
	named := func(name string) string {
		return c.object("BGPPeer", name, "nodeSelector: has(nothing), peerSelector: has(nothing)")
	}
	create := "create -f - --dry-run=server"
	c.until(t, 1, named("bad-1"), create)
	if told := c.allowed(t, named("bad-1"), "--as=jane "+create); !strings.Contains(told.Stderr, "Warning: [names] the name bad-1 begins with bad-: choose another (not enforced: you are exempt from this policy)") {
		t.Errorf("jane is told %q", told.Stderr)
	}
	c.recorded(t, `"bgp.bgpguard.io/exempted":"names"`)
	if log, err := os.ReadFile(c.webhook.LogFile); err != nil || !strings.Contains(string(log), `"msg":"Allowed, as the user is exempt"`) {
		t.Errorf("no line about an exempt user in the log (%v)", err)
	}
	c.allowed(t, "", `patch bgppolicy names --type=merge -p {"spec":{"match":{"names":["worse-*"]}}}`)
	c.until(t, 0, named("bad-1"), create)
}

// bad has BGPPolicies that nobody reviewed.
func (c *cluster) bad(t *testing.T) {
	t.Helper()
	meshOff := c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false")
	named := c.object("BGPPeer", "worse-1", "nodeSelector: has(nothing), peerSelector: has(nothing)")
	create := "create -f - --dry-run=server"
	c.allowed(t, bgpPolicy("names", fields{
		"rego": rego("peer_names.rego", peerNames), "parameters": fields{"prefix": "worse-"},
	}), "apply -f -")
	c.until(t, 1, named, create)
	generation := c.get(t, "names", "{.metadata.generation}")
	c.await(t, "names", "{.status.observedGeneration}", generation)

	c.allowed(t, "", `patch validatingwebhookconfiguration bgpguard --type=json -p [{"op":"test","path":"/webhooks/2/name","value":"policies.bgpguard.io"},{"op":"remove","path":"/webhooks/2"}]`)
	broken := bgpPolicy("names", fields{"rego": rego("peer_names.rego", strings.Replace(peerNames, "startswith", "beginswith", 1))})
	// The API server takes a moment to forget a webhook.
	c.until(t, 0, bgpPolicy("worthless", fields{"policy": "nothing"}), "apply -f -")
	c.until(t, 0, broken, "apply -f -")

	c.await(t, "names", `{.status.conditions[?(@.type=="Enforced")].reason}`, "LastGood")
	for jsonpath, want := range map[string]string{
		`{.status.conditions[?(@.type=="Compiled")].status}`:  "False",
		`{.status.conditions[?(@.type=="Compiled")].message}`: "BGPPolicy names: spec.rego.modules: peer_names.rego:20: rego_type_error: undefined function beginswith",
		`{.status.conditions[?(@.type=="Enforced")].message}`: "generation " + generation + " is still enforced: generation ",
		"{.status.replicas[0].enforcedGeneration}":            generation,
		"{.status.replicas[0].error}":                         "BGPPolicy names: spec.rego.modules: peer_names.rego:20: ",
	} {
		t.Run(jsonpath, func(t *testing.T) {
			if got := c.get(t, "names", jsonpath); !strings.HasPrefix(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	c.await(t, "worthless", `{.status.conditions[?(@.type=="Enforced")].reason}`, "Invalid")
	c.denied(t, "names", named, create)
	c.denied(t, required, meshOff, "apply -f -")
	_, metrics := c.scrape(t, c.prometheus(t))
	for _, want := range []string{`bgpguard_policy_unusable{policy="names"} 1`, `bgpguard_policy_unusable{policy="worthless"} 1`, fmt.Sprintf("bgpguard_policies_loaded %d", c.library(t)+1)} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in the metrics:\n%s", want, grep(metrics, "bgpguard_polic"))
		}
	}

	c.quarantined(t)
	if _, err := c.ApplyKustomization(t.Context(), "config/webhook"); err != nil {
		t.Fatal(err)
	}
	c.until(t, 1, bgpPolicy("also-worthless", fields{"policy": "nothing"}), "create -f - --dry-run=server")
	c.allowed(t, "", "delete bgppolicy worthless")
	c.allowed(t, bgpPolicy("names", fields{"rego": rego("peer_names.rego", peerNames)}), "apply -f -")
	c.await(t, "names", `{.status.conditions[?(@.type=="Enforced")].status}`, "True")
}

func (c *cluster) replicas(t *testing.T) {
	t.Helper()
	first := c.get(t, "names", "{.status.replicas[*].name}")
	second, err := c.StartWebhook(t.Context(), env.WebhookOptions{Hostname: "second", Args: []string{"--leader-elect"}})
	if err != nil {
		t.Fatal(err)
	}
	c.await(t, "names", `{.status.replicas[?(@.name=="second")].enforcedGeneration}`, c.get(t, "names", "{.metadata.generation}"))
	c.await(t, "names", `{.status.conditions[?(@.type=="Enforced")].message}`, fmt.Sprintf("generation %s is enforced on all replicas (2)", c.get(t, "names", "{.metadata.generation}")))
	if err := second.Stop(); err != nil {
		t.Error(err)
	}
	// A replica that has gone is in the way until it is forgotten.
	c.allowed(t, bgpPolicy("names", fields{"rego": rego("peer_names.rego", peerNames), "parameters": fields{"prefix": "third-"}}), "apply -f -")
	c.await(t, "names", `{.status.conditions[?(@.type=="Enforced")].reason}`, "ReplicasDiffer")
	if got := c.get(t, "names", `{.status.replicas[?(@.name=="`+first+`")].enforcedGeneration}`); got != c.get(t, "names", "{.metadata.generation}") {
		t.Errorf("the first replica judges by generation %s", got)
	}
}

func (c *cluster) deleted(t *testing.T) {
	t.Helper()
	for _, how := range []string{"delete bgppolicy mesh-node-limit --dry-run=server", "delete bgppolicy mesh-node-limit"} {
		want := fmt.Sprintf("BGPPolicy mesh-node-limit is deleted: it no longer enforces policy mesh-node-limit (Deny); %d policies remain in force", c.library(t))
		if told := c.allowed(t, "", how); told.Stderr != "Warning: "+want+"\n" {
			t.Errorf("%s: told %q, want %q", how, told.Stderr, want)
		}
		c.recorded(t, `"policies.bgpguard.io/no-longer-enforced":"`+want+`"`)
	}
	log, err := os.ReadFile(c.webhook.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	if line := grep(string(log), `"msg":"BGPPolicy deleted"`); !strings.Contains(line, `"name":"mesh-node-limit"`) || !strings.Contains(line, `"user":"`) {
		t.Errorf("the log says %q", line)
	}
	c.reflect(t)
	c.until(t, 0, c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: true"), "apply -f - --dry-run=server")
}

// The guard may be there before its CRD: it judges nothing until it knows which
// policies there are, and then what there is, be it nothing.
func TestBGPPoliciesComeLater(t *testing.T) {
	t.Parallel()
	c := &cluster{Environment: startEnvironment(t, env.Options{Groups: []env.Group{env.GroupV1}}), group: env.GroupV1}
	for _, folder := range []string{"config/manager", "config/rbac", "config/webhook"} {
		if _, err := c.ApplyKustomization(t.Context(), folder); err != nil {
			t.Fatal(err)
		}
	}
	started := make(chan error, 1)
	go func() {
		var err error
		c.webhook, err = c.StartWebhook(t.Context(), env.WebhookOptions{})
		started <- err
	}()
	meshOff := c.object("BGPConfiguration", "default", "nodeToNodeMeshEnabled: false")
	const unknown = "not ready: the API server does not serve BGPPolicy of policy.bgpguard.io/v1alpha1"
	c.refusedUntil(t, meshOff, unknown, started)
	if log := c.earlyLog(t); !strings.Contains(log, "retrying until they are served: kubectl apply -k config/crd") {
		t.Errorf("the log does not say what is missing:\n%s", log)
	}

	if _, err := c.ApplyKustomization(t.Context(), "config/crd"); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	c.allowed(t, meshOff, "apply -f -")
	if log := c.earlyLog(t); !strings.Contains(log, "The cluster has no BGPPolicy: no policy is in force") {
		t.Errorf("the log does not say that nothing is enforced:\n%s", log)
	}
	if _, metrics := c.scrape(t, c.prometheus(t)); !strings.Contains(metrics, "bgpguard_policies_loaded 0") {
		t.Errorf("the metrics say %s", grep(metrics, "bgpguard_polic"))
	}
	if _, err := c.ApplyKustomization(t.Context(), "config/policies"); err != nil {
		t.Fatal(err)
	}
	c.allowed(t, "", "wait bgppolicies --all --for=condition=Enforced --timeout=30s")
}

// refusedUntil asks until it is refused for the given reason.
func (c *cluster) refusedUntil(t *testing.T, input, reason string, ended <-chan error) {
	t.Helper()
	for {
		result := c.kubectl(t, input, "apply -f -")
		if result.ExitCode == 0 {
			t.Fatalf("%s was allowed by a guard that knows no policies", input)
		}
		if strings.Contains(result.Stderr, reason) {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("the webhook is ready, or has ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// earlyLog is that of a webhook that may not be ready yet.
func (c *cluster) earlyLog(t *testing.T) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(c.Dir, "webhook-*.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %q, %v", logs, err)
	}
	text, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
