package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/bgpguard/bgpguard/pkg/audit"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// files is the state of files. Its files are read again when one of them has changed.
type files struct {
	paths []string
	// information replaces the ClusterInformation of the state; nil for none.
	information calico.Object
	typha       state.Typha
	now         func() time.Time

	mu sync.Mutex
	// seen describes the files that were read last.
	seen string
	last reading
	err  error
}

// Read implements followed. While the files are not valid, it returns an error that names
// file, line and field.
func (f *files) Read() (reading, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Described before they are read: a change during the reading is then a change.
	seen := describe(f.paths)
	if seen != f.seen {
		f.seen = seen
		f.last, f.err = f.read()
	}
	return f.last, f.err
}

func (f *files) read() (reading, error) {
	snapshot, contents, err := state.ReadState(f.paths, nil)
	if err != nil {
		return reading{}, err
	}
	if len(snapshot.Nodes()) == 0 {
		return reading{}, fmt.Errorf("%s: contains no Node: without nodes there are no sessions", strings.Join(f.paths, ", "))
	}
	if f.information != nil {
		snapshot = snapshot.Apply(state.Change{Before: snapshot.Get(f.information.ID()), After: f.information})
	}
	snapshot = snapshot.WithTypha(f.typha)
	r := reading{snapshot: snapshot, notes: contents.Notes}
	var note string
	if r.read, note = audit.ReadTime(snapshot, f.now()); note != "" {
		r.notes = append(r.notes, note)
	}
	return r, nil
}

// describe returns the name, size and time of change of each file of paths, so that it
// differs after a change.
func describe(paths []string) string {
	var out strings.Builder
	for _, path := range paths {
		list := []string{path}
		if entries, err := os.ReadDir(path); err == nil {
			for _, e := range entries {
				list = append(list, filepath.Join(path, e.Name()))
			}
		}
		for _, file := range list {
			info, err := os.Stat(file) // Follows the links of a mounted ConfigMap.
			if err != nil {
				fmt.Fprintf(&out, "%s: %v\n", file, err)
				continue
			}
			fmt.Fprintf(&out, "%s: %d bytes of %s\n", file, info.Size(), info.ModTime())
		}
	}
	return out.String()
}
