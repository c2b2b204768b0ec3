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

// discoverer is the part of a discovery client that is needed here.
type discoverer interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// groups lists where Calico's objects may be, the one that calico-node reads
// first: where crd.projectcalico.org is served, projectcalico.org is an
// aggregated API over the same objects, or a migration that is not done yet.
var groups = []schema.GroupVersion{
	{Group: calico.GroupV1, Version: "v1"},
	{Group: calico.GroupV3, Version: "v3"},
}

// resource is where the objects of a kind are.
type resource struct {
	kind     calico.Kind
	name     string
	required bool
}

// resources names the kinds to read from such a group and their resources.
// Without the first two there is nothing to guard; the others were added to
// Calico over time or belong to parts that may be missing.
var resources = []resource{
	{calico.KindBGPConfiguration, "bgpconfigurations", true},
	{calico.KindBGPPeer, "bgppeers", true},
	{calico.KindIPPool, "ippools", false},
	{calico.KindBGPFilter, "bgpfilters", false},
	{calico.KindFelixConfiguration, "felixconfigurations", false},
	{calico.KindClusterInformation, "clusterinformations", false},
	{calico.KindCalicoNodeStatus, "caliconodestatuses", false},
}

// served is what an API server offers of Calico.
type served struct {
	group schema.GroupVersion
	kinds []calico.Kind
}

func (s served) equal(other served) bool {
	return s.group == other.group && slices.Equal(s.kinds, other.kinds)
}

// String gives "group/version: Kind, Kind".
func (s served) String() string {
	kinds := make([]string, len(s.kinds))
	for i, kind := range s.kinds {
		kinds[i] = string(kind)
	}
	return s.group.String() + ": " + strings.Join(kinds, ", ")
}

// discover finds the group to read Calico's objects from.
func discover(client discoverer) (served, error) {
	for _, group := range groups {
		list, err := client.ServerResourcesForGroupVersion(group.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			// Going on to the next group could pick the wrong one.
			return served{}, fmt.Errorf("asking what %s serves: %w", group, err)
		}
		found := served{group: group}
		var missing []string
		for _, r := range resources {
			if slices.ContainsFunc(list.APIResources, func(a metav1.APIResource) bool { return a.Name == r.name }) {
				found.kinds = append(found.kinds, r.kind)
			} else if r.required {
				missing = append(missing, r.name)
			}
		}
		if missing == nil {
			return found, nil
		}
		if slices.Contains(found.kinds, calico.KindBGPPeer) {
			return served{}, fmt.Errorf("%s serves no %s", group, strings.Join(missing, ", "))
		}
	}
	return served{}, fmt.Errorf("neither %s nor %s serves bgppeers: are Calico's CRDs installed?", groups[0], groups[1])
}
