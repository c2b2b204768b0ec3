package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const someManifest = `apiVersion: v1
kind: Namespace
metadata: {name: gatekeeper-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gatekeeper-audit}
spec: {template: {spec: {containers: [{name: manager, args: [--operation=audit]}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gatekeeper-controller-manager}
spec: {template: {spec: {containers: [{name: manager, args: [--port=8443, --operation=webhook]}]}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: gatekeeper-manager-role}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: gatekeeper}
`

func TestSplitManifest(t *testing.T) {
	objects, args, err := splitManifest([]byte(someManifest), "gatekeeper-controller-manager")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for document := range strings.SplitSeq(string(objects), "---\n") {
		var object struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, object.Kind)
	}
	if want := []string{"", "Namespace", "ClusterRole"}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %q, want %q", kinds, want)
	}
	if want := []string{"--port=8443", "--operation=webhook"}; !slices.Equal(args, want) {
		t.Errorf("arguments %q, want those of the webhook, %q", args, want)
	}
}

func TestSplitManifestErrors(t *testing.T) {
	for name, text := range map[string]string{
		"without webhook": strings.Replace(someManifest, "gatekeeper-controller-manager", "other", 1),
		"empty":           "",
		"no YAML":         "a: b: c",
	} {
		if _, _, err := splitManifest([]byte(text), "gatekeeper-controller-manager"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCheckDenial(t *testing.T) {
	o := &other{denials: map[string]string{}}
	for _, p := range gatekeeperPolicies {
		o.denials[p.denies] = "[" + p.name() + "]"
	}
	for name, test := range map[string]struct {
		question, answer string
		fails            bool
	}{
		"allowed":                 {updateDry, `{"allowed":true}`, false},
		"denied by its policy":    {timerDenied, `[bgprestarttime] maxRestartTime is 300s`, false},
		"denied by another":       {timerDenied, `[bgpmeshlimit] the mesh`, true},
		"denied by two":           {timerDenied, `[bgprestarttime] a, [bgpmeshlimit] b`, true},
		"allowed but denied":      {updateDry, `[bgpmeshlimit] the mesh`, true},
		"all Nodes":               {deleteDenied, `[bgpreflectorcoverage] 7 of 1000 nodes would have fewer`, false},
		"some Nodes":              {deleteDenied, `[bgpreflectorcoverage] 7 of 999 nodes would have fewer`, true},
		"all Nodes in the mesh":   {meshDenied, `[bgpmeshlimit] the node-to-node mesh would have 997 nodes, the limit`, false},
		"reflectors are included": {meshDenied, `[bgpmeshlimit] the node-to-node mesh would have 1000 nodes, the limit`, true},
	} {
		if err := o.checkDenial(test.question, test.answer, 1000); (err != nil) != test.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEachDenialHasAPolicy checks that each webhook has a policy for each question that must be denied.
func TestEachDenialHasAPolicy(t *testing.T) {
	for _, question := range denied {
		if !slices.ContainsFunc(gatekeeperPolicies, func(p gatekeeperPolicy) bool { return p.denies == question }) {
			t.Errorf("Gatekeeper has no policy against %s", question)
		}
		if policy := kyvernoPolicies[question]; !strings.Contains(kyvernoManifests, "metadata: {name: "+policy+"}\n") {
			t.Errorf("Kyverno has no policy %q against %s", policy, question)
		}
	}
}

// TestKyvernoHasTheSameParameters checks the numbers in Kyverno's policies, which have no parameters.
func TestKyvernoHasTheSameParameters(t *testing.T) {
	for _, want := range []string{
		fmt.Sprintf("variables.nodes <= %d\n", meshLimit), fmt.Sprintf(".size() >= %d)", minReflectors), "duration('" + restartTime + "')",
	} {
		if !strings.Contains(kyvernoManifests, want) {
			t.Errorf("the policies have no %q", want)
		}
	}
}

func TestKyvernoDenial(t *testing.T) {
	for message, want := range map[string]bool{
		"Policy bgp-mesh-limit failed: the node-to-node mesh would have 197 nodes":              true,
		"Policy bgp-mesh-limit error: no such key: spec":                                        false,
		"Policy bgp-mesh-limit failed: too many; Policy bgp-restart-time error: no such key: a": false,
		"failed to convert": false,
	} {
		if got := isKyvernoDenial(&metav1.Status{Message: message}); got != want {
			t.Errorf("%q is a denial: %t", message, got)
		}
	}
}
