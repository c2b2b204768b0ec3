package main

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

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
