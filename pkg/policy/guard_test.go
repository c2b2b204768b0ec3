package policy

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// panics registers a builtin that panics, and returns a call of it.
func panics(t *testing.T) string {
	t.Helper()
	const name = "test.panics"
	if topdown.GetBuiltin(name) == nil {
		ast.RegisterBuiltin(&ast.Builtin{Name: name, Decl: types.NewFunction(nil, types.N)})
	}
	call := func(topdown.BuiltinContext, []*ast.Term, func(*ast.Term) error) error { panic("out of cheese") }
	topdown.RegisterBuiltinFunc(name, guarded(call, nil))
	return name + "()"
}

func check(t *testing.T, d *Document) (*Policy, error) {
	t.Helper()
	l, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return l.Check(context.Background(), d, time.Minute)
}

func TestABuiltinThatPanicsIsAnErrorOfThePolicy(t *testing.T) {
	call := panics(t)
	// OPA runs tests on its own goroutines, where a panic would end the process.
	_, err := check(t, inline("a.rego", a(always), "a_test.rego", "package policies.a_test\n\ntest_a if "+call+" > 0"))
	want := "test policies.a_test.test_a could not be run: a_test.rego:3: eval_builtin_error: test.panics: panicked: out of cheese"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a test: %v, want %q in it", err, want)
	}
	p, err := check(t, inline("a.rego", a(strings.Replace(always, `"size": 1`, `"size": `+call, 1))))
	if err != nil {
		t.Fatal(err)
	}
	want = "test.panics: panicked: out of cheese"
	if _, err := p.Evaluate(t.Context(), sample(t), nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a policy: %v, want %q in it", err, want)
	}
}

// A panic outside of builtins keeps its stack: the evaluation runs on its own goroutine.
func TestAPanicOfAnEvaluationHasAStack(t *testing.T) {
	_, _, err := untilDone(t.Context(), func() (int, error) { panic("out of cheese") })
	p, ok := errors.AsType[*PanicError](err)
	if !ok || p.Error() != "panicked: out of cheese" || !strings.Contains(string(p.Stack), "TestAPanicOfAnEvaluationHasAStack") {
		t.Errorf("got %#v", err)
	}
}

func TestASchemaOfParametersReadsNoFileAndNoServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{"type": "string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"file://" + file, "http://localhost/schema.json"} {
		text := strings.Replace(a(always), "name: {type: string}", `name: {$ref: "`+url+`"}`, 1)
		want := `METADATA custom.parameters: failing loading "` + url + `": a schema can refer only to parts of itself`
		if _, err := prepare(t, inline("a.rego", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", url, err, want)
		}
	}
	text := strings.Replace(a(always), "name: {type: string}", `name: {$ref: "#/properties/limit"}`, 1)
	if _, err := prepare(t, inline("a.rego", text)); err != nil {
		t.Errorf("a reference into itself: %v", err)
	}
}

func TestAModuleThatHasTheNameOfAHelperIsRefused(t *testing.T) {
	const name = "bgpguard/lib/asn/asn.rego"
	want := "BGPPolicy own: spec.rego.modules: " + name + ": is the name of a built-in module; rename it"
	if _, err := prepare(t, inline(name, a(always))); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	// A module with the package of the helper replaces the helper. No other helper imports it.
	if _, err := prepare(t, inline("a.rego", a(always), name, "package policies.lib.asn\n\nx := 1")); err != nil {
		t.Error(err)
	}
}

// blocks registers a builtin test.block that ignores the cancellation of its context, and returns
// only after release was called. A call of the builtin cancels the last context of begin.
func blocks(t *testing.T) (begin func() context.Context, release func()) {
	t.Helper()
	const name = "test.block"
	if topdown.GetBuiltin(name) == nil {
		ast.RegisterBuiltin(&ast.Builtin{Name: name, Decl: types.NewFunction(nil, types.N)})
	}
	var last atomic.Pointer[context.CancelFunc]
	begin = func() context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		last.Store(&cancel)
		return ctx
	}
	let := make(chan struct{})
	topdown.RegisterBuiltinFunc(name, func(_ topdown.BuiltinContext, _ []*ast.Term, iter func(*ast.Term) error) error {
		(*last.Load())()
		<-let
		return iter(ast.IntNumberTerm(1))
	})
	release = sync.OnceFunc(func() { close(let) })
	t.Cleanup(release)
	return begin, release
}

func TestEvaluationsThatHeedNothingAreLeftBehind(t *testing.T) {
	begin, release := blocks(t)
	p, err := check(t, inline("a.rego", a(strings.Replace(always, `"size": 1`, `"size": test.block()`, 1))))
	if err != nil {
		t.Fatal(err)
	}
	other, err := check(t, inline("a.rego", a(always)))
	if err != nil {
		t.Fatal(err)
	}
	in := sample(t)
	for i := range maxAbandoned { // One that still runs does not keep the policy from being evaluated.
		if _, err := p.Evaluate(begin(), in, nil); err == nil || err.Error() != "stopped before it finished: context canceled" {
			t.Errorf("evaluation %d: %v", i+1, err)
		}
	}
	if _, err := p.Evaluate(t.Context(), in, nil); err == nil || !strings.HasPrefix(err.Error(), "stopped: 2 earlier evaluations did not stop at their deadline") {
		t.Errorf("while none of them has ended: %v", err)
	}
	if found, err := other.Evaluate(t.Context(), in, nil); err != nil || len(found) != 1 {
		t.Errorf("another policy: %v, %v", found, err)
	}
	release()
	for p.abandoned.Load() > 0 {
		runtime.Gosched()
	}
	if found, err := p.Evaluate(t.Context(), in, nil); err != nil || len(found) != 1 {
		t.Errorf("afterwards: %v, %v", found, err)
	}
}

func TestTestsThatHeedNothingAreLeftBehind(t *testing.T) {
	begin, release := blocks(t)
	l, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	d := inline("a.rego", a(always), "a_test.rego", "package policies.a_test\n\ntest_a if test.block() == 1")
	_, err = l.Check(begin(), d, time.Minute)
	slow, ok := errors.AsType[*LimitError](err)
	if !ok || !slow.Running() {
		t.Fatalf("got %v, want an error of tests that are running", err)
	}
	release()
	<-slow.running
	if slow.Running() {
		t.Error("they have ended, and are said to be running")
	}
	if _, err := check(t, d); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
