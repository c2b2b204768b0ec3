// Package apply computes the object that an API server stores after a client sends a file:
// kubectl apply, kubectl replace, kubectl patch, kubectl label and kubectl annotate, and
// calicoctl for its own form of Nodes. The package is pure: it has no client.
package apply

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	k8sjson "sigs.k8s.io/json"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Apply returns the object that the API server stores after "kubectl apply" of a document.
// before is the present object, nil if there is none; document is then stored with the
// annotation of kubectl. Apply does not change document.
//
// kubectl computes a patch from three documents: the one of the last "kubectl apply", which
// is in an annotation of the present object, the new one, and the present object. Fields that
// the new document does not have are removed if the last document had them, and kept
// otherwise. Without the annotation, all of them are kept. Maps are merged and lists are
// replaced; a Node, whose type kubectl knows, is merged by the patch strategies of its fields
// (k8s.io/kubectl/pkg/cmd/apply/patcher.go).
//
// A Node of projectcalico.org/v3 is written by calicoctl; see calicoNode. The error is one of
// calico.Decode, of the patch libraries, or a *calico.FieldError if the document names another
// version of the object; see unmodified.
func Apply(before calico.Object, document map[string]any) (calico.Object, error) {
	after, err := calico.Decode(document)
	if err != nil {
		return nil, err
	}
	if before = parsed(before); before == nil {
		return applied(after, document)
	}
	if err := unmodified(before, document); err != nil {
		return nil, err
	}
	switch after := after.(type) {
	case *calico.Secret:
		return mergeSecret(before, after), nil
	case *calico.IPAMBlock, *calico.NodeStatus: // Calico writes them.
		return after, nil
	case *calico.Node:
		if document["apiVersion"] == calico.APIVersionV3 {
			return calicoNode(before, after, document)
		}
	}
	merged, err := merge(before, document)
	if err != nil {
		return nil, fmt.Errorf("merging %s with the one in the state: %w", after.ID(), err)
	}
	if err := versioned(before, merged); err != nil {
		return nil, err
	}
	return stored(before, merged)
}

// Replace returns the object that the API server stores after "kubectl replace" or "calicoctl
// apply" of a document: the document, with what a client cannot change. before is the present
// object, nil if there is none. The error is as of Apply.
func Replace(before calico.Object, document map[string]any) (calico.Object, error) {
	after, err := calico.Decode(document)
	if err != nil {
		return nil, err
	}
	if before = parsed(before); before == nil {
		return created(after, document)
	}
	if err := unmodified(before, document); err != nil {
		return nil, err
	}
	if n, ok := after.(*calico.Node); ok && document["apiVersion"] == calico.APIVersionV3 {
		return calicoNode(before, n, document)
	}
	return stored(before, runtime.DeepCopyJSON(document))
}

// Patch returns the object that the API server stores after a JSON merge patch (RFC 7386) of
// before. The error is as of Apply.
func Patch(before calico.Object, patch map[string]any) (calico.Object, error) {
	if err := unmodified(before, patch); err != nil {
		return nil, err
	}
	patched, err := mergePatch(calico.Manifest(before), patch)
	if err != nil {
		return nil, err
	}
	if err := versioned(before, patched); err != nil {
		return nil, err
	}
	after, err := stored(before, patched)
	if err != nil {
		return nil, err
	}
	if after.ID() != before.ID() {
		return nil, fmt.Errorf("must not change the kind or the name, gives %s", after.ID())
	}
	return after, nil
}

// PatchStatus returns the object that the API server stores after a JSON merge patch of the
// status of before, as kubelets send it: the labels and annotations of the patch count, too,
// and its spec does not.
func PatchStatus(before calico.Object, patch map[string]any) (calico.Object, error) {
	old := calico.Manifest(before)
	patched, err := mergePatch(old, patch)
	if err != nil {
		return nil, err
	}
	was, _ := old["metadata"].(map[string]any)
	out := withMetadata(patched, map[string]any{"name": was["name"], "deletionTimestamp": was["deletionTimestamp"], "finalizers": was["finalizers"]})
	delete(out, "spec")
	if old["spec"] != nil {
		out["spec"] = old["spec"]
	}
	return decode(before, out)
}

// unmodified returns an error if a document or a patch names another version of before by
// metadata.resourceVersion, or another object by metadata.uid: the API server then rejects the
// write, which is the purpose of both fields. An export of the object has them as they were at that
// time. A field that the document or before does not have is not compared.
func unmodified(before calico.Object, document map[string]any) error {
	old, _ := calico.Manifest(before)["metadata"].(map[string]any)
	meta, _ := document["metadata"].(map[string]any)
	for _, f := range []struct{ name, cause string }{
		{"uid", "another object had this name"}, {"resourceVersion", "the object was changed since"},
	} {
		want, _ := meta[f.name].(string)
		is, _ := old[f.name].(string)
		if want != "" && is != "" && want != is {
			return &calico.FieldError{Field: "metadata." + f.name, Message: fmt.Sprintf("is %q, and that of the object in the state is %q: %s, so the API server rejects the change; remove the field", want, is, f.cause)}
		}
	}
	return nil
}

// versioned returns an error if a patch of before removed metadata.resourceVersion: an API server
// rejects this for objects of CustomResourceDefinitions. "kubectl apply" removes it if the last one had
// it and the new document does not.
func versioned(before calico.Object, patched map[string]any) error {
	old, _ := calico.Manifest(before)["metadata"].(map[string]any)
	meta, _ := patched["metadata"].(map[string]any)
	if old["resourceVersion"] == nil || meta["resourceVersion"] != nil || !before.ID().Kind.Info().Calico {
		return nil
	}
	return &calico.FieldError{
		Field:   "metadata.resourceVersion",
		Message: "is removed, because the last \"kubectl apply\" had it, and the API server rejects the change without it; run \"kubectl apply set-last-applied -f FILE\" first, or \"kubectl replace\"",
	}
}

// decode decodes the object after a change of before. A value that Calico cannot decode is an
// error unless before has it.
func decode(before calico.Object, document map[string]any) (calico.Object, error) {
	after, err := calico.DecodeStored(document)
	if err != nil {
		return nil, err
	}
	if odd := calico.NewlyOdd(before, after); odd != nil {
		return nil, odd
	}
	return after, nil
}

// parsed returns o, or nil if o does not parse: nothing is known of it to merge with.
func parsed(o calico.Object) calico.Object {
	if calico.IsUnparsed(o) {
		return nil
	}
	return o
}

// created returns a new object. Clients set neither its uid and version, nor the times of its creation
// and deletion, nor its generation, which an export of another object may have.
func created(after calico.Object, document map[string]any) (calico.Object, error) {
	if k := after.ID().Kind; calico.MetadataOf(after) == nil && k != calico.KindNode {
		return after, nil
	}
	return calico.Decode(withMetadata(document, map[string]any{
		"creationTimestamp": nil, "deletionTimestamp": nil, "generation": nil, "resourceVersion": nil, "uid": nil,
	}))
}

// applied returns a new object, with the annotation of kubectl if it is an object that kubectl
// writes: calicoctl writes Nodes in its own form.
func applied(after calico.Object, document map[string]any) (calico.Object, error) {
	calicoctl := after.ID().Kind == calico.KindNode && document["apiVersion"] == calico.APIVersionV3
	if calicoctl || after.ID().Kind.Info().Observation || after.ID().Kind == calico.KindSecret {
		return created(after, document)
	}
	document, err := remembered(document)
	if err != nil {
		return nil, err
	}
	return created(after, document)
}

// stored returns the object that the API server stores if a client writes document in place
// of before. A Node keeps its status, which is a subresource.
func stored(before calico.Object, document map[string]any) (calico.Object, error) {
	old := calico.Manifest(before)
	was, _ := old["metadata"].(map[string]any)
	// A write that changes the object gives it a version that nobody knows before.
	keep := map[string]any{"deletionTimestamp": was["deletionTimestamp"], "uid": was["uid"], "resourceVersion": nil}
	if calico.MetadataOf(before) != nil {
		keep["generation"] = nil
		if generation, ok := was["generation"].(int64); ok {
			if !reflect.DeepEqual(old["spec"], document["spec"]) {
				generation++
			}
			keep["generation"] = generation
		}
	}
	if before.ID().Kind == calico.KindFelixConfiguration { // The oldest of several has precedence.
		keep["creationTimestamp"] = was["creationTimestamp"]
	}
	out := withMetadata(document, keep)
	if before.ID().Kind == calico.KindNode {
		delete(out, "status")
		if old["status"] != nil {
			out["status"] = old["status"]
		}
	}
	return decode(before, out)
}

// withMetadata returns a copy of a document with other values in its metadata. It removes the
// fields whose value is nil.
func withMetadata(document, values map[string]any) map[string]any {
	out := maps.Clone(document)
	old, _ := out["metadata"].(map[string]any)
	meta := make(map[string]any, len(old)+len(values))
	maps.Copy(meta, old)
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

// merge returns the document of before after "kubectl apply" of document.
func merge(before calico.Object, document map[string]any) (map[string]any, error) {
	version, _ := document["apiVersion"].(string)
	current, last := calico.Applied(before, version)
	modified, err := remembered(document)
	if err != nil {
		return nil, err
	}
	texts := make([][]byte, 2)
	for i, d := range []map[string]any{modified, current} {
		if texts[i], err = json.Marshal(d); err != nil {
			return nil, err
		}
	}
	if before.ID().Kind != calico.KindNode {
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch([]byte(last), texts[0], texts[1])
		if err != nil {
			return nil, err
		}
		return decoded(jsonpatch.MergePatch(texts[1], patch))
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(corev1.Node{})
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch([]byte(last), texts[0], texts[1], meta, true)
	if err != nil {
		return nil, err
	}
	return decoded(strategicpatch.StrategicMergePatchUsingLookupPatchMeta(texts[1], patch, meta))
}

// remembered returns the document that kubectl sends: the one of the user with a copy of it
// in an annotation, so that the next "kubectl apply" knows what this one had.
func remembered(document map[string]any) (map[string]any, error) {
	meta, _ := document["metadata"].(map[string]any)
	old, _ := meta["annotations"].(map[string]any)
	annotations := make(map[string]any, len(old)+1)
	maps.Copy(annotations, old)
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	sent := withMetadata(document, map[string]any{"annotations": annotations})
	text, err := json.Marshal(sent)
	if err != nil {
		return nil, err
	}
	annotations = maps.Clone(annotations)
	annotations[corev1.LastAppliedConfigAnnotation] = string(text) + "\n"
	return withMetadata(document, map[string]any{"annotations": annotations}), nil
}

// mergePatch returns a document after a JSON merge patch.
func mergePatch(document, patch map[string]any) (map[string]any, error) {
	before, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	changes, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	return decoded(jsonpatch.MergePatch(before, changes))
}

// mergeSecret returns a Secret with the keys of both.
func mergeSecret(before calico.Object, after *calico.Secret) calico.Object {
	if old, ok := before.(*calico.Secret); ok {
		return old.Merge(after)
	}
	return after
}

// decoded reads the result of a patch library. Integers stay integers.
func decoded(text []byte, err error) (map[string]any, error) {
	if err != nil {
		return nil, err
	}
	var out map[string]any
	if err := k8sjson.UnmarshalCaseSensitivePreserveInts(text, &out); err != nil {
		return nil, err
	}
	return out, nil
}
