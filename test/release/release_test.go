//go:build system

package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const version = "v0.0.0-test"

// platforms are those of RELEASE_PLATFORMS, by default one.
func platforms() []string {
	if named := strings.Fields(os.Getenv("RELEASE_PLATFORMS")); len(named) > 0 {
		return named
	}
	return []string{"linux/amd64"}
}

// release runs `make release` in a copy of the repository and returns the folder of the release.
func release(t *testing.T, folder string) string {
	t.Helper()
	dist := filepath.Join(t.TempDir(), "dist")
	runMake(t, folder, "release", "DIST="+dist, "EPOCH=1700000000", "PLATFORMS="+strings.Join(platforms(), " "))
	return dist
}

// runMake runs make in a copy of the repository, with the version and the commit of the tests.
func runMake(t *testing.T, folder string, args ...string) {
	t.Helper()
	command := exec.Command("make", append(args, "VERSION="+version, "COMMIT=0123456")...)
	command.Dir = folder
	// Not the variables of the make that runs this test.
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") })
	run(t, command)
}

// run runs a command, which must succeed.
func run(t *testing.T, command *exec.Cmd) {
	t.Helper()
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command.Args, " "), err, out)
	}
}

// copied returns a copy of the files of the repository in another folder, without its history.
func copied(t *testing.T) string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "another", "folder")
	for name := range strings.SplitSeq(strings.Trim(string(out), "\x00"), "\x00") {
		from, target := filepath.Join(root, name), filepath.Join(to, name)
		info, err := os.Lstat(from)
		if errors.Is(err, os.ErrNotExist) { // Removed and not committed yet.
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(from)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(target), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, text, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	tools, err := filepath.Abs(filepath.Join(root, "bin", "tools"))
	if err := errors.Join(err, os.MkdirAll(filepath.Join(to, "bin"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(tools, filepath.Join(to, "bin", "tools")); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestARelease(t *testing.T) {
	dist, other := release(t, root), copied(t)
	sums := checksums(t, dist)

	t.Run("is reproducible", func(t *testing.T) {
		if again := checksums(t, release(t, other)); !maps.Equal(sums, again) {
			t.Errorf("the checksums are\n%v\nthen\n%v", sums, again)
		}
	})
	t.Run("has checksums", func(t *testing.T) {
		for name, sum := range sums {
			if got := hash(read(t, filepath.Join(dist, name))); got != sum {
				t.Errorf("%s has the checksum %s, not %s", name, got, sum)
			}
		}
	})
	t.Run("has these files", func(t *testing.T) {
		want := []string{"bgpguard-chart-0.0.0-test.tgz", "bgpguard.krew.yaml", "image-bgpguard_0.0.0-test.tar", "image-webhook_0.0.0-test.tar", "install.yaml", "webhook.yaml"}
		for _, platform := range platforms() {
			name := "0.0.0-test_" + strings.ReplaceAll(platform, "/", "_")
			want = append(want, "bgpguard_"+name+".tar.gz", "bgpguard_"+name+".cdx.json")
			if strings.HasPrefix(platform, "linux/") {
				want = append(want, "webhook_"+name, "webhook_"+name+".cdx.json")
			}
		}
		// docs/install.md lists them, with one SBOM for all.
		for _, name := range want {
			listed := "`" + strings.ReplaceAll(name, "0.0.0-test", "0.1.0") + "`"
			if !strings.Contains(string(read(t, filepath.Join(root, "docs", "install.md"))), listed) && !strings.HasSuffix(name, ".cdx.json") {
				t.Errorf("docs/install.md does not list %s", listed)
			}
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(sums)); !slices.Equal(got, want) {
			t.Errorf("the files are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	t.Run("has a krew manifest with the checksums of the archives", func(t *testing.T) {
		var plugin struct {
			Spec struct {
				Platforms []struct{ URI, SHA256, Bin string }
			}
		}
		if err := yaml.Unmarshal(read(t, filepath.Join(dist, "bgpguard.krew.yaml")), &plugin); err != nil {
			t.Fatal(err)
		}
		if len(plugin.Spec.Platforms) != len(platforms()) {
			t.Errorf("%d platforms", len(plugin.Spec.Platforms))
		}
		for _, p := range plugin.Spec.Platforms {
			archive := path.Base(p.URI)
			if p.SHA256 == "" || sums[archive] != p.SHA256 {
				t.Errorf("%s has the checksum %s, want %s", archive, p.SHA256, sums[archive])
			}
			files := untar(t, gunzip(t, read(t, filepath.Join(dist, archive))))
			for _, name := range []string{p.Bin, "LICENSE", "man/bgpguard-check.1", "completions/bgpguard.bash"} {
				if len(files[name]) == 0 {
					t.Errorf("%s has no %s", archive, name)
				}
			}
		}
	})
	t.Run("has SBOMs with the modules", func(t *testing.T) {
		for name := range sums {
			if !strings.HasSuffix(name, ".cdx.json") {
				continue
			}
			type component struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			}
			var bom struct {
				Metadata struct {
					Component component `json:"component"`
				} `json:"metadata"`
				Components []component `json:"components"`
			}
			if err := json.Unmarshal(read(t, filepath.Join(dist, name)), &bom); err != nil {
				t.Fatal(err)
			}
			if bom.Metadata.Component.Version != version {
				t.Errorf("%s is about version %s", name, bom.Metadata.Component.Version)
			}
			if !slices.ContainsFunc(bom.Components, func(c component) bool { return c.Name == "github.com/open-policy-agent/opa" }) {
				t.Errorf("%s lacks OPA among %d components", name, len(bom.Components))
			}
		}
	})
	t.Run("has the images of the Dockerfile", func(t *testing.T) { images(t, dist, other) })
	t.Run("has manifests with the image", func(t *testing.T) {
		install, webhook := string(read(t, filepath.Join(dist, "install.yaml"))), string(read(t, filepath.Join(dist, "webhook.yaml")))
		if !strings.Contains(install, "image: bgpguard/webhook:"+version+"\n") {
			t.Error("install.yaml does not use the image of the release")
		}
		for kind, in := range map[string]string{
			"CustomResourceDefinition": install, "Namespace": install, "Deployment": install, "ClusterRole": install, "Secret": install,
			"BGPPolicy": webhook, "ValidatingWebhookConfiguration": webhook,
		} {
			for name, text := range map[string]string{"install.yaml": install, "webhook.yaml": webhook} {
				if strings.Contains(text, "\nkind: "+kind+"\n") != (text == in) {
					t.Errorf("%s: a %s is there, or is not", name, kind)
				}
			}
		}
	})
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checksums returns the lines of checksums.txt by file.
func checksums(t *testing.T, dist string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for line := range strings.Lines(string(read(t, filepath.Join(dist, "checksums.txt")))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		sums[name] = sum
	}
	return sums
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func gunzip(t *testing.T, data []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// untar returns the content of the files of a tar by name.
func untar(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	content := map[string][]byte{}
	eachFile(t, data, func(header *tar.Header, data []byte) {
		if header.Typeflag == tar.TypeReg {
			content[header.Name] = data
		}
	})
	return content
}

// eachFile calls a function with each entry of a tar.
func eachFile(t *testing.T, data []byte, call func(*tar.Header, []byte)) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		call(header, content)
	}
}
