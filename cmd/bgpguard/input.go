package main

import (
	"slices"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// calicoctlFields are the fields of calicoctl's Node by those of Kubernetes'.
var calicoctlFields = map[string]string{
	"metadata.annotations[" + calico.AnnotationIPv4Address + "]": "spec.bgp.ipv4Address",
	"metadata.annotations[" + calico.AnnotationIPv6Address + "]": "spec.bgp.ipv6Address",
	"metadata.annotations[" + calico.AnnotationASNumber + "]":    "spec.bgp.asNumber",
	"metadata.annotations[" + calico.AnnotationClusterID + "]":   "spec.bgp.routeReflectorClusterID",
}

// sourceOf tells where an object stands; nowhere if it came from standard input.
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
