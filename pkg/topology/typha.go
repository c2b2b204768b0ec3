package topology

import (
	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/state"
)

// Typha describes the objects that Calico's validator rejects. Where Calico reads its objects
// through Typha, they are missing for it.
type Typha struct {
	// Installed is nil if it is not known whether Typha is installed, also in a state that
	// assumes it.
	Installed *bool `json:"installed"`
	// Dropped describes the rejected objects, by kind. It is empty if Typha is not installed.
	// The rest of the summary lacks these objects if Typha is installed or assumed.
	Dropped map[calico.Kind]*Dropped `json:"dropped"`
}

// Dropped describes the objects of one kind that Typha drops.
type Dropped struct {
	Objects int `json:"objects"`
	// Sample describes the first objects, by name.
	Sample []DroppedObject `json:"sample"`
}

// DroppedObject is an object that Typha drops.
type DroppedObject struct {
	Name string `json:"name"`
	// Fields are the first fields that Calico's validator rejects.
	Fields []RejectedField `json:"fields"`
}

// RejectedField is a field that Calico's validator rejects, and the reason.
type RejectedField struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// typhaOf returns the part of the summary about Typha. O(rejected objects).
func typhaOf(s *state.Snapshot) *Typha {
	out := &Typha{Dropped: map[calico.Kind]*Dropped{}}
	switch {
	case s.Typha() == state.TyphaInstalled:
		out.Installed = new(true)
	case s.Typha() == state.TyphaAbsent:
		out.Installed = new(false)
		return out
	}
	for _, o := range s.Rejected() {
		d := out.Dropped[o.ID().Kind]
		if d == nil {
			d = &Dropped{Sample: []DroppedObject{}}
			out.Dropped[o.ID().Kind] = d
		}
		d.Objects++
		if len(d.Sample) >= SampleSize {
			continue
		}
		one := DroppedObject{Name: o.ID().Name}
		for _, p := range s.Rejections(o) {
			if len(one.Fields) < SampleSize {
				one.Fields = append(one.Fields, RejectedField{p.Field, p.Message})
			}
		}
		d.Sample = append(d.Sample, one)
	}
	return out
}
