package author

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// BuildOptions configure Build.
type BuildOptions struct {
	// Revision is the revision in the manifest of the bundle.
	Revision string
	// SigningKey is a private key in PEM, the path of a key, or an HMAC secret. "" disables
	// the signature. SigningAlgorithm is an algorithm of "opa sign".
	SigningKey, SigningAlgorithm string
}

// Build compiles the policies of directories as the webhook does and writes them as one
// OPA bundle. It returns the names of the policies.
func Build(w io.Writer, paths []string, o BuildOptions) ([]string, error) {
	whole := policy.Source{Name: strings.Join(paths, ", "), Modules: map[string]string{}, Data: map[string]any{}}
	inside := map[string]string{} // the names of modules in the bundle
	from := map[string]string{}
	for _, path := range paths {
		source, err := policy.SourceFromPath(path)
		if err != nil {
			return nil, err
		}
		for _, file := range slices.Sorted(maps.Keys(source.Modules)) {
			name := inBundle(path, file)
			if other, taken := from[name]; taken && source.Modules[file] != whole.Modules[other] {
				return nil, fmt.Errorf("%s and %s would both be %s in the bundle: rename one of them", other, file, name)
			} else if taken {
				continue
			}
			from[name], inside[file] = file, name
			whole.Modules[file] = source.Modules[file]
		}
		for key, value := range source.Data {
			if _, taken := whole.Data[key]; taken {
				return nil, fmt.Errorf("%s: data.%s is also in another directory", path, key)
			}
			whole.Data[key] = value
		}
	}
	library, err := policy.Embedded()
	if err != nil {
		return nil, err
	}
	own, err := add(library, whole)
	if err != nil {
		return nil, err
	}
	b, err := whole.Bundle(func(name string) string { return inside[name] })
	if err != nil {
		return nil, err
	}
	b.Manifest.Revision = o.Revision
	if o.SigningKey != "" {
		if err := b.GenerateSignature(bundle.NewSigningConfig(o.SigningKey, o.SigningAlgorithm, ""), "", false); err != nil {
			return nil, fmt.Errorf("signing the bundle: %w", err)
		}
	}
	var names []string
	for _, d := range own.Definitions {
		names = append(names, d.Name)
	}
	return names, bundle.NewWriter(w).DisableFormat(true).Write(*b)
}

// inBundle returns the name in a bundle of a file below path.
func inBundle(path, file string) string {
	name, err := filepath.Rel(path, file)
	if err != nil || strings.HasPrefix(name, "..") { // The file is from a tarball.
		name = strings.TrimPrefix(file, "/")
	}
	return filepath.ToSlash(name)
}
