//go:build system && linux

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/oci"
)

// image is an image with one program and nothing else, as FROM scratch in a Dockerfile.
type image struct {
	// name is the full name, with the registry, under which containerd stores the image.
	name string
	// program is the path of the file that becomes /NAME in the image, where NAME is its last element, and its entrypoint.
	program string
	// user is the user and the group, such as "65532:65532".
	user string
}

// writeImages writes images into an OCI layout in a tar file, from which `ctr images import` takes them. Images of the
// same program share a layer.
func writeImages(ctx context.Context, path string, images ...image) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	store, err := oci.New(dir)
	if err != nil {
		return err
	}
	for _, i := range images {
		if err := i.write(ctx, store); err != nil {
			return fmt.Errorf("image %s: %w", i.name, err)
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	if err := archive.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	return archive.Close()
}

// write adds the image to a layout.
func (i image) write(ctx context.Context, store *oci.Store) error {
	entrypoint := "/" + filepath.Base(i.program)
	layer, err := layerOf(i.program, entrypoint)
	if err != nil {
		return err
	}
	layerDescriptor, err := push(ctx, store, ocispec.MediaTypeImageLayer, layer)
	if err != nil {
		return err
	}
	config, err := pushJSON(ctx, store, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config: ocispec.ImageConfig{
			User: i.user, Entrypoint: []string{entrypoint}, Labels: map[string]string{ocispec.AnnotationRefName: i.name},
		},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layerDescriptor.Digest}},
	})
	if err != nil {
		return err
	}
	manifest, err := pushJSON(ctx, store, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: []ocispec.Descriptor{layerDescriptor},
	})
	if err != nil {
		return err
	}
	return store.Tag(ctx, manifest, i.name)
}

// layerOf returns a layer with one executable file, as a tar.
func layerOf(file, name string) ([]byte, error) {
	program, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	if err := archive.WriteHeader(&tar.Header{Name: name[1:], Mode: 0o755, Size: int64(len(program))}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(program); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return layer.Bytes(), nil
}

// push adds a blob to a layout that may have it already.
func push(ctx context.Context, store *oci.Store, mediaType string, blob []byte) (ocispec.Descriptor, error) {
	descriptor := content.NewDescriptorFromBytes(mediaType, blob)
	if exists, err := store.Exists(ctx, descriptor); err != nil || exists {
		return descriptor, err
	}
	return descriptor, store.Push(ctx, descriptor, bytes.NewReader(blob))
}

func pushJSON(ctx context.Context, store *oci.Store, mediaType string, value any) (ocispec.Descriptor, error) {
	blob, err := json.Marshal(value)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return push(ctx, store, mediaType, blob)
}
