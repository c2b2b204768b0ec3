package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/apply"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// change returns the change that e makes to s.
func (e *Edit) change(s *state.Snapshot) (state.Change, error) {
	c := state.Change{Before: s.Get(e.ID())}
	var err error
	switch {
	case e.Object != nil:
		c.After, err = apply.Apply(c.Before, e.Object)
	case e.Patch != nil && c.Before == nil:
		err = fmt.Errorf("%s does not exist", e.ID())
	case e.Patch != nil:
		c.After, err = apply.Patch(c.Before, e.Patch)
	}
	return c, err
}

// complete sets Before from the change that e makes.
func (e *Edit) complete(c state.Change) {
	switch {
	case c.Before == nil:
	case e.Patch != nil:
		e.Before = under(calico.Manifest(c.Before), e.Patch)
	default:
		e.Before = clean(calico.Manifest(c.Before))
	}
}

// under returns the part of a document that a merge patch changes, in the form of a merge
// patch: a field that is absent is null.
func under(document, patch map[string]any) map[string]any {
	out := make(map[string]any, len(patch))
	for key, value := range patch {
		inner, ok := value.(map[string]any)
		if !ok {
			out[key] = document[key]
			continue
		}
		old, _ := document[key].(map[string]any)
		out[key] = under(old, inner)
	}
	return out
}

// clean returns a document without what the API server writes.
func clean(document map[string]any) map[string]any {
	out := maps.Clone(document)
	delete(out, "status")
	old, _ := out["metadata"].(map[string]any)
	meta := map[string]any{}
	for key, value := range old {
		texts, isTexts := value.(map[string]any)
		switch {
		case slices.Contains([]string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid", "selfLink"}, key):
		case isTexts && len(texts) == 0:
		case key == "annotations":
			texts = maps.Clone(texts)
			delete(texts, "kubectl.kubernetes.io/last-applied-configuration")
			if len(texts) > 0 {
				meta[key] = texts
			}
		default:
			meta[key] = value
		}
	}
	out["metadata"] = meta
	return out
}

// resource returns the name of the object for kubectl, such as bgppeers.projectcalico.org/x.
// apiVersion is that of the object, or "" for the core group.
func (e *Edit) resource(apiVersion string) string {
	name := e.ID().Kind.Info().Resource
	if group, _, ok := strings.Cut(apiVersion, "/"); ok {
		name += "." + group
	}
	return name + "/" + e.Name
}

// apiVersionOf returns the API version of an edit's object: its own, or that of the object in
// the state before.
func (e *Edit) apiVersionOf(before *state.Snapshot) string {
	document := e.Object
	if document == nil {
		document = calico.Manifest(before.Get(e.ID()))
	}
	version, _ := document["apiVersion"].(string)
	if e.Kind == string(calico.KindNode) {
		return ""
	}
	return version
}

// write sets the commands of a step, and those that undo it. Steps that only apply whole
// objects get a file.
func (s *Step) write(before *state.Snapshot) {
	s.Commands, s.Back = []string{}, []string{}
	if !slices.ContainsFunc(s.Edits, func(e Edit) bool { return e.Object == nil }) {
		s.File = fmt.Sprintf("%02d-%s.yaml", s.Number, s.Name)
		s.Commands = append(s.Commands, "kubectl apply -f "+s.File)
	}
	var created []string
	for i := range s.Edits {
		e := &s.Edits[i]
		resource := e.resource(e.apiVersionOf(before))
		switch {
		case e.Patch != nil:
			s.Commands = append(s.Commands, patchCommand(resource, e.Patch))
			s.Back = append(s.Back, patchCommand(resource, e.Before))
		case e.Delete:
			s.Commands = append(s.Commands, "kubectl delete "+resource)
			s.Back = append(s.Back, "kubectl apply -f "+s.backFile())
		case e.Before == nil:
			created = append(created, resource)
		default:
			if s.File == "" {
				s.Commands = append(s.Commands, "kubectl apply -f "+s.objectFile())
			}
			s.Back = append(s.Back, "kubectl replace -f "+s.backFile())
		}
	}
	for _, resource := range created {
		s.Back = append(s.Back, "kubectl delete "+resource)
	}
	s.Commands, s.Back = distinct(s.Commands), distinct(s.Back)
}

// objectFile is the file with the whole objects of a step that has other edits too, and
// backFile the file with the objects before it.
func (s *Step) objectFile() string { return fmt.Sprintf("%02d-%s.yaml", s.Number, s.Name) }
func (s *Step) backFile() string   { return fmt.Sprintf("back/%02d-%s.yaml", s.Number, s.Name) }

// distinct returns commands without those that were there before.
func distinct(commands []string) []string {
	out := commands[:0]
	for _, c := range commands {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// patchCommand returns the command that applies a JSON merge patch.
func patchCommand(resource string, patch map[string]any) string {
	raw, _ := json.Marshal(patch) //nolint:errchkjson // It was read from JSON.
	return "kubectl patch " + resource + " --type=merge -p " + quoted(string(raw))
}

// quoted returns text as one word of a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// fill sets the number of half-sessions of the nodes, and the commands that show them. It keeps
// the commands of a wait without nodes.
func (w *Wait) fill(t *topology.Topology) {
	if w.Commands == nil {
		w.Commands = []string{}
	}
	if len(w.Nodes) == 0 {
		w.Nodes = []string{}
		return
	}
	wanted := func(n *calico.Node) bool { return slices.Contains(w.Nodes, n.Name) }
	for n := range t.Neighbours(wanted) {
		for i := range n.List {
			if s := n.List[i].Status; s == topology.Paired || s == topology.External {
				w.Sessions++
			}
		}
	}
	w.Commands = []string{"bgpguard plan verify . --context CONTEXT"}
	for _, node := range w.Nodes[:min(len(w.Nodes), 3)] {
		w.Commands = append(w.Commands, "kubectl get caliconodestatus "+node+" -o yaml   # or, on the node: calicoctl node status, birdcl show protocols")
	}
}
