package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func TestFormatsOfADifference(t *testing.T) {
	objects := ChangesBetween(
		state.New(peer(t, "gone"), peer(t, "same"), peer(t, "moved", "asNumber", int64(1))),
		state.New(peer(t, "moved", "asNumber", int64(2)), peer(t, "same"), peer(t, "new")),
	)
	found := func(id string, compared audit.Comparison) audit.Violation {
		return audit.Violation{
			Violation: violation.Violation{Policy: "p", ID: id, Action: violation.Deny, Message: id + " is wrong", Details: map[string]any{}, Objects: []violation.Subject{}, Nodes: []string{"a"}},
			Severity:  "high", FirstSeen: time.Unix(0, 0).UTC(), LastSeen: time.Unix(0, 0).UTC(), Compared: compared,
		}
	}
	d := &Difference{
		Names: [2]string{"a.yaml", "b.yaml"}, Objects: objects, Impact: impact("a session goes"),
		Before: &audit.Audit{}, After: &audit.Audit{Violations: []audit.Violation{found("x", audit.New), found("y", audit.Known)}, Resolved: []audit.Violation{found("z", "")}},
	}
	render := func(format string) string {
		var b bytes.Buffer
		if err := DiffFormats.Write(&b, format, d); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const want = `a.yaml and b.yaml: differs
  removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted
    a session goes

1 object created, 1 changed, 1 deleted
  update BGPPeer moved: spec.asNumber
  create BGPPeer new
  delete BGPPeer gone

1 violation new, 0 worse, 1 resolved, 1 as before
  new high: [p] x is wrong
    1 node: a
  resolved high: [p] z is wrong
`
	// The message "x is wrong" does not have the name "a".
	if got := render(Text); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	validateJSON(t, "diff.schema.json", render(JSON))
	for _, format := range []string{YAML, Markdown} {
		if got := render(format); !strings.Contains(got, "no route is lost or interrupted") {
			t.Errorf("%s: got %s", format, got)
		}
	}
	d.Impact, d.After = nil, &audit.Audit{Violations: []audit.Violation{found("y", audit.Known)}}
	if d.Differs() || !strings.HasPrefix(render(Text), "a.yaml and b.yaml: same sessions, routes and violations\n  changes no session and no route between nodes\n") {
		t.Errorf("got %s", render(Text))
	}
}
