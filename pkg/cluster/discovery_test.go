package cluster

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/go-logr/logr"
)

// fakeDiscovery maps a group and version to the resources it serves.
type fakeDiscovery map[string][]string

func (d fakeDiscovery) ServerResourcesForGroupVersion(gv string) (*metav1.APIResourceList, error) {
	names, ok := d[gv]
	if !ok {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, gv)
	}
	if names == nil {
		return nil, errors.New("the server is currently unable to handle the request")
	}
	list := &metav1.APIResourceList{}
	for _, name := range names {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: name})
	}
	return list, nil
}

var all = []string{"bgppeers", "bgpconfigurations", "ippools", "bgpfilters", "felixconfigurations", "clusterinformations"}

func TestDiscover(t *testing.T) {
	tests := map[string]struct {
		served fakeDiscovery
		want   string
	}{
		"the CRDs that calico-node reads":       {fakeDiscovery{"crd.projectcalico.org/v1": all}, "crd.projectcalico.org/v1: BGPConfiguration, BGPPeer, IPPool, BGPFilter, FelixConfiguration, ClusterInformation"},
		"they come first where both are served": {fakeDiscovery{"crd.projectcalico.org/v1": all, "projectcalico.org/v3": all}, "crd.projectcalico.org/v1: BGPConfiguration, BGPPeer, IPPool, BGPFilter, FelixConfiguration, ClusterInformation"},
		"newer Calico without the old CRDs":     {fakeDiscovery{"projectcalico.org/v3": all}, "projectcalico.org/v3: BGPConfiguration, BGPPeer, IPPool, BGPFilter, FelixConfiguration, ClusterInformation"},
		"old CRDs of which only some are left":  {fakeDiscovery{"crd.projectcalico.org/v1": {"ippools"}, "projectcalico.org/v3": all}, "projectcalico.org/v3: BGPConfiguration, BGPPeer, IPPool, BGPFilter, FelixConfiguration, ClusterInformation"},
		"a kind that is not there is left out":  {fakeDiscovery{"crd.projectcalico.org/v1": {"bgppeers", "bgpconfigurations"}}, "crd.projectcalico.org/v1: BGPConfiguration, BGPPeer"},
		"statuses are read where they are":      {fakeDiscovery{"crd.projectcalico.org/v1": {"caliconodestatuses", "bgppeers", "bgpconfigurations"}}, "crd.projectcalico.org/v1: BGPConfiguration, BGPPeer, CalicoNodeStatus"},
		"a kind that must be there is missing":  {fakeDiscovery{"crd.projectcalico.org/v1": {"bgppeers"}}, "crd.projectcalico.org/v1 serves no bgpconfigurations"},
		"Calico is not installed":               {fakeDiscovery{}, "neither crd.projectcalico.org/v1 nor projectcalico.org/v3 serves bgppeers: are Calico's CRDs installed?"},
		"the API server cannot tell":            {fakeDiscovery{"crd.projectcalico.org/v1": nil, "projectcalico.org/v3": all}, "reading the resources of crd.projectcalico.org/v1: the server is currently unable to handle the request"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			found, err := discover(test.served)
			got := found.String()
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestCheckGroup(t *testing.T) {
	const v1, v3 = "crd.projectcalico.org/v1", "projectcalico.org/v3"
	found, err := discover(fakeDiscovery{v1: {"bgppeers", "bgpconfigurations"}})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		served fakeDiscovery
		want   string
	}{
		"nothing changed":            {fakeDiscovery{v1: {"bgppeers", "bgpconfigurations"}}, ""},
		"the API server cannot tell": {fakeDiscovery{v1: nil}, ""},
		"the objects moved":          {fakeDiscovery{v3: {"bgppeers", "bgpconfigurations"}}, "the API server now serves Calico's objects as projectcalico.org/v3: BGPConfiguration, BGPPeer, was crd.projectcalico.org/v1: BGPConfiguration, BGPPeer: restarting"},
		"a kind was added":           {fakeDiscovery{v1: {"bgppeers", "bgpconfigurations", "ippools"}}, "the API server now serves Calico's objects as crd.projectcalico.org/v1: BGPConfiguration, BGPPeer, IPPool, was crd.projectcalico.org/v1: BGPConfiguration, BGPPeer: restarting"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := &Follower{log: logr.Discard(), discovery: test.served}
			got := ""
			if err := f.checkGroup(found); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
