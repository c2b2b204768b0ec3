package scenario

import (
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bgpguard/bgpguard/pkg/apply"
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// objects are the objects of an API server. A snapshot is not enough, because it need not have
// the newest finalizers: they do not decide BGP.
type objects map[calico.ID]calico.Object

// apply makes a change.
func (o objects) apply(c state.Change) {
	if c.After == nil {
		delete(o, c.ID())
	} else {
		o[c.ID()] = c.After
	}
}

// change returns change j of step i, as admission reviews it.
func (s *Scenario) change(i, j int, present objects) (state.Change, error) {
	step, at := &s.Steps[i], fmt.Sprintf("steps[%d]", i)
	if step.Apply != nil {
		document := step.documents[j]
		after, err := calico.Decode(document)
		if err != nil {
			return state.Change{}, s.decodeError(at+".apply", err)
		}
		before := present[after.ID()]
		if after, err = Stored(before, document); err == nil && before == nil {
			after, err = first(after)
		}
		if err != nil {
			return state.Change{}, s.decodeError(at+".apply", err)
		}
		return state.Change{Before: before, After: after}, nil
	}
	var target Target
	if step.Patch != nil {
		at, target = at+".patch", step.Patch.Target
	} else {
		at, target = at+".delete", step.Delete.Target
	}
	before := present[calico.ID{Kind: calico.Kind(target.Kind), Name: target.Name}]
	if before == nil {
		return state.Change{}, s.fail(at, "the state has no %s %s", target.Kind, target.Name)
	}
	if step.Delete != nil {
		return state.Change{Before: before}, nil
	}
	patch := apply.Patch
	if step.Patch.Merge["status"] != nil && before.ID().Kind == calico.KindNode {
		patch = apply.PatchStatus
	}
	after, err := patch(before, step.Patch.Merge)
	if err != nil {
		return state.Change{}, s.decodeError(at+".merge", err)
	}
	return state.Change{Before: before, After: after}, nil
}

// Stored returns the object that the API server stores if a step applies document to before,
// nil if there is none: that of "kubectl apply". A document of a Node with a status writes the
// status, as a kubelet does.
func Stored(before calico.Object, document map[string]any) (calico.Object, error) {
	if status := document["status"]; before != nil && before.ID().Kind == calico.KindNode && status != nil {
		return apply.PatchStatus(before, map[string]any{"metadata": document["metadata"], "status": status})
	}
	return apply.Apply(before, document)
}

// first returns a new object with the generation that the API server gives to it. It returns
// objects without a spec that decides BGP as they are.
func first(o calico.Object) (calico.Object, error) {
	if calico.MetadataOf(o) == nil {
		return o, nil
	}
	return calico.Decode(withMetadata(calico.Manifest(o), map[string]any{"generation": int64(1)}))
}

// stored returns what the API server does to its objects if the change of step i is allowed.
// An object that has finalizers is terminating when it is deleted, and ends when an update
// removes the last of them.
func (s *Scenario) stored(i int, c state.Change) (state.Change, error) {
	if c.After != nil {
		if meta := metadata(c.After); meta["deletionTimestamp"] != nil && len(finalizers(meta)) == 0 {
			return state.Change{Before: c.Before}, nil
		}
		return c, nil
	}
	meta := metadata(c.Before)
	left := finalizers(meta)
	if d := s.Steps[i].Delete; d != nil && d.Cascade == CascadeForeground {
		left = append(slices.Clip(left), metav1.FinalizerDeleteDependents)
	}
	if len(left) == 0 {
		return c, nil
	}
	keep := map[string]any{"finalizers": left}
	if meta["deletionTimestamp"] == nil {
		keep["deletionTimestamp"] = s.now().UTC().Format(time.RFC3339)
	}
	after, err := calico.Decode(withMetadata(calico.Manifest(c.Before), keep))
	return state.Change{Before: c.Before, After: after}, err
}

// metadata returns the metadata of an object's document.
func metadata(o calico.Object) map[string]any {
	meta, _ := calico.Manifest(o)["metadata"].(map[string]any)
	return meta
}

func finalizers(meta map[string]any) []any {
	list, _ := meta["finalizers"].([]any)
	return list
}

// withMetadata returns a copy of a document with other values in its metadata. It removes the
// fields whose value is nil.
func withMetadata(document, values map[string]any) map[string]any {
	out := maps.Clone(document)
	old, _ := out["metadata"].(map[string]any)
	meta := maps.Clone(old)
	for key, value := range values {
		if value == nil {
			delete(meta, key)
		} else {
			meta[key] = value
		}
	}
	out["metadata"] = meta
	return out
}

// reviewed reports whether admission reviews a change; config/webhook selects the changes. A
// kubelet creates a Node without BGP settings, and writes its status.
func reviewed(c state.Change) bool {
	switch c.ID().Kind.Info().Review {
	case calico.ReviewNone:
		return false
	case calico.ReviewAll:
		return true
	case calico.ReviewBGPFields:
	}
	before, _ := c.Before.(*calico.Node)
	after, _ := c.After.(*calico.Node)
	switch {
	case after == nil:
		return true
	case before != nil:
		return !before.SameBGP(after)
	default:
		return !(&calico.Node{Name: after.Name, Labels: after.Labels}).SameBGP(after)
	}
}
