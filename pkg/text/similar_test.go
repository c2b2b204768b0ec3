package text

import "testing"

func TestMostLike(t *testing.T) {
	known := []string{"bgppeer", "bgpfilter", "node", "output", "state", "state-file", "nodeToNodeMeshEnabled"}
	for word, want := range map[string]string{
		"bgpeer":         "bgppeer",
		"BGPPEERS":       "bgppeer",
		"outptu":         "output",
		"stat":           "state",
		"nodeToNodeMesh": "nodeToNodeMeshEnabled", // The beginning.
		"pod":            "",
		"no":             "",
		"":               "",
		"force":          "",
	} {
		if got := MostLike(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := MostLike("state", nil); got != "" {
		t.Errorf("without known words: %q", got)
	}
}
