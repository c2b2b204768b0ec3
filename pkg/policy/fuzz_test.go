package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
)

// FuzzPrepare checks that custom Rego causes no panic, and that the error about an invalid
// policy names the BGPPolicy.
func FuzzPrepare(f *testing.F) {
	f.Add(a(always))
	f.Add(a(usesHelpers))
	f.Add("package policies.a\n\nviolation := {x | x := input.state.nodes}")
	f.Add("package policies.lib.text\n\nnumber(n) := n")
	f.Add("# METADATA\n# title: [\npackage policies.a\n")
	f.Add("import rego.v1")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Embedded()
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Prepare(inline("a.rego", text))
		if err != nil && (!strings.HasPrefix(err.Error(), "BGPPolicy own: ") || strings.Contains(err.Error(), "panicked")) {
			t.Errorf("%v", err)
		}
	})
}

// FuzzException checks that an exception that is accepted ends in time, and covers only changes that
// it names.
func FuzzException(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"x","creationTimestamp":"2026-03-14T19:00:00Z"},"spec":{"policies":["*"],"match":{"kinds":["BGPPeer"],"names":["p"]},"users":["jane"],"reason":"r","expires":"2026-03-14T20:00:00Z"}}`))
	f.Add([]byte(`{"spec":{"policies":["a"],"match":{"labelSelector":{"matchLabels":{"rack":"a"},"matchExpressions":[{"key":"b","operator":"NotIn","values":["c"]}]}},"groups":["g"],"reason":"r","expires":"9999-12-31T23:59:59Z"}}`))
	f.Add([]byte(`{"spec":{"policies":[""],"match":{"labelSelector":{"matchExpressions":[{"key":"b","operator":"Gt"}]}},"reason":" ","expires":null}}`))
	request := &Request{Kind: "BGPPeer", Name: "p", Operation: "UPDATE", User: "jane", Groups: []string{"g"}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var o v1alpha1.BGPException
		if json.Unmarshal(raw, &o) != nil {
			return
		}
		x, err := NewException(&o)
		if err != nil {
			return
		}
		if created := o.CreationTimestamp.Time; !created.IsZero() && x.Ends.Sub(created) > v1alpha1.MaxExceptionAge {
			t.Errorf("%s ends %s after its creation", raw, x.Ends.Sub(created))
		}
		for _, policy := range []string{"a", "other"} {
			named := slices.Contains(o.Spec.Policies, policy) || slices.Contains(o.Spec.Policies, v1alpha1.AllPolicies)
			if x.Covers(policy, request, x.Ends.Add(-time.Second)) && !named || x.Covers(policy, request, x.Ends) {
				t.Errorf("%s covers a change under policy %s that it does not name, or after its end", raw, policy)
			}
		}
	})
}
