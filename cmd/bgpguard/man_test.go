package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

var manDir = flag.String("man", "", "write the manual pages into this `directory`")

// TestManualPages checks that each command has a manual page with all lines of its help, and
// writes the pages with -man. It is a test because the generator is not part of the program.
func TestManualPages(t *testing.T) {
	root := newRoot()
	root.DisableAutoGenTag = true
	for _, cmd := range append(commands(root), root) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			long, example := cmd.Long, cmd.Example
			page := manualPage(t, cmd)
			seen := map[string]bool{}
			for line := range strings.Lines(page) {
				seen[unroff(line)] = true
			}
			for _, text := range []string{long, example} {
				for line := range strings.Lines(text) {
					if line = strings.TrimRight(line, " \n"); strings.HasPrefix(line, "  ") && !seen[line] {
						t.Errorf("the line is not on the page as it is in the help:\n%s", line)
					}
				}
			}
			flat := strings.Join(strings.Fields(unroff(page)), " ")
			for paragraph := range strings.SplitSeq(long, "\n\n") {
				if words := strings.Join(strings.Fields(paragraph), " "); !strings.Contains("\n"+paragraph, "\n  ") && !strings.Contains(flat, words) {
					t.Errorf("the paragraph is not on the page:\n%s", words)
				}
			}
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if !f.Hidden && !strings.Contains(flat, "--"+f.Name) {
					t.Errorf("the page has no --%s", f.Name)
				}
			})
			if *manDir == "" {
				return
			}
			file := filepath.Join(*manDir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
			if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// manualPage returns the page of a command. It changes the texts of the command: cobra reads them
// as Markdown.
func manualPage(t *testing.T, cmd *cobra.Command) string {
	t.Helper()
	cmd.Long = asMarkdown(cmd.Long)
	cmd.Example = strings.TrimRight(cmd.Example, "\n")
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = escape(strings.ReplaceAll(f.Usage, "`", "")) })
	var b bytes.Buffer
	header := &doc.GenManHeader{Section: "1", Source: "bgpguard", Manual: "bgpguard"}
	if err := doc.GenMan(cmd, header, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// asMarkdown makes a block of each run of indented lines, which Markdown would join.
func asMarkdown(text string) string {
	var b strings.Builder
	block := false
	for line := range strings.Lines(text + "\n") {
		if indented := strings.HasPrefix(line, "  "); indented != block && (indented || strings.TrimSpace(line) != "") {
			b.WriteString("\n```\n")
			if !indented {
				b.WriteString("\n")
			}
			block = indented
		}
		if !block {
			line = escape(line)
		}
		b.WriteString(line)
	}
	if block {
		b.WriteString("```\n")
	}
	return b.String()
}

var special = regexp.MustCompile("[\\\\*_`<>\\[\\]|~]")

// escape escapes what has a meaning in Markdown.
func escape(text string) string { return special.ReplaceAllString(text, `\$0`) }

// unroff returns text of a manual page without its requests and escapes.
func unroff(text string) string {
	for _, r := range [][2]string{{`\fB`, ""}, {`\fI`, ""}, {`\fP`, ""}, {`\fR`, ""}, {`\-`, "-"}, {`\&`, ""}, {`\(aq`, "'"}, {`\[rs]`, `\`}, {`\e`, `\`}, {`\\`, `\`}} {
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	return strings.TrimRight(text, " \n")
}
