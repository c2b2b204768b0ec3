package violation

import (
	"slices"
	"testing"
)

func TestFieldsAreThoseOfTheObject(t *testing.T) {
	peer, node := Object{Kind: "BGPPeer", Name: "a"}, Object{Kind: "Node", Name: "a"}
	v := Violation{Objects: append(Subjects(node), Subject{Object: peer, Fields: []string{"spec.peerSelector", "spec.asNumber"}})}
	for name, c := range map[string]struct {
		object   Object
		concerns bool
		fields   []string
	}{
		"with fields":    {peer, true, []string{"spec.peerSelector", "spec.asNumber"}},
		"without fields": {node, true, nil},
		"another object": {Object{Kind: "BGPPeer", Name: "b"}, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := v.Fields(c.object); !slices.Equal(got, c.fields) || v.Concerns(c.object) != c.concerns {
				t.Errorf("got %q, concerns %v, want %q, %v", got, v.Concerns(c.object), c.fields, c.concerns)
			}
		})
	}
}

func TestSee(t *testing.T) {
	for name, c := range map[string]struct {
		links []string
		want  string
	}{
		"no link":                {nil, ""},
		"no link that is known":  {[]string{"", ""}, ""},
		"one":                    {[]string{"a"}, "See a"},
		"one for two violations": {[]string{"a", "", "a"}, "See a"},
		"two":                    {[]string{"b", "a"}, "See b and a"},
		"three":                  {[]string{"a", "b", "a", "c"}, "See a, b and c"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := See(c.links...); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTheLinkComesBehindTheMessage(t *testing.T) {
	v := Violation{Message: "m"}
	if got := v.Text(); got != "m" {
		t.Errorf("without a link: %q", got)
	}
	if v.Link = "https://example.com"; v.Text() != "m (https://example.com)" {
		t.Errorf("with one: %q", v.Text())
	}
}
