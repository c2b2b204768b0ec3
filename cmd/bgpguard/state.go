package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/text"
)

// world is a state that a command read.
type world struct {
	*state.Snapshot

	read  []state.Read // the objects of files; nil for a cluster
	live  *liveCluster // nil for files
	notes []string     // what the state lacks and a reader should know
}

// readState reads the state like load, and writes the notes about it.
func (o *changeOptions) readState(ctx context.Context, stdin io.Reader, stderr io.Writer) (world, error) {
	w, err := o.load(ctx, stdin, stderr)
	writeNotes(stderr, w.notes)
	return w, err
}

// load reads the state of the files or the cluster, with the version of --calico-version.
func (o *changeOptions) load(ctx context.Context, stdin io.Reader, stderr io.Writer) (world, error) {
	var w world
	if o.live() {
		live, err := o.find(o.context)
		if err != nil {
			return world{}, err
		}
		reading, err := live.read(ctx, stderr)
		if err != nil {
			return world{}, err
		}
		w = world{Snapshot: reading.State, live: live}
		for _, u := range reading.Unread {
			w.notes = append(w.notes, u.String())
		}
	} else {
		s, contents, err := state.ReadState(o.states, stdin)
		if err != nil {
			return world{}, err
		}
		w = world{Snapshot: s, read: contents.Objects, notes: contents.Notes}
	}
	var notes []string
	var err error
	w.Snapshot, notes, err = o.withVersion(ctx, w.Snapshot)
	w.notes = append(w.notes, notes...)
	return w, err
}

// origin names the files or the cluster of a state.
func (o *changeOptions) origin(w world) string {
	if w.live != nil {
		return w.live.String()
	}
	return strings.Join(o.states, ", ")
}

// requireNodes returns an error if neither the state nor its changes have a Node.
func (o *changeOptions) requireNodes(s *state.Snapshot, edits []edit) error {
	makes := func(e edit) bool { return e.read != nil && !e.delete && e.id.Kind == calico.KindNode }
	if len(s.Nodes()) > 0 || slices.ContainsFunc(edits, makes) {
		return nil
	}
	from := strings.Join(o.states, ", ")
	if o.live() {
		from = "the cluster"
	}
	return fmt.Errorf("%s: contains no Node: without nodes there are no sessions", from)
}

// writeNotes writes notes to w, one on each line.
func writeNotes(w io.Writer, notes []string) {
	for _, note := range notes {
		fmt.Fprintln(w, "note:", text.Clean(note))
	}
}
