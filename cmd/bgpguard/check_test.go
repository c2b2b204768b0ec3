package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

const (
	nodeList = `apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: a, annotations: {projectcalico.org/IPv4Address: 10.0.0.1/24}}}
- {apiVersion: v1, kind: Node, metadata: {name: b, annotations: {projectcalico.org/IPv4Address: 10.0.0.2/24}}}
`
	calicoNodes = `apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: a}
spec: {bgp: {ipv4Address: 10.0.0.1/24}}
---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: b}
spec: {bgp: {ipv4Address: 10.0.0.2/24}}
`
	nodeC = `{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "c", "annotations": {"projectcalico.org/IPv4Address": "10.0.0.3/24"}}}`
	// With a limit of one node, two nodes are too many.
	meshPolicy = `apiVersion: policy.bgpguard.io/v1alpha1
kind: BGPPolicy
metadata:
  name: mesh
spec:
  policy: mesh-node-limit
  parameters:
    maxNodes: 1
  validationActions: [Deny]
`
	meshOff = `apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: false}
`
	// A state without Nodes.
	pool = `apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: pods}
spec: {cidr: 10.244.0.0/16}
---
apiVersion: projectcalico.org/v3
kind: BGPConfigurationList
items: []
`
	meshOn = `apiVersion: crd.projectcalico.org/v1
kind: BGPConfiguration
metadata: {name: default}
spec: {nodeToNodeMeshEnabled: true}
`
)

// files are the files in the working directory of a command, by name. The directory is
// temporary, so messages do not contain its path.
type files map[string]string

type result struct {
	code           int
	stdout, stderr string
}

func check(t *testing.T, in files, stdin string, args ...string) result {
	t.Helper()
	return bgpguard(t, in, stdin, append([]string{"check"}, args...)...)
}

func bgpguard(t *testing.T, in files, stdin string, args ...string) result {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range in {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	code := run(args, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), absent.ReplaceAllString(stderr.String(), "")}
}

// absent matches notes on kinds that the states of most tests lack.
var absent = regexp.MustCompile(`(?m)^note: no \w+ in the state: .*\n`)

func compare(t *testing.T, got, want result) {
	t.Helper()
	if got.code != want.code {
		t.Errorf("exit code %d, want %d", got.code, want.code)
	}
	if got.stdout != want.stdout {
		t.Errorf("stdout:\n%s\nwant:\n%s", got.stdout, want.stdout)
	}
	if got.stderr != want.stderr {
		t.Errorf("stderr:\n%s\nwant:\n%s", got.stderr, want.stderr)
	}
}

func libraryNames(t *testing.T) string {
	t.Helper()
	l, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(l.Names(), ", ")
}

func TestCheckRejectsInvalidInput(t *testing.T) {
	const kinds = "known are Node of v1 and projectcalico.org/v3, Secret of v1, BGPConfiguration, BGPFilter, BGPPeer, CalicoNodeStatus, ClusterInformation, FelixConfiguration, IPAMBlock, IPPool of crd.projectcalico.org/v1 and projectcalico.org/v3, and Installation of operator.tigera.io/v1"
	for name, c := range map[string]struct {
		in   files
		args string
		want string
	}{
		"no file": {
			args: "", want: "flag -f is required: the file with the change, or - for stdin",
		},
		"no state": {
			args: "--delete=node/a", want: "flag --state or --context is required: the file with the objects of the cluster, - for stdin, or the context of the cluster",
		},
		"two states": {
			args: "--delete=node/a --state s.yaml --context prod", want: "flags --state and --context are mutually exclusive: the state is that of files or of a cluster",
		},
		"no Node": {
			in: files{"c.yaml": meshOff}, args: "-f c.yaml", want: "pool.yaml: contains no Node: without nodes there are no sessions",
		},
		"a missing file": {
			args: "-f nowhere.yaml", want: "nowhere.yaml: no such file or directory",
		},
		"a directory without objects": {
			in: files{"empty/README.md": ""}, args: "-f empty", want: "empty: no .yaml, .yml or .json file in this directory",
		},
		"a state without objects": {
			in: files{"c.yaml": nodeC, "s.yaml": "# kubectl failed.\n"}, args: "-f c.yaml --state s.yaml", want: "s.yaml: contains no object of a cluster",
		},
		"a file without objects": {
			in: files{"c.yaml": "# Nothing here.\n"}, args: "-f c.yaml", want: "c.yaml: contains no object to apply",
		},
		"invalid YAML": {
			in: files{"c.yaml": meshOff + "---\nkind: Node\nmetadata:\n\tname: x\n"}, args: "-f c.yaml",
			want: "c.yaml:8: found character that cannot start any token",
		},
		"fields of a wrong type, in all files": {
			in: files{"c.yaml": nodeC + "\n---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata:\n  name: p\nspec:\n  peerIP: 10.0.0.1\n  asNumber: many\n",
				"d.yaml": "apiVersion: v1\nkind: Node\nmetadata:\n  name: 7\n"},
			args: "-f c.yaml -f d.yaml",
			want: "c.yaml:9: spec.asNumber: must be an AS number from 0 to 4294967295, is \"many\"\nd.yaml:4: metadata.name: must be a string, is 7",
		},
		"a field of a wrong type in the state": {
			in:   files{"c.yaml": nodeC, "s.yaml": "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: a\n    labels:\n      rack: 1\n"},
			args: "-f c.yaml --state s.yaml", want: "s.yaml:9: metadata.labels.rack: must be a string, is 1",
		},
		"a kind that does not affect BGP": {
			in: files{"c.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"}, args: "-f c.yaml",
			want: "c.yaml:2: Pod of v1 does not decide BGP; " + kinds,
		},
		"a Secret with invalid data, which is not shown": {
			in:   files{"c.yaml": nodeC, "s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: hunter2\n"},
			args: "-f c.yaml --state s.yaml", want: "s.yaml:4: data: must be an object",
		},
		"a change of a CalicoNodeStatus only": {
			in: files{"c.yaml": "apiVersion: projectcalico.org/v3\nkind: CalicoNodeStatus\nmetadata: {name: a}\n"}, args: "-f c.yaml", want: "c.yaml: contains no object to apply",
		},
		"an object without a kind": {
			in: files{"c.yaml": "apiVersion: v1\nmetadata: {name: p}\n"}, args: "-f c.yaml", want: "c.yaml:1: kind: is missing or not a string",
		},
		"a delete of an unknown object": {
			in: files{"c.yaml": nodeC, "s.yaml": nodeList}, args: "--delete -f c.yaml --state s.yaml", want: "Node c cannot be deleted: it is not in the state",
		},
		"an unknown output format": {
			in: files{"c.yaml": nodeC}, args: "-f c.yaml -o xml", want: `flag -o must be one of text, json, yaml, sarif, junit, github, is "xml"`,
		},
		"stdin for two flags": {
			args: "-f - --state -", want: "flags -f and --state: - (stdin) can be read only once",
		},
		"an unknown flag": {
			args: "--force", want: "unknown flag: --force",
		},
		"an argument without a flag": {
			args: "change.yaml", want: `unexpected argument "change.yaml": bgpguard check takes flags only, see "bgpguard check --help"`,
		},
		"an unknown parameter": {
			in:   files{"c.yaml": nodeC, "p.yaml": strings.Replace(meshPolicy, "maxNodes: 1", "maxNode: 1", 1)},
			args: "-f c.yaml --policies p.yaml",
			want: "p.yaml:7: BGPPolicy mesh: spec.parameters: additional properties 'maxNode' not allowed; known are maxNodes",
		},
		"a parameter of a wrong type": {
			in:   files{"c.yaml": nodeC, "p.yaml": strings.Replace(meshPolicy, "maxNodes: 1", "maxNodes: many", 1)},
			args: "-f c.yaml --policies p.yaml",
			want: "p.yaml:8: BGPPolicy mesh: spec.parameters.maxNodes: got string, want integer",
		},
		"an unknown policy": {
			in:   files{"c.yaml": nodeC, "p.yaml": strings.Replace(meshPolicy, "mesh-node-limit", "mesh", 1)},
			args: "-f c.yaml --policies p.yaml",
			want: `p.yaml:6: BGPPolicy mesh: spec.policy: "mesh" is not in the library; known are ` + libraryNames(t),
		},
		"two documents with one name": {
			in:   files{"c.yaml": nodeC, "p.yaml": meshPolicy + "---\n" + meshPolicy},
			args: "-f c.yaml --policies p.yaml",
			want: "p.yaml:14: BGPPolicy mesh: metadata.name: is used by two documents",
		},
		"Deny together with Warn": {
			in:   files{"c.yaml": nodeC, "p.yaml": strings.Replace(meshPolicy, "[Deny]", "[Deny, Warn]", 1)},
			args: "-f c.yaml --policies p.yaml",
			want: "p.yaml:9: BGPPolicy mesh: spec.validationActions: must not have both Deny and Warn: a denial already shows the message to the user",
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := strings.Fields(c.args)
			if !slices.Contains(args, "--state") && slices.Contains(args, "-f") {
				args = append(args, "--state", "pool.yaml")
			}
			in := files{"pool.yaml": pool}
			maps.Copy(in, c.in)
			compare(t, check(t, in, "", args...), result{code: exitInvalid, stderr: "error: " + c.want + "\n"})
		})
	}
}

func TestREADMEShowsTheOutputForTheSamples(t *testing.T) {
	t.Chdir("../../config/samples")
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const command = "check -f change.yaml --state cluster.yaml"
	var stdout, stderr bytes.Buffer
	if code := run(strings.Fields(command), strings.NewReader(""), &stdout, &stderr); code != exitDenied {
		t.Errorf("exit code %d: their comments say that the change is denied", code)
	}
	if want := "$ bgpguard " + command + "\n" + stdout.String() + "```\n"; !strings.Contains(string(readme), want) {
		t.Errorf("README.md does not show this:\n%s", want)
	}
}
