package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// workflowCommands are GitHub's words for what follows from a finding.
var workflowCommands = map[violation.Action]string{violation.Deny: "error", violation.Warn: "warning", violation.Audit: "notice"}

// GitHub's runner undoes this (actions/toolkit, packages/core/src/command.ts). A
// line break that is left would begin a command of its own.
var (
	escapeMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// writeGitHub writes a line for each change into the log, and a workflow command
// for each finding.
func writeGitHub(w io.Writer, c *Check) error {
	var b strings.Builder
	for i := range c.Changes {
		change := &c.Changes[i]
		changed := changedFields(change.Change)
		fmt.Fprintf(&b, "%s: %s\n", change.what(), change.verdict())
		for _, f := range change.findings() {
			fmt.Fprintf(&b, "::%s ", workflowCommands[f.action])
			if change.Source.File != "" {
				fmt.Fprintf(&b, "file=%s,line=%d,", escapeProperty.Replace(change.Source.File), change.place(f, changed))
			}
			fmt.Fprintf(&b, "title=%s::%s\n", escapeProperty.Replace(clean(f.rule+": "+change.what())), escapeMessage.Replace(change.message(f)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// message is what f says, and for a violation a line for each effect of the
// change.
func (c *Checked) message(f finding) string {
	lines := []string{clean(f.message)}
	if !f.old && !f.failed && f.rule != ignoredRule {
		for _, effect := range c.Decision.Effects {
			lines = append(lines, effectPrefix+clean(effect))
		}
	}
	return strings.Join(lines, "\n")
}
