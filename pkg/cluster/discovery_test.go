package cluster

import (
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/calico"
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
		"they come first where both are served": {fakeDiscovery{"crd.projectcalico.org/v1": all, "projectcalico.org/v3": {"bgppeers", "bgpconfigurations"}}, "crd.projectcalico.org/v1: BGPConfiguration, BGPPeer, IPPool, BGPFilter, FelixConfiguration, ClusterInformation; projectcalico.org/v3: BGPConfiguration, BGPPeer"},
		"Calico's API server does not answer":   {fakeDiscovery{"crd.projectcalico.org/v1": {"bgppeers", "bgpconfigurations"}, "projectcalico.org/v3": nil}, "crd.projectcalico.org/v1: BGPConfiguration, BGPPeer"},
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
			got := namesOf(found)
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestCheckGroups(t *testing.T) {
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
		"another group is served":    {fakeDiscovery{v1: {"bgppeers", "bgpconfigurations"}, v3: {"bgppeers", "bgpconfigurations"}}, ""},
		"a kind was added":           {fakeDiscovery{v1: {"bgppeers", "bgpconfigurations", "ippools"}}, "the API server now serves Calico's objects as crd.projectcalico.org/v1: BGPConfiguration, BGPPeer, IPPool, was crd.projectcalico.org/v1: BGPConfiguration, BGPPeer: restarting"},
		"tigera-operator was installed": {
			fakeDiscovery{v1: {"bgppeers", "bgpconfigurations"}, calico.APIVersionOperator: {"apiservers", "installations"}},
			"the API server now serves [Installation] as operator.tigera.io/v1, was []: restarting",
		},
		"it cannot tell about tigera-operator": {fakeDiscovery{v1: {"bgppeers", "bgpconfigurations"}, calico.APIVersionOperator: nil}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := &Follower{log: logr.Discard(), discovery: test.served}
			f.found.Store(&found[0])
			next, err := f.checkGroups()
			if err != nil {
				t.Fatalf("ended without a second check: %v", err)
			}
			if want := map[bool]time.Duration{true: groupInterval, false: confirmInterval}[test.want == ""]; next != want {
				t.Errorf("the next check is after %s, want %s", next, want)
			}
			got := ""
			if _, err := f.checkGroups(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// An API server that starts serves the CRDs one after the other.
func TestGroupsThatComeBackEndNothing(t *testing.T) {
	const v1 = "crd.projectcalico.org/v1"
	all := fakeDiscovery{v1: {"bgppeers", "bgpconfigurations", "ippools", "bgpfilters"}}
	found, err := discover(all)
	if err != nil {
		t.Fatal(err)
	}
	f := &Follower{log: logr.Discard()}
	f.found.Store(&found[0])
	for i, served := range []fakeDiscovery{
		{v1: {"bgppeers", "bgpconfigurations"}}, {v1: {"bgppeers", "bgpconfigurations", "ippools"}}, all,
		{v1: {"bgppeers", "bgpconfigurations"}}, {v1: nil}, all, {v1: {"bgppeers", "bgpconfigurations"}},
	} {
		f.discovery = served
		if _, err := f.checkGroups(); err != nil {
			t.Errorf("check %d: %v", i, err)
		}
	}
	if _, err := f.checkGroups(); err == nil {
		t.Error("a kind that is gone for good ends nothing")
	}
}

func TestChooseTheGroupThatCalicoReads(t *testing.T) {
	const absent, unset, locked, ready = "", "unset", "false", "true"
	information := func(state string) *calico.ClusterInformation {
		switch state {
		case absent:
			return nil
		case unset:
			return &calico.ClusterInformation{}
		default:
			return &calico.ClusterInformation{DatastoreReady: new(state == ready)}
		}
	}
	for _, c := range []struct {
		name, v1, v3 string
		live         int
		known        bool
	}{
		{"Calico's API server serves the objects of v1", ready, ready, 0, true},
		{"before the migration", ready, absent, 0, true},
		{"an old ClusterInformation", unset, absent, 0, true},
		{"nothing is installed yet", absent, absent, 0, true},
		{"the migration begins", locked, absent, 0, false},
		{"the migration copies objects", locked, locked, 0, false},
		{"after the migration", locked, ready, 1, true},
		{"the migration was aborted", ready, locked, 0, true},
		{"v1 has CRDs but was never used", absent, ready, 1, true},
		{"v1 was never used, and v3 is locked", absent, locked, 1, true},
	} {
		two := []served{{group: groups[0]}, {group: groups[1]}}
		live, known, err := choose(two, func(group schema.GroupVersion) (*calico.ClusterInformation, error) {
			return information(map[schema.GroupVersion]string{groups[0]: c.v1, groups[1]: c.v3}[group]), nil
		})
		if live != c.live || known != c.known || err != nil {
			t.Errorf("%s: got %d, %v, %v, want %d, %v", c.name, live, known, err, c.live, c.known)
		}
	}
	failed := errors.New("forbidden")
	if _, _, err := choose([]served{{}, {}}, func(schema.GroupVersion) (*calico.ClusterInformation, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("got %v, want an error", err)
	}
	if _, known, err := choose([]served{{}}, nil); !known || err != nil {
		t.Errorf("one group: got %v, %v", known, err)
	}
}
