package state

import (
	"fmt"
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
		"another project's kind":                        {"apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: p}\n", "<stdin>:2: BGPPeer of metallb.io/v1beta2 does not decide BGP; known are Node of v1 and projectcalico.org/v3, Secret of v1, and BGPConfiguration, BGPFilter, BGPPeer, CalicoNodeStatus, ClusterInformation, FelixConfiguration, IPAMBlock, IPPool of crd.projectcalico.org/v1 and projectcalico.org/v3"},
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

func known(s *Snapshot, kind calico.Kind) string {
	if s.Knows(kind) {
		return "known"
	}
	return "unknown"
}
