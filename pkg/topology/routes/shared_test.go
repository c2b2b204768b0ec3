package routes

import (
	"fmt"
	"strings"
	"testing"
)

// TestAdvertise verifies which sessions with external peers carry routes that several nodes
// originate: "a own" if those of speaker a carry its own route, "a learned" if they carry one of
// another node.
func TestAdvertise(t *testing.T) {
	reflector := speaker{name: "r", cluster: "1"}
	names := func(list ...string) map[string]bool {
		out := map[string]bool{}
		for _, name := range list {
			out[name] = true
		}
		return out
	}
	reject := Policy{Export: Terms{{{Learned: true}}}}
	tests := map[string]struct {
		network         *network
		origins, passes map[string]bool // nil passes: all with external peers originate a route
		policies        []Policy        // the last one is that of sessions with external peers
		rejected        bool
		want            string
	}{
		"own routes": {
			&network{speakers: speakers("a", "b"), links: []link{{a: "a", b: "b"}}, external: []external{{name: "a", asn: 65001}}},
			names("a", "b"), nil, nil, false, "a own",
		},
		"a node passes learned routes on over eBGP": {
			&network{speakers: speakers("a", "b"), links: []link{{a: "a", b: "b"}}, external: []external{{name: "a", asn: 65001}}},
			names("b"), names("a"), nil, false, "a learned",
		},
		"it does not without a permission": {
			&network{speakers: speakers("a", "b"), links: []link{{a: "a", b: "b"}}, external: []external{{name: "a", asn: 65001}}},
			names("b"), names(), nil, false, "",
		},
		"nor over iBGP, unless it is a route reflector": {
			&network{speakers: speakers("a", "b"), links: []link{{a: "a", b: "b"}}, external: []external{{name: "a", asn: 64512}}},
			names("b"), names("a"), nil, false, "",
		},
		"a route reflector over iBGP": {
			&network{speakers: []speaker{reflector, {name: "b"}}, links: []link{{a: "r", b: "b"}}, external: []external{{name: "r", asn: 64512}}},
			names("b"), names("r"), nil, false, "r learned",
		},
		"routes cross a node without routes only if it passes them on": {
			&network{
				speakers: []speaker{{name: "a"}, reflector, {name: "b"}}, links: []link{{a: "a", b: "r"}, {a: "r", b: "b"}},
				external: []external{{name: "b", asn: 65001}},
			},
			names("a"), names("b"), nil, false, "",
		},
		"and they cross one that originates one too": {
			&network{
				speakers: []speaker{{name: "a"}, reflector, {name: "b"}}, links: []link{{a: "a", b: "r"}, {a: "r", b: "b"}},
				external: []external{{name: "b", asn: 65001}},
			},
			names("a", "r"), names("b"), nil, false, "b learned",
		},
		"the nodes of a speaker that originate routes, and others": {
			&network{
				speakers: []speaker{{name: "a", nodes: 2}}, links: []link{{a: "a", b: "a"}}, external: []external{{name: "a", asn: 65001}},
			},
			names("a"), names("a"), nil, false, "a own, a learned",
		},
		"a policy rejects learned routes": {
			&network{
				speakers: []speaker{{name: "a", nodes: 2}}, links: []link{{a: "a", b: "a"}}, external: []external{{name: "a", asn: 65001}},
			},
			names("a"), names("a"), []Policy{{}, reject}, false, "a own",
		},
		"a policy accepts what nodes do not export": {
			&network{speakers: speakers("a"), external: []external{{name: "a", asn: 65001}}},
			names("a"), nil, []Policy{{}, {Export: Terms{{{Accept: true}}}}}, true, "a own",
		},
		"what nodes do not export": {
			&network{speakers: speakers("a"), external: []external{{name: "a", asn: 65001}}}, names("a"), nil, nil, true, "",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := tc.network.graph()
			s := &Shared{Destination: Destination{Policies: tc.policies, Disabled: tc.rejected}}
			for i, one := range tc.network.speakers {
				s.Origins = append(s.Origins, tc.origins[one.name])
				if tc.passes != nil {
					s.Passes = append(s.Passes, tc.passes[one.name])
				}
				for k := range g.Vertices[i].externalIn(WithTransit) {
					g.Vertices[i].External[WithTransit][k].Policy = max(0, len(tc.policies)-1)
				}
			}
			sent, err := Advertise(t.Context(), g, s)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, one := range tc.network.speakers {
				for _, session := range sent[i] {
					if session.Own {
						got = append(got, fmt.Sprintf("%s own", one.name))
					}
					if session.Learned {
						got = append(got, fmt.Sprintf("%s learned", one.name))
					}
				}
			}
			if text := strings.Join(got, ", "); text != tc.want {
				t.Errorf("got %q, want %q\n%v", text, tc.want, g)
			}
		})
	}
}
