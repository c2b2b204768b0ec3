package policy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// shift panics in a builtin: no machine holds a number of so many bits.
const shift = "bits.lsh(1, 9223372036854775807)"

func check(t *testing.T, d *Document) (*Policy, error) {
	t.Helper()
	l, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return l.Check(context.Background(), d, time.Minute)
}

func TestABuiltinThatPanicsIsAnErrorOfThePolicy(t *testing.T) {
	// OPA runs tests on goroutines of its own, on which a panic would end the process.
	_, err := check(t, inline("a.rego", a(always), "a_test.rego", "package policies.a_test\n\ntest_a if "+shift+" > 0"))
	want := "test policies.a_test.test_a could not be run: a_test.rego:3: eval_builtin_error: bits.lsh: panicked: "
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a test: %v, want %q in it", err, want)
	}
	p, err := check(t, inline("a.rego", a(strings.Replace(always, `"size": 1`, `"size": `+shift, 1))))
	if err != nil {
		t.Fatal(err)
	}
	want = "bits.lsh: panicked: "
	if _, err := p.Evaluate(t.Context(), sample(t), nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a policy: %v, want %q in it", err, want)
	}
}

func TestASchemaOfParametersReadsNoFileAndNoServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{"type": "string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	for _, url := range []string{"file://" + file, server.URL + "/schema.json"} {
		text := strings.Replace(a(always), "name: {type: string}", `name: {$ref: "`+url+`"}`, 1)
		want := `METADATA custom.parameters: failing loading "` + url + `": a schema can refer to nothing but parts of itself`
		if _, err := prepare(t, inline("a.rego", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", url, err, want)
		}
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the server was asked %d times", n)
	}
	text := strings.Replace(a(always), "name: {type: string}", `name: {$ref: "#/properties/limit"}`, 1)
	if _, err := prepare(t, inline("a.rego", text)); err != nil {
		t.Errorf("a reference into itself: %v", err)
	}
}

func TestAModuleThatHasTheNameOfAHelperIsRefused(t *testing.T) {
	const name = "bgpguard/lib/text/text.rego"
	want := "BGPPolicy own: spec.rego.modules: " + name + ": is the name of a built-in module; give it another one"
	if _, err := prepare(t, inline(name, a(always))); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	// One that brings the helper's package along takes its place.
	if _, err := prepare(t, inline("a.rego", a(always), name, "package policies.lib.text\n\nx := 1")); err != nil {
		t.Error(err)
	}
}
