package main

import (
	"slices"
	"strings"
	"testing"

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
	objects, args, err := splitManifest([]byte(someManifest))
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
		if _, _, err := splitManifest([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestTemplatesHaveTheirPolicies checks what Gatekeeper requires of a template and what opa test does not see.
func TestTemplatesHaveTheirPolicies(t *testing.T) {
	for _, p := range gatekeeperPolicies {
		template, err := p.template()
		if err != nil {
			t.Fatal(err)
		}
		text, err := yaml.Marshal(template)
		if err != nil {
			t.Fatal(err)
		}
		rego, err := gatekeeperRego.ReadFile("policies/gatekeeper/" + p.file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(rego), "package "+p.name()+"\n") {
			t.Errorf("%s has another package than %s", p.file, p.name())
		}
		for _, want := range []string{"kind: " + p.kind, "name: " + p.name()} {
			if !strings.Contains(string(text), want) {
				t.Errorf("the template of %s has no %q:\n%s", p.kind, want, text)
			}
		}
		for parameter := range p.parameters {
			if !strings.Contains(string(text), parameter+":\n") {
				t.Errorf("the template of %s has no parameter %s:\n%s", p.kind, parameter, text)
			}
			if !strings.Contains(string(rego), `input.parameters.`+parameter) && !strings.Contains(string(rego), `input.parameters, "`+parameter+`"`) {
				t.Errorf("%s does not read the parameter %s", p.file, parameter)
			}
		}
	}
}

func TestEachDenialHasAConstraint(t *testing.T) {
	for _, question := range denied {
		kind := gatekeeperDenials[question]
		if !slices.ContainsFunc(gatekeeperPolicies, func(p gatekeeperPolicy) bool { return p.kind == kind }) {
			t.Errorf("%s is denied by %q, which is no policy", question, kind)
		}
	}
}

func TestCheckDenial(t *testing.T) {
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
		if err := checkDenial(test.question, test.answer, 1000); (err != nil) != test.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}
