package main

import (
	"errors"
	"io"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
)

// located is an object and the document that it was read from.
type located struct {
	calico.Object

	document manifest.Document
}

// readObjects reads and decodes the objects of all paths. All that do
// not decode are named. Left out is what exports hold beside: CalicoNodeStatus
// objects, and Secrets that calico-node does not read.
func readObjects(paths []string, stdin io.Reader) ([]calico.Object, error) {
	found, err := readLocated(paths, stdin)
	var objects []calico.Object
	for _, l := range found {
		objects = append(objects, l.Object)
	}
	return objects, err
}

// readLocated is readObjects, and tells where they stand.
func readLocated(paths []string, stdin io.Reader) ([]located, error) {
	docs, err := manifest.Read(paths, stdin)
	if err != nil {
		return nil, err
	}
	var objects []located
	var errs []error
	for _, d := range docs {
		object, err := calico.Decode(d.Object)
		if err == nil {
			if secret, ok := object.(*calico.Secret); !ok || secret.MayServeCalicoNode() {
				objects = append(objects, located{object, d})
			}
			continue
		}
		if unknown, ok := errors.AsType[*calico.UnknownKindError](err); ok && unknown.Status() {
			continue
		}
		field := "kind"
		if e, ok := errors.AsType[*calico.FieldError](err); ok {
			field = e.Field
		}
		errs = append(errs, d.At(field, err))
	}
	return objects, errors.Join(errs...)
}

// stdins counts how often stdin is among paths.
func stdins(paths ...[]string) int {
	count := 0
	for _, p := range slices.Concat(paths...) {
		if p == manifest.Stdin {
			count++
		}
	}
	return count
}
