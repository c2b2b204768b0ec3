package state

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/calico"
)

func TestWhatFilesSayOfAState(t *testing.T) {
	const (
		node   = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n"
		filter = "apiVersion: projectcalico.org/v3\nkind: BGPFilter\nmetadata: {name: f}\n"
	)
	empty := func(version, kind string) string {
		return fmt.Sprintf("---\napiVersion: %s\nkind: %s\nitems: []\n", version, kind)
	}
	tests := map[string]struct{ file, want string }{
		"a state without filters":                       {node, "1 node, BGPFilters unknown, Secrets unknown"},
		"a state with one":                              {node + "---\n" + filter, "1 node, BGPFilters known, Secrets unknown"},
		"a list that says that there is none":           {node + empty("projectcalico.org/v3", "BGPFilterList"), "1 node, BGPFilters known, Secrets unknown"},
		"the same of the old group":                     {node + empty("crd.projectcalico.org/v1", "BGPFilterList"), "1 node, BGPFilters known, Secrets unknown"},
		"a list of any kind, which kubectl writes":      {node + empty("v1", "List"), "1 node, BGPFilters unknown, Secrets unknown"},
		"a list of Secrets, of who knows what":          {node + empty("v1", "SecretList"), "1 node, BGPFilters unknown, Secrets unknown"},
		"a list of another's kind":                      {node + empty("example.com/v1", "BGPFilterList"), "1 node, BGPFilters unknown, Secrets unknown"},
		"a list of an unknown version":                  {node + empty("projectcalico.org/v9", "BGPFilterList"), `<stdin>:5: apiVersion: must be crd.projectcalico.org/v1 or projectcalico.org/v3 for a BGPFilter, is "projectcalico.org/v9"`},
		"an object of an unknown version":               {node + "---\n" + strings.Replace(filter, "/v3", "/v9", 1), `<stdin>:5: apiVersion: must be crd.projectcalico.org/v1 or projectcalico.org/v3 for a BGPFilter, is "projectcalico.org/v9"`},
		"an object without a version":                   {strings.Replace(filter, "/v3", "", 1), `<stdin>:1: apiVersion: must be crd.projectcalico.org/v1 or projectcalico.org/v3 for a BGPFilter, is "projectcalico.org"`},
		"a Node of an unknown version":                  {strings.Replace(node, "v1", "v2", 1), `<stdin>:1: apiVersion: must be v1 or projectcalico.org/v3 for a Node, is "v2"`},
		"another project's kind":                        {"apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: p}\n", "<stdin>:2: BGPPeer of metallb.io/v1beta2 does not decide BGP; known are Node of v1 and projectcalico.org/v3, Secret of v1, BGPConfiguration, BGPFilter, BGPPeer, CalicoNodeStatus, ClusterInformation, FelixConfiguration, IPAMBlock, IPPool of crd.projectcalico.org/v1 and projectcalico.org/v3, and Installation of operator.tigera.io/v1"},
		"a list with objects":                           {"apiVersion: v1\nkind: NodeList\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n", "1 node, BGPFilters unknown, Secrets unknown"},
		"nothing":                                       {"# kubectl failed.\n", "-: contains no object of a cluster"},
		"nothing but a list that says that of one kind": {empty("projectcalico.org/v3", "BGPFilterList"), "-: contains no object of a cluster"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _, err := ReadState([]string{"-"}, strings.NewReader(test.file))
			got := fmt.Sprintf("%d node, BGPFilters %s, Secrets %s", len(s.Nodes()), known(s, calico.KindBGPFilter), known(s, calico.KindSecret))
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if s, _, err := ReadState(nil, nil); err != nil || len(s.Nodes()) > 0 {
		t.Errorf("no file: error %v, %d nodes; want the empty state", err, len(s.Nodes()))
	}
}

func TestNotesOfAState(t *testing.T) {
	t.Chdir(t.TempDir())
	const (
		node      = "apiVersion: v1\nkind: Node\nmetadata: {name: a}\n"
		meshOff   = "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\nspec: {nodeToNodeMeshEnabled: false}\n"
		pool      = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.0.0.0/16}\n"
		meshOn    = "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\n"
		vxlanPool = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.0.0.0/16, vxlanMode: Always}\n"
		ipipPool  = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.0.0.0/16, ipipMode: Always}\n"
		felix     = "no FelixConfiguration in the state: its field programClusterRoutes counts as unset"
		oldCalico = "apiVersion: projectcalico.org/v3\nkind: ClusterInformation\nmetadata: {name: default}\nspec: {calicoVersion: v3.30.1}\n"
		withTypha = "apiVersion: projectcalico.org/v3\nkind: ClusterInformation\nmetadata: {name: default}\nspec: {calicoVersion: v3.30.1, clusterType: 'k8s,typha'}\n"
		policy    = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\n"
		misspelt  = "apiVersion: projectcalico.org/v3\nkind: BGPPer\nmetadata: {name: p}\n"
		none      = "---\napiVersion: projectcalico.org/v3\nkind: %sList\nitems: []\n"
	)
	noLists := fmt.Sprintf(none+none, "BGPConfiguration", "IPPool")
	for name, test := range map[string]struct {
		files []string
		want  string
	}{
		"what decides something is absent": {[]string{node}, "no BGPConfiguration in the state: the mesh counts as on, and the AS number as 64512\n" +
			"no IPPool in the state: all pod traffic counts as needing BGP"},
		"BIRD programs the routes":  {[]string{node + "---\n" + meshOn + "---\n" + pool}, ""},
		"BIRD may not program them": {[]string{node + "---\n" + meshOn + "spec: {programClusterRoutes: Disabled}\n---\n" + pool}, felix},
		"a pool with IPIP":          {[]string{node + "---\n" + meshOn + "---\n" + ipipPool}, felix},
		"Felix programs no routes":  {[]string{node + "---\n" + meshOn + "---\n" + ipipPool + "---\n" + oldCalico}, ""},
		"a pool with VXLAN":         {[]string{node + "---\n" + meshOn + "---\n" + vxlanPool}, ""},
		"Typha drops the only one":  {[]string{node + "---\n" + strings.Replace(meshOff, "false", "false, serviceClusterIPs: [{cidr: 10.96.0.1/12}]", 1) + "---\n" + pool + "---\n" + withTypha}, ""},
		"a state without nodes":     {[]string{meshOn}, ""},
		"empty lists":               {[]string{node + noLists}, ""},
		"the mesh is off":           {[]string{node + "---\n" + meshOff + "---\n" + pool}, "no BGPPeer in the state: the mesh is off, so there are no sessions"},
		"another kind":              {[]string{node + noLists + "---\n" + policy}, "skipped 1 object of other kinds (1 GlobalNetworkPolicy)"},
		"a misspelled kind":         {[]string{node + "---\n" + misspelt}, "0.yaml:6: BGPPer of projectcalico.org/v3 does not decide BGP; known are"},
		"a label without quotes":    {[]string{node + noLists + "---\n" + "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata:\n  name: b\n  labels: {rr: true}\n"}, "0.yaml:17: metadata.labels.rr: true is not in quotes: calicoctl reads it as text, kubectl rejects it"},
		"a value that does not decode": {
			[]string{node + noLists + "---\n" + meshOff + "---\n" + strings.Replace(pool, "10.0.0.0/16", "7", 1)},
			"0.yaml:21: spec.cidr: must be a string, is 7; Calico cannot decode it\nno BGPPeer in the state: the mesh is off, so there are no sessions",
		},
		"an object twice":        {[]string{node + "---\n" + node}, "0.yaml:7: Node a is in the state twice: it is also in 0.yaml:1"},
		"an object in two files": {[]string{node + noLists, node}, "1 object is in several files of the state, and the last one counts: Node a of 1.yaml:1, not of 0.yaml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for i, text := range test.files {
				paths = append(paths, fmt.Sprintf("%d.yaml", i))
				if err := os.WriteFile(paths[i], []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, c, err := ReadState(paths, nil)
			var got string
			if err != nil {
				got = err.Error()
			} else {
				got = strings.Join(c.Notes, "\n")
			}
			if got != test.want && (err == nil || !strings.HasPrefix(got, test.want)) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func known(s *Snapshot, kind calico.Kind) string {
	if s.Knows(kind) {
		return "known"
	}
	return "unknown"
}

func TestCalicoctlMakesStringsOfLabels(t *testing.T) {
	const labels = "metadata: {name: a, labels: {rr: true, rack: 7, weight: 0.5}}\n"
	c, err := ReadChanges([]string{"-"}, strings.NewReader("apiVersion: projectcalico.org/v3\nkind: Node\n"+labels))
	if err != nil {
		t.Fatal(err)
	}
	node, _ := c.Objects[0].Object.(*calico.Node)
	if want := map[string]string{"rr": "true", "rack": "7", "weight": "0.5"}; !maps.Equal(node.Labels, want) {
		t.Errorf("got %v, want %v", node.Labels, want)
	}
	if _, err := ReadChanges([]string{"-"}, strings.NewReader("apiVersion: v1\nkind: Node\n"+labels)); err == nil {
		t.Error("a Node of v1 with such labels is valid")
	}
}
