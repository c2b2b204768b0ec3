//go:build system

package docs

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bgpguard/bgpguard/test/env"
)

// contexts are the names under which the documents speak of clusters.
var contexts = []string{"prod", "eu", "us"}

// Installing comes first, uninstalling last; what is between them assumes an installed bgpguard.
func TestClusterCommandLinesRun(t *testing.T) {
	e := env.StartForTest(t, env.Options{Groups: []env.Group{env.GroupV1}})
	if err := e.CreateNodes(t.Context(), env.Nodes(3)); err != nil {
		t.Fatal(err)
	}
	dir, environment := workplace(t)
	kubeconfig := filepath.Join(dir, "kubeconfig")
	config, err := clientcmd.LoadFromFile(e.Admin.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range contexts {
		config.Contexts[name] = config.Contexts[config.CurrentContext]
	}
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	for i, variable := range environment {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			environment[i] = "PATH=" + filepath.Dir(e.Admin.Path) + ":" + path
		}
	}
	environment = append(environment, "KUBECONFIG="+kubeconfig, "KUBECACHEDIR="+t.TempDir(), "KUBERC=off")

	var blocks []*Block
	for _, d := range documents(t) {
		for i := range d.Blocks {
			if d.Blocks[i].Info == "sh cluster" {
				blocks = append(blocks, &d.Blocks[i])
			}
		}
	}
	order := func(b *Block) int {
		text := strings.Join(b.Lines, "\n")
		switch {
		case strings.Contains(text, "config/crd") && strings.Contains(text, "apply"):
			return 0
		case strings.Contains(text, "delete -k config/crd"):
			return 2
		default:
			return 1
		}
	}
	slices.SortStableFunc(blocks, func(a, b *Block) int { return order(a) - order(b) })
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks", len(blocks))
	}
	for _, b := range blocks {
		for _, c := range b.Commands() {
			// No kubelet starts the pods, for which the command waits.
			if strings.Contains(c.Text, "rollout status deployment/bgpguard") {
				if err := e.MarkReady(t.Context(), "bgpguard-system", "bgpguard"); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := c.Run(t.Context(), dir, environment); err != nil {
				t.Errorf("line %d: %s: %v\n%s", c.Line, c.Text, err, out)
			}
		}
	}
}
