package author

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// Markdown is the format of a page of documentation.
const Markdown = "markdown"

// Description is what the METADATA of a policy say of it.
type Description struct {
	Name        string             `json:"name"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Severity    string             `json:"severity"`
	Judges      string             `json:"judges"`
	Actions     []violation.Action `json:"validationActions"`
	// Parameters are the parameters, those within others after them.
	Parameters []Parameter   `json:"parameters"`
	Schema     any           `json:"parameterSchema"`
	Related    []policy.Link `json:"relatedResources"`
	// Source is where the policy comes from, File the module in it.
	Source string `json:"source"`
	File   string `json:"file"`
}

// Parameter is one parameter of a policy, or a field of one: "windows[].schedule".
type Parameter struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Default     any    `json:"default,omitempty"`
	Description string `json:"description"`
}

// Describe returns what the METADATA of a policy say.
func Describe(d *policy.Definition) *Description {
	out := &Description{
		Name: d.Name, Title: d.Title, Description: d.Description, Severity: d.Severity, Judges: d.Judges, Actions: d.Actions,
		Schema: d.Parameters(), Related: d.Related, Source: d.Source, File: d.File, Parameters: []Parameter{},
	}
	out.addParameters("", d.Parameters())
	if out.Related == nil {
		out.Related = []policy.Link{}
	}
	return out
}

func (d *Description) addParameters(prefix string, schema any) {
	s, _ := schema.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, _ := properties[name].(map[string]any)
		text, _ := p["description"].(string)
		d.Parameters = append(d.Parameters, Parameter{
			Name: prefix + name, Type: typeOf(p), Default: p["default"], Description: strings.Join(strings.Fields(text), " "),
		})
		d.addParameters(prefix+name+".", p)
		d.addParameters(prefix+name+"[].", p["items"])
	}
}

// typeOf says what a value can be: "array of string", "one of carry, ignore".
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
	if v, ok := schema["minimum"]; ok {
		text += fmt.Sprintf(", %v or more", v)
	}
	if v, ok := schema["maximum"]; ok {
		text += fmt.Sprintf(", %v or less", v)
	}
	return text
}

// WriteList writes an overview of policies as Text, JSON or YAML.
func WriteList(w io.Writer, format string, definitions []*policy.Definition) error {
	type item struct {
		Name     string             `json:"name"`
		Judges   string             `json:"judges"`
		Severity string             `json:"severity"`
		Actions  []violation.Action `json:"validationActions"`
		Title    string             `json:"title"`
		Source   string             `json:"source"`
	}
	items := []item{}
	for _, d := range definitions {
		items = append(items, item{d.Name, d.Judges, d.Severity, d.Actions, d.Title, d.Source})
	}
	if format != Text {
		return writeDocument(w, format, items)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tJUDGES\tSEVERITY\tACTIONS\tTITLE")
	for _, i := range items {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", i.Name, i.Judges, i.Severity, names(i.Actions), i.Title)
	}
	return t.Flush()
}

// Write writes the description as Text, Markdown, JSON or YAML.
func (d *Description) Write(w io.Writer, format string) error {
	switch format {
	case Text:
		return d.writeText(w)
	case Markdown:
		return d.writeMarkdown(w)
	default:
		return writeDocument(w, format, d)
	}
}

func writeDocument(w io.Writer, format string, v any) error {
	if format == JSON {
		return text.JSON(w, v)
	}
	return text.YAML(w, v)
}

func names(actions []violation.Action) string {
	var out []string
	for _, a := range actions {
		out = append(out, string(a))
	}
	return strings.Join(out, ", ")
}

func (d *Description) writeText(w io.Writer) error {
	const width = 100
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n\n", d.Name, d.Title)
	fmt.Fprintf(&b, "  judges    %s\n  severity  %s\n  actions   %s (recommended)\n  source    %s, %s\n\n%s\n",
		d.judged(), d.Severity, names(d.Actions), d.Source, d.File, d.Description)
	if len(d.Parameters) > 0 {
		b.WriteString("\nParameters:\n")
	}
	for _, p := range d.Parameters {
		fmt.Fprintf(&b, "  %s (%s%s)\n", p.Name, p.Type, p.defaultText(", default "))
		for _, line := range wrap(p.Description, width-6) {
			fmt.Fprintf(&b, "      %s\n", line)
		}
	}
	if len(d.Related) > 0 {
		b.WriteString("\nSee also:\n")
	}
	for _, l := range d.Related {
		fmt.Fprintf(&b, "  %s\n", link(l, "%s: %s"))
	}
	fmt.Fprintf(&b, "\nExample:\n  %s\n", strings.ReplaceAll(strings.TrimSpace(d.Example()), "\n", "\n  "))
	_, err := io.WriteString(w, b.String())
	return err
}

func (d *Description) judged() string {
	if d.Judges == policy.JudgesChange {
		return "the change itself"
	}
	return "the state before a change and after it, and in the audit"
}

func link(l policy.Link, format string) string {
	if l.Description == "" {
		return l.Ref
	}
	return fmt.Sprintf(format, l.Description, l.Ref)
}

// defaultText is the default in JSON after a prefix, "" where there is none.
func (p *Parameter) defaultText(prefix string) string {
	if p.Default == nil {
		return ""
	}
	text, err := json.Marshal(p.Default)
	if err != nil { // It was read from YAML, so it can be written.
		return ""
	}
	return prefix + string(text)
}

func (d *Description) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s. Severity %s; judges %s; recommended: %s.\n\n%s\n", d.Name, d.Title, d.Severity, d.judged(), names(d.Actions), d.Description)
	if len(d.Parameters) > 0 {
		b.WriteString("\n## Parameters\n\n| parameter | type | default | description |\n| --- | --- | --- | --- |\n")
	}
	cell := func(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
	for _, p := range d.Parameters {
		value := p.defaultText("")
		if value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", p.Name, cell(p.Type), cell(value), cell(p.Description))
	}
	fmt.Fprintf(&b, "\n## Example\n\n```yaml\n%s```\n", d.Example())
	if len(d.Related) > 0 {
		b.WriteString("\n## See also\n\n")
	}
	for _, l := range d.Related {
		fmt.Fprintf(&b, "- %s\n", link(l, "[%s](%s)"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Example is a BGPPolicy with the policy's defaults, each explained.
func (d *Description) Example() string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: policy.bgpguard.io/v1alpha1\nkind: BGPPolicy\nmetadata:\n  name: %s\nspec:\n  policy: %s\n", d.Name, d.Name)
	first := true
	for _, p := range d.Parameters {
		if p.Default == nil || strings.ContainsAny(p.Name, ".[") {
			continue
		}
		if first {
			b.WriteString("  parameters:\n")
			first = false
		}
		for _, line := range wrap(p.Description, 94) {
			fmt.Fprintf(&b, "    # %s\n", line)
		}
		text, err := yaml.Marshal(map[string]any{p.Name: p.Default})
		if err != nil { // It was read from YAML.
			continue
		}
		fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    "))
	}
	fmt.Fprintf(&b, "  validationActions: [%s]\n", names(d.Actions))
	return b.String()
}

// wrap breaks text into lines of at most so many characters, but for longer words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
