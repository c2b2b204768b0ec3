package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/violation"
)

// workflowCommands are GitHub's annotation levels of actions.
var workflowCommands = map[violation.Action]string{violation.Deny: "error", violation.Warn: "warning", violation.Audit: "notice"}

// GitHub's runner reverses this (actions/toolkit, packages/core/src/command.ts). An
// unescaped line break would begin another command.
var (
	escapeMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// writeCheckGitHub writes a log line per change, one that says what an allowed change does, and a workflow command per finding.
func writeCheckGitHub(w io.Writer, c *Check) error {
	var b strings.Builder
	for i := range c.Changes {
		change := &c.Changes[i]
		fmt.Fprintf(&b, "%s: %s\n", change.what(), change.verdict())
		if line := change.notice(); line != "" {
			fmt.Fprintf(&b, "  %s\n", clean(line))
		}
		for _, f := range c.findings(change) {
			fmt.Fprintf(&b, "::%s ", workflowCommands[f.action])
			if change.Source.File != "" {
				fmt.Fprintf(&b, "file=%s,line=%d,", escapeProperty.Replace(change.Source.File), change.line(&f))
			}
			fmt.Fprintf(&b, "title=%s::%s\n", escapeProperty.Replace(clean(f.rule+": "+change.what())), escapeMessage.Replace(change.text(f)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
