package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report/junit"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// schemas caches compiled schemas: the fuzzer uses them thousands of times.
var schemas = map[string]*jsonschema.Schema{}

func validateJSON(t testing.TB, schemaFile, text string) any {
	t.Helper()
	schema := schemas[schemaFile]
	if schema == nil {
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		var err error
		if schema, err = compiler.Compile(schemaFile); err != nil {
			t.Fatal(err)
		}
		schemas[schemaFile] = schema
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
	return doc
}

func TestJSONAndYAMLOfACheckFollowTheSchema(t *testing.T) {
	written := map[string]bool{}
	all := checks(t)
	all["changes together"] = together(t)
	all["external peers"] = &Check{Changes: []Checked{{Change: state.Change{After: peer(t, "p")}, Decision: &validate.Decision{Allowed: true, Impact: peersImpact("a session goes")}}}}
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			text := renderCheck(t, JSON, c)
			keys(validateJSON(t, "check.schema.json", text), written)
			var fromJSON, fromYAML any
			if err := errors.Join(json.Unmarshal([]byte(text), &fromJSON), yaml.Unmarshal([]byte(renderCheck(t, YAML, c)), &fromYAML)); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(fromJSON, fromYAML) {
				t.Errorf("YAML says\n%v\nJSON says\n%v", fromYAML, fromJSON)
			}
		})
	}
	// The schema describes no property that is never written.
	for _, property := range schemaProperties(t, "check.schema.json") {
		if !written[property] {
			t.Errorf("no check has the property %q of the schema", property)
		}
	}
}

// together is a check of changes of which none is allowed first.
func together(t *testing.T) *Check {
	t.Helper()
	v := found("soft", "p", violation.Deny)
	denied := Checked{
		Change: state.Change{After: peer(t, "p", "asNumber", int64(1))}, Notes: []string{"The state does not contain the version of Calico"},
		Decision: &validate.Decision{Verdicts: []validate.Verdict{{Violation: v, Relation: validate.New}}},
	}
	return &Check{Set: &Set{
		Together: &validate.Decision{Allowed: true}, First: &denied,
		Knot: &Knot{After: []Checked{denied}, Changes: []Checked{denied, denied}, Incomplete: true},
	}}
}

func TestTextOfASet(t *testing.T) {
	const denial = "[soft] "
	c := together(t)
	for name, test := range map[string]struct {
		change func(*Set)
		want   []string
	}{
		"a knot": {func(s *Set) { s.Knot.Incomplete = false }, []string{
			"all changes together: allowed\n", "there is no order in which each change is allowed\n", "after create BGPPeer p, each of these is denied:\n  create BGPPeer p\n    " + denial,
		}},
		"an incomplete search": {func(s *Set) { s.Knot.After = nil }, []string{
			"no order was found in which each change is allowed; the search ended before it tried all orders\n", "each of these is denied before the others:\n",
		}},
		"another order": {func(s *Set) { s.Knot = nil }, []string{
			"in the given order, in which \"kubectl apply\" sends them: denied at create BGPPeer p\n    " + denial, "in this order, each change is allowed:\n",
		}},
		"the given order": {func(s *Set) { s.Knot, s.First = nil, nil }, []string{"in the given order, in which \"kubectl apply\" sends them, each change is allowed:\n"}},
		"a denied state":  {func(s *Set) { s.Knot, s.First, s.Together = nil, nil, c.Set.First.Decision }, []string{"all changes together: denied\n  " + denial}},
	} {
		t.Run(name, func(t *testing.T) {
			set := *c.Set
			knot := *c.Set.Knot
			set.Knot = &knot
			test.change(&set)
			text := renderCheck(t, Text, &Check{Set: &set})
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("the text lacks %q:\n%s", want, text)
				}
			}
		})
	}
}

// keys collects the keys of all objects in v.
func keys(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, v := range v {
			into[k] = true
			keys(v, into)
		}
	case []any:
		for _, v := range v {
			keys(v, into)
		}
	}
}

// schemaProperties collects the names below "properties" anywhere in a schema.
func schemaProperties(t *testing.T, file string) []string {
	t.Helper()
	var out []string
	var collect func(v any)
	collect = func(v any) {
		m, _ := v.(map[string]any)
		properties, _ := m["properties"].(map[string]any)
		for name := range properties {
			out = append(out, name)
		}
		for _, v := range m {
			collect(v)
			if list, ok := v.([]any); ok {
				for _, v := range list {
					collect(v)
				}
			}
		}
	}
	collect(readJSON(t, file))
	if len(out) == 0 {
		t.Fatal("the schema has no properties")
	}
	return out
}

func TestSARIFHasWhatCodeScanningNeeds(t *testing.T) {
	for name, c := range checks(t) {
		t.Run(name, func(t *testing.T) {
			text := renderCheck(t, SARIF, c)
			validateJSON(t, "testdata/sarif.schema.json", text)
			run := parseSARIF(t, text)
			var rules []string
			for _, r := range run.Tool.Driver.Rules {
				rules = append(rules, r.ID)
			}
			if want := []string{"broken", "hard", "quiet", "soft", problemRule}; !slices.Equal(rules, want) {
				t.Errorf("rules %q, want %q", rules, want)
			}
			for _, r := range run.Results {
				if rules[r.RuleIndex] != r.RuleID {
					t.Errorf("index %d of rule %s is that of %s", r.RuleIndex, r.RuleID, rules[r.RuleIndex])
				}
			}
		})
	}
	run := parseSARIF(t, renderCheck(t, SARIF, checks(t)["a denied change, with a policy that failed"]))
	var got []string
	for _, r := range run.Results {
		got = append(got, fmt.Sprintf("%s %s %s:%d", r.RuleID, r.Level, r.Locations[0].Physical.Artifact.URI, r.Locations[0].Physical.Region.StartLine))
	}
	want := []string{
		"hard error dir/a%20file.yaml:1", "hard error dir/a%20file.yaml:1", "quiet note dir/a%20file.yaml:1", "broken error dir/a%20file.yaml:1",
		problemRule + " warning dir/a%20file.yaml:7",
	}
	if !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	if run.Invocations[0].ExecutionSuccessful {
		t.Error("a run in which a policy failed is a success")
	}
	hard := run.Tool.Driver.Rules[1]
	if hard.Name != "mesh-node-limit" || hard.HelpURI != "https://example.com/a" || hard.DefaultConfiguration.Level != "error" ||
		hard.Help.Text != "It holds that {{all}} is well.\nA page https://example.com/a\nhttps://example.com/b" {
		t.Errorf("rule %+v", hard)
	}
	var levels []string
	for _, r := range run.Tool.Driver.Rules {
		levels = append(levels, r.DefaultConfiguration.Level)
	}
	if want := []string{"warning", "error", "note", "warning", "warning"}; !slices.Equal(levels, want) {
		t.Errorf("levels of the rules %q, want %q", levels, want)
	}
	warned := parseSARIF(t, renderCheck(t, SARIF, checks(t)["an allowed change with warnings"]))
	if line := warned.Results[0].Locations[0].Physical.Region.StartLine; line != 7 {
		t.Errorf("a violation of a change of one field is at line %d, want that of the field, 7", line)
	}
	if line := warned.Results[1].Locations[0].Physical.Region.StartLine; line != 1 {
		t.Errorf("what was so before is at line %d, want that of the object, 1", line)
	}
}

func parseSARIF(t testing.TB, text string) sarifRun {
	t.Helper()
	var log sarifLog
	if err := json.Unmarshal([]byte(text), &log); err != nil {
		t.Fatal(err)
	}
	return log.Runs[0]
}

func TestFilesBecomeURIs(t *testing.T) {
	for path, want := range map[string]string{
		"a/b.yaml":     "a/b.yaml",
		"../a b.yaml":  "../a%20b.yaml",
		"a:b.yaml":     "./a:b.yaml",
		"/tmp/x.yaml":  "file:///tmp/x.yaml",
		"a?b#c%d.yaml": "a%3Fb%23c%25d.yaml",
	} {
		t.Run(path, func(t *testing.T) {
			if got := fileURI(path); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func parseJUnit(t testing.TB, text string) junit.Suite {
	t.Helper()
	var document struct {
		XMLName xml.Name      `xml:"testsuites"`
		Suites  []junit.Suite `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return document.Suites[0]
}

func TestJUnitHasATestForEachChangeAndPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		totals string // tests, failures, errors, skipped
		cases  string // the cases that did not pass
	}{
		"an allowed change":                             {"4 0 0 0", ""},
		"an allowed change with warnings":               {"5 0 0 3", "hard skipped, soft skipped, calico/problem skipped"},
		"a denied change, with a policy that failed":    {"5 1 1 2", "broken error, hard failure, quiet skipped, calico/problem skipped"},
		"a change that could not be evaluated":          {"4 0 1 0", "broken error"},
		"several changes, of which all must be allowed": {"12 0 1 0", "broken error"},
	} {
		t.Run(name, func(t *testing.T) {
			suite := parseJUnit(t, renderCheck(t, JUnit, checks(t)[name]))
			if got := fmt.Sprint(suite.Tests, suite.Failures, suite.Errors, suite.Skipped); got != c.totals {
				t.Errorf("totals %s, want %s", got, c.totals)
			}
			var cases []string
			for _, one := range suite.Cases {
				for what, result := range map[string]*junit.Result{"failure": one.Failure, "error": one.Error, "skipped": one.Skipped} {
					if result != nil {
						cases = append(cases, one.Name+" "+what)
					}
				}
			}
			if got := strings.Join(cases, ", "); got != c.cases || len(suite.Cases) != suite.Tests {
				t.Errorf("%d cases, not passed %q, want %q", len(suite.Cases), got, c.cases)
			}
		})
	}
	suite := parseJUnit(t, renderCheck(t, JUnit, checks(t)["a denied change, with a policy that failed"]))
	want := "Deny: <a> is wrong & bad\nwhat the change does: a session goes; another comes; removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted\n" +
		"Deny: <b> is wrong & bad\nwhat the change does: a session goes; another comes; removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted\nSee https://example.com/a"
	if got := suite.Cases[1].Failure; got.Text != want || got.Message != "Deny: <a> is wrong & bad" {
		t.Errorf("got %+v, want\n%s", got, want)
	}
}

// command is a workflow command in the form that GitHub's runner reads.
type command struct {
	name, message string
	properties    map[string]string
}

// parseCommands reads lines as actions/runner does (ActionCommand.TryParseV2).
func parseCommands(text string) (commands []command, others []string) {
	unescape := strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%").Replace
	unescapeProperty := strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%").Replace
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		rest, ok := strings.CutPrefix(strings.TrimLeftFunc(line, unicode.IsSpace), "::")
		head, message, ok2 := strings.Cut(rest, "::")
		if !ok || !ok2 {
			others = append(others, line)
			continue
		}
		c := command{message: unescape(message), properties: map[string]string{}}
		var properties string
		c.name, properties, _ = strings.Cut(head, " ")
		for p := range strings.SplitSeq(properties, ",") {
			k, v, _ := strings.Cut(p, "=")
			c.properties[k] = unescapeProperty(v)
		}
		commands = append(commands, c)
	}
	return commands, others
}

func TestGitHubGetsACommandForEachFinding(t *testing.T) {
	commands, others := parseCommands(renderCheck(t, GitHub, checks(t)["a denied change, with a policy that failed"]))
	var got []string
	for _, c := range commands {
		got = append(got, fmt.Sprintf("%s %s:%s %s", c.name, c.properties["file"], c.properties["line"], c.properties["title"]))
	}
	want := []string{
		"error dir/a file.yaml:1 hard: delete BGPPeer p", "error dir/a file.yaml:1 hard: delete BGPPeer p", "notice dir/a file.yaml:1 quiet: delete BGPPeer p",
		"error dir/a file.yaml:1 broken: delete BGPPeer p", "warning dir/a file.yaml:7 calico/problem: delete BGPPeer p",
	}
	if !slices.Equal(got, want) || !slices.Equal(others, []string{"delete BGPPeer p: denied"}) {
		t.Errorf("got %q beside %q, want %q", got, others, want)
	}
	if want := "<a> is wrong & bad\nwhat the change does: a session goes; another comes; removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted\nSee https://example.com/a"; commands[0].message != want {
		t.Errorf("message %q, want %q", commands[0].message, want)
	}
}

// FuzzFormatsKeepTextsWhole writes texts that contain markup in every format, and checks that a
// parser of the format reads exactly the same texts.
func FuzzFormatsKeepTextsWhole(f *testing.F) {
	for _, hostile := range []string{
		"plain", "a\n::error::b", "a\r::set-output name=x::y", "%0A::error::", "100%", "]]><x/>", "\x00\x01\x0b\x1b[31m", "\ufffe\uffff\u2028\u202e",
		"\xff\xc0", `"&<>'`, "a,line=1::b", "[text](http://example.com)", "{0} {{x}}", "::", " ", "\ud7ff😀",
	} {
		f.Add(hostile, hostile, hostile, hostile)
	}
	f.Fuzz(func(t *testing.T, name, rule, message, file string) {
		if name == "" || rule == "" || message == "" || rule == problemRule {
			return
		}
		v := violation.Violation{Policy: rule, ID: rule, Action: violation.Deny, Message: message, Details: map[string]any{}, Objects: []violation.Subject{}}
		c := &Check{Policies: []*policy.Policy{{Name: rule, Action: violation.Deny, Definition: &policy.Definition{Name: rule, Title: rule, Description: message, Severity: "high"}}}, Changes: []Checked{{
			Change: state.Change{After: peer(t, name)}, Decision: &validate.Decision{Verdicts: fresh(v), Impact: impact(message)},
			Source: Source{File: file, LineOf: source.LineOf},
		}}}
		said := clean(message) + "\nwhat the change does: " + clean(message) + "; removes 2 mesh sessions (on 3 nodes); no route is lost or interrupted"
		what := "create BGPPeer " + clean(name)

		commands, others := parseCommands(renderCheck(t, GitHub, c))
		if len(commands) != 1 || len(others) != 1 || others[0] != what+": denied" {
			t.Fatalf("commands %q and lines %q", commands, others)
		}
		wantTitle := clean(rule) + ": " + what
		if got := commands[0]; got.name != "error" || got.message != said || got.properties["title"] != wantTitle || got.properties["file"] != file {
			t.Errorf("command %q, want message %q, title %q, file %q", got, said, wantTitle, file)
		}
		if file != "" && len(commands[0].properties) != 3 {
			t.Errorf("properties %q", commands[0].properties)
		}

		suite := parseJUnit(t, renderCheck(t, JUnit, c))
		if got := suite.Cases[0]; len(suite.Cases) != 1 || got.Class != what || got.Name != clean(rule) || got.File != clean(file) || got.Failure.Text != "Deny: "+said {
			t.Errorf("test case %+v with %+v", got, got.Failure)
		}

		text := renderCheck(t, SARIF, c)
		validateJSON(t, "testdata/sarif.schema.json", text)
		run := parseSARIF(t, text)
		unescape := strings.NewReplacer("{{", "{", "}}", "}", "] (", "](").Replace
		if got, want := run.Results[0].Message.Text, what+": "+said; unescape(got) != strings.ReplaceAll(want, "] (", "](") || strings.Contains(got, "](") {
			t.Errorf("message %q, want %q", got, want)
		}

		validateJSON(t, "check.schema.json", renderCheck(t, JSON, c))
		for line := range strings.Lines(renderCheck(t, Text, c)) {
			if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("text has %q", line)
			}
		}
	})
}

func readJSON(t testing.TB, file string) any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// checkTable checks the formats of one command, for any type of result.
func checkTable[T any](t *testing.T, command string, formats Formats[T]) {
	t.Helper()
	t.Run(command, func(t *testing.T) {
		names := formats.Names()
		if len(names) == 0 || names[0] != Text || formats.Default() != Text {
			t.Errorf("the formats are %v, the default is not text", names)
		}
		sorted := slices.Clone(names)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(names) {
			t.Errorf("a format is in the table twice: %v", names)
		}
		help := strings.Split(formats.Help(), "\n")
		for _, f := range formats {
			if f.Help == "" || strings.HasSuffix(f.Help, ".") || strings.ContainsAny(f.Help, "\n\t") || f.write == nil {
				t.Errorf("%s: help %q, writer %v", f.Name, f.Help, f.write != nil)
			}
			if !slices.ContainsFunc(help, func(line string) bool { return strings.HasPrefix(line, "  "+f.Name+" ") }) {
				t.Errorf("%s is not in the help:\n%s", f.Name, formats.Help())
			}
			if err := formats.Validate(f.Name); err != nil {
				t.Error(err)
			}
		}
		for _, line := range help {
			if len(line) > helpWidth {
				t.Errorf("%d columns: %s", len(line), line)
			}
		}
	})
}

func TestTheTableOfFormats(t *testing.T) {
	checkTable(t, "check", CheckFormats)
	checkTable(t, "check --explain", ExplainFormats)
	checkTable(t, "audit", AuditFormats)
	checkTable(t, "topology", TopologyFormats)
	checkTable(t, "policy list", PolicyListFormats)
	checkTable(t, "policy show", PolicyShowFormats)
	checkTable(t, "policy check", PolicyCheckFormats)
	checkTable(t, "policy test", PolicyTestFormats)
	checkTable(t, "policy bench", PolicyBenchFormats)
	checkTable(t, "policy explain", PolicyExplainFormats)
}

func TestFormatsAreHelpCompletionAndError(t *testing.T) {
	write := func(w io.Writer, s string) error {
		_, err := io.WriteString(w, s)
		return err
	}
	f := Formats[string]{
		{Text, "a text that is long enough to be continued on a line of its own, below the words before it", write},
		{Markdown, "for wikis", write},
	}
	for name, c := range map[string]struct{ got, want string }{
		"usage": {f.Usage(), "output `format`: text, markdown"},
		"help": {f.Help(), `  text      a text that is long enough to be continued on a line of its own, below the
            words before it
  markdown  for wikis`},
		"completions": {strings.Join(f.Completions()[1:], ""), "markdown\tfor wikis"},
		"error":       {f.Write(io.Discard, "xml", "").Error(), `flag -o must be one of text, markdown, is "xml"`},
	} {
		t.Run(name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got\n%s\nwant\n%s", c.got, c.want)
			}
		})
	}
	var b strings.Builder
	if err := f.Write(&b, Markdown, "x"); err != nil || b.String() != "x" {
		t.Errorf("wrote %q, %v", b.String(), err)
	}
}
