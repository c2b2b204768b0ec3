package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// TestMain is also the process of the trials.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == Argument {
		os.Exit(Main(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

const header = `# METADATA
# title: A policy of a user
# custom:
#   severity: low
#   judges: state
#   validationActions: [Deny]
package policies.mine

`

// hoarding makes 40 strings of 8 MiB.
const hoarding = header + `
s1 := replace("aaaaaaaaaaaaaaaa", "a", "aaaaaaaaaaaaaaaa")
s2 := replace(s1, "a", s1)
text := concat("", [s2 | some _ in numbers.range(1, 128)])
violation contains {"id": "x", "size": count([sprintf("%s%d", [text, i]) | some i in numbers.range(1, 40)]), "msg": "m"}
`

// document returns a BGPPolicy with modules, by name and text in turn.
func document(modules ...string) *policy.Document {
	d := &policy.Document{}
	d.Name = "mine"
	d.Spec.ValidationActions, d.Spec.Rego = []violation.Action{violation.Deny}, &v1alpha1.Rego{}
	for i := 0; i < len(modules); i += 2 {
		d.Spec.Rego.Modules = append(d.Spec.Rego.Modules, v1alpha1.Module{Name: modules[i], Text: modules[i+1]})
	}
	return d
}

func newRunner(t *testing.T) (*Runner, *policy.Library) {
	t.Helper()
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return NewRunner(), library
}

func TestCheck(t *testing.T) {
	r, library := newRunner(t)
	rule := header + `violation contains {"id": "x", "size": 1, "msg": "m"} if input.state.mesh.enabled` + "\n"
	tests := func(body string) string {
		return "package policies.mine_test\n\nimport data.policies.mine\n\ntest_one if { " + body + " }\n"
	}
	for name, c := range map[string]struct {
		d     *policy.Document
		want  string // "" for a policy that is valid
		limit bool
	}{
		"valid":            {document("mine.rego", rule, "mine_test.rego", tests(`count(mine.violation) == 1 with input as {"state": {"mesh": {"enabled": true}}}`)), "", false},
		"does not compile": {document("mine.rego", strings.Replace(rule, "if input", "iff input", 1)), "BGPPolicy mine: spec.rego.modules: mine.rego:", false},
		"a test fails":     {document("mine.rego", rule, "mine_test.rego", tests("count(mine.violation) == 2")), "BGPPolicy mine: spec.rego.modules: mine_test.rego:5: test policies.mine_test.test_one fails", false},
		"a test loops":     {document("mine.rego", rule, "mine_test.rego", tests("count(mine.violation) == 0; count([1 | some x in numbers.range(1, 30000); some y in numbers.range(1, 30000); x + y < 0]) == 0")), "BGPPolicy mine: spec.rego.modules: the tests did not finish within 1s", true},
		"a test takes memory": {
			document("mine.rego", hoarding, "mine_test.rego", tests("count(mine.violation) == 1")),
			"BGPPolicy mine: spec.rego.modules: it needs more than 64 MiB of memory", false,
		},
		"nested deeper than the stack": {
			document("mine.rego", header+"x := "+strings.Repeat("[", 500_000)+strings.Repeat("]", 500_000)+"\n"),
			"BGPPolicy mine: spec.rego.modules: ", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			limit := 20 * time.Second // A busy machine takes long.
			if c.limit {
				limit = time.Second
			}
			p, err := r.Check(t.Context(), library, c.d, limit)
			_, slow := errors.AsType[*policy.LimitError](err)
			switch {
			case c.want == "" && (err != nil || p == nil || p.Name != "mine"):
				t.Errorf("got %v, %v", p, err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || slow != c.limit):
				t.Errorf("got %.300v, want %s", err, c.want)
			}
		})
	}
}

func TestEvaluate(t *testing.T) {
	r, library := newRunner(t)
	evaluate := func(ctx context.Context, text string) ([]violation.Violation, error) {
		t.Helper()
		d := document("mine.rego", text)
		p, err := library.Prepare(d)
		if err != nil {
			t.Fatal(err)
		}
		input, state := ast.MustParseTerm(`{"state": {"nodes": {"total": 3}}}`), ast.MustParseTerm(`{"nodes": {"a": 1}}`)
		return r.Evaluate(ctx, d, p, input.Value.(ast.Object), func() ast.Value { return state.Value })
	}
	found, err := evaluate(t.Context(), header+`violation contains {"id": "x", "size": input.state.nodes.total, "msg": "m"} if data.state.nodes.a == 1`+"\n")
	if err != nil || len(found) != 1 || found[0].ID != "x" || found[0].Size != 3 || found[0].Message != "m" || found[0].Policy != "mine" {
		t.Errorf("got %+v, %v", found, err)
	}
	if _, err := evaluate(t.Context(), header+`violation contains {"id": "x", "size": 1 / (input.state.nodes.total - 3), "msg": "m"}`+"\n"); err == nil || !strings.Contains(err.Error(), "divide by zero") {
		t.Errorf("a division by zero: %v", err)
	}
	if _, err := evaluate(t.Context(), hoarding); !errors.Is(err, ErrMemory) {
		t.Errorf("many strings: %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := evaluate(canceled, header+"violation contains 1\n"); !errors.Is(err, context.Canceled) || !errors.Is(err, policy.ErrNotChecked) {
		t.Errorf("a request that has ended: %v", err)
	}
}

// The process ends by itself also if the webhook has ended first.
func TestATrialEndsWithoutItsRunner(t *testing.T) {
	d := document("mine.rego", header+`violation contains {"id": "x", "size": 1, "msg": "m"} if {
	some x in numbers.range(1, 30000)
	some y in numbers.range(1, 30000)
	x + y < 0
}
`)
	d.APIVersion, d.Kind = v1alpha1.APIVersion, v1alpha1.KindBGPPolicy
	text, err := json.Marshal(&d.BGPPolicy)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(&request{Document: text, Input: json.RawMessage("{}"), Time: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), executable, Argument)
	process.Stdin = bytes.NewReader(input)
	err = process.Run()
	if status, ok := process.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("got %v, want that the kernel ends it", err)
	}
}

func TestTrialsTakeTurns(t *testing.T) {
	r, library := newRunner(t)
	r.turn <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.Check(ctx, library, document("mine.rego", header), time.Second); !errors.Is(err, policy.ErrNotChecked) || !strings.Contains(err.Error(), "waiting for the trial of another policy") {
		t.Errorf("got %v", err)
	}
}

func TestATrialThatLoopsNeedsTooMuchTime(t *testing.T) {
	r, library := newRunner(t)
	d := document("mine.rego", header+`violation contains {"id": "x", "size": 1, "msg": "m"} if {
	some x in numbers.range(1, 30000)
	some y in numbers.range(1, 30000)
	x + y < 0
}
`)
	p, err := library.Prepare(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Evaluate(t.Context(), d, p, ast.NewObject(), nil); !errors.Is(err, ErrTime) {
		t.Errorf("got %v, want %v", err, ErrTime)
	}
}
