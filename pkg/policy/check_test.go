package policy

import (
	"errors"
	"strings"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// own returns a BGPPolicy that contains modules. The arguments are names and texts in turn.
func own(modules ...string) Document {
	d := Document{BGPPolicy: v1alpha1.BGPPolicy{Spec: v1alpha1.BGPPolicySpec{
		Rego: &v1alpha1.Rego{}, ValidationActions: []violation.Action{violation.Deny},
	}}}
	d.Name = "mine"
	for i := 0; i < len(modules); i += 2 {
		d.Spec.Rego.Modules = append(d.Spec.Rego.Modules, v1alpha1.Module{Name: modules[i], Text: modules[i+1]})
	}
	return d
}

func TestCheckSaysWhereADocumentIsWrong(t *testing.T) {
	library, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	const unending = "package policies.a_test\n\ntest_slow if {\n\tsome x in numbers.range(1, 100000)\n\tsome y in numbers.range(1, 100000)\n\tx * y < 0\n}"
	wrongParameter := own("a.rego", a(always))
	wrongParameter.Spec.Parameters = &apiextensionsv1.JSON{Raw: []byte(`{"limits": 3}`)}
	noActions := own("a.rego", a(always))
	noActions.Spec.ValidationActions = nil
	for name, c := range map[string]struct {
		document    Document
		field, want string
	}{
		"nothing wrong": {own("a.rego", a(always), "a_test.rego", "package policies.a_test\n\ntest_x if true"), "", ""},
		"a test that fails": {
			own("a.rego", a(always), "a_test.rego", "package policies.a_test\n\ntest_x if true\n\ntest_y if false"),
			"spec.rego.modules", "BGPPolicy mine: spec.rego.modules: a_test.rego:5: test policies.a_test.test_y fails",
		},
		"tests without end": {
			own("a.rego", a(always), "a_test.rego", unending),
			"spec.rego.modules", "BGPPolicy mine: spec.rego.modules: the tests did not finish within 50ms",
		},
		"a policy that does not compile": {
			own("a.rego", a("violation contains x")),
			"spec.rego.modules", "BGPPolicy mine: spec.rego.modules: a.rego:17: rego_unsafe_var_error: var x is unsafe",
		},
		"a parameter that is not known": {
			wrongParameter, "spec.parameters", "BGPPolicy mine: spec.parameters: additional properties 'limits' not allowed; known are limit, name",
		},
		"no actions": {
			noActions, "spec.validationActions", "BGPPolicy mine: spec.validationActions: must have at least one of Deny, Warn, Audit",
		},
	} {
		t.Run(name, func(t *testing.T) {
			limit := time.Minute
			if name == "tests without end" {
				limit = 50 * time.Millisecond
			}
			p, err := library.Check(t.Context(), &c.document, limit)
			if c.want == "" {
				if err != nil || p == nil || p.Definition.Name != "a" {
					t.Errorf("got %v, %v", p, err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
			if f, ok := errors.AsType[*FieldError](err); !ok || f.Field != c.field {
				t.Errorf("the field is %v, want %s", f, c.field)
			}
			if _, ok := errors.AsType[*LimitError](err); ok != (name == "tests without end") {
				t.Errorf("is a *LimitError: %t", ok)
			}
		})
	}
}
