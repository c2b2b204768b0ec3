package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		after, err = calico.Decode(written(before, document))
		if err == nil {
			after, err = numbered(before, after)
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
	after, err := patched(before, step.Patch.Merge)
	if err == nil {
		after, err = numbered(before, after)
	}
	if err != nil {
		return state.Change{}, s.decodeError(at+".merge", err)
	}
	if after.ID() != before.ID() {
		return state.Change{}, s.fail(at+".merge", "must not change the kind or the name, gives %s", after.ID())
	}
	return state.Change{Before: before, After: after}, nil
}

// written returns the document that the API server stores if a user applies document. before
// is the present object, nil if there is none. An object keeps its finalizers if the document
// has none, as with "kubectl apply". A Node keeps its status, which is a subresource.
func written(before calico.Object, document map[string]any) map[string]any {
	if before == nil {
		return withMetadata(document, map[string]any{"deletionTimestamp": nil})
	}
	old, keep := metadata(before), map[string]any{}
	keep["deletionTimestamp"] = old["deletionTimestamp"]
	if meta, _ := document["metadata"].(map[string]any); meta["finalizers"] == nil {
		keep["finalizers"] = old["finalizers"]
	}
	out := withMetadata(document, keep)
	if status := calico.Manifest(before)["status"]; before.ID().Kind == calico.KindNode && out["status"] == nil && status != nil {
		out["status"] = status
	}
	return out
}

// patched applies a JSON merge patch (RFC 7386) to an object. Users cannot change the
// deletionTimestamp.
func patched(o calico.Object, patch map[string]any) (calico.Object, error) {
	before, err := json.Marshal(calico.Manifest(o))
	if err != nil {
		return nil, err
	}
	changes, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	after, err := jsonpatch.MergePatch(before, changes)
	if err != nil {
		return nil, err
	}
	read, err := calico.DecodeJSON(after)
	if err != nil {
		return nil, err
	}
	at := metadata(o)["deletionTimestamp"]
	if metadata(read)["deletionTimestamp"] == at {
		return read, nil
	}
	return calico.Decode(withMetadata(calico.Manifest(read), map[string]any{"deletionTimestamp": at}))
}

// numbered returns after with the generation that the API server gives to it: 1 if the object
// is new, and one more if its spec changes. It returns objects without a spec that decides BGP
// as they are.
func numbered(before, after calico.Object) (calico.Object, error) {
	if calico.MetadataOf(after) == nil {
		return after, nil
	}
	generation := int64(1)
	if before != nil {
		old, _ := metadata(before)["generation"].(int64)
		if generation = old; !reflect.DeepEqual(calico.Manifest(before)["spec"], calico.Manifest(after)["spec"]) {
			generation++
		}
	}
	return calico.Decode(withMetadata(calico.Manifest(after), map[string]any{"generation": generation}))
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
