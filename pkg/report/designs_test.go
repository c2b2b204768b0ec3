package report

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/bgpguard/bgpguard/pkg/calico"
	"github.com/bgpguard/bgpguard/pkg/calico/calicotest"
	"github.com/bgpguard/bgpguard/pkg/plan"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
	"github.com/bgpguard/bgpguard/test/golden"
)

// comparisons returns comparisons of designs, by name.
func comparisons(t *testing.T) map[string]*plan.Comparison {
	t.Helper()
	router := func(name, ip string) calico.Object {
		return calicotest.BGPPeer(t, name, calicotest.Spec{"peerIP": ip, "asNumber": 64900})
	}
	out := map[string]*plan.Comparison{}
	for name, one := range map[string]struct {
		nodes   int
		objects []calico.Object
	}{
		"small":  {20, nil},
		"large":  {800, []calico.Object{router("tor-a", "192.0.2.1"), router("tor-b", "192.0.2.2")}},
		"no-bgp": {20, []calico.Object{calicotest.Mesh(t, false), calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16", "vxlanMode": "Always"})}},
	} {
		objects := []calico.Object{
			calicotest.Mesh(t, true), calicotest.ClusterInformation(t, "v3.31.2"),
			calicotest.IPPool(t, "pods", calicotest.Spec{"cidr": "10.244.0.0/16", "ipipMode": "CrossSubnet"}),
		}
		for i := range one.nodes {
			objects = append(objects, calicotest.NumberedNode(t, i, calicotest.Label("topology.kubernetes.io/zone", []string{"a", "b", "c"}[i%3])))
		}
		s := state.New(append(objects, one.objects...)...)
		c, err := plan.Compare(t.Context(), s, topologytest.Compute(t, s, nil), plan.DesignOptions{})
		if err != nil {
			t.Fatal(err)
		}
		out[name] = c
	}
	out["large"].Cluster = "prod"
	return out
}

func TestFormatsOfDesigns(t *testing.T) {
	written := map[string]bool{}
	for name, c := range comparisons(t) {
		for _, format := range DesignFormats.Names() {
			var b bytes.Buffer
			if err := DesignFormats.Write(&b, format, c); err != nil {
				t.Fatal(err)
			}
			switch format {
			case JSON:
				keys(validateJSON(t, "designs.schema.json", b.String()), written)
			case Text, Markdown:
				golden.Check(t, filepath.Join("testdata", "designs_"+name+"_"+format+".golden"), b.Bytes())
			}
			if format != Text {
				continue
			}
			for line := range strings.SplitSeq(b.String(), "\n") {
				if n := utf8.RuneCountInString(line); n > designWidth {
					t.Errorf("%s: a line has %d columns, more than %d: %s", name, n, designWidth, line)
				}
			}
		}
	}
	for _, property := range schemaProperties(t, "designs.schema.json") {
		if !written[property] {
			t.Errorf("no comparison has the property %q of the schema", property)
		}
	}
}

func TestDesignsOfAHostileName(t *testing.T) {
	c := comparisons(t)["small"]
	c.Cluster, c.Pools = "a\x1b[31m", []string{"<script>", "|"}
	for _, format := range []string{Text, Markdown} {
		var b bytes.Buffer
		if err := DesignFormats.Write(&b, format, c); err != nil {
			t.Fatal(err)
		}
		if slices.Contains(b.Bytes(), 0x1b) || format == Markdown && strings.Contains(b.String(), "<script>") {
			t.Errorf("%s: the name is not escaped:\n%s", format, b.String())
		}
	}
}
