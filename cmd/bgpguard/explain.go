package main

import (
	"context"
	"fmt"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/manifest"
	"github.com/bgpguard/bgpguard/pkg/policy"
	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/validate"
	"github.com/bgpguard/bgpguard/pkg/violation"
)

// rules tells of each policy in force what reports show of it.
func rules(set *policy.Set) ([]report.Rule, error) {
	var out []report.Rule
	for _, p := range set.Policies() {
		parameters, err := p.Parameters()
		if err != nil {
			return nil, fmt.Errorf("parameters of policy %s: %w", p.Name, err)
		}
		d := p.Definition
		var links []report.Link
		for _, l := range d.Related {
			links = append(links, report.Link(l))
		}
		out = append(out, report.Rule{
			Name: p.Name, Policy: d.Name, Title: d.Title, Description: d.Description, Severity: d.Severity, Links: links, Parameters: parameters,
		})
	}
	return out, nil
}

// explain says what is behind each violation of a decision on a change to before.
func explain(ctx context.Context, e *validate.Engine, rules []report.Rule, before *state.Snapshot, c state.Change, d *validate.Decision) ([]report.Explanation, error) {
	if len(d.Violations) == 0 {
		return nil, nil
	}
	type key struct{ policy, id string }
	earlier := map[key]violation.Violation{}
	found, _ := e.Violations(ctx, before) // A policy that fails is among the decision's failures.
	for _, v := range found {
		earlier[key{v.Policy, v.ID}] = v
	}
	byName := map[string]report.Rule{}
	for _, r := range rules {
		byName[r.Name] = r
	}
	was := topology.Compute(before, nil)
	is := topology.Compute(before.Apply(c), was)
	var out []report.Explanation
	for _, v := range d.Violations {
		one := report.Explanation{Rule: byName[v.Policy]}
		if old, ok := earlier[key{v.Policy, v.ID}]; ok {
			one.Before = &old
		}
		// The sets are nested, so the first that gained says it.
		for _, members := range v.Members {
			n, sample, err := is.Gained(was, members)
			if err != nil {
				return nil, fmt.Errorf("policy %s: %w", v.Policy, err)
			}
			if n > 0 {
				one.Gained = report.Gained{Total: n, Sample: sample}
				break
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// calicoctlFields are the fields of calicoctl's Node by those of Kubernetes'.
var calicoctlFields = map[string]string{
	"metadata.annotations[" + calico.AnnotationIPv4Address + "]": "spec.bgp.ipv4Address",
	"metadata.annotations[" + calico.AnnotationIPv6Address + "]": "spec.bgp.ipv6Address",
	"metadata.annotations[" + calico.AnnotationASNumber + "]":    "spec.bgp.asNumber",
	"metadata.annotations[" + calico.AnnotationClusterID + "]":   "spec.bgp.routeReflectorClusterID",
}

// sourceOf tells where an object that was read stands.
func sourceOf(l *located) report.Source {
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
