package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/test/golden"
)

// docs is the folder with the page of each policy, and repository its address: denials link to the pages.
const (
	docs       = "../../docs/policies"
	repository = "https://github.com/bgpguard/bgpguard/blob/main/docs/policies/"
)

func TestDocsHoldTheLibrary(t *testing.T) {
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	definitions := library.Definitions()
	pages := map[string]string{"README.md": policyIndex(t, definitions)}
	for _, d := range definitions {
		t.Run(d.Name, func(t *testing.T) {
			if d.Remediation == "" || d.ExampleMessage == "" {
				t.Error("METADATA has no custom.remediation or custom.exampleMessage")
			}
			if page := repository + d.Name + ".md"; len(d.Related) < 2 || d.Related[0].Ref != page {
				t.Errorf("related resources %v, want %s and then a page of Calico", d.Related, page)
			}
		})
		var b strings.Builder
		if err := writePolicyMarkdown(&b, d); err != nil {
			t.Fatal(err)
		}
		pages[d.Name+".md"] = b.String()
	}
	golden.CheckDir(t, docs, "*.md", pages)
}

// policyIndex returns the table of policies: those that deny first, then by severity and name.
func policyIndex(t *testing.T, definitions []*policy.Definition) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Policies\n\nThe library of bgpguard. Each page has the parameters, an example, and what to do when the policy denies a change.\n\n" +
		"| policy | finds | severity | default action |\n| --- | --- | --- | --- |\n")
	rank := func(d *policy.Definition) string {
		order := []string{"Deny", "Warn", "Warn, Audit", "Audit"}
		return fmt.Sprint(slices.Index(order, actions(d.Actions)), slices.Index(policy.Severities, d.Severity), d.Name)
	}
	for _, d := range slices.SortedFunc(slices.Values(definitions), func(a, b *policy.Definition) int { return strings.Compare(rank(a), rank(b)) }) {
		finds, ok := strings.CutPrefix(strings.Join(strings.Fields(d.Description), " "), "Finds ")
		if !ok {
			t.Errorf("%s: the description does not begin with \"Finds \"", d.Name)
		}
		finds, _, _ = strings.Cut(finds, ". ")
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %s | %s |\n", d.Name, d.Name, strings.TrimSuffix(finds, "."), d.Severity, actions(d.Actions))
	}
	return b.String()
}
