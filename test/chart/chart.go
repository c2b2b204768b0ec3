// Package chart tests charts/bgpguard. The chart holds the manifests of config/ as kustomize renders them, and its
// templates change what depends on values: the tests write these manifests, compare what Helm and kustomize render for
// the same installation, and install, upgrade, roll back and uninstall the chart on a real API server.
package chart

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/bgpguard/bgpguard/test/tool"
)

// Folder is the chart, from this folder.
const Folder = "../../charts/bgpguard"

// Namespace is the namespace of config/.
const Namespace = "bgpguard-system"

// Manifest is one document of a stream of YAML.
type Manifest struct {
	// Text is the document, without separators.
	Text string
	// Object is the decoded document.
	Object unstructured.Unstructured
}

// ID returns the kind, the namespace and the name of the object.
func (m *Manifest) ID() string {
	return strings.Join([]string{m.Object.GetKind(), m.Object.GetNamespace(), m.Object.GetName()}, "/")
}

// Manifests is a set of manifests, in order.
type Manifests []Manifest

// Parse splits a stream of YAML into manifests. It skips documents without content.
func Parse(stream string) (Manifests, error) {
	var manifests Manifests
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(stream)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return manifests, nil
		}
		if err != nil {
			return nil, err
		}
		m := Manifest{Text: strings.Trim(string(document), "\n")}
		if err := yaml.UnmarshalStrict(document, &m.Object.Object); err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, document)
		}
		if len(m.Object.Object) > 0 {
			manifests = append(manifests, m)
		}
	}
}

// Without returns the manifests whose objects are not in others.
func (ms Manifests) Without(others Manifests) Manifests {
	known := map[string]bool{}
	for i := range others {
		known[others[i].ID()] = true
	}
	return ms.Of(func(m *Manifest) bool { return !known[m.ID()] })
}

// Of returns the manifests that a condition holds for.
func (ms Manifests) Of(condition func(*Manifest) bool) Manifests {
	var out Manifests
	for i := range ms {
		if condition(&ms[i]) {
			out = append(out, ms[i])
		}
	}
	return out
}

// Objects returns the objects by ID.
func (ms Manifests) Objects() map[string]map[string]any {
	objects := map[string]map[string]any{}
	for i := range ms {
		objects[ms[i].ID()] = ms[i].Object.Object
	}
	return objects
}

// Run runs a program of bin/tools and returns its standard output. The error has what it printed on standard error.
func Run(name, input string, args ...string) (string, error) {
	path, err := tool.Path(name)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	command := exec.Command(path, args...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Kustomize renders a folder as `kubectl apply -k` does.
func Kustomize(folder string) (Manifests, error) {
	out, err := Run("kustomize", "", "build", folder)
	if err != nil {
		return nil, err
	}
	return Parse(out)
}

// Template renders the chart with values, in YAML.
func Template(values string, args ...string) (Manifests, error) {
	out, err := Run("helm", values, append([]string{"template", "bgpguard", Folder, "--namespace", Namespace, "--values", "-"}, args...)...)
	if err != nil {
		return nil, err
	}
	return Parse(out)
}
