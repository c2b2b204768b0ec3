package author

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bgpguard/bgpguard/pkg/api/v1alpha1"
	"github.com/bgpguard/bgpguard/pkg/policy"
)

// inlineLimit bounds the tests of a policy in a BGPPolicy. The webhook has a limit of its own.
const inlineLimit = time.Minute

// BuildBGPPolicies writes a BGPPolicy for each directory, with the modules of the directory and
// their tests in spec.rego, the defaults of the parameters, and spec.match of METADATA
// custom.match. Each directory must contain one policy and no data. It checks each BGPPolicy as the
// webhook does, and returns the names of the policies.
func BuildBGPPolicies(ctx context.Context, w io.Writer, paths []string) ([]string, error) {
	library, err := policy.Embedded()
	if err != nil {
		return nil, err
	}
	var names []string
	var out bytes.Buffer
	for _, path := range paths {
		name, text, err := inline(ctx, library, path)
		if err != nil {
			return nil, err
		}
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("%s: policy %s is also in another directory", path, name)
		}
		names = append(names, name)
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	_, err = w.Write(out.Bytes())
	return names, err
}

// inline returns the name of the policy of a directory, and its BGPPolicy as YAML.
func inline(ctx context.Context, library *policy.Library, path string) (string, []byte, error) {
	own, err := Load(library, path)
	if err != nil {
		return "", nil, err
	}
	switch {
	case len(own.Definitions) != 1:
		var names []string
		for _, d := range own.Definitions {
			names = append(names, d.Name)
		}
		return "", nil, fmt.Errorf("%s: contains %d policies (%s): a BGPPolicy contains one; name the directory of each", path, len(names), strings.Join(names, ", "))
	case len(own.Source.Data) > 0:
		return "", nil, fmt.Errorf("%s: contains data (%s), which a BGPPolicy cannot contain: make it a parameter, or build a bundle with -o",
			path, strings.Join(slices.Sorted(maps.Keys(own.Source.Data)), ", "))
	}
	d := own.Definitions[0]
	var modules []any
	for _, file := range slices.Sorted(maps.Keys(own.Source.Modules)) {
		modules = append(modules, fields{{"name", inBundle(path, file)}, {"text", own.Source.Modules[file]}})
	}
	spec := fields{{"rego", fields{{"modules", modules}}}}
	if defaults := d.Defaults(); len(defaults) > 0 {
		spec = append(spec, field{"parameters", defaults})
	}
	var actions []any
	for _, a := range d.Actions {
		actions = append(actions, string(a))
	}
	spec = append(spec, field{"validationActions", actions})
	match, err := matchOf(own)
	if err != nil {
		return "", nil, err
	}
	if match != nil {
		spec = append(spec, field{"match", match})
	}
	node, err := fields{
		{"apiVersion", v1alpha1.APIVersion}, {"kind", v1alpha1.KindBGPPolicy},
		{"metadata", fields{{"name", d.Name}}}, {"spec", spec},
	}.node()
	if err != nil {
		return "", nil, err
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(node); err != nil {
		return "", nil, err
	}
	return d.Name, text.Bytes(), checkInline(ctx, library, path, text.Bytes())
}

// checkInline checks a BGPPolicy as the webhook does.
func checkInline(ctx context.Context, library *policy.Library, path string, text []byte) error {
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		return err
	}
	doc, err := policy.Decode(object)
	if err == nil {
		_, err = library.Check(ctx, &doc, inlineLimit)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// matchOf returns METADATA custom.match of the policy, nil if it has none.
func matchOf(own *Loaded) (any, error) {
	modules, err := parse(own.Source.Modules)
	if err != nil {
		return nil, err
	}
	for _, a := range modules[own.Definitions[0].File].Annotations {
		if a.Scope == "package" && a.Custom["match"] != nil {
			return a.Custom["match"], nil
		}
	}
	return nil, nil
}

// fields is an object whose fields keep their order in YAML.
type fields []field

type field struct {
	name  string
	value any
}

// node returns the object in YAML. Texts of several lines are literal blocks.
func (f fields) node() (*yaml.Node, error) {
	out := &yaml.Node{Kind: yaml.MappingNode}
	for _, one := range f {
		value, err := nodeOf(one.value)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: one.name}, value)
	}
	return out, nil
}

func nodeOf(value any) (*yaml.Node, error) {
	switch v := value.(type) {
	case fields:
		return v.node()
	case []any:
		out := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range v {
			n, err := nodeOf(item)
			if err != nil {
				return nil, err
			}
			out.Content = append(out.Content, n)
		}
		return out, nil
	case string:
		n := &yaml.Node{}
		n.SetString(v) // A literal block if it has several lines.
		return n, nil
	default: // Parameters can hold json.Number, which YAML would quote.
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		var document yaml.Node
		if err := yaml.Unmarshal(text, &document); err != nil {
			return nil, err
		}
		block(document.Content[0])
		return document.Content[0], nil
	}
}

// block makes a node and those in it use the block style, without the quotes of JSON.
func block(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.SetString(n.Value)
	}
	for _, c := range n.Content {
		block(c)
	}
}
