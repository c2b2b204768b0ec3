package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/audit"
)

// manyItems is the number of list items that Markdown shows before it folds the rest.
const manyItems = 10

// escapeMarkdown finds characters that could begin markup or HTML (GitHub Flavored
// Markdown, section 2.4: a backslash may precede any ASCII punctuation).
var escapeMarkdown = regexp.MustCompile("[\\\\`*_{}\\[\\]<>()#|~&@!-]")

func markdown(s string) string { return escapeMarkdown.ReplaceAllString(clean(s), `\$0`) }

func writeAuditMarkdown(w io.Writer, a *Audit) error {
	var b strings.Builder
	b.WriteString("# BGP audit\n")
	if len(a.Clusters)+len(a.Unread) > 1 {
		markdownRow(&b, auditColumns(), true)
		for _, row := range auditTotals(a.Report) {
			markdownRow(&b, row, false)
		}
	}
	for _, u := range a.Unread {
		fmt.Fprintf(&b, "\n**cluster %s was not read:** %s\n", markdown(u.Cluster), markdown(u.Message))
	}
	for _, one := range a.Clusters {
		markdownOne(&b, one)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func markdownRow(b *strings.Builder, cells []string, header bool) {
	if header {
		b.WriteString("\n")
	}
	for _, cell := range cells {
		fmt.Fprintf(b, "| %s ", markdown(cell))
	}
	b.WriteString("|\n")
	if header {
		b.WriteString(strings.Repeat("| --- ", len(cells)) + "|\n")
	}
}

func markdownOne(b *strings.Builder, one *audit.Audit) {
	fmt.Fprintf(b, "\n## %s\n\n**%s**\n", markdown(auditOf(one)), markdown(auditVerdict(one)))
	for _, line := range []string{comparedText(one), auditFigures(one)} {
		if line != "" {
			fmt.Fprintf(b, "\n%s\n", markdown(line))
		}
	}
	if h := bgpHealth(one); h != "" {
		fmt.Fprintf(b, "\nBGP: %s\n", markdown(h))
	}
	notes := make([]string, 0, len(one.Notes)+len(one.Failures))
	for _, f := range one.Failures {
		notes = append(notes, fmt.Sprintf("**error:** %s %s", codeSpan(f.Policy), markdown(f.Message)))
	}
	for _, note := range one.Notes {
		notes = append(notes, "note: "+markdown(note))
	}
	markdownList(b, "Errors and notes", notes)
	found := make([]string, 0, len(one.Violations))
	for i := range one.Violations {
		found = append(found, markdownViolation(one, &one.Violations[i]))
	}
	markdownList(b, "Violations", found)
	resolved := make([]string, 0, len(one.Resolved))
	for i := range one.Resolved {
		v := &one.Resolved[i]
		resolved = append(resolved, fmt.Sprintf("%s %s", codeSpan(v.Policy), markdown(v.ID+gone(v))))
	}
	markdownList(b, "Resolved", resolved)
}

func markdownViolation(one *audit.Audit, v *audit.Violation) string {
	out := fmt.Sprintf("**%s** %s %s", markdown(v.Severity), codeSpan(v.Policy), markdown(v.Message))
	if v.Link != "" {
		out += " (<" + strings.NewReplacer("<", "", ">", "", " ", "").Replace(clean(v.Link)) + ">)"
	}
	if len(v.Objects) > 0 {
		out += "<br>about " + markdown(objects(&v.Violation))
	}
	if h := history(one, v); h != "" {
		out += "<br>" + markdown(h)
	}
	if named(v.Message, v.Nodes) {
		return out
	}
	return out + fmt.Sprintf("<details><summary>%s</summary>%s</details>", Count(len(v.Nodes), "node"), markdown(strings.Join(v.Nodes, ", ")))
}

// codeSpan returns s as a code span, in which backslashes do not escape.
func codeSpan(s string) string { return "`" + strings.ReplaceAll(clean(s), "`", "'") + "`" }

func markdownList(b *strings.Builder, title string, items []string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(b, "\n### %s\n\n", title)
	for i, item := range items {
		if i == manyItems {
			fmt.Fprintf(b, "\n<details><summary>%s more</summary>\n\n", number(len(items)-manyItems))
		}
		fmt.Fprintf(b, "- %s\n", item)
	}
	if len(items) > manyItems {
		b.WriteString("\n</details>\n")
	}
}
