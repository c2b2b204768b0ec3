package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

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

// ruleset is a version of Calico with other rules than the ones before it, and the releases
// for which it stands; see the package topology.
type ruleset struct{ version, releases string }

var rulesets = []ruleset{
	{"v3.30.0", "releases before v3.31"}, {"v3.31.0", "v3.31"}, {"v3.32.0", "v3.32"}, {"v3.33.0", "releases since v3.33"},
}

func releasesOf(list []ruleset) string {
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = r.releases
	}
	return strings.Join(names, ", ")
}

// of returns s in a cluster with the version.
func (r ruleset) of(s *state.Snapshot) (*state.Snapshot, error) {
	information, err := clusterInformation(r.version)
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
