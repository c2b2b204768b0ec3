package author

import (
	"embed"
	"fmt"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/state"
)

//go:embed samples
var sampleFiles embed.FS

// sample is a state of a small cluster, or a change to one.
type sample struct {
	name     string
	snapshot *state.Snapshot
	change   state.Change
}

// kind returns the kind of the changed object, "" of a state.
func (s *sample) kind() calico.Kind {
	if s.change.Before == nil && s.change.After == nil {
		return ""
	}
	return s.change.ID().Kind
}

// samples returns sample states and changes: of each state, an object of each kind is created and
// deleted, and objects that are also in the next state become those of that state.
func samples() ([]sample, error) {
	names := []string{"empty", "mesh", "racks", "reflectors", "broken"}
	var states, changes []sample
	objects := map[string][]calico.Object{}
	for _, name := range names {
		text, err := sampleFiles.ReadFile("samples/" + name + ".yaml")
		if err != nil {
			return nil, err
		}
		s, contents, err := state.ReadState([]string{manifest.Stdin}, strings.NewReader(string(text)))
		if err != nil {
			return nil, fmt.Errorf("sample %s: %w", name, err)
		}
		states = append(states, sample{name: fmt.Sprintf("the sample state %q", name), snapshot: s})
		objects[name] = state.Objects(contents.Objects)
	}
	for i, name := range names {
		s := states[i].snapshot
		following := names[(i+1)%len(names)]
		seen := map[calico.Kind]bool{}
		for _, object := range objects[name] {
			id := object.ID()
			if !seen[id.Kind] {
				seen[id.Kind] = true
				remove := state.Change{Before: object}
				create := state.Change{After: object}
				changes = append(changes,
					sample{fmt.Sprintf("the deletion of %s in the sample state %q", id, name), s, remove},
					sample{fmt.Sprintf("the creation of %s in the sample state %q", id, name), s.Apply(remove), create})
			}
			for _, next := range objects[following] {
				if next.ID() == id {
					changes = append(changes, sample{fmt.Sprintf("the update of %s in the sample state %q to that in %q", id, name, following), s, state.Change{Before: object, After: next}})
				}
			}
		}
	}
	return append(states, changes...), nil
}
