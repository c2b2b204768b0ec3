package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

func unparsed(kind calico.Kind, name string) *calico.Unparsed {
	return calico.NewUnparsed(calico.ID{Kind: kind, Name: name}, errors.New("spec: must be an object"))
}

func unreadOf(s *Snapshot) string {
	var out []string
	for _, u := range s.Unread() {
		out = append(out, u.ID().String())
	}
	return strings.Join(out, ", ")
}

func TestUnread(t *testing.T) {
	mesh, bad := calicotest.Mesh(t, false), unparsed(calico.KindBGPConfiguration, calico.Default)
	s := New(mesh, unparsed(calico.KindIPPool, "b"), unparsed(calico.KindIPPool, "a"), unparsed(calico.KindCalicoNodeStatus, "c"))
	if got := unreadOf(s); got != "IPPool a, IPPool b" {
		t.Errorf("a new snapshot has %s", got)
	}
	if got := unreadOf(New(bad, mesh)) + ";" + unreadOf(New(mesh, bad)); got != ";BGPConfiguration default" {
		t.Errorf("of two objects of one ID, the later one counts: %s", got)
	}
	broken := s.Apply(Change{Before: mesh, After: bad})
	if broken.BGPConfiguration(calico.Default) != nil || broken.Get(mesh.ID()) != calico.Object(bad) || unreadOf(broken) != "BGPConfiguration default, IPPool a, IPPool b" {
		t.Errorf("after a change to an object that does not parse: %v, %s", broken.Get(mesh.ID()), unreadOf(broken))
	}
	for name, c := range map[string]Change{"an update": {Before: bad, After: mesh}, "a create": {After: mesh}} {
		if fixed := broken.Apply(c); fixed.Get(mesh.ID()) != calico.Object(mesh) || unreadOf(fixed) != unreadOf(s) {
			t.Errorf("%s: %v, %s", name, fixed.Get(mesh.ID()), unreadOf(fixed))
		}
	}
	if deleted := broken.Apply(Change{Before: bad}); deleted.Get(mesh.ID()) != nil || unreadOf(deleted) != unreadOf(s) {
		t.Errorf("a delete: %v, %s", deleted.Get(mesh.ID()), unreadOf(deleted))
	}
	if broken.Apply(Change{Before: bad, After: unparsed(calico.KindBGPConfiguration, calico.Default)}) != broken {
		t.Error("an equal object is a change")
	}
	if live := broken.Live(nil); unreadOf(live) != unreadOf(broken) {
		t.Errorf("the live state has %s", unreadOf(live))
	}
}

func TestUnreadObjectsArePartOfTheConfiguration(t *testing.T) {
	s := New(calicotest.Mesh(t, false))
	broken := s.Apply(Change{After: unparsed(calico.KindIPPool, "a")})
	if SameConfiguration(s, broken) {
		t.Error("an unread object makes no difference")
	}
	if status := unparsed(calico.KindCalicoNodeStatus, "a"); !SameConfiguration(broken, broken.Apply(Change{After: status})) {
		t.Error("an observation that does not parse makes a difference")
	}
	changes := Difference(s, broken)
	if len(changes) != 1 || changes[0].Before != nil || !calico.IsUnparsed(changes[0].After) {
		t.Errorf("the difference is %v", changes)
	}
	pool := calicotest.IPPool(t, "a", map[string]any{"cidr": "10.0.0.0/16"})
	changes = Difference(broken, broken.Apply(Change{After: pool}).Apply(Change{After: calicotest.IPPool(t, "0", map[string]any{"cidr": "10.1.0.0/16"})}))
	if len(changes) != 2 || changes[0].ID().Name != "0" || !calico.IsUnparsed(changes[1].Before) || changes[1].After != calico.Object(pool) {
		t.Errorf("the difference is %v", changes)
	}
	if n := len(Difference(broken, broken)); n != 0 {
		t.Errorf("%d changes between equal states", n)
	}
}
