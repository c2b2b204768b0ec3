package report

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func peer(t testing.TB, name string, spec ...any) calico.Object {
	t.Helper()
	fields := map[string]any{}
	for i := 0; i < len(spec); i += 2 {
		fields[spec[i].(string)] = spec[i+1]
	}
	// calicotest.BGPPeer would convert numbers such as 1.0 to integers.
	return calicotest.Decode(t, map[string]any{
		"apiVersion": calico.APIVersionV3, "kind": "BGPPeer", "metadata": map[string]any{"name": name}, "spec": fields,
	})
}

func found(policy, id string, action violation.Action) violation.Violation {
	return violation.Violation{
		Policy: policy, ID: id, Size: 1.5, Action: action, Message: "<" + id + "> is wrong & bad",
		Details: map[string]any{"nodes": 3}, Objects: violation.Subjects(violation.Object{Kind: "BGPPeer", Name: id}),
	}
}

// source is a position with the object in line 1 and its fields in line 7.
var source = Source{File: "dir/a file.yaml", LineOf: func(field string) int {
	if field == "" {
		return 1
	}
	return 7
}}

// inForce returns policies with every action.
func inForce(t testing.TB) []*policy.Policy {
	t.Helper()
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	var out []*policy.Policy
	for _, p := range []struct {
		name       string
		action     violation.Action
		definition policy.Definition
	}{
		{"broken", violation.Deny, policy.Definition{Name: "broken", Title: "Broken", Severity: "medium"}},
		{"hard", violation.Deny, policy.Definition{
			Name: "mesh-node-limit", Title: "A hard rule", Description: "It holds that {all} is well.\n", Severity: "critical",
			Related: []policy.Link{{Ref: "https://example.com/a", Description: "A page"}, {Ref: "https://example.com/b"}},
		}},
		{"quiet", violation.Audit, policy.Definition{Name: "quiet", Title: "A quiet rule", Severity: "low"}},
		{"soft", violation.Warn, policy.Definition{Name: "soft", Title: "A soft rule", Severity: "medium"}},
	} {
		document := policy.Default(library.Definition("mesh-node-limit"))
		document.Name = p.name
		compiled, err := library.Prepare(&document)
		if err != nil {
			t.Fatal(err)
		}
		compiled.Action, compiled.Definition = p.action, &p.definition
		out = append(out, compiled)
	}
	return out
}

// fresh returns verdicts on new violations.
func fresh(violations ...violation.Violation) []validate.Verdict {
	var out []validate.Verdict
	for _, v := range violations {
		out = append(out, validate.Verdict{Violation: v, Relation: validate.New})
	}
	return out
}

func failure() []validate.Failure {
	return []validate.Failure{{Policy: "broken", Action: violation.Deny, Err: errors.New("division by zero")}}
}

// impact returns the impact of a change with causes.
// peersImpact is an impact on an external peer.
func peersImpact(causes ...string) *topology.Impact {
	out := impact(causes...)
	out.Peers.Losing, out.Peers.Groups = 1, []topology.PeerGroupImpact{{
		Family: "IPv4", Peers: 1, Sample: []string{"192.0.2.1"}, Gained: []topology.PrefixImpact{}, Lost: []topology.PrefixImpact{{
			Prefixes: []topology.PrefixRange{{IPPool: "pool", CIDR: "10.244.0.0/16", Except: []string{}, Length: 26}}, Nodes: 3,
		}},
	}}
	return out
}

func impact(causes ...string) *topology.Impact {
	return &topology.Impact{Removed: topology.Kinds{Mesh: 2}, Nodes: 3, Causes: causes, Peers: topology.PeersImpact{Groups: []topology.PeerGroupImpact{}, Complete: true}}
}

// checks returns decisions of every kind.
func checks(t testing.TB) map[string]*Check {
	t.Helper()
	p := peer(t, "p", "asNumber", int64(64512))
	q := peer(t, "p", "asNumber", int64(64513))
	allowed := Checked{Change: state.Change{After: p}, Decision: &validate.Decision{Allowed: true}}
	standing := validate.Verdict{Violation: found("hard", "b", violation.Deny), Relation: validate.Standing}
	standing.Violation.Objects = violation.Subjects(violation.Object{Kind: "BGPPeer", Name: "p"})
	standing.Before = &standing.Violation
	warned := Checked{
		Change: state.Change{Before: p, After: q}, Source: source,
		Decision: &validate.Decision{
			Allowed: true, Objects: []violation.Object{{Kind: "BGPPeer", Name: "p"}}, Impact: impact("a session goes"),
			Verdicts: append([]validate.Verdict{standing}, fresh(found("soft", "a", violation.Warn))...),
			Problems: []calico.Problem{{Field: "spec.asNumber", Message: "is odd"}, {Field: "spec", Message: "is as well"}},
		},
	}
	denied := Checked{
		Change: state.Change{Before: p}, Source: source,
		Decision: &validate.Decision{
			Objects:  []violation.Object{{Kind: "BGPPeer", Name: "p"}},
			Verdicts: fresh(found("hard", "a", violation.Deny), found("hard", "b", violation.Deny), found("quiet", "c", violation.Audit)),
			Failures: failure(), Impact: impact("a session goes", "another comes"),
			Problems: []calico.Problem{{Field: "spec", Message: "mind the gap"}},
		},
	}
	first := &denied.Decision.Verdicts[0]
	first.Violation.Link = "https://example.com/a"
	unjudged := Checked{Change: state.Change{After: p}, Decision: &validate.Decision{Failures: failure()}}
	before := found("hard", "a", violation.Deny)
	before.Size, before.Details = 1, map[string]any{"nodes": 2}
	first.Before, first.Relation = &before, validate.Larger
	exempted := Checked{Change: state.Change{Before: p, After: q}, Decision: &validate.Decision{
		Allowed: true, Verdicts: fresh(found("hard", "p", violation.Deny)),
	}}
	exempted.Decision.Verdicts[0].Exempt = true
	exempted.Decision.Verdicts[0].Violation.Objects[0].Fields = []string{"spec.asNumber"}
	policies := inForce(t)
	out := map[string]*Check{}
	for name, changes := range map[string][]Checked{
		"an allowed change":                             {allowed},
		"an allowed change with warnings":               {warned},
		"a denied change, with a policy that failed":    {denied},
		"a change that could not be evaluated":          {unjudged},
		"several changes, of which all must be allowed": {allowed, unjudged, allowed},
		"a denied change, explained":                    {denied},
		"a change by somebody who is exempt":            {exempted},
	} {
		out[name] = &Check{Changes: changes, Policies: policies, Version: "v1", Explain: strings.HasSuffix(name, ", explained")}
	}
	return out
}

func renderCheck(t testing.TB, format string, c *Check) string {
	t.Helper()
	var b bytes.Buffer
	if err := CheckFormats.Write(&b, format, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextOfACheck(t *testing.T) {
	const denied = `delete BGPPeer p: denied
  [hard] <a> is wrong & bad
  [hard] <b> is wrong & bad
  [broken] evaluation error: division by zero
  what the change does: a session goes; another comes; removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted
  Warning: BGPPeer p: spec: mind the gap
  Audit: [quiet] <c> is wrong & bad
  See https://example.com/a
`
	const unjudged = `create BGPPeer p: could not be evaluated
  [broken] evaluation error: division by zero
`
	const allowed = "create BGPPeer p: allowed\n  what the change does: changes no session and no route between nodes\n"
	want := map[string]string{
		"an allowed change": allowed,
		"an allowed change with warnings": `update BGPPeer p: allowed
  dir/a file.yaml:7
    - spec.asNumber: 64512
    + spec.asNumber: 64513  <- warning
  Warning: [hard] <b> is wrong & bad (already so before this change)
  Warning: [soft] <a> is wrong & bad
  Warning: BGPPeer p: spec.asNumber: is odd
  Warning: BGPPeer p: spec: is as well
  what the change does: a session goes; removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted
`,
		"a denied change, with a policy that failed": denied,
		"a change that could not be evaluated":       unjudged,
		"several changes, of which all must be allowed": allowed + unjudged +
			allowed + "3 changes: 2 allowed, 1 denied\n",
		"a denied change, explained": denied + `  Why [hard], a, Deny:
    A hard rule (policy mesh-node-limit, severity critical)
      It holds that {all} is well.
    see https://example.com/a (A page)
    see https://example.com/b
    parameters: maxNodes 100
    size: 1.5, before 1
    numbers: nodes 3 (before 2)
    about: BGPPeer a
  Why [hard], b, Deny:
    A hard rule (policy mesh-node-limit, severity critical)
      It holds that {all} is well.
    see https://example.com/a (A page)
    see https://example.com/b
    parameters: maxNodes 100
    size: 1.5; new with this change
    numbers: nodes 3
    about: BGPPeer b
  Why [quiet], c, Audit:
    A quiet rule (policy quiet, severity low)
    parameters: maxNodes 100
    size: 1.5; new with this change
    numbers: nodes 3
    about: BGPPeer c
  What the change does:
    a session goes
    another comes
    removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted
`,
		"a change by somebody who is exempt": `update BGPPeer p: allowed
    - spec.asNumber: 64512
    + spec.asNumber: 64513  <- hard
  Warning: [hard] <p> is wrong & bad (not enforced: you are exempt from this policy)
  what the change does: changes no session and no route between nodes
`,
	}
	for name, c := range checks(t) {
		t.Run(name, func(t *testing.T) {
			if got := renderCheck(t, Text, c); got != want[name] {
				t.Errorf("got\n%s\nwant\n%s", got, want[name])
			}
		})
	}
}

func TestColoursChangeNothingElse(t *testing.T) {
	for name, c := range checks(t) {
		t.Run(name, func(t *testing.T) {
			plain := renderCheck(t, Text, c)
			colored := *c
			colored.Color = true
			got := renderCheck(t, Text, &colored)
			for _, code := range []string{red, green, yellow, "0"} {
				got = strings.ReplaceAll(got, "\x1b["+code+"m", "")
			}
			if got != plain {
				t.Errorf("without its colours it is\n%s\nand in plain\n%s", got, plain)
			}
			for _, format := range CheckFormats.Names()[1:] {
				if renderCheck(t, format, &colored) != renderCheck(t, format, c) {
					t.Errorf("%s has colours", format)
				}
			}
		})
	}
}

func TestFindings(t *testing.T) {
	for name, want := range map[string][]finding{
		"an allowed change with warnings": {
			{rule: "soft", action: violation.Warn, message: "<a> is wrong & bad"},
			{rule: "hard", action: violation.Warn, standing: true, message: "<b> is wrong & bad (already so before this change)"},
			{rule: problemRule, action: violation.Warn, fields: []string{"spec.asNumber"}, at: "spec.asNumber", message: "spec.asNumber: is odd"},
			{rule: problemRule, action: violation.Warn, at: "spec", message: "spec: is as well"},
		},
		"a change by somebody who is exempt": {{
			rule: "hard", action: violation.Audit, exempt: true, fields: []string{"spec.asNumber"},
			message: "<p> is wrong & bad (not enforced: you are exempt from this policy)",
		}},
		"a change that could not be evaluated": {{
			rule: "broken", action: violation.Deny, failed: true,
			message: "evaluation error: division by zero",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := checks(t)[name]
			if got := c.findings(&c.Changes[0]); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestFieldMarks(t *testing.T) {
	change := Checked{Change: state.Change{
		Before: peer(t, "p", "a", "x", "b", "x", "c", "x", "d", map[string]any{"e": "x", "f": "x"}),
		After:  peer(t, "p", "a", "y", "b", "y", "c", "x", "d", map[string]any{"e": "x", "f": "x"}),
	}}
	names := func(relation validate.Relation, object string, fields ...string) finding {
		o := violation.Object{Kind: "BGPPeer", Name: object}
		v := violation.Violation{Policy: "p", Objects: []violation.Subject{{Object: o, Fields: fields}}}
		return change.finding(&validate.Verdict{Violation: v, Relation: relation})
	}
	for name, c := range map[string]struct {
		found finding
		want  string
	}{
		"a violation without a field marks nothing":        {finding{rule: "p"}, ""},
		"a violation with a field marks that field":        {names(validate.New, "p", "spec.b"), "spec.b p"},
		"a new violation marks the changed ones of them":   {names(validate.New, "p", "spec.c", "spec.b"), "spec.b p"},
		"a new violation with none of them marks them":     {names(validate.New, "p", "spec.c"), "spec.c p"},
		"an old violation marks all of them":               {names(validate.Standing, "p", "spec.b", "spec.c"), "spec.b p; spec.c p"},
		"a violation with a parent field marks its leaves": {names(validate.New, "p", "spec.d"), "spec.d.e p; spec.d.f p"},
		"a field of another object is ignored":             {names(validate.New, "q", "spec.b"), ""},
		"a field that the object lacks is ignored":         {names(validate.New, "p", "spec.x"), ""},
		"a standing violation marks nothing":               {finding{rule: "p", standing: true}, ""},
		"an evaluation error marks nothing":                {finding{rule: "p", failed: true}, ""},
		"a problem marks its field":                        {finding{rule: problemRule, fields: change.leaves("spec.c")}, "spec.c warning"},
		"a problem of the whole object marks nothing":      {finding{rule: problemRule, fields: change.leaves("spec")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			about := change.marks([]finding{c.found, c.found})
			for _, field := range slices.Sorted(maps.Keys(about)) {
				got = append(got, field+" "+strings.Join(about[field], ","))
			}
			if text := strings.Join(got, "; "); text != c.want {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
}

func TestCreateAndDeleteShowTheNamedFields(t *testing.T) {
	o := peer(t, "p", "asNumber", int64(1), "peerIP", "10.0.0.1")
	v := found("soft", "p", violation.Warn)
	v.Objects[0].Fields = []string{"spec.asNumber"}
	for name, test := range map[string]struct {
		change state.Change
		want   string
	}{
		"create": {state.Change{After: o}, "    + spec.asNumber: 1  <- soft\n"},
		"delete": {state.Change{Before: o}, "    - spec.asNumber: 1  <- soft\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Check{Policies: inForce(t), Changes: []Checked{{Change: test.change, Decision: &validate.Decision{Allowed: true, Verdicts: fresh(v)}}}}
			if got := renderCheck(t, Text, c); !strings.HasSuffix(got, test.want+"  Warning: [soft] <p> is wrong & bad\n  what the change does: changes no session and no route between nodes\n") || strings.Contains(got, "peerIP") {
				t.Errorf("got\n%s\nwant at its end\n%s", got, test.want)
			}
		})
	}
}

func TestChangedFields(t *testing.T) {
	text := func(c state.Change) string {
		var out []string
		for _, f := range (&Checked{Change: c}).changed() {
			out = append(out, f.Field+" "+compact(f.Before)+">"+compact(f.After))
		}
		return strings.Join(out, "; ")
	}
	node := func(v map[string]any) calico.Object {
		v["apiVersion"], v["kind"] = "v1", "Node"
		return calicotest.Decode(t, v)
	}
	for name, c := range map[string]struct {
		change state.Change
		want   string
	}{
		"a create has no changed fields": {state.Change{After: peer(t, "p", "asNumber", int64(1))}, ""},
		"a delete has no changed fields": {state.Change{Before: peer(t, "p", "asNumber", int64(1))}, ""},
		"an integer equals the same float, and null equals absent": {
			state.Change{Before: peer(t, "p", "asNumber", int64(1), "extra", nil), After: peer(t, "p", "asNumber", 1.0)}, "",
		},
		"objects are compared field by field, lists as a whole": {
			state.Change{
				Before: peer(t, "p", "extra", map[string]any{"a": "x", "b.c/d": "y"}, "list", []any{"a", "b"}),
				After:  peer(t, "p", "extra", map[string]any{"a": "z"}, "list", []any{"b"}),
			},
			`spec.extra.a x>z; spec.extra[b.c/d] y>; spec.list ["a","b"]>["b"]`,
		},
		"an empty object is a value": {state.Change{Before: peer(t, "p"), After: peer(t, "p", "extra", map[string]any{})}, "spec.extra >{}"},
		"only the fields of a Node that decide BGP": {
			state.Change{
				Before: node(map[string]any{
					"metadata": map[string]any{"name": "n", "labels": map[string]any{"rack": "a"}, "annotations": map[string]any{"other": "x"}},
					"status":   map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "Unknown"}}},
				}),
				After: node(map[string]any{"metadata": map[string]any{
					"name": "n", "labels": map[string]any{"rack": "b"}, "annotations": map[string]any{"other": "y", calico.AnnotationIPv4Address: "10.0.0.1/24"},
				}}),
			},
			"metadata.annotations[projectcalico.org/IPv4Address] >10.0.0.1/24; metadata.labels.rack a>b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text(c.change); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestLongValuesAreCutToTheirDifference(t *testing.T) {
	long := strings.Repeat("ä", 300)
	for name, c := range map[string]struct{ before, after, wantBefore, wantAfter string }{
		"short values stay":                           {"abc", "abd", "abc", "abd"},
		"a short value stays beside an empty one":     {"", "abc", "", "abc"},
		"a long value is cut at its end":              {"", long, "", strings.Repeat("ä", 48) + "..."},
		"two long values are cut to their difference": {long + "x", long + "yz", "..." + strings.Repeat("ä", 10) + "x", "..." + strings.Repeat("ä", 10) + "yz"},
		"one value is a prefix of the other":          {long, long + "y", "..." + strings.Repeat("ä", 10), "..." + strings.Repeat("ä", 10) + "y"},
	} {
		t.Run(name, func(t *testing.T) {
			if before, after := shorten(c.before, c.after); before != c.wantBefore || after != c.wantAfter {
				t.Errorf("got %q and %q, want %q and %q", before, after, c.wantBefore, c.wantAfter)
			}
		})
	}
}

func TestAnUnknownFormatIsAnError(t *testing.T) {
	var b bytes.Buffer
	if err := CheckFormats.Write(&b, "xml", &Check{}); err == nil || err.Error() != CheckFormats.Validate("xml").Error() || b.Len() > 0 {
		t.Errorf("error %v, output %q", err, b.String())
	}
}

func TestEveryFormatReturnsWriteErrors(t *testing.T) {
	full := errors.New("disk full")
	for _, format := range CheckFormats.Names() {
		if err := CheckFormats.Write(limited{full}, format, checks(t)["a denied change, explained"]); !errors.Is(err, full) {
			t.Errorf("%s: got %v", format, err)
		}
	}
}
