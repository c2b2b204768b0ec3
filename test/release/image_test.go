//go:build system

package release

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// images compares the images of a release, for each platform, with those that buildah builds from the Dockerfile: the same
// files with the same owners and modes, and the same configuration. Instead of the Dockerfile's first stage, which needs an image
// from a registry, `make build` builds the programs in a copy of the repository, as that stage does.
func images(t *testing.T, dist, folder string) {
	for _, platform := range platforms() {
		system, architecture, _ := strings.Cut(platform, "/")
		if system != "linux" {
			continue
		}
		runMake(t, folder, "build", "GOOS="+system, "GOARCH="+architecture)
		for name, stage := range map[string]string{"webhook": "webhook", "bgpguard": "cli"} {
			t.Run(stage+" "+platform, func(t *testing.T) {
				archive := filepath.Join(dist, "image-"+name+"_"+strings.TrimPrefix(version, "v")+".tar")
				got, want := readImage(t, archive, platform), readImage(t, buildah(t, folder, stage, platform), platform)
				if len(want.Files) != 1 {
					t.Errorf("the stage %s has %d files", stage, len(want.Files))
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("the image of the release is\n%+v\nand that of the Dockerfile\n%+v", got, want)
				}
				if got, want := index(t, archive).Manifests[0].Annotations["io.containerd.image.name"], "docker.io/bgpguard/"+name+":"+version; got != want {
					t.Errorf("the name is %s, want %s", got, want)
				}
			})
		}
		binary := fmt.Sprintf("webhook_%s_%s_%s", strings.TrimPrefix(version, "v"), system, architecture)
		if hash(read(t, filepath.Join(folder, "bin", "webhook"))) != hash(read(t, filepath.Join(dist, binary))) {
			t.Errorf("%s is not what make build builds", binary)
		}
	}
}

// buildah builds a stage of the Dockerfile for a platform from the programs in the folder bin of a copy of the repository, and
// returns the path of the image. It needs no registry and no daemon, but root.
func buildah(t *testing.T, folder, stage, platform string) string {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		t.Fatal("buildah is missing: run `make system`")
	}
	asRoot := func(args ...string) {
		t.Helper()
		if os.Geteuid() != 0 {
			args = append([]string{"sudo", "-n"}, args...)
		}
		run(t, exec.Command(args[0], args[1:]...))
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "build", "src", "bin")
	if err := os.MkdirAll(source, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"webhook", "bgpguard"} {
		if err := os.Link(filepath.Join(folder, "bin", program), filepath.Join(source, program)); err != nil {
			t.Fatal(err)
		}
	}
	archive := filepath.Join(dir, "image.tar")
	base := []string{"buildah", "--storage-driver=vfs", "--root=" + filepath.Join(dir, "root"), "--runroot=" + filepath.Join(dir, "run")}
	asRoot(append(base, "build", "--isolation=chroot", "--identity-label=false", "--platform="+platform, "--target="+stage, "--tag=image",
		"--file="+filepath.Join(folder, "Dockerfile"), "--build-context=build="+filepath.Join(dir, "build"), source)...)
	asRoot(append(base, "push", "image", "oci-archive:"+archive)...)
	// The test removes the directory as the user who runs it.
	asRoot("chown", "-R", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), dir)
	return archive
}

// content is what an image has for one platform.
type content struct {
	Files  map[string]file
	Config map[string]any // user, entrypoint, ports and so on
}

// file is an entry of a layer.
type file struct {
	Type           byte
	Mode           int64 // without the bits of the type, which buildah adds
	User, Group    int
	Hash, LinkName string
}

// descriptor refers to a blob of an OCI image layout.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
	Platform    struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

// manifests is an index of images.
type manifests struct {
	Manifests []descriptor `json:"manifests"`
}

// index returns index.json of a tar of an OCI image layout. It has one entry.
func index(t *testing.T, archive string) (top manifests) {
	t.Helper()
	if err := json.Unmarshal(untar(t, read(t, archive))["index.json"], &top); err != nil || len(top.Manifests) != 1 {
		t.Fatalf("%s: %v, %d manifests", archive, err, len(top.Manifests))
	}
	return top
}

// readImage reads the image of a platform from a tar of an OCI image layout, with one image or with an index of several.
func readImage(t *testing.T, archive, platform string) content {
	t.Helper()
	layout := untar(t, read(t, archive))
	blob := func(digest string) []byte {
		t.Helper()
		sum := strings.TrimPrefix(digest, "sha256:")
		data := layout["blobs/sha256/"+sum]
		if hash(data) != sum {
			t.Fatalf("the blob %s has the digest %s", digest, hash(data))
		}
		return data
	}
	decode := func(digest string, into any) {
		t.Helper()
		if err := json.Unmarshal(blob(digest), into); err != nil {
			t.Fatal(err)
		}
	}
	image := index(t, archive).Manifests[0]
	if strings.Contains(image.MediaType, "index") {
		var inner manifests
		decode(image.Digest, &inner)
		found := 0
		for _, d := range inner.Manifests {
			if d.Platform.OS+"/"+d.Platform.Architecture == platform {
				image = d
				found++
			}
		}
		if found != 1 {
			t.Fatalf("%s has %d images for %s", archive, found, platform)
		}
	}
	var manifest struct {
		Config descriptor   `json:"config"`
		Layers []descriptor `json:"layers"`
	}
	decode(image.Digest, &manifest)
	var config struct {
		OS           string         `json:"os"`
		Architecture string         `json:"architecture"`
		Config       map[string]any `json:"config"`
	}
	decode(manifest.Config.Digest, &config)
	if got := config.OS + "/" + config.Architecture; got != platform {
		t.Errorf("%s: the configuration is for %s, want %s", archive, got, platform)
	}
	files := map[string]file{}
	for _, layer := range manifest.Layers {
		eachFile(t, gunzip(t, blob(layer.Digest)), func(h *tar.Header, data []byte) {
			files[strings.TrimPrefix(h.Name, "/")] = file{Type: h.Typeflag, Mode: h.Mode & 0o7777, User: h.Uid, Group: h.Gid, Hash: hash(data), LinkName: h.Linkname}
		})
	}
	return content{Files: files, Config: config.Config}
}
