// Package report writes what bgpguard's commands return. formats.go is the one
// table of output formats; the other files are named after the report, then the
// format.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/author"
	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// The names of output formats.
const (
	Text        = "text"
	JSON        = "json"
	YAML        = "yaml"
	HTML        = "html"
	Markdown    = "markdown"
	DOT         = "dot"
	SVG         = "svg"
	SARIF       = "sarif"
	JUnit       = "junit"
	GitHub      = "github"
	OpenReports = "openreports"
	// GoBench is the format of Go benchmarks.
	GoBench = "bench"
)

// The output formats of each command, the default first. Help, shell completion
// and errors of -o are made from this table.
var (
	// CheckFormats are those of "bgpguard check".
	CheckFormats = Formats[*Check]{
		{Text, "each change with its changed fields, marked with the policies that it violates, and their messages; in color on a terminal unless NO_COLOR is set", writeCheckText},
		{JSON, "an object with one entry per change; the schema is pkg/report/check.schema.json", func(w io.Writer, c *Check) error { return text.JSON(w, c.document()) }},
		{YAML, "the same data as json", func(w io.Writer, c *Check) error { return text.YAML(w, c.document()) }},
		{SARIF, "SARIF 2.1.0 for code scanning: one result per violation and warning, at the line of the field", writeCheckSARIF},
		{JUnit, "one test case per change and policy: failed if the policy denies, skipped if it warns", writeCheckJUnit},
		{GitHub, "workflow commands, which GitHub shows next to the lines of a pull request", writeCheckGitHub},
	}

	// AuditFormats are those of "bgpguard audit".
	AuditFormats = Formats[*Audit]{
		{Text, "a summary line, then each violation, the most severe first; in color on a terminal unless NO_COLOR is set", writeAuditText},
		{JSON, "input for --baseline and --history; the schema is pkg/report/audit.schema.json", func(w io.Writer, a *Audit) error { return text.JSON(w, a.Report) }},
		{YAML, "the same data as json", func(w io.Writer, a *Audit) error { return text.YAML(w, a.Report) }},
		{HTML, "one page with pictures, tables and the trend; it loads nothing from elsewhere", writeAuditHTML},
		{Markdown, "for issues and wikis", writeAuditMarkdown},
		{SARIF, "SARIF 2.1.0 for code scanning, with fingerprints and baseline states", writeAuditSARIF},
		{JUnit, "one test suite per cluster, one test case per policy", writeAuditJUnit},
		{OpenReports, "ClusterReports of openreports.io/v1alpha1, as the webhook writes them", writeAuditOpenReports},
	}

	// TopologyFormats are those of "bgpguard topology".
	TopologyFormats = Formats[*Topology]{
		{Text, "totals, faults, routes and convergence", writeTopologyText},
		{JSON, "every half-session, written one by one; the schema is pkg/report/topology.schema.json", writeTopologyJSON},
		{YAML, "the same data as json, held in memory as a whole and therefore limited in size", writeTopologyYAML},
		{DOT, "a picture for Graphviz, with every group of nodes", func(w io.Writer, t *Topology) error { return writeString(w, t.picture().DOT()) }},
		{SVG, "a picture; with more than 60 groups it has one shape per role", writeTopologySVG},
		{HTML, "one page with a verdict, the picture and tables; it loads nothing from elsewhere", writeTopologyHTML},
	}

	// RoutesFormats are those of "bgpguard topology --routes" and "--peer".
	RoutesFormats = Formats[*Routes]{
		{Text, "tables of the routes, those that nodes drop, and those that are missing", writeRoutesText},
		{JSON, "an object; the schema is pkg/report/routes.schema.json", func(w io.Writer, r *Routes) error { return text.JSON(w, r.document()) }},
		{YAML, "the same data as json", func(w io.Writer, r *Routes) error { return text.YAML(w, r.document()) }},
	}

	// DiffFormats are those of "bgpguard diff".
	DiffFormats = Formats[*Difference]{
		{Text, "what differs in one line, its causes, the objects and the violations", writeDiffText},
		{JSON, "an object; the schema is pkg/report/diff.schema.json", writeDiffJSON},
		{YAML, "the same data as json", writeDiffYAML},
		{Markdown, "for issues and wikis", writeDiffMarkdown},
		{HTML, "one page with both topologies in one picture; it loads nothing from elsewhere", writeDiffHTML},
	}

	// PlanFormats are those of "bgpguard plan --to".
	PlanFormats = Formats[*Plan]{
		{Text, "the steps with their commands, effects and waits", writePlanText},
		{JSON, "the plan, as in plan.json", func(w io.Writer, p *Plan) error { return text.JSON(w, p.Plan) }},
		{YAML, "the same data as json", func(w io.Writer, p *Plan) error { return text.YAML(w, p.Plan) }},
		{Markdown, "for issues and wikis, as in README.md", writePlanMarkdown},
		{HTML, "one page with the steps, and a picture before and after; it loads nothing from elsewhere", writePlanHTML},
	}

	// PlanStatusFormats are those of "bgpguard plan verify".
	PlanStatusFormats = Formats[*PlanStatus]{
		{Text, "the status of each step, the wait, and the next step", writePlanStatusText},
		{JSON, "the same data as an object", func(w io.Writer, v *PlanStatus) error { return text.JSON(w, v.Verification) }},
		{YAML, "the same data as json", func(w io.Writer, v *PlanStatus) error { return text.YAML(w, v.Verification) }},
		{Markdown, "for issues and wikis", writePlanStatusMarkdown},
	}

	// VersionFormats are those of "bgpguard version".
	VersionFormats = Formats[*Version]{
		{Text, "one line per field", writeVersionText},
		{JSON, "an object with the same fields", func(w io.Writer, v *Version) error { return text.JSON(w, v) }},
		{YAML, "the same data as json", func(w io.Writer, v *Version) error { return text.YAML(w, v) }},
	}

	// DesignFormats are those of "bgpguard plan" without --to.
	DesignFormats = Formats[*plan.Comparison]{
		{Text, "the recommendation, a table, then each design with its prerequisites", writeDesignsText},
		{JSON, "the same data; the schema is pkg/report/designs.schema.json", func(w io.Writer, c *plan.Comparison) error { return text.JSON(w, c) }},
		{YAML, "the same data as json", func(w io.Writer, c *plan.Comparison) error { return text.YAML(w, c) }},
		{Markdown, "for issues and wikis", writeDesignsMarkdown},
		{HTML, "one page with the comparison; it loads nothing from elsewhere", writeDesignsHTML},
	}

	// PolicyListFormats are those of "bgpguard policy list".
	PolicyListFormats = Formats[[]*policy.Definition]{
		{Text, "a table with one line per policy", writePolicyListText},
		{JSON, "a list with one object per policy", func(w io.Writer, list []*policy.Definition) error { return text.JSON(w, policyList(list)) }},
		{YAML, "the same data as json", func(w io.Writer, list []*policy.Definition) error { return text.YAML(w, policyList(list)) }},
	}

	// PolicyShowFormats are those of "bgpguard policy show".
	PolicyShowFormats = Formats[*policy.Definition]{
		{Text, "the documentation, for a terminal", writePolicyText},
		{Markdown, "the documentation as a page", writePolicyMarkdown},
		{JSON, "the METADATA and the parameters", func(w io.Writer, d *policy.Definition) error { return text.JSON(w, describe(d)) }},
		{YAML, "the same data as json", func(w io.Writer, d *policy.Definition) error { return text.YAML(w, describe(d)) }},
	}

	// PolicyCheckFormats are those of "bgpguard policy check".
	PolicyCheckFormats = Formats[*author.CheckResult]{
		{Text, "one line per finding, as compilers write them, then totals", writePolicyCheckText},
		{JSON, "the names of the policies and the findings", func(w io.Writer, r *author.CheckResult) error { return text.JSON(w, r) }},
	}

	// PolicyTestFormats are those of "bgpguard policy test".
	PolicyTestFormats = Formats[*author.TestResult]{
		{Text, "failed tests and scenarios, then totals", writePolicyTestText},
		{JSON, "every test and scenario with result, duration and message", writePolicyTestJSON},
		{JUnit, "one test suite for Rego tests, one for scenarios", writePolicyTestJUnit},
	}

	// PolicyBenchFormats are those of "bgpguard policy bench".
	PolicyBenchFormats = Formats[[]*author.BenchResult]{
		{Text, "the median of each stage", writePolicyBenchText},
		{GoBench, "every measurement, for benchstat", writePolicyBenchGo},
	}

	// PolicyExplainFormats are those of "bgpguard policy explain".
	PolicyExplainFormats = Formats[*author.Explanation]{
		{Text, "the evaluated rules and the reasons for the decision", writePolicyExplainText},
	}
)

// ExplainFormats are the CheckFormats that show Check.Explain.
var ExplainFormats = CheckFormats.only(Text, JSON, YAML)

// Format is one output format of a command whose result is a T.
type Format[T any] struct {
	// Name is the value of -o.
	Name string
	// Help describes the format in one sentence, without a capital letter or a
	// full stop.
	Help  string
	write func(io.Writer, T) error
}

// Formats are the output formats of a command, the default first.
type Formats[T any] []Format[T]

// Default returns the name of the default format.
func (f Formats[T]) Default() string { return f[0].Name }

// Names returns the names of the formats.
func (f Formats[T]) Names() []string {
	names := make([]string, len(f))
	for i, format := range f {
		names[i] = format.Name
	}
	return names
}

// Usage describes -o for a list of flags: "output `format`: text, json".
func (f Formats[T]) Usage() string { return "output `format`: " + strings.Join(f.Names(), ", ") }

// Help lists the formats with their descriptions, one per line, indented and
// wrapped at helpWidth columns.
func (f Formats[T]) Help() string {
	width := 0
	for _, name := range f.Names() {
		width = max(width, len(name))
	}
	var b strings.Builder
	for _, format := range f {
		indent := width + 4
		for i, line := range text.Wrap(format.Help, helpWidth-indent) {
			name := ""
			if i == 0 {
				name = format.Name
			}
			fmt.Fprintf(&b, "  %-*s  %s\n", width, name, line)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// helpWidth is the number of columns of a command's help.
const helpWidth = 88

// Completions returns the names with their descriptions in the form that cobra's
// completion functions return: name, tab, description.
func (f Formats[T]) Completions() []string {
	out := make([]string, len(f))
	for i, format := range f {
		out[i] = format.Name + "\t" + format.Help
	}
	return out
}

// Validate returns an error that names the accepted formats unless name is one of
// them.
func (f Formats[T]) Validate(name string) error {
	if names := f.Names(); !slices.Contains(names, name) {
		return fmt.Errorf("flag -o must be one of %s, is %q", strings.Join(names, ", "), name)
	}
	return nil
}

// Write writes v to w in the format of that name. It returns an error if name
// is not a format of f, if v cannot be rendered, or if w returns one.
func (f Formats[T]) Write(w io.Writer, name string, v T) error {
	if err := f.Validate(name); err != nil {
		return err
	}
	i := slices.IndexFunc(f, func(format Format[T]) bool { return format.Name == name })
	return f[i].write(w, v)
}

// only returns the formats with those names.
func (f Formats[T]) only(names ...string) Formats[T] {
	return slices.DeleteFunc(slices.Clone(f), func(format Format[T]) bool { return !slices.Contains(names, format.Name) })
}

func writeString(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}
