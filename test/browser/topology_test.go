package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bgpguard/bgpguard/test/env"
)

// cluster is count nodes, three of them route reflectors where there are more than ten, else a full mesh.
func cluster(t *testing.T, count int) string {
	t.Helper()
	var b bytes.Buffer
	mesh := count <= 10
	for i, node := range env.Nodes(count) {
		if !mesh && i < 3 {
			env.RouteReflector("244.0.0.1")(node)
		}
		node.APIVersion, node.Kind = "v1", "Node"
		text, err := json.Marshal(node)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n")
		b.Write(text)
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "---\n{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, spec: {asNumber: 64512, nodeToNodeMeshEnabled: %t}}\n", mesh)
	if !mesh {
		for name, selector := range map[string]string{"reflectors": "has(route-reflector)", "clients": "all()"} {
			fmt.Fprintf(&b, "---\n{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: %s}, spec: {nodeSelector: %s, peerSelector: has(route-reflector)}}\n", name, selector)
		}
	}
	return write(t, b.String())
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// bgpguard runs the program and returns what it prints.
func bgpguard(t *testing.T, args ...string) []byte {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), "../../bin/bgpguard", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("bgpguard %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

func TestTopology(t *testing.T) {
	peerGone := write(t, "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: clients}}")
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"5 nodes", []string{"-f", cluster(t, 5)}, []string{"5 mesh nodes", "20 mesh sessions"}},
		{"100 nodes after a change", []string{"-f", cluster(t, 100), "--change", peerGone, "--delete"}, []string{"Before the change", "After the change", "97 nodes cut off"}},
		{"5000 nodes", []string{"-f", cluster(t, 5000)}, []string{"4,997 reflector clients"}},
	} {
		report := bgpguard(t, append([]string{"topology", "-o", "html"}, c.args...)...)
		for name, v := range map[string]view{"light": {}, "dark": {dark: true}, "print": {print: true}, "telephone": {width: telephone}} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				p := open(t, report, v)
				text := ask[string](p, `document.body.innerText`)
				for _, want := range c.says {
					if !strings.Contains(text, want) {
						t.Errorf("the page does not say %q", want)
					}
				}
				p.accessible()
				p.fits()
				p.shot(strings.ReplaceAll("topology "+c.name+" "+name, " ", "-"))
			})
		}
	}
}
