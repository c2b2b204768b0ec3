package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bgpguard/bgpguard/test/env"
)

func TestDefinitionsIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("kind: Namespace\nmetadata: {name: n}\n---\nkind: Deployment\nmetadata: {name: d}\n---\nkind: CustomResourceDefinition\nmetadata: {name: c}\n")
	got, err := definitionsIn(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "kind: Namespace\nmetadata: {name: n}\n---\nkind: CustomResourceDefinition\nmetadata: {name: c}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	write("kind: Deployment\n")
	if _, err := definitionsIn(path); err == nil {
		t.Error("no error for a file without definitions")
	}
}

// TestPeersTable checks that the two webhooks are compared by their ratios to the floor in the same repetition.
func TestPeersTable(t *testing.T) {
	of := func(contender string, p50 time.Duration, perSecond float64) latency {
		repetitions := []repetition{{timing{p50: time.Millisecond, perSecond: 1000}, timing{p50: p50, perSecond: perSecond}}}
		return latency{question: deleteDenied, contender: contender, nodes: 5000, one: repetitions, many: repetitions}
	}
	table := peersTable([]peer{{
		nodes: 5000, latencies: []latency{of("bgpguard", 2*time.Millisecond, 500), of("Gatekeeper", 100*time.Millisecond, 15)},
		guardReady: time.Second, gatekeeperReady: 7 * time.Second, guard: env.Memory{Resident: 100 << 10}, gatekeeper: env.Memory{Resident: 900 << 10},
	}})
	for _, want := range []string{
		"| 5000 | " + deleteDenied + " | 1 | 2 | 100 | 50 | 500 | 15 |\n",
		"| 5000 | 1 | 7 | 100 | 900 |\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in:\n%s", want, table)
		}
	}
}
