package main

import (
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// calicoctlFields maps the fields of a Kubernetes Node to those of calicoctl's Node.
var calicoctlFields = map[string]string{
	"metadata.annotations[" + calico.AnnotationIPv4Address + "]": "spec.bgp.ipv4Address",
	"metadata.annotations[" + calico.AnnotationIPv6Address + "]": "spec.bgp.ipv6Address",
	"metadata.annotations[" + calico.AnnotationASNumber + "]":    "spec.bgp.asNumber",
	"metadata.annotations[" + calico.AnnotationClusterID + "]":   "spec.bgp.routeReflectorClusterID",
	"metadata.annotations[" + calico.AnnotationLabels + "]":      "metadata.labels",
}

// sourceOf returns the file and lines of an object. Objects from stdin have none.
func sourceOf(r *state.Read) report.Source {
	if r.Document.File == manifest.StdinFile {
		return report.Source{}
	}
	return report.Source{File: r.Document.File, LineOf: func(field string) int {
		if own := calicoctlFields[field]; own != "" && r.Document.Object["apiVersion"] != "v1" {
			field = own
		}
		return r.Document.LineOf(field)
	}}
}

// sourcesOf returns a function that finds the file and lines of an object of read. If
// read contains an object twice, the function uses the last one.
func sourcesOf(read []state.Read) func(violation.Object) report.Source {
	byObject := make(map[violation.Object]*state.Read, len(read))
	for i := range read {
		id := read[i].ID()
		byObject[violation.Object{Kind: string(id.Kind), Name: id.Name}] = &read[i]
	}
	return func(o violation.Object) report.Source {
		if r := byObject[o]; r != nil {
			return sourceOf(r)
		}
		return report.Source{}
	}
}
