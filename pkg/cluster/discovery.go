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

// discover finds the API group to read Calico's objects from.
func discover(client discoverer) (served, error) {
	for _, group := range groups {
		list, err := client.ServerResourcesForGroupVersion(group.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			// The next group could be the wrong one.
			return served{}, fmt.Errorf("reading the resources of %s: %w", group, err)
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
			return found, nil
		}
		if slices.Contains(found.kinds, calico.KindBGPPeer) {
			return served{}, fmt.Errorf("%s serves no %s", group, strings.Join(missing, ", "))
		}
	}
	return served{}, fmt.Errorf("neither %s serves bgppeers: are Calico's CRDs installed?", strings.Join(calico.APIVersions, " nor "))
}
