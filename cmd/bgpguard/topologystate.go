package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// read reads the state.
func (o *topologyOptions) read(stdin io.Reader) (*state.Snapshot, error) {
	s, _, err := state.ReadState(o.states, stdin)
	if err != nil {
		return nil, err
	}
	if o.calicoVersion != "" {
		version, err := clusterInformation(o.calicoVersion)
		if err != nil {
			return nil, err
		}
		s = s.Apply(state.Change{After: version})
	}
	if len(s.Nodes()) == 0 {
		return nil, noNode(o.states)
	}
	return s, nil
}

// noNode is the error of a state that is empty of what everything else is about.
func noNode(files []string) error {
	return fmt.Errorf("%s: no Node among the objects: without nodes there are no sessions", strings.Join(files, ", "))
}

// clusterInformation is the ClusterInformation of a cluster with that version of Calico.
func clusterInformation(version string) (calico.Object, error) {
	object, err := calico.Decode(map[string]any{
		"apiVersion": calico.APIVersionV3, "kind": string(calico.KindClusterInformation),
		"metadata": map[string]any{"name": calico.Default}, "spec": map[string]any{"calicoVersion": version},
	})
	if err != nil {
		return nil, err
	}
	if c, ok := object.(*calico.ClusterInformation); !ok || c.Version == nil {
		return nil, fmt.Errorf("flag --calico-version must be a version such as v3.31.2, is %q", version)
	}
	return object, nil
}

// change applies the objects of --change to s.
func (o *topologyOptions) change(s *state.Snapshot, stdin io.Reader) (*state.Snapshot, error) {
	after, _, err := applyFiles(o.changes, o.delete, s, stdin)
	return after, err
}

// applyFiles applies the objects of files to s one after the other, or deletes them, and
// tells what it read; without files, nothing changes.
func applyFiles(files []string, remove bool, s *state.Snapshot, stdin io.Reader) (*state.Snapshot, []state.Read, error) {
	if len(files) == 0 {
		return s, nil, nil
	}
	changed, err := state.ReadFiles(files, stdin)
	if err != nil {
		return nil, nil, err
	}
	if len(changed) == 0 {
		return nil, nil, fmt.Errorf("%s: no object to apply", strings.Join(files, ", "))
	}
	for _, object := range state.Objects(changed) {
		c := state.Change{Before: s.Get(object.ID()), After: object}
		if remove {
			c.After = nil
			if c.Before == nil {
				return nil, nil, fmt.Errorf("%s cannot be deleted: the state does not hold it", object.ID())
			}
		}
		s = s.Apply(c)
	}
	return s, changed, nil
}

// findNode returns an error unless --node is in one of the states.
func (o *topologyOptions) findNode(before, after *state.Snapshot) error {
	id := calico.ID{Kind: calico.KindNode, Name: o.node}
	if o.node == "" || before.Get(id) != nil || after.Get(id) != nil {
		return nil
	}
	among := report.Count(len(after.Nodes()), "node")
	near := nearest(o.node, after.Nodes())
	if len(near) == 0 {
		return fmt.Errorf("flag --node: no node %q among %s", o.node, among)
	}
	return fmt.Errorf("flag --node: no node %q among %s; near it: %s", o.node, among, strings.Join(near, ", "))
}

// nearest names the first few nodes whose names are a slip of the hand away from
// name, or hold it, the nearest first.
func nearest(name string, nodes []*calico.Node) []string {
	const slips, most = 2, 3
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	for _, n := range nodes {
		if d := levenshtein.ComputeDistance(name, n.Name); d <= slips || strings.Contains(n.Name, name) {
			found = append(found, candidate{n.Name, d})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range found[:min(len(found), most)] {
		names = append(names, c.name)
	}
	return names
}
