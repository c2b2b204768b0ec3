package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// changeMetadata is metadata of a policy that evaluates changes.
var changeMetadata = strings.NewReplacer("judges: state", "judges: change", "schema.input", "schema.change").Replace(metadata)

// firing returns the kinds and operations of changes in which a policy can find violations.
func firing(t *testing.T, p *Policy) []string {
	t.Helper()
	var out []string
	for _, kind := range Kinds {
		for _, operation := range Operations {
			if p.CanFire(t.Context(), kind, operation) {
				out = append(out, kind+" "+operation)
			}
		}
	}
	return out
}

func TestCanFireOfTheLibrary(t *testing.T) {
	docs, err := Defaults()
	if err != nil {
		t.Fatal(err)
	}
	everything := len(Kinds) * len(Operations)
	for i := range docs {
		p, err := prepare(t, &docs[i])
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]string{
			"as-number-change": {"Node UPDATE", "BGPConfiguration CREATE", "BGPConfiguration UPDATE", "BGPConfiguration DELETE", "BGPPeer UPDATE"},
			"change-window":    nil, // It is not configured.
			"pools-in-use":     {"IPPool CREATE", "IPPool UPDATE", "IPPool DELETE"},
		}
		got := firing(t, p)
		if p.Definition.Judges == JudgesState {
			continue
		}
		if p.Name == "encapsulation-change" || p.Name == "advertisements-preserved" {
			if len(got) != everything {
				t.Errorf("%s: can fire for %v, want everything", p.Name, got)
			}
		} else if !slices.Equal(got, want[p.Name]) {
			t.Errorf("%s: can fire for %v, want %v", p.Name, got, want[p.Name])
		}
		if p.Name == "change-window" {
			docs[i].Spec.Parameters = &apiextensionsv1.JSON{Raw: []byte(`{"approval": {"annotation": "a"}, "changes": [{"kinds": ["Node"], "operations": ["DELETE"]}, {"kinds": ["IPPool"]}]}`)}
			if p, err = prepare(t, &docs[i]); err != nil {
				t.Fatal(err)
			}
			if got, want := firing(t, p), []string{"Node DELETE", "IPPool CREATE", "IPPool UPDATE", "IPPool DELETE"}; !slices.Equal(got, want) {
				t.Errorf("change-window: can fire for %v, want %v", got, want)
			}
		}
	}
}

// changeOf returns the input of a change, without parameters.
func changeOf(t *testing.T, kind, operation string) ast.Object {
	t.Helper()
	object := map[string]any{"metadata": map[string]any{"name": "x"}, "spec": map[string]any{"number": 1}}
	change := map[string]any{"kind": kind, "operation": operation, "name": "x", "user": "jane", "groups": []any{"g"}, "dryRun": false, "object": object, "oldObject": object, "installation": nil}
	switch operation {
	case "CREATE":
		change["oldObject"] = nil
	case "DELETE":
		change["object"] = nil
	}
	value, err := ast.InterfaceToValue(map[string]any{"change": change, "state": map[string]any{"nodes": map[string]any{"total": 3}}, "before": map[string]any{"nodes": map[string]any{"total": 2}}, "now": 1})
	if err != nil {
		t.Fatal(err)
	}
	return value.(ast.Object)
}

// A policy has no violation and no evaluation error where CanFire is false, however it
// refers to the change.
func TestCanFireIsFalseOnlyWithoutViolations(t *testing.T) {
	kinds, operations := len(Kinds), len(Operations)
	all := kinds * operations
	for body, want := range map[string]int{ // The number of kinds and operations for which it may be true.
		`violation contains v("a") if input.change.kind == "Node"`:                                                                      operations,
		`violation contains v("a") if input.change.operation != "DELETE"`:                                                               2 * kinds,
		`violation contains v("a") if input.change.object`:                                                                              all,
		`violation contains v("a") if not input.change.object`:                                                                          all,
		`violation contains v("a") if input.change.oldObject.spec.number == 1`:                                                          2 * kinds,
		`violation contains v("a") if is_null(input.change.object)`:                                                                     all,
		`violation contains v("a") if { some k; input.change[k] == "IPPool" }`:                                                          all,
		`violation contains v("a") if { some value in input.change; value == "IPPool" }`:                                                all,
		`violation contains v("a") if object.get(input.change, "kind", "") == "BGPPeer"`:                                                all,
		`violation contains v("a") if is_peer(input.change)` + "\nis_peer(c) if c.kind == \"BGPPeer\"":                                  all,
		`violation contains v("a") if json.filter(input.change, ["kind"]) == {"kind": "Node"}`:                                          all,
		`violation contains v("a") if count([1 | input.change.kind == "Node"]) == 0`:                                                    all - operations,
		`violation contains v("a") if every k in ["Node"] { input.change.kind == k }`:                                                   operations,
		`violation contains v("a") if kind == "none"` + "\ndefault kind := \"none\"\nkind := \"node\" if input.change.kind == \"Node\"": all - operations,
		`violation contains v(x) if x := to_number(input.change.kind)`:                                                                  all,
		`violation contains v(input.change.kind) if input.state.nodes.total > input.before.nodes.total`:                                 all,
		`violation contains v("a") if { input.state.nodes.total > 0; input.change.kind in {"IPPool", "Node"} }`:                         2 * operations,
		`violation contains v("a") if "g" in input.change.groups`:                                                                       all,
		`violation contains v("a") if { kind := input.change.kind; startswith(kind, "BGP") }`:                                           3 * operations,
		`violation contains v("a") if { input["change"]["kind"] == "Node" }`:                                                            operations,
		`violation contains v("a") if { x := input; x.change.kind == "Node" }`:                                                          all,
		`violation contains v("a") if data.state.nodes[_]`:                                                                              all,
		`violation contains v("a") if input.change.kind == "Node" with input.change.kind as "Node"`:                                     all,
	} {
		t.Run(body, func(t *testing.T) {
			module := changeMetadata + "package policies.a\n\nv(id) := {\"id\": id, \"size\": 1, \"msg\": \"m\", \"details\": {}, \"objects\": []}\n\n" + body + "\n"
			p, err := prepare(t, inline("a.rego", module))
			if err != nil {
				t.Fatal(err)
			}
			can := 0
			for _, kind := range Kinds {
				for _, operation := range Operations {
					found, err := p.Evaluate(t.Context(), changeOf(t, kind, operation), func() ast.Value { return ast.NewObject() })
					fires := p.CanFire(t.Context(), kind, operation)
					if fires {
						can++
					}
					if (len(found) > 0 || err != nil) && !fires {
						t.Errorf("%s %s: CanFire is false, but the policy returns %v, %v", kind, operation, found, err)
					}
				}
			}
			if can > want {
				t.Errorf("can fire for %d kinds and operations, want at most %d", can, want)
			}
		})
	}
}

func TestCanFireWithoutTimeIsTrueAndNotCached(t *testing.T) {
	p, err := prepare(t, inline("a.rego", changeMetadata+"package policies.a\n\nviolation contains {\"id\": \"a\", \"size\": 1, \"msg\": \"m\", \"details\": {}, \"objects\": []} if input.change.kind == \"Node\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if !p.CanFire(ended, "IPPool", "UPDATE") {
		t.Error("without time, CanFire is false")
	}
	// Callers may ask for each of thousands of objects. A partial evaluation allocates thousands of times.
	if n := testing.AllocsPerRun(10, func() { p.CanFire(ended, "IPPool", "UPDATE") }); n > 10 {
		t.Errorf("without time, CanFire allocates %.0f times", n)
	}
	if p.CanFire(t.Context(), "IPPool", "UPDATE") {
		t.Error("the result without time was cached")
	}
}

func TestReadsOnlyStates(t *testing.T) {
	for body, want := range map[string]bool{
		`input.state.nodes.total > input.before.nodes.total`: true,
		`input.change.name == "x"`:                           false,
		`input.now > 0`:                                      false,
		`count(data.state.nodes) > 0`:                        false,
		`count(input) > 0`:                                   false,
	} {
		p, err := prepare(t, inline("a.rego", fmt.Sprintf("%spackage policies.a\n\nviolation contains {\"id\": \"a\", \"size\": 1, \"msg\": \"m\", \"details\": {}, \"objects\": []} if %s\n", changeMetadata, body)))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.ReadsOnlyStates(); got != want {
			t.Errorf("%s: %v, want %v", body, got, want)
		}
	}
}
