package report

import (
	"bytes"
	"errors"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func peer(t *testing.T, name string) calico.Object {
	t.Helper()
	o, err := calico.Decode(map[string]any{"apiVersion": "projectcalico.org/v3", "kind": "BGPPeer", "metadata": map[string]any{"name": name}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func found(policy, id string, action violation.Action) violation.Violation {
	return violation.Violation{Policy: policy, ID: id, Size: 1.5, Action: action, Message: "<" + id + "> is wrong & bad",
		Details: map[string]any{}, Objects: []violation.Object{{Kind: "BGPPeer", Name: id}}}
}

func TestReports(t *testing.T) {
	p := peer(t, "p")
	allowed := Checked{state.Change{After: p}, &validate.Decision{Allowed: true}}
	warned := Checked{state.Change{Before: p, After: p}, &validate.Decision{Allowed: true,
		Violations: []violation.Violation{found("soft", "a", violation.Warn)}, Warnings: []string{"[soft] <a> is wrong & bad", "a second one"}}}
	denied := Checked{state.Change{Before: p}, &validate.Decision{
		Violations: []violation.Violation{found("hard", "a", violation.Deny), found("hard", "b", violation.Deny), found("quiet", "c", violation.Audit)},
		Failures:   []validate.Failure{{Policy: "broken", Action: violation.Deny, Err: errors.New("division by zero")}}, Warnings: []string{"mind the gap"}}}
	unjudged := Checked{state.Change{After: p}, &validate.Decision{
		Failures: []validate.Failure{{Policy: "broken", Action: violation.Deny, Err: errors.New("division by zero")}}}}
	for name, c := range map[string]struct {
		checked    []Checked
		text, json string
	}{
		"an allowed change": {
			[]Checked{allowed},
			"create BGPPeer p: allowed\n",
			"{\n  \"allowed\": true,\n  \"warnings\": [],\n  \"violations\": []\n}\n",
		},
		"an allowed change with warnings": {
			[]Checked{warned},
			"update BGPPeer p: allowed\n  Warning: [soft] <a> is wrong & bad\n  Warning: a second one\n",
			`{
  "allowed": true,
  "warnings": [
    "[soft] <a> is wrong & bad",
    "a second one"
  ],
  "violations": [
    {
      "policy": "soft",
      "id": "a",
      "size": 1.5,
      "action": "Warn",
      "message": "<a> is wrong & bad",
      "details": {},
      "objects": [
        {
          "kind": "BGPPeer",
          "name": "a"
        }
      ]
    }
  ]
}
`,
		},
		"a denied change, with a policy that failed": {
			[]Checked{denied},
			"delete BGPPeer p: denied\n  [hard] <a> is wrong & bad\n  [hard] <b> is wrong & bad\n" +
				"  [broken] could not be evaluated, which is an error of the policy and no verdict: division by zero\n  Warning: mind the gap\n",
			"",
		},
		"a change that could not be judged": {
			[]Checked{unjudged},
			"create BGPPeer p: could not be judged\n  [broken] could not be evaluated, which is an error of the policy and no verdict: division by zero\n",
			"{\n  \"allowed\": false,\n  \"warnings\": [],\n  \"violations\": [],\n  \"errors\": [\n    \"broken: division by zero\"\n  ]\n}\n",
		},
		"several changes, of which all must be allowed": {
			[]Checked{allowed, unjudged, allowed},
			"create BGPPeer p: allowed\ncreate BGPPeer p: could not be judged\n" +
				"  [broken] could not be evaluated, which is an error of the policy and no verdict: division by zero\n" +
				"create BGPPeer p: allowed\n3 changes: 2 allowed, 1 denied\n",
			"{\n  \"allowed\": false,\n  \"warnings\": [],\n  \"violations\": [],\n  \"errors\": [\n    \"broken: division by zero\"\n  ]\n}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for format, want := range map[string]string{Text: c.text, JSON: c.json} {
				var b bytes.Buffer
				if err := Write(&b, format, c.checked); err != nil {
					t.Fatal(err)
				}
				if got := b.String(); want != "" && got != want {
					t.Errorf("%s:\n%s\nwant:\n%s", format, got, want)
				}
			}
		})
	}
}

func TestAnUnknownFormatIsAnError(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, "xml", nil); err == nil || err.Error() != `unknown output format "xml"` || b.Len() > 0 {
		t.Errorf("error %v, output %q", err, b.String())
	}
}
