package state

import "github.com/bgpguard/bgpguard/pkg/calico"

// group says from which API group of Calico a snapshot was read.
type group struct {
	// version is the API version that Calico reads, "" if Calico reads the same objects in all.
	version string
	// other is the state in the other API version, nil unless it is not known which one Calico reads.
	other *Snapshot
}

// ReadFrom returns a copy of the snapshot that was read from the given API version. other is the
// state in the other API version while it is not known which one Calico reads, else nil. An API
// server serves both during Calico's migration to projectcalico.org/v3, and after it until a
// user removes crd.projectcalico.org/v1.
func (s *Snapshot) ReadFrom(apiVersion string, other *Snapshot) *Snapshot {
	if s.orEmpty().group == (group{apiVersion, other}) {
		return s
	}
	n := *s.orEmpty()
	n.group = group{apiVersion, other}
	return &n
}

// APIVersion returns the API version from which the snapshot was read, "" if this is not known
// and does not matter.
func (s *Snapshot) APIVersion() string { return s.orEmpty().group.version }

// Stale reports whether Calico no longer reads the objects of an API version, because it has
// moved them to projectcalico.org/v3. A change of them has no effect.
func (s *Snapshot) Stale(apiVersion string) bool {
	return apiVersion == calico.APIVersionV1 && s.APIVersion() == calico.APIVersionV3 && s.Other() == nil
}

// Other returns the state in the other API version, nil unless it is not known which one Calico
// reads.
func (s *Snapshot) Other() *Snapshot { return s.orEmpty().group.other }
