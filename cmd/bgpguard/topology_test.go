package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/bgpguard/bgpguard/pkg/report"
	"github.com/bgpguard/bgpguard/pkg/state"
	"github.com/bgpguard/bgpguard/pkg/topology"
	"github.com/bgpguard/bgpguard/pkg/topology/topologytest"
)

const (
	// clusterOf3 has a route reflector, a client, and a node without sessions.
	clusterOf3 = `apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: rr, labels: {role: rr}, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24, projectcalico.org/RouteReflectorClusterID: 244.0.0.1}}}
- {apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: worker-1, labels: {role: client}}, spec: {bgp: {ipv4Address: 10.0.0.2/24}}}
- {apiVersion: v1, kind: Node, metadata: {name: worker-2, annotations: {projectcalico.org/IPv4Address: 10.0.0.3/24}}}
- {apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {nodeToNodeMeshEnabled: false}}
- {apiVersion: crd.projectcalico.org/v1, kind: BGPPeer, metadata: {name: clients}, spec: {nodeSelector: role == 'client', peerSelector: role == 'rr'}}
`
	wider = `apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: clients}
spec: {nodeSelector: role != 'rr', peerSelector: role == 'rr'}
`
	router = `apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: {name: router}
spec: {nodeSelector: role != 'rr', peerIP: 172.16.0.1, asNumber: 65000}
`
)

const (
	factsOf3 = `Nodes: 3, all with BGP, 1 route reflector
Mesh: off
`
	estimates = `
Convergence, worst case (estimated from BIRD's timers):
  routes missing after a start of calico-node: 7 seconds: every configured session can come up: BIRD connects 2 seconds after the start, retries every 5 seconds, and uses routes once every peer has sent its End-of-RIB
  routes kept after the crash of a node's last route reflector: 120 seconds: its peers keep the routes for the graceful restart time of 120 seconds that it advertised, then drop them
  routes kept after its graceful stop: 0 seconds: its peers drop the routes at once and reconnect after 5 seconds
  routes kept after it stops responding: 240 seconds: its peers receive nothing for the hold time of 240 seconds, then drop the routes
`
	unknownVersion = "Calico: unknown; set --calico-version or add the ClusterInformation\n"
)

func TestTopologyShows(t *testing.T) {
	for name, c := range map[string]struct {
		in    files
		stdin string
		args  string
		want  string
	}{
		"a mesh": {
			in: files{"state.yaml": nodeList}, args: "-f state.yaml --calico-version v3.31.2",
			want: `Nodes: 2, all with BGP
Mesh: on by default, 1 session between 2 nodes
Sessions IPv4: 1 between nodes, at most 1 on one node (a)
Sessions IPv6: none
Calico: 3.31.2

Routes to pods, IPv4:
  each of 2 nodes has routes to the pods of all others

Convergence, worst case (estimated from BIRD's timers):
  routes missing after a start of calico-node: 7 seconds: every configured session can come up: BIRD connects 2 seconds after the start, retries every 5 seconds, and uses routes once every peer has sent its End-of-RIB
`,
		},
		"the sessions of one node, from stdin": {
			stdin: clusterOf3, args: "-f - --node rr",
			want: factsOf3 + `Sessions IPv4: 1 between nodes, at most 1 on one node (rr)
Sessions IPv6: none
Route reflectors per node, IPv4: none on 1 node (worker-2); 1 on 1 node (worker-1)
` + unknownVersion + `
Node rr, AS 64512, route reflector with cluster ID 244.0.0.1:
  IPv4: address 10.0.0.1, 1 half-session, none with a route reflector
    not isolated: routes to the pods of 1 and from 1 of 2 other nodes
  IPv6: no address, so no sessions
  BGPPeer clients: selects the node
    nodeSelector "role == 'client'" does not match, because of role == 'client' (role is "rr")
    peerSelector "role == 'rr'" matches: role == 'rr' (role is "rr")

Route reflectors and their load:
  NODE  CLUSTER ID  SESSIONS
  rr    244.0.0.1   1

Routes to pods, IPv4:
  1 node (worker-2) is isolated: no routes to or from any other
  2 partitions without routes between them, the largest with 2 of 3 nodes
  2 pairs of nodes without a route: rr and worker-2, worker-1 and worker-2
` + strings.Replace(estimates, "End-of-RIB\n", "End-of-RIB; the isolated node never gets routes\n", 1) + `
1 half-session of node rr:
  FAMILY  PROTOCOL       PEER                 REMOTE AS  LOCAL AS  DIALS  REFLECTS  FROM     STATUS
  IPv4    Node_10_0_0_2  10.0.0.2 (worker-1)  64512      64512     yes    ` + `yes       clients  Paired
`,
		},
		"what a change adds": {
			in: files{
				"state/a.yaml": clusterOf3, "change.yaml": wider,
				"limit.yaml": "{apiVersion: policy.bgpguard.io/v1alpha1, kind: BGPPolicy, metadata: {name: mesh-node-limit}, spec: {policy: mesh-node-limit, validationActions: [Warn]}}",
			},
			args: "-f state --change change.yaml --policies limit.yaml",
			want: factsOf3 + `Sessions IPv4: 2 between nodes, at most 2 on one node (rr)
Sessions IPv6: none
Route reflectors per node, IPv4: 1 on 2 nodes (worker-1, worker-2)
` + unknownVersion + `
The change:
  update BGPPeer clients: allowed
    change.yaml:4
      - spec.nodeSelector: role == 'client'
      + spec.nodeSelector: role != 'rr'
  What it does: adds 1 session between nodes by BGPPeers (on 2 nodes); no route is lost or interrupted; 3 nodes gain IPv4 routes to nodes (4 ordered pairs)
    adds 1 reflected session, IPv4, route reflector rr and reflector client worker-2, from clients

Before and after the change:
                                BEFORE  AFTER
  nodes with BGP                3       3
  sessions between nodes, IPv4  1       2
  most on one node, IPv4        1       2
  isolated nodes, IPv4          1       0
  pairs without a route, IPv4   2       0

Route reflectors and their load:
  NODE  CLUSTER ID  SESSIONS
  rr    244.0.0.1   2

Routes to pods, IPv4:
  each of 3 nodes has routes to the pods of all others
  single point of failure: without node rr, 2 nodes (worker-1, worker-2) would be isolated
` + estimates,
		},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, bgpguard(t, c.in, c.stdin, append([]string{"topology"}, strings.Fields(c.args)...)...), result{code: exitOK, stdout: c.want})
		})
	}
}

func TestTopologyShowsTheAssumptionAboutExternalPeers(t *testing.T) {
	in := files{"state.yaml": clusterOf3 + "---\n" + router}
	for assumption, want := range map[string]string{
		"carry": `Routes to pods, IPv4, with transit through external peers:
  each of 3 nodes has routes to the pods of all others
`,
		"ignore": `Routes to pods, IPv4, without transit through external peers:
  1 node (worker-2) is isolated: no routes to or from any other
  2 partitions without routes between them, the largest with 2 of 3 nodes
  2 pairs of nodes without a route: rr and worker-2, worker-1 and worker-2
`,
	} {
		t.Run(assumption, func(t *testing.T) {
			got := bgpguard(t, in, "", "topology", "-f", "state.yaml", "--external-peers", assumption)
			if got.code != exitOK || !strings.Contains(got.stdout, want) {
				t.Errorf("exit code %d\n%s%s\nwant in it\n%s", got.code, got.stdout, got.stderr, want)
			}
		})
	}
}

// document is the part of -o json that the tests read.
type document struct {
	Summary  topology.Summary       `json:"summary"`
	Sessions []topology.HalfSession `json:"sessions"`
	Changes  struct {
		Added   []topology.HalfSession `json:"added"`
		Removed []topology.HalfSession `json:"removed"`
		Altered []struct {
			Before topology.HalfSession `json:"before"`
			After  topology.HalfSession `json:"after"`
		} `json:"altered"`
	} `json:"changes"`
}

func TestTopologyJSONFollowsTheSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../pkg/report/topology.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	const slower = "\n---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: clients}\nspec: {nodeSelector: role == 'client', peerSelector: role == 'rr', keepaliveTime: 30s}\n"
	in := files{"state.yaml": clusterOf3 + "---\n" + router, "peer.yaml": router, "slower.yaml": slower}
	for name, c := range map[string]struct {
		args                    string
		nodes                   []string
		added, removed, altered []string
	}{
		"all nodes":      {args: "", nodes: []string{"rr", "worker-1", "worker-1", "worker-2"}},
		"one node":       {args: "--node rr", nodes: []string{"rr"}},
		"a delete":       {args: "--change peer.yaml --delete", nodes: []string{"rr", "worker-1"}, removed: []string{"worker-1", "worker-2"}},
		"of one node":    {args: "--change peer.yaml --delete --node worker-2", removed: []string{"worker-2"}},
		"other timers":   {args: "--change slower.yaml", nodes: []string{"rr", "worker-1", "worker-1", "worker-2"}, altered: []string{"rr", "worker-1"}},
		"nothing at all": {args: "--change peer.yaml", nodes: []string{"rr", "worker-1", "worker-1", "worker-2"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := bgpguard(t, in, "", strings.Fields("topology -f state.yaml -o json "+c.args)...)
			compare(t, result{code: got.code, stderr: got.stderr}, result{code: exitOK})
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(got.stdout))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Error(err)
			}
			var d document
			if err := json.Unmarshal([]byte(got.stdout), &d); err != nil {
				t.Fatal(err)
			}
			var nodes, added, removed, altered []string
			for _, h := range d.Sessions {
				nodes = append(nodes, h.Node)
			}
			for _, h := range d.Changes.Added {
				added = append(added, h.Node)
			}
			for _, h := range d.Changes.Removed {
				removed = append(removed, h.Node)
			}
			for _, h := range d.Changes.Altered {
				altered = append(altered, h.After.Node)
				if *h.After.KeepaliveTime != 30 || h.Before.KeepaliveTime != nil {
					t.Errorf("altered from %v to %v", h.Before, h.After)
				}
			}
			if !slices.Equal(nodes, c.nodes) || !slices.Equal(added, c.added) || !slices.Equal(removed, c.removed) || !slices.Equal(altered, c.altered) {
				t.Errorf("sessions of %q, added on %q, removed on %q, altered on %q", nodes, added, removed, altered)
			}
		})
	}
}

func TestTopologyPicturesNameTheGroups(t *testing.T) {
	in := files{"state.yaml": clusterOf3 + "---\n" + router, "change.yaml": wider}
	for _, format := range []string{report.DOT, report.SVG, report.HTML} {
		t.Run(format, func(t *testing.T) {
			got := bgpguard(t, in, "", "topology", "-f", "state.yaml", "--change", "change.yaml", "-o", format)
			compare(t, result{code: got.code, stderr: got.stderr}, result{code: exitOK})
			for _, want := range []string{"1 route reflector", "1 reflector client", "before: node with other sessions only", "worker-1", "worker-2", "172.16.0.1", "added: 1 reflected session", "1 external session"} {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("%q is not in\n%s", want, got.stdout)
				}
			}
			if format == report.SVG && xml.Unmarshal([]byte(got.stdout), new(struct{})) != nil {
				t.Error("not well-formed")
			}
		})
	}
}

func TestTopologyRejectsInvalidInput(t *testing.T) {
	in := files{"state.yaml": clusterOf3, "peer.yaml": router, "empty.yaml": "# Nothing here.\n"}
	for name, c := range map[string]struct{ args, want string }{
		"no file":                       {"", "flag -f or --context is required: the file with the objects of the cluster, - for stdin, or the context of the cluster"},
		"no node":                       {"-f peer.yaml", "peer.yaml: contains no Node: without nodes there are no sessions"},
		"no object":                     {"-f empty.yaml", "empty.yaml: contains no object of a cluster"},
		"a change without objects":      {"-f state.yaml --change empty.yaml", "empty.yaml: contains no object to apply"},
		"a delete without a change":     {"-f state.yaml --delete", "flag --delete requires KIND/NAME or --change: the object, or the file with the objects to delete"},
		"a delete of an unknown object": {"-f state.yaml --change peer.yaml --delete", "BGPPeer router cannot be deleted: it is not in the state"},
		"a misspelled node":             {"-f state.yaml --node wroker-1", `flag --node: no node "wroker-1" among 3 nodes; similar names: worker-1`},
		"a part of a name":              {"-f state.yaml --node worker", `flag --node: no node "worker" among 3 nodes; similar names: worker-1, worker-2`},
		"a node with an unknown name":   {"-f state.yaml --node elsewhere", `flag --node: no node "elsewhere" among 3 nodes`},
		"no version":                    {"-f state.yaml --calico-version new", `flag --calico-version must be a version such as v3.31.2, is "new"`},
		"an unknown assumption":         {"-f state.yaml --external-peers maybe", `flag --external-peers must be one of carry, ignore, is "maybe"`},
		"an unknown format":             {"-f state.yaml -o png", `flag -o must be one of text, json, yaml, dot, svg, html, is "png"`},
		"stdin for two flags":           {"-f - --change -", "flags -f and --change: - (stdin) can be read only once"},
		"an argument without a flag":    {"state.yaml", `unexpected argument "state.yaml": bgpguard topology takes flags only, see "bgpguard topology --help"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := bgpguard(t, in, "", append([]string{"topology"}, strings.Fields(c.args)...)...)
			compare(t, got, result{code: exitInvalid, stderr: "error: " + c.want + "\n"})
		})
	}
}

func TestCalicoVersionOverridesTheClusterInformation(t *testing.T) {
	const old = "---\napiVersion: projectcalico.org/v3\nkind: ClusterInformation\nmetadata: {name: default}\nspec: {calicoVersion: v3.20.0}\n"
	for name, c := range map[string]struct{ args, want string }{
		"without the flag": {"", "Calico: 3.20.0\n"},
		"with the flag":    {"--calico-version v3.33.1", "Calico: 3.33.1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := bgpguard(t, files{"state.yaml": clusterOf3 + old}, "", strings.Fields("topology -f state.yaml "+c.args)...)
			if !strings.Contains(got.stdout, c.want) {
				t.Errorf("no %q in\n%s%s", c.want, got.stdout, got.stderr)
			}
		})
	}
}

// TestHalfSessionsAreSorted checks the order that comparisons of topologies rely on, with
// addresses whose text and numeric orders differ.
func TestHalfSessionsAreSorted(t *testing.T) {
	read, err := state.ReadFiles([]string{"-"}, strings.NewReader(clusterOf3+`---
apiVersion: v1
kind: Node
metadata: {name: a, annotations: {projectcalico.org/IPv4Address: 10.0.0.100, projectcalico.org/IPv6Address: "fd00::1"}}
---
apiVersion: v1
kind: Node
metadata: {name: B, annotations: {projectcalico.org/IPv4Address: 9.0.0.10, projectcalico.org/IPv6Address: "fd00::a"}}
---
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
---
`+router))
	if err != nil {
		t.Fatal(err)
	}
	var got []topology.HalfSession
	for h := range topologytest.Compute(t, state.New(state.Objects(read)...), nil).HalfSessions("") {
		got = append(got, h)
	}
	sorted := slices.Clone(got)
	slices.SortStableFunc(sorted, func(a, b topology.HalfSession) int {
		return strings.Compare(a.Node+"\x00"+a.Family+"\x00"+a.Protocol, b.Node+"\x00"+b.Family+"\x00"+b.Protocol)
	})
	if len(got) < 10 || !reflect.DeepEqual(got, sorted) {
		t.Errorf("%d half-sessions:\n%v\nsorted\n%v", len(got), got, sorted)
	}
}

// onWrite calls f before each write.
type onWrite struct {
	io.Writer

	f func()
}

func (w onWrite) Write(p []byte) (int, error) {
	w.f()
	return w.Writer.Write(p)
}

func TestAnInterruptEndsALongListWithAnError(t *testing.T) {
	var nodes strings.Builder
	for i := range 200 { // 39,800 half-sessions
		fmt.Fprintf(&nodes, "{apiVersion: v1, kind: Node, metadata: {name: n%03d, annotations: {projectcalico.org/IPv4Address: 10.0.0.%d/24}}}\n---\n", i, i)
	}
	o := topologyOptions{changeOptions: changeOptions{states: []string{"-"}}, externalPeers: carry, output: report.JSON}
	var all bytes.Buffer
	if err := o.run(t.Context(), strings.NewReader(nodes.String()), &all, io.Discard); err != nil {
		t.Fatalf("error %v without an interrupt", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var some bytes.Buffer
	err := o.run(ctx, strings.NewReader(nodes.String()), onWrite{&some, cancel}, io.Discard)
	if !errors.Is(err, context.Canceled) || err.Error() != "interrupted, the output is incomplete: context canceled" {
		t.Errorf("error %v", err)
	}
	if some.Len() == 0 || some.Len() > all.Len()/2 {
		t.Errorf("%d of %d bytes were written", some.Len(), all.Len())
	}
	var none bytes.Buffer
	if err := o.run(ctx, strings.NewReader(nodes.String()), &none, io.Discard); !errors.Is(err, context.Canceled) || none.Len() > 0 {
		t.Errorf("error %v, and %d bytes were written after an interrupt", err, none.Len())
	}
}

func TestAStateHasBGPFiltersAndTheNamesOfSecretKeysOnly(t *testing.T) {
	const more = `---
{apiVersion: crd.projectcalico.org/v1, kind: BGPFilter, metadata: {name: no-default}, spec: {importV4: []}}
---
{apiVersion: projectcalico.org/v3, kind: CalicoNodeStatus, metadata: {name: worker-1}, spec: {node: worker-1}}
---
apiVersion: v1
kind: SecretList
items:
- {apiVersion: v1, kind: Secret, metadata: {name: bgp, namespace: calico-system}, data: {tor: aHVudGVyMg==, mesh: aHVudGVyMg==}}
- {apiVersion: v1, kind: Secret, metadata: {name: other, namespace: default}, stringData: {tor: hunter2}}
`
	got := bgpguard(t, files{"s.yaml": clusterOf3 + more}, "", "topology", "-f", "s.yaml", "-o", "json")
	if got.code != 0 || got.stderr != "" {
		t.Fatalf("code %d, stderr %s", got.code, got.stderr)
	}
	for _, want := range []string{`"bgpFilters":{"known":true,"names":["no-default"],"objects":{"no-default":{`, `"secrets":{"known":true,"keys":{"bgp":["mesh","tor"]}}`} {
		if !strings.Contains(strings.ReplaceAll(got.stdout, ": ", ":"), want) {
			t.Errorf("%s is not in %s", want, got.stdout)
		}
	}
	if strings.Contains(got.stdout, "aHVudGVyMg") || strings.Contains(got.stdout, "hunter2") {
		t.Errorf("a password is in %s", got.stdout)
	}
}

func TestABGPFilterAndASecretMayChange(t *testing.T) {
	const change = `{apiVersion: projectcalico.org/v3, kind: BGPFilter, metadata: {name: f}, spec: {}}
---
{apiVersion: v1, kind: Secret, metadata: {name: bgp, namespace: kube-system}, data: {tor: aHVudGVyMg==}}
`
	compare(t, check(t, files{"s.yaml": clusterOf3, "c.yaml": change}, "", "-f", "c.yaml", "--state", "s.yaml"), result{stdout: "create BGPFilter f: allowed\n  what the change does: changes no session and no route between nodes\ncreate Secret bgp: allowed\n  what the change does: changes no session and no route between nodes\n2 changes: 2 allowed, 0 denied\n"})
}

func TestRoutesFollowTheirSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../../pkg/report/routes.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	in := files{"state.yaml": clusterOf3 + "---\n" + router, "peer.yaml": router, "wider.yaml": wider}
	for name, c := range map[string]struct {
		args           string
		tables         int
		added, removed int
	}{
		"a node":                   {args: "--node worker-1 --routes", tables: 1},
		"a node and change":        {args: "--node worker-1 --routes --change wider.yaml", tables: 1, added: 1, removed: 1},
		"a router":                 {args: "--peer 172.16.0.1", tables: 1},
		"a router that is deleted": {args: "--peer 172.16.0.1 --change peer.yaml --delete", removed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := bgpguard(t, in, "", strings.Fields("topology -f state.yaml -o json "+c.args)...)
			compare(t, result{code: got.code, stderr: got.stderr}, result{code: exitOK})
			doc, err := jsonschema.UnmarshalJSON(strings.NewReader(got.stdout))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(doc); err != nil {
				t.Error(err)
			}
			var routes struct {
				Tables  []topology.RouteTable `json:"tables"`
				Changes struct {
					Added   []any `json:"added"`
					Removed []any `json:"removed"`
				} `json:"changes"`
			}
			if err := json.Unmarshal([]byte(got.stdout), &routes); err != nil {
				t.Fatal(err)
			}
			if len(routes.Tables) != c.tables || len(routes.Changes.Added) != c.added || len(routes.Changes.Removed) != c.removed {
				t.Errorf("%d tables, %d families with additions, %d with removals, want %d, %d, %d\n%s",
					len(routes.Tables), len(routes.Changes.Added), len(routes.Changes.Removed), c.tables, c.added, c.removed, got.stdout)
			}
		})
	}
}
