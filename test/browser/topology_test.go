//go:build system

package browser

import (
	"os/exec"
	"strings"
	"testing"
)

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
	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"5 nodes", []string{"-f", write(t, manifest(t, 5))}, []string{"5 mesh nodes", "20 mesh sessions"}},
		{
			"100 nodes after a change",
			[]string{"-f", write(t, manifest(t, 100)), "--change", write(t, "{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: clients}}"), "--delete"},
			[]string{"Before the change", "After the change", "97 isolated nodes"},
		},
		{"5000 nodes", []string{"-f", write(t, manifest(t, 5000))}, []string{"4,997 reflector clients"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, bgpguard(t, append([]string{"topology", "-o", "html"}, c.args...)...), view{})
			p.says(c.says...)
			p.everywhere("topology " + c.name)
		})
	}
}
