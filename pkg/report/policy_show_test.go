package report

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bgpguard/bgpguard/pkg/policy"
)

// Readers copy the example of the documentation.
func TestTheExampleOfEveryPolicyCompiles(t *testing.T) {
	library, err := policy.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range library.Definitions() {
		t.Run(d.Name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "example.yaml")
			if err := os.WriteFile(file, []byte(describe(d).example()), 0o600); err != nil {
				t.Fatal(err)
			}
			docs, err := policy.Load([]string{file})
			if err == nil {
				_, err = library.Compile(docs)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
