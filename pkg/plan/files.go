package plan

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	k8sjson "sigs.k8s.io/json"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/scenario"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// The names of files in the directory of a plan.
const (
	// File is the plan in JSON, which makes a directory one of a plan.
	File = "plan.json"
	// ReadmeFile has the plan for people. The caller writes it.
	ReadmeFile = "README.md"
	// ScenarioFile replays the plan: StateFile, then every step with the answer "allowed".
	ScenarioFile = "scenario.yaml"
	StateFile    = "state.yaml"
)

// Files returns the content of the files of a plan by name, without ReadmeFile: the manifests
// of the steps, the objects to go back to, the scenario with its state, and File. policies are
// the BGPPolicies that evaluated the plan, none for the library's defaults. The state has no
// Secrets. O(size of the state).
func (p *Plan) Files(s *state.Snapshot, policies []map[string]any) (map[string][]byte, error) {
	out := map[string][]byte{}
	for i := range p.Steps {
		step := &p.Steps[i]
		var objects, back []map[string]any
		for j := range step.Edits {
			e := &step.Edits[j]
			if e.Object != nil {
				objects = append(objects, e.Object)
			}
			if e.Patch == nil && e.Before != nil {
				back = append(back, e.Before)
			}
		}
		for name, documents := range map[string][]map[string]any{step.objectFile(): objects, step.backFile(): back} {
			content, err := documentsYAML(documents)
			if err != nil {
				return nil, err
			}
			if content != nil {
				out[name] = content
			}
		}
	}
	var err error
	if out[StateFile], err = documentsYAML(stateDocuments(s)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := text.YAML(&b, p.Scenario(policies)); err != nil {
		return nil, err
	}
	out[ScenarioFile] = b.Bytes()
	var j bytes.Buffer
	if err := text.JSON(&j, p); err != nil {
		return nil, err
	}
	out[File] = j.Bytes()
	return out, nil
}

// Read reads File of a plan.
func Read(data []byte) (*Plan, error) {
	p := &Plan{}
	if err := k8sjson.UnmarshalCaseSensitivePreserveInts(data, p); err != nil {
		return nil, fmt.Errorf("is no plan: %w", err)
	}
	if p.Kind != Kind || p.APIVersion != apiVersion {
		return nil, fmt.Errorf("is no plan: must be a %s of %s, is %q of %q", Kind, apiVersion, p.Kind, p.APIVersion)
	}
	return p, nil
}

// documentsYAML returns YAML documents, nil for none.
func documentsYAML(documents []map[string]any) ([]byte, error) {
	var b bytes.Buffer
	for i, d := range documents {
		if i > 0 {
			b.WriteString("---\n")
		}
		if err := text.YAML(&b, d); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// stateDocuments returns the objects of a state without Secrets and observations. Nodes have
// only what decides BGP.
func stateDocuments(s *state.Snapshot) []map[string]any {
	var out []map[string]any
	for _, c := range state.Difference(nil, s) {
		switch o := c.After.(type) {
		case *calico.Node:
			out = append(out, nodeDocument(o))
		case *calico.Secret, *calico.Unparsed, nil:
		default:
			out = append(out, clean(calico.Manifest(o)))
		}
	}
	return out
}

func nodeDocument(n *calico.Node) map[string]any {
	full := calico.Manifest(n)
	meta, _ := full["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	kept := map[string]any{}
	for _, key := range calico.NodeAnnotations {
		if v, ok := annotations[key]; ok {
			kept[key] = v
		}
	}
	node := map[string]any{"name": n.Name, "labels": maps.Clone(meta["labels"].(map[string]any)), "annotations": kept}
	out := map[string]any{"apiVersion": full["apiVersion"], "kind": full["kind"], "metadata": node}
	if n.NotReady {
		out["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "False"}}}
	}
	return out
}

// Scenario returns a scenario that replays the plan; see Files.
func (p *Plan) Scenario(policies []map[string]any) *scenario.Scenario {
	s := &scenario.Scenario{
		APIVersion: apiVersion, Kind: scenario.Kind, Metadata: scenario.Metadata{Name: "plan-" + p.Target}, Title: p.Title,
		Description: "Replays the plan step by step: bgpguard policy test " + ScenarioFile,
		Policies:    policies, State: []map[string]any{{"file": StateFile}}, Now: p.Created.Format("2006-01-02T15:04:05Z07:00"),
	}
	allowed := true
	for i := range p.Steps {
		step := &p.Steps[i]
		for j := range step.Edits {
			e := &step.Edits[j]
			one := scenario.Step{Name: fmt.Sprintf("%d. %s", step.Number, step.Title)}
			if len(step.Edits) > 1 {
				one.Name += fmt.Sprintf(" (%s %s)", e.Kind, e.Name)
			}
			if e.ID().Kind.Info().Review != calico.ReviewNone {
				one.Expect = &scenario.Expect{Allowed: &allowed}
			}
			target := scenario.Target{Kind: e.Kind, Name: e.Name}
			switch {
			case e.Object != nil:
				one.Apply = e.Object
			case e.Patch != nil:
				one.Patch = &scenario.Patch{Target: target, Merge: e.Patch}
			default:
				one.Delete = &scenario.Deletion{Target: target}
			}
			s.Steps = append(s.Steps, one)
		}
	}
	return s
}

// Names returns the names of the files of a plan, sorted, including ReadmeFile.
func (p *Plan) Names() []string {
	out := []string{File, ReadmeFile, ScenarioFile, StateFile}
	for i := range p.Steps {
		out = append(out, p.Steps[i].objectFile(), p.Steps[i].backFile())
	}
	slices.Sort(out)
	return out
}
