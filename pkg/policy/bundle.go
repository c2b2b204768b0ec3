package policy

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader"
)

// SourceFromBundle returns the modules and the data of an OPA bundle.
func SourceFromBundle(name string, b *bundle.Bundle) Source {
	s := Source{Name: name, Modules: map[string]string{}, Data: b.Data}
	for _, m := range b.Modules {
		s.Modules[m.Path] = string(m.Raw)
	}
	return s
}

// SourceFromPath reads the modules and the data of a directory, or of a bundle's
// tarball. Errors name file and line.
func SourceFromPath(path string) (Source, error) {
	b, err := loader.NewFileLoader().WithBundleLazyLoadingMode(true).AsBundle(path)
	if err != nil {
		return Source{}, fmt.Errorf("%s: %w", path, plain(err))
	}
	s := SourceFromBundle(path, b)
	if len(s.Modules) == 0 {
		return Source{}, fmt.Errorf("%s: no Rego module in it", path)
	}
	return s, nil
}
