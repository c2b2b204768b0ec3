package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// policyItem is a policy in a list.
type policyItem struct {
	Name     string             `json:"name"`
	Judges   string             `json:"judges"`
	Severity string             `json:"severity"`
	Actions  []violation.Action `json:"validationActions"`
	Title    string             `json:"title"`
	Source   string             `json:"source"`
}

// policyList returns the items of definitions, in their order.
func policyList(definitions []*policy.Definition) []policyItem {
	items := make([]policyItem, len(definitions))
	for i, d := range definitions {
		items[i] = policyItem{d.Name, d.Judges, d.Severity, d.Actions, d.Title, d.Source}
	}
	return items
}

// writePolicyListText writes a table of policies.
func writePolicyListText(w io.Writer, definitions []*policy.Definition) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tJUDGES\tSEVERITY\tACTIONS\tTITLE")
	for _, i := range policyList(definitions) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", i.Name, i.Judges, i.Severity, actions(i.Actions), i.Title)
	}
	return t.Flush()
}
