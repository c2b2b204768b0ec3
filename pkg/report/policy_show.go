package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// description is the documentation of a policy, from its METADATA.
type description struct {
	Name        string             `json:"name"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Remediation string             `json:"remediation,omitempty"`
	Message     string             `json:"exampleMessage,omitempty"`
	Severity    string             `json:"severity"`
	Judges      string             `json:"judges"`
	Actions     []violation.Action `json:"validationActions"`
	// Parameters are in order of names; each is followed by its fields.
	Parameters []parameter   `json:"parameters"`
	Schema     any           `json:"parameterSchema"`
	Related    []policy.Link `json:"relatedResources"`
	// Source is the library, directory or bundle that holds the policy, File its module.
	Source string `json:"source"`
	File   string `json:"file"`
}

// parameter is a parameter of a policy, or a field of one: "windows[].schedule".
type parameter struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Range       string `json:"range,omitempty"`
	Default     any    `json:"default,omitempty"`
	Description string `json:"description"`
	// Loosens says which change of the parameter loosens the policy, "" for a field of a
	// parameter.
	Loosens string `json:"loosens,omitempty"`

	example any // the first of the schema's examples, nil if it has none
}

// describe returns the documentation of a policy.
func describe(d *policy.Definition) *description {
	out := &description{
		Name: d.Name, Title: d.Title, Description: d.Description, Remediation: d.Remediation, Message: d.ExampleMessage,
		Severity: d.Severity, Judges: d.Judges, Actions: d.Actions, Schema: d.Parameters(), Related: d.Related, Source: d.Source, File: d.File, Parameters: []parameter{},
	}
	out.addParameters("", d.Parameters())
	for i, p := range out.Parameters {
		if !strings.ContainsAny(p.Name, ".[") {
			out.Parameters[i].Loosens = cmp.Or(d.Loosens[p.Name], "unknown")
		}
	}
	if out.Related == nil {
		out.Related = []policy.Link{}
	}
	return out
}

func (d *description) addParameters(prefix string, schema any) {
	s, _ := schema.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, _ := properties[name].(map[string]any)
		text, _ := p["description"].(string)
		own := parameter{
			Name: prefix + name, Type: typeOf(p), Range: rangeOf(p), Default: p["default"], Description: strings.Join(strings.Fields(text), " "),
		}
		if examples, _ := p["examples"].([]any); len(examples) > 0 {
			own.example = examples[0]
		}
		d.Parameters = append(d.Parameters, own)
		d.addParameters(prefix+name+".", p)
		d.addParameters(prefix+name+"[].", p["items"])
	}
}

// typeOf returns the accepted values of a schema: "array of string", "one of carry, ignore".
func typeOf(schema map[string]any) string {
	text, _ := schema["type"].(string)
	switch items, ok := schema["items"].(map[string]any); {
	case ok && typeOf(items) != "":
		text += " of " + typeOf(items)
	case schema["enum"] != nil:
		var values []string
		list, _ := schema["enum"].([]any)
		for _, v := range list {
			values = append(values, fmt.Sprint(v))
		}
		return "one of " + strings.Join(values, ", ")
	}
	return text
}

// rangeOf returns the bounds of a number, or of the items of an array: "1 to 16", "" if there are none.
func rangeOf(schema map[string]any) string {
	least, hasLeast := schema["minimum"]
	most, hasMost := schema["maximum"]
	items, _ := schema["items"].(map[string]any)
	switch {
	case hasLeast && hasMost:
		return fmt.Sprintf("%v to %v", least, most)
	case hasLeast:
		return fmt.Sprintf("%v or more", least)
	case hasMost:
		return fmt.Sprintf("%v or less", most)
	case items != nil:
		return rangeOf(items)
	}
	return ""
}

// loosening describes the values of METADATA custom.loosens.
var loosening = map[string]string{
	"higher": "a higher value", "lower": "a lower value", "more": "more items", "fewer": "fewer items",
	"true": "true", "false": "false", "unknown": "not known, any change can",
}

// actions joins validation actions.
func actions(list []violation.Action) string {
	var out []string
	for _, a := range list {
		out = append(out, string(a))
	}
	return strings.Join(out, ", ")
}

// writePolicyText writes the documentation of a policy for a terminal.
func writePolicyText(w io.Writer, of *policy.Definition) error {
	d := describe(of)
	const width = 100
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", d.Name, d.Title)
	fmt.Fprintf(&b, "  judges    %s\n  severity  %s\n  actions   %s (recommended)\n  source    %s, %s\n\n%s\n",
		d.judged(), d.Severity, actions(d.Actions), d.Source, d.File, d.Description)
	if len(d.Parameters) > 0 {
		b.WriteString("\nParameters:\n")
	}
	for _, p := range d.Parameters {
		bounds := p.Range
		if bounds != "" {
			bounds = ", " + bounds
		}
		fmt.Fprintf(&b, "  %s (%s%s%s)\n", p.Name, p.Type, bounds, p.defaultText(", default "))
		for _, line := range text.Wrap(p.Description, width-6) {
			fmt.Fprintf(&b, "      %s\n", line)
		}
		if words := loosening[p.Loosens]; words != "" {
			fmt.Fprintf(&b, "      Loosens the policy: %s.\n", words)
		}
	}
	if d.Message != "" {
		fmt.Fprintf(&b, "\nExample of a message:\n")
	}
	for _, line := range text.Wrap(d.Message, width-2) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	if d.Remediation != "" {
		fmt.Fprintf(&b, "\nWhat to do:\n  %s\n", strings.ReplaceAll(d.Remediation, "\n", "\n  "))
	}
	if len(d.Related) > 0 {
		b.WriteString("\nSee also:\n")
	}
	for _, l := range d.Related {
		fmt.Fprintf(&b, "  %s\n", relatedLink(l, "%s: %s"))
	}
	fmt.Fprintf(&b, "\nExample:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(d.example()), "\n", "\n  "))
	_, err := io.WriteString(w, b.String())
	return err
}

// judged describes what the policy evaluates.
func (d *description) judged() string {
	if d.Judges == policy.JudgesChange {
		return "the change itself"
	}
	return "the state before and after a change, and in the audit"
}

// relatedLink formats a link with format, whose operands are the description
// and the reference. Without a description, it returns the reference.
func relatedLink(l policy.Link, format string) string {
	if l.Description == "" {
		return l.Ref
	}
	return fmt.Sprintf(format, l.Description, l.Ref)
}

// defaultText returns the default in JSON with a prefix, "" if there is none.
func (p *parameter) defaultText(prefix string) string {
	if p.Default == nil {
		return ""
	}
	text, err := json.Marshal(p.Default)
	if err != nil { // The default was decoded from YAML, so it can be encoded.
		return ""
	}
	return prefix + string(text)
}

// writePolicyMarkdown writes the documentation of a policy as a page. The page
// has no link to itself.
func writePolicyMarkdown(w io.Writer, of *policy.Definition) error {
	d := describe(of)
	cell := func(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n**%s**\n\n", d.Name, d.Title)
	fmt.Fprintf(&b, "| severity | default action | judges |\n| --- | --- | --- |\n| %s | %s | %s |\n\n%s\n",
		d.Severity, actions(d.Actions), d.judged(), d.Description)
	if len(d.Parameters) > 0 {
		b.WriteString("\n## Parameters\n\n| parameter | type | default | range | loosens | description |\n| --- | --- | --- | --- | --- | --- |\n")
	}
	for _, p := range d.Parameters {
		value := p.defaultText("")
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", p.Name, cell(p.Type), cell(value), p.Range, loosening[p.Loosens], cell(p.Description))
	}
	fmt.Fprintf(&b, "\n## Example\n\n```yaml\n%s```\n", d.example())
	if d.Message != "" {
		fmt.Fprintf(&b, "\nA message of this policy:\n\n```text\n%s\n```\n", strings.Join(text.Wrap(d.Message, 100), "\n"))
	}
	if d.Remediation != "" {
		fmt.Fprintf(&b, "\n## What to do when it denies or warns\n\n%s\n", d.Remediation)
	}
	related := slices.DeleteFunc(slices.Clone(d.Related), func(l policy.Link) bool {
		return strings.HasSuffix(l.Ref, "/docs/policies/"+d.Name+".md")
	})
	if len(related) > 0 {
		b.WriteString("\n## See also\n\n")
	}
	for _, l := range related {
		fmt.Fprintf(&b, "- %s\n", relatedLink(l, "[%s](%s)"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// example returns a BGPPolicy with the policy's parameters, each explained. A parameter has the
// first of the examples in its schema, or its default.
func (d *description) example() string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata:\n  name: %s\nspec:\n  policy: %s\n", d.Name, d.Name)
	first := true
	for _, p := range d.Parameters {
		value := p.Default
		if p.example != nil {
			value = p.example
		}
		if value == nil || strings.ContainsAny(p.Name, ".[") {
			continue
		}
		if first {
			b.WriteString("  parameters:\n")
			first = false
		}
		for _, line := range text.Wrap(p.Description, 94) {
			fmt.Fprintf(&b, "    # %s\n", line)
		}
		text, err := yaml.Marshal(map[string]any{p.Name: value})
		if err != nil { // It was read from YAML.
			continue
		}
		fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    "))
	}
	fmt.Fprintf(&b, "  validationActions: [%s]\n", actions(d.Actions))
	return b.String()
}
