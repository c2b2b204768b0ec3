package report

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

func peer(t testing.TB, name string, spec ...any) calico.Object {
	t.Helper()
	fields := map[string]any{}
	for i := 0; i < len(spec); i += 2 {
		fields[spec[i].(string)] = spec[i+1]
	}
	o, err := calico.Decode(map[string]any{
		"apiVersion": "projectcalico.org/v3", "kind": "BGPPeer", "metadata": map[string]any{"name": name}, "spec": fields,
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func found(policy, id string, action violation.Action) violation.Violation {
	return violation.Violation{
		Policy: policy, ID: id, Size: 1.5, Action: action, Message: "<" + id + "> is wrong & bad",
		Details: map[string]any{"nodes": 3}, Objects: []violation.Object{{Kind: "BGPPeer", Name: id}},
	}
}

// source says that line 1 is the object's and 7 that of its fields.
var source = Source{File: "dir/a file.yaml", LineOf: func(field string) int {
	if field == "" {
		return 1
	}
	return 7
}}

var rulesInForce = []Rule{
	{Name: "broken", Policy: "broken", Title: "Broken"},
	{
		Name: "hard", Policy: "mesh-node-limit", Title: "A hard rule", Description: "It holds that {all} is well.\n", Severity: "critical",
		Links: []Link{{"https://example.com/a", "A page"}, {"https://example.com/b", ""}}, Parameters: map[string]any{"maxNodes": 1, "what": "x"},
	},
	{Name: "quiet", Policy: "quiet", Title: "A quiet rule", Severity: "low"},
	{Name: "soft", Policy: "soft", Title: "A soft rule", Severity: "medium"},
}

func failure() []validate.Failure {
	return []validate.Failure{{Policy: "broken", Action: violation.Deny, Err: errors.New("division by zero")}}
}

// checks are decisions of every kind.
func checks(t testing.TB) map[string]*Check {
	t.Helper()
	p := peer(t, "p", "asNumber", int64(64512))
	q := peer(t, "p", "asNumber", int64(64513))
	allowed := Checked{Change: state.Change{After: p}, Decision: &validate.Decision{Allowed: true}}
	warned := Checked{
		Change: state.Change{Before: p, After: q}, Source: source,
		Decision: &validate.Decision{
			Allowed: true, Violations: []violation.Violation{found("soft", "a", violation.Warn)}, Effects: []string{"a session goes"},
			Warnings: []string{
				"[soft] <a> is wrong & bad", "[hard] <b> is old (this was so before)", "what the change does: a session goes",
				"BGPPeer p: spec.asNumber: is odd", "a word without a form",
			},
		},
	}
	denied := Checked{
		Change: state.Change{Before: p}, Source: source,
		Decision: &validate.Decision{
			Violations: []violation.Violation{found("hard", "a", violation.Deny), found("hard", "b", violation.Deny), found("quiet", "c", violation.Audit)},
			Failures:   failure(), Warnings: []string{"mind the gap"}, Effects: []string{"a session goes", "another comes"},
		},
	}
	unjudged := Checked{Change: state.Change{After: p}, Decision: &validate.Decision{Failures: failure()}}
	explained := denied
	before := found("hard", "a", violation.Deny)
	before.Size, before.Details = 1, map[string]any{"nodes": 2}
	explained.Explanations = []Explanation{
		{Rule: rulesInForce[1], Before: &before, Gained: Gained{5, []string{"n1", "n2", "n3"}}}, {Rule: rulesInForce[1]}, {Rule: rulesInForce[2]},
	}
	out := map[string]*Check{}
	for name, changes := range map[string][]Checked{
		"an allowed change":                             {allowed},
		"an allowed change with warnings":               {warned},
		"a denied change, with a policy that failed":    {denied},
		"a change that could not be judged":             {unjudged},
		"several changes, of which all must be allowed": {allowed, unjudged, allowed},
		"a denied change, explained":                    {explained},
	} {
		out[name] = &Check{Changes: changes, Rules: rulesInForce, Version: "v1"}
	}
	return out
}

func renderCheck(t testing.TB, format string, c *Check) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTextSaysWhatIsDecidedAndWhy(t *testing.T) {
	const denied = `delete BGPPeer p: denied
  [hard] <a> is wrong & bad
  [hard] <b> is wrong & bad
  [broken] could not be evaluated, which is an error of the policy and no verdict: division by zero
  what the change does: a session goes; another comes
  Warning: mind the gap
  Audit: [quiet] <c> is wrong & bad
`
	const unjudged = `create BGPPeer p: could not be judged
  [broken] could not be evaluated, which is an error of the policy and no verdict: division by zero
`
	want := map[string]string{
		"an allowed change": "create BGPPeer p: allowed\n",
		"an allowed change with warnings": `update BGPPeer p: allowed
  dir/a file.yaml:7
    - spec.asNumber: 64512
    + spec.asNumber: 64513  <- soft, warning
  Warning: [soft] <a> is wrong & bad
  Warning: [hard] <b> is old (this was so before)
  Warning: what the change does: a session goes
  Warning: BGPPeer p: spec.asNumber: is odd
  Warning: a word without a form
`,
		"a denied change, with a policy that failed": denied,
		"a change that could not be judged":          unjudged,
		"several changes, of which all must be allowed": "create BGPPeer p: allowed\n" + unjudged +
			"create BGPPeer p: allowed\n3 changes: 2 allowed, 1 denied\n",
		"a denied change, explained": denied + `  Why [hard], a, Deny:
    A hard rule (severity critical)
      It holds that {all} is well.
    see https://example.com/a (A page)
    see https://example.com/b
    parameters: maxNodes 1, what x
    size: 1.5, before 1
    numbers: nodes 3 (before 2)
    about: BGPPeer a
    not so before for: n1, n2, n3 and 2 more
  Why [hard], b, Deny:
    A hard rule (severity critical)
      It holds that {all} is well.
    see https://example.com/a (A page)
    see https://example.com/b
    parameters: maxNodes 1, what x
    size: 1.5; there was no such violation before the change
    numbers: nodes 3
    about: BGPPeer b
  Why [quiet], c, Audit:
    A quiet rule (severity low)
    size: 1.5; there was no such violation before the change
    numbers: nodes 3
    about: BGPPeer c
  All that the change does:
    a session goes
    another comes
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
		plain := renderCheck(t, Text, c)
		colored := *c
		colored.Color = true
		got := renderCheck(t, Text, &colored)
		for _, code := range []string{red, green, yellow, "0"} {
			got = strings.ReplaceAll(got, "\x1b["+code+"m", "")
		}
		if got != plain {
			t.Errorf("%s: without its colours it is\n%s\nand in plain\n%s", name, got, plain)
		}
		for _, format := range Formats[1:] {
			if renderCheck(t, format, &colored) != renderCheck(t, format, c) {
				t.Errorf("%s: %s has colours", name, format)
			}
		}
	}
}

func TestWarningsAreToldApart(t *testing.T) {
	c := checks(t)["an allowed change with warnings"].Changes[0]
	want := []finding{
		{rule: "soft", action: violation.Warn, message: "<a> is wrong & bad"},
		{rule: "hard", action: violation.Warn, old: true, message: "<b> is old (this was so before)"},
		{rule: ignoredRule, action: violation.Warn, field: "spec.asNumber", message: "spec.asNumber: is odd"},
		{rule: ignoredRule, action: violation.Warn, message: "a word without a form"},
	}
	got := c.findings()
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i, f := range got {
		if f != want[i] {
			t.Errorf("finding %d is %+v, want %+v", i, f, want[i])
		}
	}
	// A policy that could not judge and only warns is said once.
	failed := Checked{Change: c.Change, Decision: &validate.Decision{
		Allowed: true, Failures: []validate.Failure{{Policy: "soft", Action: violation.Warn, Err: errors.New("x")}},
		Warnings: []string{"[soft] could not be evaluated, which is an error of the policy and no verdict: x"},
	}}
	if got := failed.findings(); len(got) != 1 || !got[0].failed {
		t.Errorf("a failure that warns gives %+v", got)
	}
}

func TestAViolationNamesAFieldOfTheChangedObjectAlone(t *testing.T) {
	p, other := violation.Object{Kind: "BGPPeer", Name: "p"}, violation.Object{Kind: "BGPPeer", Name: "q"}
	for name, c := range map[string]struct {
		field   any
		objects []violation.Object
		want    string
	}{
		"about it alone":               {"spec.asNumber", []violation.Object{p}, "spec.asNumber"},
		"about another":                {"spec.asNumber", []violation.Object{other}, ""},
		"about another too":            {"spec.asNumber", []violation.Object{p, other}, ""},
		"about none":                   {"spec.asNumber", nil, ""},
		"with a field that is none":    {"asNumber", []violation.Object{p}, ""},
		"with a field that is no text": {3, []violation.Object{p}, ""},
	} {
		v := violation.Violation{Policy: "x", Details: map[string]any{"field": c.field}, Objects: c.objects}
		checked := Checked{Change: state.Change{After: peer(t, "p")}, Decision: &validate.Decision{Violations: []violation.Violation{v}}}
		if got := checked.findings()[0].field; got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestMarksAreOnlyWhereTheCauseCanBe(t *testing.T) {
	changed := []changedField{{Field: "spec.a"}, {Field: "spec.b"}}
	for name, c := range map[string]struct {
		found finding
		want  map[string]string
	}{
		"a violation is about all that changed":         {finding{rule: "p"}, map[string]string{"spec.a": "p", "spec.b": "p"}},
		"what was so before is not":                     {finding{rule: "p", old: true}, nil},
		"a policy that could not judge is not":          {finding{rule: "p", failed: true}, nil},
		"a violation that names a field is about that":  {finding{rule: "p", field: "spec.b"}, map[string]string{"spec.b": "p"}},
		"a warning that names a field is about that":    {finding{rule: ignoredRule, field: "spec.b"}, map[string]string{"spec.b": "warning"}},
		"be it one that did not change":                 {finding{rule: ignoredRule, field: "spec.c"}, map[string]string{"spec.c": "warning"}},
		"a warning that names none is about none of it": {finding{rule: ignoredRule}, nil},
	} {
		got := map[string]string{}
		for field, by := range marks([]finding{c.found, c.found}, changed) {
			got[field] = strings.Join(by, ",")
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestChangedFieldsAreThoseThatDiffer(t *testing.T) {
	text := func(c state.Change) string {
		var out []string
		for _, f := range changedFields(c) {
			out = append(out, f.Field+" "+compact(f.Before)+">"+compact(f.After))
		}
		return strings.Join(out, "; ")
	}
	node := func(v map[string]any) calico.Object {
		v["apiVersion"], v["kind"] = "v1", "Node"
		o, err := calico.Decode(v)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for name, c := range map[string]struct {
		change state.Change
		want   string
	}{
		"a create has none": {state.Change{After: peer(t, "p", "asNumber", int64(1))}, ""},
		"a delete has none": {state.Change{Before: peer(t, "p", "asNumber", int64(1))}, ""},
		"numbers of two kinds are the same, and null is absent": {
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
		"a Node has those that decide BGP": {
			state.Change{
				Before: node(map[string]any{
					"metadata": map[string]any{"name": "n", "labels": map[string]any{"rack": "a"}, "annotations": map[string]any{"other": "x"}},
					"status":   map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "Unknown"}}},
				}),
				After: node(map[string]any{"metadata": map[string]any{
					"name": "n", "labels": map[string]any{"rack": "b"}, "annotations": map[string]any{"other": "y", calico.AnnotationIPv4Address: "10.0.0.1/24"},
				}}),
			},
			"metadata.annotations[projectcalico.org/IPv4Address] >10.0.0.1/24; metadata.labels[rack] a>b; status.conditions[Ready] not True>",
		},
	} {
		if got := text(c.change); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestLongValuesShowWhereTheyDiffer(t *testing.T) {
	long := strings.Repeat("ä", 300)
	for name, c := range map[string]struct{ before, after, wantBefore, wantAfter string }{
		"short values stay":               {"abc", "abd", "abc", "abd"},
		"a short one stays beside none":   {"", "abc", "", "abc"},
		"a long one is cut at its end":    {"", long, "", strings.Repeat("ä", 100) + "…"},
		"two are cut to their difference": {long + "x", long + "yz", "…" + strings.Repeat("ä", 10) + "x", "…" + strings.Repeat("ä", 10) + "yz"},
		"one that is the other's begin":   {long, long + "y", "…" + strings.Repeat("ä", 10), "…" + strings.Repeat("ä", 10) + "y"},
	} {
		if before, after := shorten(c.before, c.after); before != c.wantBefore || after != c.wantAfter {
			t.Errorf("%s: got %q and %q, want %q and %q", name, before, after, c.wantBefore, c.wantAfter)
		}
	}
}

func TestAnUnknownFormatIsAnError(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, "xml", &Check{}); err == nil || err.Error() != `unknown output format "xml"` || b.Len() > 0 {
		t.Errorf("error %v, output %q", err, b.String())
	}
}

func TestEveryFormatPassesOnWhatTheWriterSays(t *testing.T) {
	full := errors.New("disk full")
	for _, format := range Formats {
		if err := Write(limited{full}, format, checks(t)["a denied change, explained"]); !errors.Is(err, full) {
			t.Errorf("%s: got %v", format, err)
		}
	}
}
