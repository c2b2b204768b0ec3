// Command image builds a stage of a Dockerfile that begins with FROM scratch, for several platforms, without Docker and
// without a registry. It writes a tar of an OCI image layout, which `ctr image import`, `skopeo copy oci-archive:` and
// `crane push` read. The same files give the same bytes.
//
//	image -dockerfile Dockerfile -target webhook -name bgpguard/webhook:v0.1.0 \
//	  -platform linux/amd64=bin/linux_amd64 -platform linux/arm64=bin/linux_arm64 -output webhook.tar
//
// A platform names the folder in which the files are that the stage copies from the folder bin of another stage.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run() error {
	dockerfile := flag.String("dockerfile", "Dockerfile", "`path` of the Dockerfile")
	target := flag.String("target", "", "`name` of the stage")
	name := flag.String("name", "", "`reference` of the image, with a tag")
	output := flag.String("output", "", "`path` of the tar to write")
	var platforms []string
	flag.Func("platform", "`OS/ARCHITECTURE=FOLDER`; repeatable", func(value string) error {
		platforms = append(platforms, value)
		return nil
	})
	flag.Parse()
	if *target == "" || *name == "" || *output == "" || len(platforms) == 0 || flag.NArg() > 0 {
		return errors.New("-target, -name, -output and -platform are required, and there are no arguments")
	}
	text, err := os.ReadFile(*dockerfile)
	if err != nil {
		return err
	}
	stage, err := parse(string(text), *target)
	if err != nil {
		return fmt.Errorf("%s: %w", *dockerfile, err)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, value := range platforms {
		platform, folder, found := strings.Cut(value, "=")
		if !found {
			return fmt.Errorf("-platform %s: must be OS/ARCHITECTURE=FOLDER", value)
		}
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			return fmt.Errorf("-platform %s: %w", value, err)
		}
		image, err := stage.image(p, folder)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: p}})
	}
	return write(index, *name, *output)
}

// stage is a stage of a Dockerfile.
type stage struct {
	copies map[string]string // destination -> source
	config v1.Config
}

// parse reads the stage of the given name. It accepts the instructions that an image of files alone needs, and rejects
// all others.
func parse(dockerfile, target string) (*stage, error) {
	s, inside := &stage{copies: map[string]string{}, config: v1.Config{
		ExposedPorts: map[string]struct{}{},
		// Docker and buildah set it in every image FROM scratch.
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	}}, false
	for i, line := range strings.Split(dockerfile, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if words[0] == "FROM" {
			inside = len(words) == 4 && words[2] == "AS" && words[3] == target
			if inside && words[1] != "scratch" {
				return nil, fmt.Errorf("line %d: stage %s must be FROM scratch", i+1, target)
			}
			continue
		}
		if !inside {
			continue
		}
		switch {
		case words[0] == "COPY" && len(words) == 4 && strings.HasPrefix(words[1], "--from="):
			s.copies[words[3]] = words[2]
		case words[0] == "USER" && len(words) == 2:
			s.config.User = words[1]
		case words[0] == "EXPOSE":
			for _, port := range words[1:] {
				s.config.ExposedPorts[port+"/tcp"] = struct{}{}
			}
		case words[0] == "ENTRYPOINT" && len(words) == 2:
			s.config.Entrypoint = []string{strings.Trim(words[1], `[]"`)}
		default:
			return nil, fmt.Errorf("line %d: %q: a stage FROM scratch can have COPY --from=STAGE SOURCE DESTINATION, USER, EXPOSE and ENTRYPOINT with one word", i+1, line)
		}
	}
	if len(s.copies) == 0 {
		return nil, fmt.Errorf("no stage %s with files", target)
	}
	return s, nil
}

// image returns the image of a platform, whose files are in folder. It has no time stamps.
func (s *stage) image(platform *v1.Platform, folder string) (v1.Image, error) {
	var content bytes.Buffer
	files := tar.NewWriter(&content)
	destinations := []string{}
	for destination := range s.copies {
		destinations = append(destinations, destination)
	}
	slices.Sort(destinations)
	for _, destination := range destinations {
		source := s.copies[destination]
		_, file, found := strings.Cut(source, "/bin/")
		if !found || path.Dir(destination) != "/" {
			return nil, fmt.Errorf("COPY %s %s: only files of a folder bin, to the root", source, destination)
		}
		data, err := os.ReadFile(filepath.Join(folder, file))
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Name: strings.TrimPrefix(destination, "/"), Mode: 0o755, Size: int64(len(data)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := errors.Join(files.WriteHeader(header), second(files.Write(data))); err != nil {
			return nil, err
		}
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant, config.Config = platform.OS, platform.Architecture, platform.Variant, s.config
	return mutate.ConfigFile(image, config)
}

func second(_ int, err error) error { return err }

// write writes the index as a tar of an OCI image layout.
func write(index v1.ImageIndex, name, output string) error {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	_, tag, found := strings.Cut(path.Base(name), ":")
	if !found {
		return fmt.Errorf("-name %s: has no tag", name)
	}
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tag,
		"io.containerd.image.name":          qualified(name),
	})); err != nil {
		return err
	}
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	return errors.Join(archive(dir, file), file.Close())
}

// qualified returns a reference with its registry, which is Docker Hub if there is none.
func qualified(name string) string {
	if registry, _, found := strings.Cut(name, "/"); found && strings.ContainsAny(registry, ".:") {
		return name
	}
	return "docker.io/" + name
}

// archive writes the files of a folder, sorted and without time stamps and owners.
func archive(dir string, to io.Writer) error {
	out := tar.NewWriter(to)
	err := filepath.WalkDir(dir, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		return errors.Join(out.WriteHeader(header), second(out.Write(data)))
	})
	return errors.Join(err, out.Close())
}
