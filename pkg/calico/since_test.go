package calico_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
)

func TestInVersion(t *testing.T) {
	rule := func(extra calicotest.Spec) calicotest.Spec {
		out := calicotest.Spec{"action": "Accept", "cidr": "10.0.0.0/8", "matchOperator": "In"}
		maps.Copy(out, extra)
		return out
	}
	communities := calicotest.Spec{"values": []any{"70000:1"}}
	for name, test := range map[string]struct {
		kind    calico.Kind
		spec    calicotest.Spec
		version string
		dropped string // the fields, in order
		want    calicotest.Spec
	}{
		"conditions of rules": {
			calico.KindBGPFilter,
			calicotest.Spec{"exportV4": []any{rule(nil), rule(calicotest.Spec{"communities": communities, "priority": 5})}, "importV6": []any{rule(calicotest.Spec{"peerType": "eBGP"})}},
			"v3.31.2", "spec.exportV4[1].communities spec.exportV4[1].priority spec.importV6[0].peerType",
			calicotest.Spec{"exportV4": []any{rule(nil), rule(nil)}, "importV6": []any{rule(nil)}},
		},
		"an older version": {
			calico.KindBGPFilter, calicotest.Spec{"exportV4": []any{rule(calicotest.Spec{"interface": "eth0", "prefixLength": calicotest.Spec{"min": 16}})}},
			"v3.28.0", "spec.exportV4[0].prefixLength", calicotest.Spec{"exportV4": []any{rule(calicotest.Spec{"interface": "eth0"})}},
		},
		"the version that added the field": {
			calico.KindBGPFilter, calicotest.Spec{"exportV4": []any{rule(calicotest.Spec{"communities": communities})}}, "v3.32.0", "", nil,
		},
		"an unknown version": {
			calico.KindBGPFilter, calicotest.Spec{"exportV4": []any{rule(calicotest.Spec{"communities": communities})}}, "", "", nil,
		},
		"a patch release":                          {calico.KindBGPPeer, calicotest.Spec{"peerSelector": "all()", "reversePeering": "Manual"}, "v3.30.2", "spec.reversePeering", calicotest.Spec{"peerSelector": "all()"}},
		"a field of no version that is not a list": {calico.KindBGPFilter, calicotest.Spec{"exportV4": "none", "extra": 1}, "v3.26.0", "", nil},
		"null": {calico.KindBGPPeer, calicotest.Spec{"peerSelector": "all()", "keepaliveTime": nil}, "v3.31.0", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var v *version.Version
			if test.version != "" {
				v = version.MustParseGeneric(test.version)
			}
			o := calicotest.Object(t, test.kind, "a", test.spec)
			read := calico.InVersion(o, v)
			if test.dropped == "" {
				if read != o {
					t.Errorf("read as %v", read)
				}
				return
			}
			want := calicotest.Object(t, test.kind, "a", test.want)
			if got := calico.MetadataOf(read).Spec; !reflect.DeepEqual(got, calico.MetadataOf(want).Spec) {
				t.Errorf("got  %v\nwant %v", got, calico.MetadataOf(want).Spec)
			}
			var fields []string
			for _, p := range read.Problems() {
				if strings.Contains(p.Message, "ignores it") {
					fields = append(fields, p.Field)
				}
			}
			if got := strings.Join(fields, " "); got != test.dropped {
				t.Errorf("problems of %s, want of %s", got, test.dropped)
			}
			switch {
			case calico.Whole(read) != o, calico.InVersion(read, nil) != o, calico.InVersion(o, v) != read:
				t.Error("the object with all fields is lost, or read again")
			case calico.Equal(read, want), calico.Equal(read, o), !calico.Equal(read, calico.InVersion(calicotest.Object(t, test.kind, "a", test.spec), v)):
				t.Error("it is equal to an object without the fields")
			case !reflect.DeepEqual(calico.Manifest(read)["spec"], calico.Manifest(o)["spec"]):
				t.Errorf("its manifest is %v", calico.Manifest(read))
			}
		})
	}
}

// Values of fields that a version does not have are not written into its files.
func TestAVersionRejectsNoFieldThatItDoesNotHave(t *testing.T) {
	f := calicotest.Object(t, calico.KindBGPFilter, "f", calicotest.Spec{"exportV4": []any{
		map[string]any{"action": "Accept", "operations": []any{map[string]any{}}},
		map[string]any{"action": "Maybe"},
	}})
	rejected := func(v string) []string {
		read, _ := calico.InVersion(f, version.MustParseGeneric(v)).(*calico.BGPFilter)
		var out []string
		for _, r := range read.Rejected(calico.IPv4) {
			out = append(out, r.Field)
		}
		return out
	}
	for v, want := range map[string][]string{
		"3.31.0": {"spec.exportV4[1].action"}, "3.32.0": {"spec.exportV4[0].operations[0]", "spec.exportV4[1].action"},
	} {
		if got := rejected(v); !slices.Equal(got, want) {
			t.Errorf("v%s rejects %q, want %q", v, got, want)
		}
	}
}
