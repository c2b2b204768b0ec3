package state

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

// Typha says whether Calico reads its objects through Typha, which drops those that Calico's
// validator rejects.
type Typha int

const (
	// TyphaUnknown means that the state does not show whether Typha is installed.
	TyphaUnknown Typha = iota
	// TyphaInstalled means that Typha is installed.
	TyphaInstalled
	// TyphaAbsent means that Typha is not installed.
	TyphaAbsent
)

// typhaTexts are the values of a flag that says whether Typha is installed.
var typhaTexts = map[Typha]string{TyphaUnknown: "auto", TyphaInstalled: "yes", TyphaAbsent: "no"}

// String returns "auto", "yes" or "no".
func (t *Typha) String() string { return typhaTexts[*t] }

// Set implements pflag.Value. It accepts the texts of String.
func (t *Typha) Set(text string) error {
	for value, name := range typhaTexts {
		if text == name {
			*t = value
			return nil
		}
	}
	return fmt.Errorf("must be auto, yes or no, is %q", text)
}

// Type implements pflag.Value.
func (t *Typha) Type() string { return "auto|yes|no" }

// TyphaUsage describes a flag with a Typha as value.
const TyphaUsage = "whether Calico reads its objects through Typha, which drops those that Calico's validator rejects: yes, no, or auto, by the clusterType of the ClusterInformation"

// typha is how a snapshot reads its objects.
type typha struct {
	// set is what WithTypha set. assumed is true for a snapshot of AssumingTypha.
	set     Typha
	assumed bool
	// rejected are the objects that Calico's validator rejects, sorted by kind and name. If
	// the snapshot drops them, the lists do not contain them.
	rejected []calico.Object
}

// Typha reports whether Typha is installed: what WithTypha set, else what the
// ClusterInformation says.
func (s *Snapshot) Typha() Typha {
	if s == nil {
		return TyphaUnknown
	}
	if s.typha.set != TyphaUnknown {
		return s.typha.set
	}
	if c := s.ClusterInformation(); c != nil && c.Typha {
		return TyphaInstalled
	}
	return TyphaUnknown
}

// Drops reports whether the lists of the snapshot lack the objects that Typha drops, because
// Typha is installed or assumed.
func (s *Snapshot) Drops() bool {
	return s != nil && (s.typha.assumed || s.Typha() == TyphaInstalled)
}

// Rejected returns the objects that Calico's validator rejects, sorted by kind and name. Get
// returns them also if the snapshot drops them. The list must not be changed.
func (s *Snapshot) Rejected() []calico.Object { return s.orEmpty().typha.rejected }

// Rejections returns what the validator of the snapshot's version of Calico rejects in an object,
// nothing for nil; see calico.ValidatorRejections.
func (s *Snapshot) Rejections(o calico.Object) []calico.Problem {
	if o == nil {
		return nil
	}
	return calico.ValidatorRejections(o, s.calicoVersion())
}

func (s *Snapshot) rejects(o calico.Object) bool { return len(s.Rejections(o)) > 0 }

// calicoVersion returns the version in the ClusterInformation, nil if it is unknown.
func (s *Snapshot) calicoVersion() *version.Version {
	if c := s.ClusterInformation(); c != nil {
		return c.Version
	}
	return nil
}

// WithTypha returns a copy of the snapshot for which Typha returns t, or what the
// ClusterInformation says if t is TyphaUnknown. O(n) if this changes what it drops.
func (s *Snapshot) WithTypha(t Typha) *Snapshot {
	if s.orEmpty().typha.set == t {
		return s
	}
	n := *s.orEmpty()
	n.typha.set = t
	n.reread(s)
	return &n
}

// AssumingTypha returns the snapshot as Calico reads it if Typha is installed: without the
// objects that Calico's validator rejects. It returns s if it is known whether Typha is installed.
// Apply keeps the assumption. O(rejected objects x list).
func (s *Snapshot) AssumingTypha() *Snapshot {
	if s.Typha() != TyphaUnknown || s.orEmpty().typha.assumed {
		return s
	}
	n := *s.orEmpty()
	n.typha.assumed = true
	for _, o := range n.typha.rejected {
		i := o.ID().Kind.Index()
		n.lists[i] = n.lists[i].With(o.ID().Name, nil)
	}
	return &n
}

// TyphaMatters reports whether AssumingTypha could give another state than s, before or after
// changes of it: it is not known whether Typha is installed, and it would drop an object. O(changes).
func (s *Snapshot) TyphaMatters(changes ...Change) bool {
	return s.Typha() == TyphaUnknown && !s.orEmpty().typha.assumed &&
		(len(s.Rejected()) > 0 || slices.ContainsFunc(changes, func(c Change) bool { return s.rejects(c.Before) || s.rejects(c.After) }))
}

// readInVersion reads the objects in the lists as the snapshot's version of Calico does. O(n).
func (s *Snapshot) readInVersion() {
	v := s.calicoVersion()
	for i, info := range calico.Kinds() {
		if info.Calico {
			s.lists[i] = s.lists[i].Map(func(o calico.Object) calico.Object { return calico.InVersion(o, v) })
		}
	}
}

// reread reads the objects and finds the rejected ones again if they depend on what differs from
// before: the version of Calico, or whether the snapshot drops them. O(n) in that case.
func (s *Snapshot) reread(before *Snapshot) {
	drops, dropped := s.Drops(), before.Drops()
	if now, then := s.calicoVersion(), before.calicoVersion(); drops == dropped && (now == then || now != nil && then != nil && now.EqualTo(then)) {
		return
	}
	if dropped {
		for _, o := range s.typha.rejected {
			i := o.ID().Kind.Index()
			s.lists[i] = s.lists[i].With(o.ID().Name, o)
		}
	}
	s.readInVersion()
	s.reject()
}

// reject finds the rejected objects in the lists, and removes them from the lists if the
// snapshot drops them. O(n).
func (s *Snapshot) reject() {
	drops := s.Drops()
	var rejected []calico.Object
	for i := range s.lists {
		s.lists[i] = s.lists[i].Without(func(o calico.Object) bool {
			found := s.rejects(o)
			if found {
				rejected = append(rejected, o)
			}
			return found && drops
		})
	}
	slices.SortFunc(rejected, func(a, b calico.Object) int { return compareIDs(a.ID(), b.ID()) })
	s.typha.rejected = slices.CompactFunc(rejected, func(a, b calico.Object) bool { return a.ID() == b.ID() })
}

// put replaces the object with the given ID by o, nil for none, among the rejected objects and
// in its list.
func (s *Snapshot) put(id calico.ID, o calico.Object) {
	i, found := slices.BinarySearchFunc(s.typha.rejected, id, func(o calico.Object, id calico.ID) int { return compareIDs(o.ID(), id) })
	end := i
	if found {
		end++
	}
	var middle []calico.Object
	if s.rejects(o) {
		middle = []calico.Object{o}
	}
	if found || middle != nil {
		s.typha.rejected = slices.Concat(s.typha.rejected[:i], middle, s.typha.rejected[end:])
	}
	if middle != nil && s.Drops() {
		o = nil
	}
	if list := &s.lists[id.Kind.Index()]; o != nil || (*list).Get(id.Name) != nil {
		*list = (*list).With(id.Name, o)
	}
}

// droppedObject returns the object with the given ID if the snapshot drops it, else nil.
func (s *Snapshot) droppedObject(id calico.ID) calico.Object {
	if rejected := s.Rejected(); len(rejected) > 0 && s.Drops() {
		if i, found := slices.BinarySearchFunc(rejected, id, func(o calico.Object, id calico.ID) int { return compareIDs(o.ID(), id) }); found {
			return rejected[i]
		}
	}
	return nil
}

// sameTypha reports whether two snapshots read their objects in the same way, and reject the
// same ones. O(rejected objects).
func sameTypha(a, b *Snapshot) bool {
	return a.Typha() == b.Typha() && a.Drops() == b.Drops() && slices.Equal(a.typha.rejected, b.typha.rejected)
}
