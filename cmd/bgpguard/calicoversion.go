package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
)

// addVersion adds the flags of the version of Calico and of Typha.
func (o *changeOptions) addVersion(f *pflag.FlagSet) {
	f.StringVar(&o.calicoVersion, "calico-version", "", "`version` of Calico, for example v3.31.2 (default: from the ClusterInformation)")
	f.Var(&o.typha, "typha", state.TyphaUsage)
}

// withVersion returns s with the version of --calico-version, and with --typha. Without the
// version, and if the result depends on a version that s does not have, it returns a note.
func (o *changeOptions) withVersion(ctx context.Context, s *state.Snapshot) (*state.Snapshot, []string, error) {
	if o.typha != state.TyphaUnknown {
		s = s.WithTypha(o.typha)
	}
	if o.calicoVersion != "" {
		information, err := clusterInformation(o.calicoVersion)
		if err != nil {
			return nil, nil, err
		}
		s = s.WithTypha(s.Typha()) // The ClusterInformation that decides is replaced.
		return s.Apply(state.Change{After: information}), nil, nil
	}
	if hasVersion(s) {
		return s, nil, nil
	}
	t, err := topology.Compute(ctx, s, nil)
	if err != nil {
		return nil, nil, err
	}
	differing, err := differingVersions(ctx, s, t)
	if err != nil || len(differing) == 0 {
		return s, nil, err
	}
	return s, []string{fmt.Sprintf("the state does not contain the version of Calico, and sessions, routes or timers differ for %s: set --calico-version", releasesOf(differing))}, nil
}

// ruleset is the versions of Calico with the same rules about BGP: those since a version, and before another one.
type ruleset struct{ since, before *utilversion.Version } // nil without a bound

// rulesets are all versions, in order.
var rulesets = func() []ruleset {
	out := []ruleset{{}}
	for _, v := range calico.Versions() {
		out[len(out)-1].before = v
		out = append(out, ruleset{since: v})
	}
	return out
}()

// String returns the versions in words.
func (r ruleset) String() string {
	switch {
	case r.since == nil && r.before == nil:
		return "all releases"
	case r.since == nil:
		return "releases before " + release(r.before)
	case r.before == nil:
		return "releases since " + release(r.since)
	default:
		return fmt.Sprintf("releases since %s and before %s", release(r.since), release(r.before))
	}
}

// release returns the name of a release without a patch number of 0: "v3.31", "v3.30.2".
func release(v *utilversion.Version) string { return "v" + strings.TrimSuffix(v.String(), ".0") }

// releasesOf lists rulesets, which must be in order. Those that follow each other are one range.
func releasesOf(list []ruleset) string {
	var ranges []ruleset
	for _, r := range list {
		if last := len(ranges) - 1; last >= 0 && ranges[last].before == r.since {
			ranges[last].before = r.before
			continue
		}
		ranges = append(ranges, r)
	}
	names := make([]string, len(ranges))
	for i, r := range ranges {
		names[i] = r.String()
	}
	return strings.Join(names, ", ")
}

// oldest is a version without any of the fields and rules that have come since.
const oldest = "v3.0.0"

// of returns s in a cluster with a version of the ruleset.
func (r ruleset) of(s *state.Snapshot) (*state.Snapshot, error) {
	name := oldest
	if r.since != nil {
		name = "v" + r.since.String()
	}
	information, err := clusterInformation(name)
	if err != nil {
		return nil, err
	}
	return s.Apply(state.Change{After: information}), nil
}

// hasVersion reports whether s has the version of Calico.
func hasVersion(s *state.Snapshot) bool {
	info := s.ClusterInformation()
	return info != nil && info.Version != nil
}

// differingVersions returns the rulesets by which the topology of s, which does not have the
// version of Calico, differs from t. It computes a topology for each of them, from t.
func differingVersions(ctx context.Context, s *state.Snapshot, t *topology.Topology) ([]ruleset, error) {
	var out []ruleset
	a := t.Summary()
	for _, r := range rulesets {
		versioned, err := r.of(s)
		if err != nil {
			return nil, err
		}
		other, err := topology.Compute(ctx, versioned, t, t.Transit()...)
		if err != nil {
			return nil, err
		}
		// Compute shares the parts of the summary that are equal.
		if b := other.Summary(); a.Mesh != b.Mesh || a.Reflectors != b.Reflectors || a.Sessions != b.Sessions || a.Routes != b.Routes ||
			a.Convergence != b.Convergence || a.PodTraffic != b.PodTraffic || a.Timers != b.Timers {
			out = append(out, r)
		}
	}
	return out, nil
}

// clusterInformation returns the ClusterInformation of a cluster with that version of Calico.
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
