package manifest

import (
	"slices"
	"testing"
)

func TestTags(t *testing.T) {
	docs, err := Parse("f.yaml", []byte(`# a comment
---
apiVersion: v1
kind: List
items:
- kind: BGPPeer
  apiVersion: projectcalico.org/v3
  metadata:
    annotations: {a.b/c: !x y}
  spec:
    nodeSelector: !has(edge)
    peerSelector: "!has(edge)"
    node: !!str 1
    filters: [a, !b ]
    again: &a !c
    alias: *a
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tag := range docs[0].Tags() {
		got = append(got, tag.Error())
	}
	const because = ", because an unquoted ! starts a YAML tag "
	want := []string{
		`f.yaml:9: metadata.annotations[a.b/c]: the value is "y"` + because + `(!x); write it in quotes: "!x y"`,
		`f.yaml:11: spec.nodeSelector: the value is empty` + because + `(!has(edge)); write it in quotes: "!has(edge)"`,
		`f.yaml:14: spec.filters[1]: the value is empty` + because + `(!b); write it in quotes: "!b"`,
		`f.yaml:15: spec.again: the value is empty` + because + `(!c); write it in quotes: "!c"`,
		`f.yaml:15: spec.alias: the value is empty` + because + `(!c); write it in quotes: "!c"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if spec := docs[0].Object["spec"].(map[string]any); spec["nodeSelector"] != "" {
		t.Errorf("the selector is %v: the value is no longer empty", spec["nodeSelector"])
	}
}
