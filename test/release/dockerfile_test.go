package release

import (
	"bufio"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

// Docker copies the folder into the build without what .dockerignore lists: no package of the binaries may be among it.
func TestDockerignoreKeepsThePackagesOfTheBinaries(t *testing.T) {
	file, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var patterns []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{range .EmbedFiles}} {{.}}{{end}}{{end}}{{end}}", "./cmd/webhook", "./cmd/bgpguard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		n++
		folder := strings.TrimPrefix(words[0], "github.com/bgpguard/bgpguard/")
		for _, name := range append([]string{"any.go"}, words[1:]...) {
			if file := path.Join(folder, name); ignored(t, patterns, file) {
				t.Errorf(".dockerignore leaves %s out of the build", file)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d packages", n)
	}
}

// ignored reports whether the last pattern that matches a file, or a folder above it, ignores it.
func ignored(t *testing.T, patterns []string, file string) bool {
	t.Helper()
	out := false
	for _, pattern := range patterns {
		pattern, keep := strings.CutPrefix(pattern, "!")
		for name := file; name != "."; name = path.Dir(name) {
			matches, err := path.Match(pattern, name)
			if err != nil {
				t.Fatal(err)
			}
			if matches {
				out = !keep
			}
		}
	}
	return out
}

func TestIgnored(t *testing.T) {
	patterns := []string{"*.md", "config/*", "!config/webhook"}
	for file, want := range map[string]bool{
		"README.md": true, "docs/a.md": false, "config/rbac/role.yaml": true, "config/webhook/webhook.go": false, "pkg/a.go": false,
	} {
		if got := ignored(t, patterns, file); got != want {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
	}
}

// A tag of an action can be moved to other code, and a commit cannot.
func TestWorkflowsPinActionsAndRunTargetsThatExist(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d workflows, %v", len(files), err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	// A workflow of the repository is that of the same commit.
	pinned := regexp.MustCompile(`^(\S+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\.github/workflows/[a-z]+\.yaml)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
			if action, ok := strings.CutPrefix(line, "uses: "); ok && !pinned.MatchString(action) {
				t.Errorf("%s:%d: %s is not a commit with a comment of its version", file, i+1, action)
			}
			targets, ok := strings.CutPrefix(line, "run: make ")
			if !ok {
				continue
			}
			for target := range strings.FieldsSeq(targets) {
				if !strings.Contains(target, "=") && !strings.Contains(string(makefile), "\n"+target+":") {
					t.Errorf("%s:%d: the Makefile has no target %s", file, i+1, target)
				}
			}
		}
	}
}
