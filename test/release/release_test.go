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
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"reflect"
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
	command := exec.Command("make", "release", "DIST="+dist, "VERSION="+version, "COMMIT=0123456", "EPOCH=1700000000", "PLATFORMS="+strings.Join(platforms(), " "))
	command.Dir = folder
	// Not the variables of the make that runs this test.
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS=") })
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dist
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
	dist := release(t, root)
	sums := checksums(t, dist)

	t.Run("is reproducible", func(t *testing.T) {
		if again := checksums(t, release(t, copied(t))); !maps.Equal(sums, again) {
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
			var bom struct {
				Metadata   struct{ Component struct{ Version string } }
				Components []struct{ Name string }
			}
			if err := json.Unmarshal(read(t, filepath.Join(dist, name)), &bom); err != nil {
				t.Fatal(err)
			}
			if bom.Metadata.Component.Version != version {
				t.Errorf("%s is about version %s", name, bom.Metadata.Component.Version)
			}
			if !slices.ContainsFunc(bom.Components, func(c struct{ Name string }) bool { return c.Name == "github.com/open-policy-agent/opa" }) {
				t.Errorf("%s lacks OPA among %d components", name, len(bom.Components))
			}
		}
	})
	for _, target := range []string{"webhook", "bgpguard"} {
		t.Run("has the image "+target, func(t *testing.T) { image(t, dist, target) })
	}
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

// image compares an image of the release with the stage of the Dockerfile: the same files, user, ports and entrypoint.
func image(t *testing.T, dist, target string) {
	t.Helper()
	stage := map[string]string{"webhook": "webhook", "bgpguard": "cli"}[target]
	layout := untar(t, read(t, filepath.Join(dist, "image-"+target+"_0.0.0-test.tar")))
	blob := func(digest string, v any) {
		data := layout["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")]
		if hash(data) != strings.TrimPrefix(digest, "sha256:") {
			t.Fatalf("the blob %s has the digest %s", digest, hash(data))
		}
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	type descriptor struct {
		Digest      string
		Platform    struct{ OS, Architecture string }
		Annotations map[string]string
	}
	var top, index struct{ Manifests []descriptor }
	if err := json.Unmarshal(layout["index.json"], &top); err != nil || len(top.Manifests) != 1 {
		t.Fatalf("index.json: %v, %d manifests", err, len(top.Manifests))
	}
	if got, want := top.Manifests[0].Annotations["io.containerd.image.name"], "docker.io/bgpguard/"+target+":"+version; got != want {
		t.Errorf("the name is %s, want %s", got, want)
	}
	blob(top.Manifests[0].Digest, &index)
	var linux []string
	for _, platform := range platforms() {
		if strings.HasPrefix(platform, "linux/") {
			linux = append(linux, platform)
		}
	}
	if len(index.Manifests) != len(linux) {
		t.Errorf("%d platforms, want %v", len(index.Manifests), linux)
	}
	files, instructions := dockerfile(t, stage)
	for _, d := range index.Manifests {
		var manifest struct {
			Config descriptor
			Layers []descriptor
		}
		blob(d.Digest, &manifest)
		var config struct {
			OS, Architecture string
			Config           struct {
				User         string
				Entrypoint   []string
				ExposedPorts map[string]struct{}
			}
		}
		blob(manifest.Config.Digest, &config)
		if config.OS != d.Platform.OS || config.Architecture != d.Platform.Architecture {
			t.Errorf("the platform is %s/%s, and %s/%s in the index", config.OS, config.Architecture, d.Platform.OS, d.Platform.Architecture)
		}
		got := map[string]string{
			"USER": config.Config.User, "ENTRYPOINT": `["` + strings.Join(config.Config.Entrypoint, `","`) + `"]`,
			"EXPOSE": strings.ReplaceAll(strings.Join(slices.Sorted(maps.Keys(config.Config.ExposedPorts)), " "), "/tcp", ""),
		}
		if !reflect.DeepEqual(got, instructions) {
			t.Errorf("the configuration is %v, and %v in the Dockerfile", got, instructions)
		}
		var names []string
		for _, layer := range manifest.Layers {
			data := layout["blobs/sha256/"+strings.TrimPrefix(layer.Digest, "sha256:")]
			for name, content := range untar(t, gunzip(t, data)) {
				names = append(names, "/"+name)
				if target == "webhook" {
					binary := fmt.Sprintf("webhook_0.0.0-test_%s_%s", config.OS, config.Architecture)
					if !bytes.Equal(content, read(t, filepath.Join(dist, binary))) {
						t.Errorf("%s in the image is not %s", name, binary)
					}
				}
			}
		}
		if slices.Sort(names); !slices.Equal(names, files) {
			t.Errorf("the files are %v, and %v in the Dockerfile", names, files)
		}
	}
}

// dockerfile returns the files of a stage of the Dockerfile, and its other instructions, with sorted ports.
func dockerfile(t *testing.T, stage string) (files []string, instructions map[string]string) {
	t.Helper()
	_, text, found := strings.Cut(string(read(t, filepath.Join(root, "Dockerfile"))), "FROM scratch AS "+stage+"\n")
	if !found {
		t.Fatalf("the Dockerfile has no stage %s", stage)
	}
	text, _, _ = strings.Cut(text, "\nFROM ")
	instructions = map[string]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "COPY":
			files = append(files, words[len(words)-1])
		default:
			slices.Sort(words[1:])
			instructions[words[0]] = strings.Join(words[1:], " ")
		}
	}
	slices.Sort(files)
	return files, instructions
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

// untar returns the files of a tar by name.
func untar(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
