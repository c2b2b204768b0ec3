package schema

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// EmbeddedVersion is the version of Calico whose definitions are embedded.
const EmbeddedVersion = "v3.32"

//go:embed crds.json.gz
var compressed []byte

// lines returns the embedded definitions of projectcalico.org/v3, one on each line.
var lines = sync.OnceValues(func() ([][]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(reader)
	return slices.Collect(bytes.Lines(text)), err
})

// Embedded returns the embedded CustomResourceDefinitions, of both API groups.
func Embedded() ([]apiextensionsv1.CustomResourceDefinition, error) {
	var out []apiextensionsv1.CustomResourceDefinition
	for _, kind := range calico.Kinds() {
		if !kind.Calico {
			continue
		}
		d, err := embedded(kind.Kind)
		if err != nil {
			return nil, err
		}
		out = append(out, *d, inV1(d))
	}
	return out, nil
}

// embedded returns the definition of a kind in projectcalico.org/v3. It decodes no other one.
func embedded(kind calico.Kind) (*apiextensionsv1.CustomResourceDefinition, error) {
	all, err := lines()
	if err != nil {
		return nil, fmt.Errorf("the embedded definitions: %w", err)
	}
	name := fmt.Appendf(nil, "\"name\":%q", kind.Info().Resource+"."+calico.GroupV3)
	i := slices.IndexFunc(all, func(line []byte) bool { return bytes.Contains(line, name) })
	if i < 0 {
		return nil, fmt.Errorf("the embedded definitions: no %s", kind)
	}
	out := &apiextensionsv1.CustomResourceDefinition{}
	return out, json.Unmarshal(all[i], out)
}

// inV1 returns a definition of projectcalico.org/v3 as crd.projectcalico.org/v1 has it. Its
// schemas are generated from the same Go types, but the spec is optional
// (libcalico-go/lib/apis/crd.projectcalico.org/v1).
func inV1(v3 *apiextensionsv1.CustomResourceDefinition) apiextensionsv1.CustomResourceDefinition {
	out := *v3.DeepCopy()
	out.Name, out.Spec.Group = out.Spec.Names.Plural+"."+calico.GroupV1, calico.GroupV1
	out.Spec.Versions[0].Name = "v1"
	out.Spec.Versions[0].Schema.OpenAPIV3Schema.Required = nil
	return out
}
