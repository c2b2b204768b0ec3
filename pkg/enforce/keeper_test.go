package enforce

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	opatypes "github.com/open-policy-agent/opa/v1/types"
	"github.com/prometheus/client_golang/prometheus/testutil"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// library returns the built-in library with an additional policy for each name.
func library(t *testing.T, names ...string) *policy.Library {
	t.Helper()
	var sources []policy.Source
	for _, name := range names {
		sources = append(sources, policy.Source{Name: name, Modules: map[string]string{name + ".rego": module(name)}})
	}
	l, err := policy.NewLibrary(sources...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newKeeper(t *testing.T, log logr.Logger) *Keeper {
	t.Helper()
	return NewKeeper(library(t), log)
}

// module returns a policy in Rego that always finds one violation.
func module(name string) string {
	return fmt.Sprintf(`# METADATA
# title: A test
# custom:
#   severity: low
#   judges: state
#   validationActions: [Deny]
#   parameters:
#     type: object
#     additionalProperties: false
#     properties:
#       text: {type: string, default: wrong}
package policies.%s

violation contains {"id": "x", "size": 1, "msg": input.parameters.text}
`, name)
}

// named returns a BGPPolicy that refers to a library policy.
func named(name, of string, generation int64) policy.Document {
	d := policy.Document{}
	d.Name, d.UID, d.Generation = name, types.UID(name), generation
	d.Spec.Policy, d.Spec.ValidationActions = of, []violation.Action{violation.Deny}
	return d
}

// own returns a BGPPolicy with custom Rego and a test.
func own(name, test string, generation int64) policy.Document {
	d := named(name, "", generation)
	d.Spec.Rego = &v1alpha1.Rego{Modules: []v1alpha1.Module{
		{Name: name + ".rego", Text: module(name)}, {Name: name + "_test.rego", Text: "package policies." + name + "_test\n\n" + test},
	}}
	return d
}

func withText(d policy.Document, parameters string) policy.Document {
	d.Spec.Parameters = &apiextensionsv1.JSON{Raw: []byte(parameters)}
	return d
}

const passes = "test_x if true"

// published records the sets of a keeper.
type published struct{ sets [][]string }

func (p *published) add(set *policy.Set) { p.sets = append(p.sets, set.Names()) }

// states returns "name: enforced/seen" for each document, with a mark if it is
// rejected.
func states(k *Keeper) string {
	var out []string
	for _, o := range k.Outcomes() {
		text := fmt.Sprintf("%s: %d/%d", o.Name, o.Enforced, o.Generation)
		if o.Err != nil {
			text += " !"
		}
		if (o.Policy != nil) != slices.Contains(k.Set().Names(), o.Name) {
			text += " set and outcome differ"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestKeeper(t *testing.T) {
	good, mesh := own("good", passes, 1), named("mesh", "mesh-node-limit", 1)
	again := good
	again.UID = "another"
	for name, c := range map[string]struct {
		steps [][]policy.Document
		want  string
		sets  string
	}{
		"documents come and go": {
			[][]policy.Document{{mesh}, {mesh, good}, {good}, {}},
			"", "[[mesh] [good mesh] [good] []]",
		},
		"equal documents are not published again": {
			[][]policy.Document{{mesh, good}, {good, mesh}, {own("good", passes, 2), named("mesh", "mesh-node-limit", 3)}},
			"good: 2/2, mesh: 3/3", "[[mesh] [good mesh]]",
		},
		"an invalid document does not affect others": {
			[][]policy.Document{{named("bad", "nothing", 1), mesh}},
			"bad: 0/1 !, mesh: 1/1", "[[mesh]]",
		},
		"the last valid version stays in force": {
			[][]policy.Document{{mesh, good}, {withText(named("mesh", "mesh-node-limit", 2), `{"maxNode": 3}`), own("good", "test_x if false", 2)}},
			"good: 1/2 !, mesh: 1/2 !", "[[mesh] [good mesh]]",
		},
		"a fixed document is in force": {
			[][]policy.Document{{mesh}, {named("mesh", "nothing", 2)}, {named("mesh", "timers-consistent", 3)}},
			"mesh: 3/3", "[[mesh] [mesh]]",
		},
		"a failed test rejects a policy": {
			[][]policy.Document{{own("bad", "test_x if false", 1)}},
			"bad: 0/1 !", "[]",
		},
		"another object of the same name inherits nothing": {
			[][]policy.Document{{good}, {func() policy.Document { d := again; d.Spec.ValidationActions = nil; return d }()}},
			"good: 0/1 !", "[[good] []]",
		},
		"a document that the schema would reject": {
			[][]policy.Document{{{BGPPolicy: v1alpha1.BGPPolicy{ObjectMeta: mesh.ObjectMeta}}}},
			"mesh: 0/1 !", "[]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var c2 published
			k := NewKeeper(library(t), logr.Discard())
			k.OnChange(c2.add)
			for _, documents := range c.steps {
				k.SetDocuments(documents)
			}
			if got := states(k); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := fmt.Sprint(c2.sets); got != c.sets {
				t.Errorf("published %s, want %s", got, c.sets)
			}
		})
	}
}

func TestUnchangedPoliciesAreNotCompiledAgain(t *testing.T) {
	k := newKeeper(t, logr.Discard())
	k.SetDocuments([]policy.Document{named("mesh", "mesh-node-limit", 1), own("good", passes, 1)})
	before := k.Set().Policies()
	k.SetDocuments([]policy.Document{withText(own("good", passes, 2), `{"text": "other"}`), named("mesh", "mesh-node-limit", 1)})
	after := k.Set().Policies()
	if after[1] != before[1] {
		t.Error("mesh was compiled again")
	}
	if after[0] == before[0] {
		t.Error("good has the parameters that it had")
	}
}

func TestAnotherLibrary(t *testing.T) {
	var c published
	first := library(t, "first")
	k := NewKeeper(first, logr.Discard())
	k.OnChange(c.add)
	k.SetDocuments([]policy.Document{named("a", "first", 1), named("b", "second", 1), named("mesh", "mesh-node-limit", 1), own("good", passes, 1)})
	if got, want := states(k), "a: 1/1, b: 0/1 !, good: 1/1, mesh: 1/1"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	before := k.Set().Policies()

	k.SetLibrary(library(t, "second"))
	if got, want := states(k), "a: 1/1 !, b: 1/1, good: 1/1, mesh: 1/1"; got != want {
		t.Errorf("with the second: got %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(c.sets), "[[a mesh] [a good mesh] [a b good mesh]]"; got != want {
		t.Errorf("published %s, want %s", got, want)
	}
	after := k.Set().Policies()
	if after[0] != before[0] || after[2] != before[1] || after[3] != before[2] {
		t.Error("a policy that does not depend on the library was compiled again, or is missing")
	}

	k.SetLibrary(first)
	if got, want := states(k), "a: 1/1, b: 1/1 !, good: 1/1, mesh: 1/1"; got != want {
		t.Errorf("with the first again: got %s, want %s", got, want)
	}
}

// A reader of the set never sees a partial one.
func TestPoliciesStayInForceDuringChanges(t *testing.T) {
	k := newKeeper(t, logr.Discard())
	k.SetDocuments([]policy.Document{own("good", passes, 1), named("mesh", "mesh-node-limit", 1)})
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if n := len(k.Set().Policies()); n != 2 {
					t.Errorf("%d policies were in force", n)
					return
				}
			}
		}
	})
	for i := range int64(20) {
		k.SetDocuments([]policy.Document{
			withText(own("good", passes, i+2), fmt.Sprintf(`{"text": "%d"}`, i)), withText(named("mesh", "mesh-node-limit", i+2), fmt.Sprintf(`{"maxNodes": %d}`, i+1)),
		})
	}
	close(done)
	wg.Wait()
}

func TestARejectedPolicyIsLoggedOnceAndCounted(t *testing.T) {
	var out bytes.Buffer
	k := newKeeper(t, logr.FromSlogHandler(slog.NewTextHandler(&out, nil)))
	failures := testutil.ToFloat64(reloadFailures)
	bad := named("bad", "nothing", 7)
	k.SetDocuments([]policy.Document{bad})
	k.SetDocuments([]policy.Document{bad, named("mesh", "mesh-node-limit", 1)})
	if n := strings.Count(out.String(), "A BGPPolicy is rejected"); n != 1 || !strings.Contains(out.String(), "policy=bad generation=7 enforced=0") {
		t.Errorf("logged %d times: %s", n, out.String())
	}
	if got := testutil.ToFloat64(reloadFailures) - failures; got != 1 {
		t.Errorf("counted %v failures", got)
	}
	if got := testutil.ToFloat64(unusable.WithLabelValues("bad")); got != 1 {
		t.Errorf("the metric says %v", got)
	}
	k.SetDocuments(nil)
	if got := testutil.CollectAndCount(unusable); got != 0 {
		t.Errorf("%d policies still have the metric", got)
	}
}

// The machine may have been busy: a policy whose tests exceeded the limit is checked
// again.
func TestSlowTestsAreRunAgain(t *testing.T) {
	k := newKeeper(t, logr.Discard())
	d := own("good", passes, 1)
	k.SetDocuments([]policy.Document{d})
	for _, err := range []error{&policy.LimitError{Limit: testLimit}, policy.ErrNotChecked} {
		slow := k.entries["good"]
		slow.Err, slow.Policy, slow.Enforced = fmt.Errorf("slow: %w", err), nil, 0
		k.entries["good"] = slow
		k.SetDocuments([]policy.Document{d})
		if got := states(k); got != "good: 1/1" {
			t.Errorf("after %v: got %s", err, got)
		}
	}
	failed := k.entries["good"]
	failed.Err = errors.New("wrong")
	k.entries["good"] = failed
	k.SetDocuments([]policy.Document{d})
	if got := states(k); got != "good: 1/1 !" {
		t.Errorf("a rejected document was checked again: got %s", got)
	}
}

// Tests that ignore cancellation block the keeper only for their limit. They are not
// run again while they still run, or goroutines would accumulate.
func TestTestsThatDoNotEndAreNotRunAgain(t *testing.T) {
	const builtin = "test.hang"
	var calls atomic.Int32
	let := make(chan struct{})
	release := sync.OnceFunc(func() { close(let) })
	defer release()
	ast.RegisterBuiltin(&ast.Builtin{Name: builtin, Decl: opatypes.NewFunction(nil, opatypes.N)})
	topdown.RegisterBuiltinFunc(builtin, func(_ topdown.BuiltinContext, _ []*ast.Term, iter func(*ast.Term) error) error {
		calls.Add(1)
		<-let
		return iter(ast.IntNumberTerm(1))
	})
	k := newKeeper(t, logr.Discard())
	hangs, mesh := own("hangs", "test_x if test.hang() == 1", 1), named("mesh", "mesh-node-limit", 1)
	k.SetDocuments([]policy.Document{hangs, mesh})
	k.SetDocuments([]policy.Document{hangs, mesh})
	if got := states(k); got != "hangs: 0/1 !, mesh: 1/1" || calls.Load() != 1 {
		t.Errorf("got %s, and the test was run %d times", got, calls.Load())
	}
	slow, ok := errors.AsType[*policy.LimitError](k.Outcomes()[0].Err)
	if !ok {
		t.Fatalf("error %v", k.Outcomes()[0].Err)
	}
	release()
	for slow.Running() {
		runtime.Gosched()
	}
	k.SetDocuments([]policy.Document{hangs, mesh})
	if got := states(k); got != "hangs: 1/1, mesh: 1/1" || calls.Load() != 2 {
		t.Errorf("got %s, and the test was run %d times", got, calls.Load())
	}
}
