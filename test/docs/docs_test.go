//go:build system

package docs

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/test/golden"
	"github.com/bgpguard/bgpguard/test/tool"
)

const root = "../.."

func documents(t *testing.T) []*Document {
	t.Helper()
	all, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d documents", len(all))
	}
	return all
}

func TestRelativeLinksResolve(t *testing.T) {
	all := documents(t)
	anchors := map[string]map[string]bool{}
	for _, d := range all {
		anchors[d.Path] = d.Anchors
	}
	for _, d := range all {
		t.Run(d.Path, func(t *testing.T) {
			for _, link := range d.Links {
				if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
					continue
				}
				file, anchor, _ := strings.Cut(link, "#")
				target := d.Path
				if file != "" {
					target = path.Join(path.Dir(d.Path), file)
				}
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("link %s: %v", link, err)
				}
				if anchor != "" && strings.HasSuffix(target, ".md") && !anchors[target][anchor] {
					t.Errorf("link %s: %s has no heading %q", link, target, anchor)
				}
			}
		})
	}
}

// Code spans name files that exist. A word in capitals stands for a name, so that there is no such file.
func TestNamedFilesExist(t *testing.T) {
	file := regexp.MustCompile(`^(\.\./)?((certs|cmd|config|docs|pkg|policies|test|tools)(/[a-z0-9_.-]+)*/?)$`)
	n := 0
	for _, d := range documents(t) {
		t.Run(d.Path, func(t *testing.T) {
			if d.Path == "CHANGELOG.md" { // It names what was removed.
				return
			}
			for _, code := range d.Code {
				match := file.FindStringSubmatch(code)
				if match == nil || !strings.Contains(code, "/") {
					continue
				}
				n++
				if _, err := os.Stat(filepath.Join(root, match[2])); err != nil {
					t.Errorf("`%s`: %v", code, err)
				}
			}
		})
	}
	if n == 0 {
		t.Error("no file")
	}
}

// document returns the document of a path.
func document(t *testing.T, path string) *Document {
	t.Helper()
	all := documents(t)
	i := slices.IndexFunc(all, func(d *Document) bool { return d.Path == path })
	if i < 0 {
		t.Fatalf("there is no %s", path)
	}
	return all[i]
}

func TestTheFormatsAreNamed(t *testing.T) {
	for path, formats := range map[string][]string{
		"docs/audit.md": report.AuditFormats.Names(),
		"docs/ci.md":    report.CheckFormats.Names(),
	} {
		t.Run(path, func(t *testing.T) {
			words := strings.Fields(strings.Join(document(t, path).Code, " "))
			for _, name := range formats {
				if !slices.Contains(words, name) {
					t.Errorf("the format %s is not named", name)
				}
			}
		})
	}
}

// docs/install.md lists the kinds that admission reviews in the table "What is guarded".
func TestInstallNamesTheGuardedKinds(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "## What is guarded\n\n")
	if !found {
		t.Fatal("there is no table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	got := map[string]bool{}
	for _, line := range strings.Split(table, "\n")[2:] {
		for kind := range strings.SplitSeq(strings.Split(line, "|")[1], ",") {
			got[strings.TrimSpace(kind)] = true
		}
	}
	want := map[string]bool{"BGPPolicy": true, "BGPException": true}
	for _, info := range calico.Kinds() {
		if info.Review != calico.ReviewNone {
			want[string(info.Kind)] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("it lists %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// workplace is a folder as the documents assume one: samples under the names that the documents use, and bgpguard and
// the tools on PATH.
func workplace(t *testing.T) (dir string, environment []string) {
	t.Helper()
	dir = t.TempDir()
	for name, sample := range map[string]string{
		"cluster.yaml": "cluster.yaml", "change.yaml": "change.yaml", "peer.yaml": "new-peer.yaml", "new-peer.yaml": "new-peer.yaml",
	} {
		text, err := os.ReadFile(filepath.Join(root, "config", "samples", sample))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"config", "policies", "test"} {
		target, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	search := program + string(os.PathListSeparator) + os.Getenv("PATH")
	for _, name := range []string{"opa", "regal"} {
		file, err := tool.Path(name)
		if err != nil {
			t.Fatal(err)
		}
		search = filepath.Dir(file) + string(os.PathListSeparator) + search
	}
	return dir, append(os.Environ(), "PATH="+search, "REGAL_DISABLE_VERSION_CHECK=1", "NO_COLOR=1")
}

// program is the folder of bgpguard, which is built once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bgpguard-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = dir
	if out, err := exec.Command("go", "build", "-o", dir, "../../cmd/bgpguard").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build bgpguard: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func TestCommandLinesRun(t *testing.T) {
	dir, environment := workplace(t)
	n := 0
	for _, d := range documents(t) {
		t.Run(d.Path, func(t *testing.T) {
			for _, b := range d.Blocks {
				if b.Info != "sh" {
					continue
				}
				for _, c := range b.Commands() {
					n++
					if out, err := c.Run(t.Context(), dir, environment); err != nil {
						t.Errorf("%s:%d: %s: %v\n%s", d.Path, c.Line, c.Text, err, out)
					}
				}
			}
		})
	}
	if n == 0 {
		t.Error("no command line")
	}
}

func TestTranscriptsAreWhatIsPrinted(t *testing.T) {
	dir, environment := workplace(t)
	n := 0
	for _, d := range documents(t) {
		t.Run(d.Path, func(t *testing.T) {
			file := filepath.Join(root, d.Path)
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := string(source)
			for _, b := range d.Blocks {
				if b.Info != "console" {
					continue
				}
				commands, err := b.Transcript()
				if err != nil {
					t.Fatal(err)
				}
				printed := ""
				for _, c := range commands {
					n++
					out, err := (&Command{Text: c.Text + "; true"}).Run(t.Context(), dir, environment)
					if err != nil {
						t.Fatalf("line %d: %s: %v", c.Line, c.Text, err)
					}
					printed += "$ " + c.Text + "\n" + out
				}
				want = strings.Replace(want, "```console\n"+strings.Join(b.Lines, "\n")+"\n```", "```console\n"+printed+"```", 1)
			}
			golden.Check(t, file, []byte(want))
		})
	}
	if n == 0 {
		t.Error("no transcript")
	}
}

// README lists the policies as docs/policies does.
func TestReadmeListsThePolicies(t *testing.T) {
	const header = "| policy | finds | severity | default action |\n"
	page, err := os.ReadFile(filepath.Join(root, "docs", "policies", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "README.md")
	readme, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, want, found := strings.Cut(string(page), header)
	before, rest, ok := strings.Cut(string(readme), header)
	if !found || !ok {
		t.Fatalf("no table of policies: docs/policies/README.md has one: %v, README.md has one: %v", found, ok)
	}
	want, _, _ = strings.Cut(want, "\n\n")
	want = regexp.MustCompile(`\]\(`).ReplaceAllString(strings.TrimRight(want, "\n"), "](docs/policies/")
	_, after, _ := strings.Cut(rest, "\n\n")
	golden.Check(t, file, []byte(before+header+want+"\n\n"+after))
}

// quoted matches the quoted part of an argument, which may contain spaces.
var quoted = regexp.MustCompile(`"[^"]*"`)

// Commands in running text, and those that tests cannot run, name verbs, flags and make targets that exist.
func TestNamedCommandsExist(t *testing.T) {
	_, environment := workplace(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	help := map[string]string{}
	for _, d := range documents(t) {
		t.Run(d.Path, func(t *testing.T) {
			lines := slices.Clone(d.Code)
			for _, b := range d.Blocks {
				if strings.HasPrefix(b.Info, "sh ") {
					for _, c := range b.Commands() {
						lines = append(lines, c.Text)
					}
				}
			}
			for _, line := range lines {
				switch words := strings.Fields(quoted.ReplaceAllString(line, "")); {
				case len(words) < 2:
				case words[0] == "make":
					for _, target := range words[1:] {
						if !strings.Contains(target, "=") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(target)+`:`).Match(makefile) {
							t.Errorf("`%s`: the Makefile has no target %s", line, target)
						}
					}
				case words[0] == "bgpguard":
					if err := named(t, words[1:], help, environment); err != nil {
						t.Errorf("`%s`: %v", line, err)
					}
				}
			}
		})
	}
}

var flag = regexp.MustCompile(`^--?[a-z][a-z-]*`)

// named says which verb or flag of a command line of bgpguard does not exist. help caches the help of each verb.
func named(t *testing.T, words []string, help map[string]string, environment []string) error {
	t.Helper()
	verb := []string{words[0]}
	if words[0] == "policy" && len(words) > 1 {
		verb = append(verb, words[1])
	}
	name := strings.Join(verb, " ")
	if _, ok := help[name]; !ok {
		c := Command{Text: "bgpguard " + name + " --help"}
		out, err := c.Run(t.Context(), t.TempDir(), environment)
		if err != nil {
			return err
		}
		if !strings.Contains(out, "bgpguard "+name) {
			return fmt.Errorf("there is no command %q", name)
		}
		help[name] = out
	}
	for _, word := range words {
		if f := flag.FindString(word); f != "" && !regexp.MustCompile(`(?m)[\s,]`+f+`[\s,]`).MatchString(help[name]) {
			return fmt.Errorf("bgpguard %s has no flag %s", name, f)
		}
	}
	return nil
}
