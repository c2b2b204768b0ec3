package main

import (
	"errors"
	"io"
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/report"
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
	objects := make([]calico.Object, len(found))
	for i, l := range found {
		objects[i] = l.Object
	}
	return objects, err
}

// readLocated is readObjects, and tells where the objects stand.
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

// calicoctlFields are the fields of calicoctl's Node by those of Kubernetes'.
var calicoctlFields = map[string]string{
	"metadata.annotations[" + calico.AnnotationIPv4Address + "]": "spec.bgp.ipv4Address",
	"metadata.annotations[" + calico.AnnotationIPv6Address + "]": "spec.bgp.ipv6Address",
	"metadata.annotations[" + calico.AnnotationASNumber + "]":    "spec.bgp.asNumber",
	"metadata.annotations[" + calico.AnnotationClusterID + "]":   "spec.bgp.routeReflectorClusterID",
}

// source tells where the object stands; nowhere if it came from standard input.
func (l *located) source() report.Source {
	if l.document.File == manifest.StdinFile {
		return report.Source{}
	}
	return report.Source{File: l.document.File, LineOf: func(field string) int {
		if own := calicoctlFields[field]; own != "" && l.document.Object["apiVersion"] != "v1" {
			field = own
		}
		return l.document.LineOf(field)
	}}
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
