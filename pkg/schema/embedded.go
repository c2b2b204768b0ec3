package schema

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// EmbeddedVersion is the version of Calico whose definitions are embedded.
const EmbeddedVersion = "v3.32"

//go:embed crds.json.gz
var compressed []byte

// Embedded returns the embedded CustomResourceDefinitions, of both API groups.
func Embedded() ([]apiextensionsv1.CustomResourceDefinition, error) {
	lines, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("the embedded definitions: %w", err)
	}
	var out []apiextensionsv1.CustomResourceDefinition
	for decoder := json.NewDecoder(lines); ; {
		var d apiextensionsv1.CustomResourceDefinition
		if err := decoder.Decode(&d); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("the embedded definitions: %w", err)
		}
		out = append(out, d, inV1(&d))
	}
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
