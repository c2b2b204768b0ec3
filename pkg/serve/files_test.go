package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/bgpguard/bgpguard/pkg/enforce"
)

// nodeManifest returns the manifest of a Node with an IPv4 address.
func nodeManifest(name, address string) string {
	return "---\n{apiVersion: v1, kind: Node, metadata: {name: " + name + ", annotations: {projectcalico.org/IPv4Address: " + address + "/24}}}\n"
}

func TestFilesAreReadAgainWhenTheyChange(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := enforce.NewSources(enforce.SourceOptions{}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	c := newCurrent(dir, &files{paths: []string{dir}, now: time.Now}, nil, sources, logr.Discard())

	write("nodes.yaml", nodeManifest("a", "10.0.0.1")+nodeManifest("b", "10.0.0.2"))
	a, err := c.Audit(t.Context())
	if err != nil || a.Summary.Nodes.BGP != 2 || len(a.Policies) != len(sources.Library().Definitions()) || len(a.Notes) != 2 || !strings.HasPrefix(a.Notes[0], "no BGPConfiguration in the state") {
		t.Fatalf("got %+v, %v", a, err)
	}
	if again, err := c.Audit(t.Context()); err != nil || again != a {
		t.Errorf("the audit is not reused: %v", err)
	}
	write("more.yaml", nodeManifest("c", "10.0.0.3"))
	if a, err := c.Audit(t.Context()); err != nil || a.Summary.Nodes.BGP != 3 {
		t.Errorf("after another file: %+v, %v", a, err)
	}
	write("more.yaml", nodeManifest("c", "10.0.0.3")+"kind: BGPPeer\nspec: {\n")
	if a, err := c.Audit(t.Context()); a != nil || err == nil || !strings.Contains(err.Error(), "more.yaml:") {
		t.Errorf("of an invalid file: %+v, %v", a, err)
	}
	if err := c.Check(nil); err == nil {
		t.Error("ready with an invalid file")
	}
	write("more.yaml", nodeManifest("c", "10.0.0.3")+nodeManifest("d", "10.0.0.4"))
	if a, err := c.Audit(t.Context()); err != nil || a.Summary.Nodes.BGP != 4 {
		t.Errorf("after the file is valid again: %+v, %v", a, err)
	}
	if err := os.Remove(filepath.Join(dir, "nodes.yaml")); err != nil {
		t.Fatal(err)
	}
	write("more.yaml", "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}}\n")
	if a, err := c.Audit(t.Context()); a != nil || err == nil || !strings.Contains(err.Error(), "contains no Node") {
		t.Errorf("without Nodes: %+v, %v", a, err)
	}
}
