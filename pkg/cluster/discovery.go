package cluster

import (
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// discoverer is the part of a discovery client that discover uses.
type discoverer interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// groups are calico.APIVersions, in order of precedence.
var groups = func() []schema.GroupVersion {
	out := make([]schema.GroupVersion, len(calico.APIVersions))
	for i, version := range calico.APIVersions {
		group, v, _ := strings.Cut(version, "/")
		out[i] = schema.GroupVersion{Group: group, Version: v}
	}
	return out
}()

// groupVersion returns the API version that serves a kind. calicos is the one that serves Calico's.
func groupVersion(kind calico.Kind, calicos schema.GroupVersion) schema.GroupVersion {
	group, version, ok := strings.Cut(kind.Info().APIVersion(calicos.String()), "/")
	if !ok {
		group, version = "", group
	}
	return schema.GroupVersion{Group: group, Version: version}
}

// served is the API group in which an API server serves Calico's objects, and its kinds.
type served struct {
	group schema.GroupVersion
	kinds []calico.Kind
}

func (s served) equal(other served) bool {
	return s.group == other.group && slices.Equal(s.kinds, other.kinds)
}

// String returns "group/version: Kind, Kind".
func (s served) String() string {
	kinds := make([]string, len(s.kinds))
	for i, kind := range s.kinds {
		kinds[i] = string(kind)
	}
	return s.group.String() + ": " + strings.Join(kinds, ", ")
}

// namesOf joins the texts of groups.
func namesOf(groups []served) string {
	out := make([]string, len(groups))
	for i, group := range groups {
		out[i] = group.String()
	}
	return strings.Join(out, "; ")
}

// discover returns the API groups that serve Calico's objects, in order of precedence: one, or
// both of calico.APIVersions. If an error is about the first one, the next one could be the wrong
// one.
func discover(client discoverer) ([]served, error) {
	var out []served
	for _, group := range groups {
		list, err := client.ServerResourcesForGroupVersion(group.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil && len(out) > 0 { // Calico's API server does not answer.
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the resources of %s: %w", group, err)
		}
		found := served{group: group}
		var missing []string
		for _, info := range calico.Kinds() {
			switch {
			case !info.Calico:
			case slices.ContainsFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == info.Resource }):
				found.kinds = append(found.kinds, info.Kind)
			case info.Need == calico.Required:
				missing = append(missing, info.Resource)
			}
		}
		if missing == nil {
			out = append(out, found)
		} else if slices.Contains(found.kinds, calico.KindBGPPeer) && len(out) == 0 {
			return nil, fmt.Errorf("%s serves no %s", group, strings.Join(missing, ", "))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("neither %s serves bgppeers: are Calico's CRDs installed?", strings.Join(calico.APIVersions, " nor "))
	}
	return out, nil
}

// discoverOperator returns the kinds that tigera-operator's API group serves, none if the cluster
// does not have it.
func discoverOperator(client discoverer) ([]calico.Kind, error) {
	list, err := client.ServerResourcesForGroupVersion(calico.APIVersionOperator)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the resources of %s: %w", calico.APIVersionOperator, err)
	}
	var out []calico.Kind
	for _, info := range calico.Kinds() {
		if info.Operator && slices.ContainsFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == info.Resource }) {
			out = append(out, info.Kind)
		}
	}
	return out, nil
}

// choose returns the number of the API group in groups that Calico reads. If both are served, v3
// is an aggregated API over the objects of v1, or native CRDs that replace them. Calico's
// migration to native CRDs locks the ClusterInformation of v1 (datastoreReady: false), copies all
// objects, and then unlocks that of v3 only
// (kube-controllers/pkg/controllers/migration/controller.go, since v3.32). known is false while both
// are locked: Calico then uses what it read last. information returns the ClusterInformation of
// a group, nil if there is none.
func choose(groups []served, information func(schema.GroupVersion) (*calico.ClusterInformation, error)) (live int, known bool, err error) {
	if len(groups) == 1 {
		return 0, true, nil
	}
	v1, err := information(groups[0].group)
	if err != nil {
		return 0, false, err
	}
	if v1 != nil && (v1.DatastoreReady == nil || *v1.DatastoreReady) {
		return 0, true, nil
	}
	v3, err := information(groups[1].group)
	if err != nil {
		return 0, false, err
	}
	switch {
	case v3 != nil && (v1 == nil || v3.DatastoreReady != nil && *v3.DatastoreReady):
		return 1, true, nil
	case v1 == nil: // Calico has not started yet.
		return 0, true, nil
	default:
		return 0, false, nil
	}
}
