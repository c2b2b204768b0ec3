// Command crds collects the CustomResourceDefinitions of Calico that the tests and the demo install, so that no
// file of Calico's is kept in this repository. Two generations are wanted, because the guard has to work with both:
//
//   - v1, group crd.projectcalico.org, as the Calico of 2022 shipped them: read out of the module that the
//     product takes its selector parser from;
//   - v3, group projectcalico.org, which newer Calico serves as plain CRDs: generated from Calico's Go types.
//     IPAMBlocks, whose Go type is younger than the module, are those of v1: both have the same spec.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	// The types that the v3 definitions are generated from; the import is what keeps them in go.mod.
	_ "github.com/projectcalico/api/pkg/apis/projectcalico/v3"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

const (
	calicoModule = "github.com/projectcalico/calico"
	v1Directory  = "libcalico-go/config/crd"
	v3Package    = "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
)

func main() {
	controllerGen := flag.String("controller-gen", "bin/tools/controller-gen", "the controller-gen to run")
	output := flag.String("output", "bin/crds", "folder to write v1/ and v3/ into")
	embedded := flag.String("embed", "", "write only the definitions that pkg/schema embeds, into this file")
	flag.Parse()

	if *embedded != "" {
		if err := writeEmbedded(*controllerGen, *embedded); err != nil {
			fmt.Fprintln(os.Stderr, "crds:", err)
			os.Exit(1)
		}
		return
	}
	if err := errors.Join(
		collect(filepath.Join(*output, "v1"), calicoDefinitions, keep),
		collect(filepath.Join(*output, "v3"), generator(*controllerGen), repair),
		moveBlocks(*output),
	); err != nil {
		fmt.Fprintln(os.Stderr, "crds:", err)
		os.Exit(1)
	}
}

// writeEmbedded generates the definitions that pkg/schema embeds.
func writeEmbedded(controllerGen, output string) error {
	scratch, err := os.MkdirTemp("", "bgpguard-crds-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := errors.Join(
		collect(filepath.Join(scratch, "v1"), calicoDefinitions, keep),
		collect(filepath.Join(scratch, "v3"), generator(controllerGen), repair),
		moveBlocks(scratch),
	); err != nil {
		return err
	}
	return embed(filepath.Join(scratch, "v3"), output)
}

// collect writes those definitions of a source that are about BGP into the folder, each adapted first.
func collect(folder string, source func(scratch string) (string, error), adapt func(*apiextensionsv1.CustomResourceDefinition)) error {
	scratch, err := os.MkdirTemp("", "bgpguard-crds-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)

	from, err := source(scratch)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no definitions in %s", from)
	}
	// What an earlier version of this program wrote must not be installed beside what this one writes.
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		if err := convert(file, folder, adapt); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// convert writes one definition into the folder, or nothing when its kind is not wanted.
func convert(file, folder string, adapt func(*apiextensionsv1.CustomResourceDefinition)) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return err
	}
	if !calico.Kind(definition.Spec.Names.Kind).Info().Calico { // Calico has three times as many kinds.
		return nil
	}
	adapt(&definition)
	text, err = yaml.Marshal(definition)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, definition.Name+".yaml"), text, 0o644)
}

// calicoDefinitions is the folder of Calico's own definitions in the module cache.
func calicoDefinitions(string) (string, error) {
	// `go mod download` and not `go list -m`: the latter knows no folder for a module that isn't there yet.
	download := exec.Command("go", "mod", "download", "-json", calicoModule)
	download.Stderr = os.Stderr
	answer, err := download.Output()
	if err != nil {
		return "", fmt.Errorf("download %s: %w", calicoModule, err)
	}
	var module struct {
		Dir string `json:"Dir"`
	}
	if err := json.Unmarshal(answer, &module); err != nil {
		return "", fmt.Errorf("download %s: %w", calicoModule, err)
	}
	return filepath.Join(module.Dir, v1Directory), nil
}

// generator is a source that runs controller-gen over Calico's Go types.
func generator(controllerGen string) func(scratch string) (string, error) {
	return func(scratch string) (string, error) {
		// The types hold floats (the order of network policies), which controller-gen rejects by default.
		generate := exec.Command(controllerGen,
			"crd:allowDangerousTypes=true", "paths="+v3Package, "output:crd:dir="+scratch)
		generate.Stdout, generate.Stderr = os.Stdout, os.Stderr
		if err := generate.Run(); err != nil {
			return "", fmt.Errorf("%s: %w", controllerGen, err)
		}
		return scratch, nil
	}
}

// moveBlocks writes the definition of IPAMBlocks in v1 as one of v3.
func moveBlocks(output string) error {
	text, err := os.ReadFile(filepath.Join(output, "v1", "ipamblocks."+calico.GroupV1+".yaml"))
	if err != nil {
		return err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &definition); err != nil {
		return err
	}
	definition.Name, definition.Spec.Group, definition.Spec.Versions[0].Name = "ipamblocks."+calico.GroupV3, calico.GroupV3, "v3"
	if text, err = yaml.Marshal(definition); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(output, "v3", definition.Name+".yaml"), text, 0o644)
}

// keep leaves a definition as its authors wrote it.
func keep(*apiextensionsv1.CustomResourceDefinition) {}

// repair says about the generated definitions what Calico's are known to say and its Go types do not.
func repair(definition *apiextensionsv1.CustomResourceDefinition) {
	// The types carry no scope marker, because they were written for an API server of Calico's own.
	definition.Spec.Scope = apiextensionsv1.ClusterScoped

	spec := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	switch definition.Spec.Names.Kind {
	case "ClusterInformation":
		// controller-gen takes "information" for a word without a plural.
		definition.Spec.Names.Plural = "clusterinformations"
		definition.Name = "clusterinformations." + definition.Spec.Group
	case "BGPConfiguration":
		// As below: tigera-operator writes it.
		spec.Properties["programClusterRoutes"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	case "BGPPeer":
		// A field that is younger than the types. Without it the API server would drop the field in silence,
		// and no test could show that the guard hands policies what it has no Go type for.
		spec.Properties["keepaliveTime"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	}
}
