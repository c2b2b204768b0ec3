package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/report"
)

// commands returns the commands below cmd that run something.
func commands(cmd *cobra.Command) []*cobra.Command {
	var out []*cobra.Command
	for _, c := range cmd.Commands() {
		out = append(append(out, c), commands(c)...)
	}
	return out
}

// capitalized matches a text that starts with a word such as "Output", but not "OPA".
var capitalized = regexp.MustCompile(`^[A-Z][a-z]`)

func TestHelpOfEveryCommand(t *testing.T) {
	for _, cmd := range commands(newRoot()) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			if cmd.Example == "" {
				t.Error("no example")
			}
			if first, _ := utf8.DecodeRuneInString(cmd.Short); !unicode.IsUpper(first) || strings.HasSuffix(cmd.Short, ".") {
				t.Errorf("Short %q must start with a capital letter and not end with a full stop", cmd.Short)
			}
			if !strings.HasSuffix(cmd.Long, ".") {
				t.Errorf("Long must end with a full stop:\n%s", cmd.Long)
			}
			for line := range strings.Lines(cmd.Long) {
				if len(strings.TrimRight(line, "\n")) > 88 {
					t.Errorf("Long has a line of more than 88 characters:\n%s", line)
				}
			}
			cmd.Flags().VisitAll(func(f *pflag.Flag) {
				if capitalized.MatchString(f.Usage) || strings.HasSuffix(f.Usage, ".") {
					t.Errorf("--%s: usage %q must not start with a capitalized word or end with a full stop", f.Name, f.Usage)
				}
			})
		})
	}
}

// The help of snapshot names the kinds that it saves: all but Secrets.
func TestHelpOfSnapshotNamesTheKinds(t *testing.T) {
	help := newSnapshot().Long
	for _, info := range calico.Kinds() {
		plural := string(info.Kind) + "s"
		if strings.HasSuffix(string(info.Kind), "s") {
			plural = string(info.Kind) + "es"
		}
		if info.Kind != calico.KindSecret && !strings.Contains(help, plural) {
			t.Errorf("it does not name %s", plural)
		}
	}
}

// invocations returns the arguments of each call of bgpguard in lines of shell. The lines use
// quotes, pipes, && and redirections, and no other syntax of a shell.
func invocations(t *testing.T, lines string) [][]string {
	t.Helper()
	var out [][]string
	for line := range strings.Lines(lines) {
		var words []string
		end := func() {
			if len(words) > 0 && words[0] == "bgpguard" {
				out = append(out, words[1:])
			}
			words = nil
		}
		var word strings.Builder
		var quote rune
		started := false
		for _, r := range line + "\n" {
			switch {
			case quote != 0 && r == quote:
				quote = 0
			case quote != 0:
				word.WriteRune(r)
			case r == '\'' || r == '"':
				quote, started = r, true
			case unicode.IsSpace(r):
				if started {
					words = append(words, word.String())
				}
				word.Reset()
				started = false
			default:
				word.WriteRune(r)
				started = true
			}
		}
		if quote != 0 {
			t.Fatalf("unbalanced quotes: %s", line)
		}
		all := words
		words = nil
		for _, w := range all {
			switch {
			case w == "|" || w == "&&":
				end()
			case strings.HasPrefix(w, ">"):
			default:
				words = append(words, w)
			}
		}
		end()
	}
	return out
}

// TestExamplesOfCommandsParse checks that the commands accept the flags and arguments of their
// examples.
func TestExamplesOfCommandsParse(t *testing.T) {
	for _, cmd := range commands(newRoot()) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			calls := invocations(t, cmd.Example)
			if !slices.ContainsFunc(calls, func(args []string) bool {
				return strings.HasPrefix(strings.Join(append([]string{"bgpguard"}, args...), " "), cmd.CommandPath())
			}) {
				t.Errorf("no example calls the command:\n%s", cmd.Example)
			}
			for _, args := range calls {
				found, rest, err := newRoot().Find(args)
				if err == nil {
					err = found.ParseFlags(rest)
				}
				if err == nil {
					err = found.ValidateArgs(found.Flags().Args())
				}
				if err != nil || !found.HasParent() {
					t.Errorf("bgpguard %s: %v", strings.Join(args, " "), err)
				}
			}
		})
	}
}

func TestInvalidExamplesDoNotParse(t *testing.T) {
	for _, example := range []string{"bgpguard audit --fail 3", "cat x | bgpguard check --state"} {
		for _, args := range invocations(t, example) {
			found, rest, err := newRoot().Find(args)
			if err != nil || found.ParseFlags(rest) == nil {
				t.Errorf("%q: error %v from Find, none of the flags", example, err)
			}
		}
	}
	if got := invocations(t, `kubectl get x -o yaml | bgpguard check -f a --state - >out && bgpguard policy build p --revision "$(git rev-parse HEAD)"`); len(got) != 2 ||
		!slices.Equal(got[0], []string{"check", "-f", "a", "--state", "-"}) || !slices.Equal(got[1], []string{"policy", "build", "p", "--revision", "$(git rev-parse HEAD)"}) {
		t.Errorf("got %q", got)
	}
}

func TestCompletion(t *testing.T) {
	for name, c := range map[string]struct {
		args string
		want []string
	}{
		"formats of check":        {"check -o", report.CheckFormats.Completions()},
		"formats of audit":        {"audit -o", report.AuditFormats.Completions()},
		"formats of topology":     {"topology -o", report.TopologyFormats.Completions()},
		"formats of policy list":  {"policy list -o", report.PolicyListFormats.Completions()},
		"formats of policy show":  {"policy show -o", report.PolicyShowFormats.Completions()},
		"formats of policy check": {"policy check -o", report.PolicyCheckFormats.Completions()},
		"formats of policy test":  {"policy test -o", report.PolicyTestFormats.Completions()},
		"formats of policy bench": {"policy bench -o", report.PolicyBenchFormats.Completions()},
		"severities":              {"audit --fail-on", failOn},
		"assumptions":             {"topology --external-peers", externalPeers},
		"kinds of policies":       {"policy new --judges", []string{"state", "change"}},
		"policies":                {"policy show", strings.Split(libraryNames(t), ", ")},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(append(append([]string{"__complete"}, strings.Fields(c.args)...), ""), strings.NewReader(""), &stdout, &stderr)
			want := strings.Join(c.want, "\n") + "\n:4\n" // ShellCompDirectiveNoFileComp
			if code != exitOK || stdout.String() != want {
				t.Errorf("exit code %d, got\n%s\nwant\n%s\n%s", code, stdout.String(), want, stderr.String())
			}
		})
	}
}
